"""Random tiny transformers: weights in Tencent's layout, inputs, intermediate values and output of diffusers' module."""

import inspect
import math

import torch
from diffusers import HunyuanVideoTransformer3DModel
from diffusers.loaders import single_file_utils

from common import assert_every_tensor_matters, normal, relative_change, save, write_json
from tencent_layout import to_diffusers, to_tencent, transformer_config_to_tencent

COMMON = dict(in_channels=16, out_channels=16, mlp_ratio=4.0, patch_size=2, patch_size_t=1, qk_norm="rms_norm",
              rope_theta=256.0)
GUIDED = dict(COMMON, num_attention_heads=3, attention_head_dim=16, rope_axes_dim=(4, 6, 6), num_layers=2,
              num_single_layers=3, num_refiner_layers=2, guidance_embeds=True, text_embed_dim=32, pooled_projection_dim=24)
UNGUIDED = dict(COMMON, num_attention_heads=2, attention_head_dim=24, rope_axes_dim=(8, 8, 8), num_layers=1,
                num_single_layers=2, num_refiner_layers=1, guidance_embeds=False, text_embed_dim=40, pooled_projection_dim=20)
ODD = dict(COMMON, num_attention_heads=5, attention_head_dim=8, rope_axes_dim=(2, 2, 4), num_layers=2, num_single_layers=1,
           num_refiner_layers=1, guidance_embeds=True, text_embed_dim=24, pooled_projection_dim=16)

# name: configuration, seed, storage type, latent (frames, height, width), text slots, valid text, timestep, guidance
CASES = {
    "guidance": (GUIDED, 1, torch.float32, (3, 6, 10), 12, 5, 812.5, 6016.0),
    "guidance_bfloat16": (GUIDED, 1, torch.bfloat16, (3, 6, 10), 12, 5, 812.5, 6016.0),
    "no_guidance": (UNGUIDED, 2, torch.float32, (1, 4, 8), 7, 7, 997.0930, None),
    "one_valid_token_float16": (ODD, 3, torch.float16, (2, 10, 6), 9, 1, 125.0, 1000.0),
}


def random_weights(network, seed):
    """Weights under which every part contributes: modulation is not zero, norms are not one, biases count."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                value = normal(seed, name, parameter.shape, std=0.2)
            elif parameter.ndim == 1:
                value = normal(seed, name, parameter.shape, std=0.3, mean=1.5 if ".attn." in name else 1.0)
            else:
                gain = 1.2 if "norm" in name or "embed" in name else 1.0
                value = normal(seed, name, parameter.shape, std=gain / math.sqrt(parameter[0].numel()))
            parameter.copy_(value)


def round_weights(network, dtype):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.to(dtype).float())


def check_conversion(network, config):
    """diffusers' own converter, told this hidden size, must restore the state exactly from what is written."""
    hidden = config["num_attention_heads"] * config["attention_head_dim"]
    source = inspect.getsource(single_file_utils.convert_hunyuan_video_transformer_to_diffusers)
    scope = {"torch": torch}
    exec(source.replace("3072", str(hidden)), scope)
    state = network.state_dict()
    written = to_tencent(state, config)
    for restored in (scope["convert_hunyuan_video_transformer_to_diffusers"](dict(written)), to_diffusers(written, config)):
        assert restored.keys() == state.keys()
        assert all(torch.equal(restored[name], state[name]) for name in state)


def capture(network, valid):
    """Hooks that collect intermediate values under Tencent's module names; of text the valid rows only."""
    values = {}

    def keep(name, is_text=False):
        values_of = lambda value: value[:, :valid] if is_text else value
        return lambda _, __, output: values.__setitem__(f"internal.{name}", values_of(output).clone())

    def keep_pair(name):
        def hook(_, __, output):
            values[f"internal.{name}.0"] = output[0].clone()
            values[f"internal.{name}.1"] = output[1][:, :valid].clone()
        return hook

    def keep_vector(_, __, output):
        values["internal.vec"] = output[0].clone()

    hooks = [
        network.x_embedder.register_forward_hook(keep("img_in")),
        network.context_embedder.register_forward_hook(keep("txt_in", is_text=True)),
        network.time_text_embed.register_forward_hook(keep_vector),
        network.norm_out.register_forward_hook(keep("final_layer.modulated")),
    ]
    for kind, blocks in (("double_blocks", network.transformer_blocks), ("single_blocks", network.single_transformer_blocks)):
        hooks += [block.register_forward_hook(keep_pair(f"{kind}.{i}")) for i, block in enumerate(blocks)]
    return values, hooks


@torch.no_grad()
def make(case, folder):
    config, seed, dtype, (frames, height, width), slots, valid, timestep, guidance = CASES[case]
    network = HunyuanVideoTransformer3DModel(**config).eval()
    random_weights(network, seed)
    round_weights(network, dtype)
    check_conversion(network, config)
    inputs = {
        "latents": normal(seed, "latents", (1, config["in_channels"], frames, height, width)),
        "timestep": torch.tensor([timestep]),
        "text_states": normal(seed, "text_states", (1, slots, config["text_embed_dim"]), std=1.5),
        "text_mask": (torch.arange(slots) < valid).int()[None],
        "text_states_2": normal(seed, "text_states_2", (1, config["pooled_projection_dim"])),
    }
    if guidance is not None:
        inputs["guidance"] = torch.tensor([guidance])

    def forward(**changed):
        given = {**inputs, **changed}
        return network(
            hidden_states=given["latents"], timestep=given["timestep"], encoder_hidden_states=given["text_states"],
            encoder_attention_mask=given["text_mask"], pooled_projections=given["text_states_2"],
            guidance=given.get("guidance"), return_dict=False)[0]

    values, hooks = capture(network, valid)
    output = forward()
    for hook in hooks:
        hook.remove()

    # softmax does not see a bias of keys that are not normalised, and nothing at all when there is a single key
    inert = ("to_k.bias",) if valid > 1 else ("to_k", "to_q")
    exempt = [f"*refiner_blocks.*.attn.{part}*" for part in inert]
    assert_every_tensor_matters(network, forward, seed, exempt, least=5e-4 if valid > 1 else 2e-4)
    for name in inputs:
        if name != "text_mask":
            value = inputs[name]
            changed = value * 0.9 if value.numel() == 1 else value + normal(seed, "change " + name, value.shape)
            assert relative_change(output, forward(**{name: changed})) > 2e-3, f"{name} hardly changes the output"
    # what stands in padded text rows must not reach the video, and neither must their presence
    other = inputs["text_states"].clone()
    other[:, valid:] = 7.0
    assert relative_change(output, forward(text_states=other)) < 1e-5
    cut = forward(text_states=inputs["text_states"][:, :valid], text_mask=inputs["text_mask"][:, :valid])
    assert relative_change(output, cut) < 1e-5

    write_json(folder / "config.json", transformer_config_to_tencent(config))
    save(folder / "weights.safetensors", to_tencent(network.state_dict(), config), dtype)
    save(folder / "expected.safetensors", {**inputs, **values, "output": output})
    print(f"transformer/{case}: output std {output.std():.3f}")


def generate(out):
    for case in CASES:
        make(case, out / "transformer" / case)
