"""Random tiny LLaMA language models: every hidden state of transformers' module for right-padded prompts."""

import math

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from common import assert_every_tensor_matters, normal, save, write_json

COMMON = dict(hidden_act="silu", max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=500000.0, attention_bias=False,
              mlp_bias=False, tie_word_embeddings=False, bos_token_id=300, eos_token_id=301, pad_token_id=302)
# name: (configuration, lengths of the prompts, padded length)
CASES = {
    "four_heads": (dict(COMMON, vocab_size=320, hidden_size=48, intermediate_size=96, num_hidden_layers=4,
                        num_attention_heads=4, num_key_value_heads=2, head_dim=12), (13, 20), 20),
    "six_heads": (dict(COMMON, vocab_size=310, hidden_size=48, intermediate_size=80, num_hidden_layers=3,
                       num_attention_heads=6, num_key_value_heads=3, head_dim=8), (1, 9), 11),
}


def random_weights(network, seed):
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "embed_tokens" in name:
                value = normal(seed, name, parameter.shape, std=0.7)
            elif parameter.ndim == 1:
                value = normal(seed, name, parameter.shape, std=0.3, mean=1.0)
            else:
                value = normal(seed, name, parameter.shape, std=1 / math.sqrt(parameter.shape[1]))
            parameter.copy_(value)


@torch.no_grad()
def make(case, seed, folder):
    config, lengths, padded = CASES[case]
    network = LlamaForCausalLM(LlamaConfig(**config)).eval()
    random_weights(network, seed)
    ids = torch.full((len(lengths), padded), config["pad_token_id"])
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        noise = normal(seed, f"ids {row}", (length,)).abs() * 1e4
        ids[row, :length] = noise.long() % 300
        ids[row, 0] = config["bos_token_id"]
        mask[row, :length] = 1

    def states(ids=ids):
        return network.model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states

    expected = states()
    assert len(expected) == config["num_hidden_layers"] + 1
    valid = mask.bool().unsqueeze(-1)
    other = torch.where(mask.bool(), ids, 7)
    for a, b in zip(expected, states(other)):  # padding does not reach the prompt
        assert torch.equal(a * valid, b * valid)
    assert_every_tensor_matters(network, lambda: states()[-1], seed, exempt=("lm_head.*",))

    write_json(folder / "config.json", {
        **config, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_scaling": None, "torch_dtype": "float32"})
    save(folder / "weights.safetensors", network.state_dict())
    save(folder / "expected.safetensors", {
        "input_ids": ids.int(), "attention_mask": mask.int(),
        **{f"hidden_states.{i}": state for i, state in enumerate(expected)}})
    print(f"llama/{case}: std of states {[round(s.std().item(), 2) for s in expected]}")


def generate(out):
    for seed, case in enumerate(CASES, start=21):
        make(case, seed, out / "llama" / case)
