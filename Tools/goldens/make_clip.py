"""Random tiny CLIP text encoders: last hidden state and pooled vector of transformers' module."""

import math

import torch
from transformers import CLIPTextConfig, CLIPTextModel

from common import assert_every_tensor_matters, normal, save, write_json

COMMON = dict(hidden_act="quick_gelu", layer_norm_eps=1e-5, attention_dropout=0.0, projection_dim=32)
# name: (configuration, id of the end token, lengths with begin and end token; the longest fills every position)
CASES = {
    "end_id": (dict(COMMON, vocab_size=100, hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                    max_position_embeddings=16, bos_token_id=98, eos_token_id=99, pad_token_id=99), 99, (7, 16, 2)),
    # the published configuration: it names end id 2 and pad id 1, while the tokenizer's end token is the largest id
    "legacy_end_id": (dict(COMMON, vocab_size=90, hidden_size=40, intermediate_size=96, num_hidden_layers=3,
                           num_attention_heads=5, max_position_embeddings=11, bos_token_id=0, eos_token_id=2, pad_token_id=1),
                      89, (5, 11)),
}


def random_weights(network, seed):
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "embedding" in name:
                value = normal(seed, name, parameter.shape, std=0.7)
            elif name.endswith("bias"):
                value = normal(seed, name, parameter.shape, std=0.2)
            elif parameter.ndim == 1:
                value = normal(seed, name, parameter.shape, std=0.3, mean=1.0)
            else:
                value = normal(seed, name, parameter.shape, std=1 / math.sqrt(parameter.shape[1]))
            parameter.copy_(value)


@torch.no_grad()
def make(case, seed, folder):
    config, end, lengths = CASES[case]
    network = CLIPTextModel(CLIPTextConfig(**config)).eval()
    random_weights(network, seed)
    positions = config["max_position_embeddings"]
    ids = torch.full((len(lengths), positions), end)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        noise = normal(seed, f"ids {row}", (length,)).abs() * 1e4
        ids[row, :length - 1] = 3 + noise.long()[:length - 1] % (end - 5)
        ids[row, 0] = end - 1
        mask[row, :length] = 1

    def run(mask=mask):
        return network(input_ids=ids, attention_mask=mask)

    expected, unmasked = run(), run(None)
    rows = torch.arange(len(lengths))
    ends = torch.tensor(lengths) - 1
    for result in (expected, unmasked):
        assert torch.equal(result.pooler_output, result.last_hidden_state[rows, ends])
    assert torch.allclose(expected.pooler_output, unmasked.pooler_output, atol=1e-5)
    assert_every_tensor_matters(network, lambda: run().pooler_output, seed, exempt=("*.k_proj.bias",))

    write_json(folder / "config.json", {**config, "architectures": ["CLIPTextModel"], "model_type": "clip_text_model",
                                        "torch_dtype": "float32"})
    state = {name if name.startswith("text_model.") else f"text_model.{name}": value
             for name, value in network.state_dict().items() if "position_ids" not in name}
    save(folder / "weights.safetensors", state)
    save(folder / "expected.safetensors", {
        "input_ids": ids.int(), "attention_mask": mask.int(), "last_hidden_state": expected.last_hidden_state,
        "last_hidden_state_without_mask": unmasked.last_hidden_state, "pooled": expected.pooler_output})
    print(f"clip/{case}: pooled std {expected.pooler_output.std():.3f}")


def generate(out):
    for seed, case in enumerate(CASES, start=31):
        make(case, seed, out / "clip" / case)
