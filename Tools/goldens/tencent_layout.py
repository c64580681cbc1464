"""Tencent's file layout of the transformer and the VAE, to and from diffusers' modules.

Differences of the transformer: q, k and v are one tensor; a single block's q, k, v and MLP input are one tensor; the final
layer keeps (shift, scale) where diffusers keeps (scale, shift).  The VAE has the same names in both.
"""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoTransformer3DModel
from safetensors.torch import load_file

TRANSFORMER_FOLDER = Path("hunyuan-video-t2v-720p/transformers")
TRANSFORMER_FILE = "mp_rank_00_model_states.safetensors"
VAE_FOLDER = Path("hunyuan-video-t2v-720p/vae")
VAE_FILE = "pytorch_model.safetensors"
FINAL_MODULATION = "final_layer.adaLN_modulation.1"


def transformer_modules(config):
    """(Tencent's module, diffusers' modules whose rows follow one another in it) for a diffusers configuration."""
    embedder = "context_embedder.time_text_embed"
    yield "img_in.proj", ["x_embedder.proj"]
    yield "txt_in.input_embedder", ["context_embedder.proj_in"]
    yield "txt_in.t_embedder.mlp.0", [f"{embedder}.timestep_embedder.linear_1"]
    yield "txt_in.t_embedder.mlp.2", [f"{embedder}.timestep_embedder.linear_2"]
    yield "txt_in.c_embedder.linear_1", [f"{embedder}.text_embedder.linear_1"]
    yield "txt_in.c_embedder.linear_2", [f"{embedder}.text_embedder.linear_2"]
    for i in range(config["num_refiner_layers"]):
        ours, theirs = f"txt_in.individual_token_refiner.blocks.{i}", f"context_embedder.token_refiner.refiner_blocks.{i}"
        yield f"{ours}.norm1", [f"{theirs}.norm1"]
        yield f"{ours}.self_attn_qkv", [f"{theirs}.attn.to_{n}" for n in "qkv"]
        yield f"{ours}.self_attn_proj", [f"{theirs}.attn.to_out.0"]
        yield f"{ours}.norm2", [f"{theirs}.norm2"]
        yield f"{ours}.mlp.fc1", [f"{theirs}.ff.net.0.proj"]
        yield f"{ours}.mlp.fc2", [f"{theirs}.ff.net.2"]
        yield f"{ours}.adaLN_modulation.1", [f"{theirs}.norm_out.linear"]
    yield "time_in.mlp.0", ["time_text_embed.timestep_embedder.linear_1"]
    yield "time_in.mlp.2", ["time_text_embed.timestep_embedder.linear_2"]
    yield "vector_in.in_layer", ["time_text_embed.text_embedder.linear_1"]
    yield "vector_in.out_layer", ["time_text_embed.text_embedder.linear_2"]
    if config["guidance_embeds"]:
        yield "guidance_in.mlp.0", ["time_text_embed.guidance_embedder.linear_1"]
        yield "guidance_in.mlp.2", ["time_text_embed.guidance_embedder.linear_2"]
    for i in range(config["num_layers"]):
        ours, theirs = f"double_blocks.{i}", f"transformer_blocks.{i}"
        for stream, norm, qkv, query_norm, key_norm, out, mlp in (
            ("img", "norm1", "to_{}", "norm_q", "norm_k", "to_out.0", "ff"),
            ("txt", "norm1_context", "add_{}_proj", "norm_added_q", "norm_added_k", "to_add_out", "ff_context"),
        ):
            yield f"{ours}.{stream}_mod.linear", [f"{theirs}.{norm}.linear"]
            yield f"{ours}.{stream}_attn_qkv", [f"{theirs}.attn." + qkv.format(n) for n in "qkv"]
            yield f"{ours}.{stream}_attn_q_norm", [f"{theirs}.attn.{query_norm}"]
            yield f"{ours}.{stream}_attn_k_norm", [f"{theirs}.attn.{key_norm}"]
            yield f"{ours}.{stream}_attn_proj", [f"{theirs}.attn.{out}"]
            yield f"{ours}.{stream}_mlp.fc1", [f"{theirs}.{mlp}.net.0.proj"]
            yield f"{ours}.{stream}_mlp.fc2", [f"{theirs}.{mlp}.net.2"]
    for i in range(config["num_single_layers"]):
        ours, theirs = f"single_blocks.{i}", f"single_transformer_blocks.{i}"
        yield f"{ours}.modulation.linear", [f"{theirs}.norm.linear"]
        yield f"{ours}.linear1", [*(f"{theirs}.attn.to_{n}" for n in "qkv"), f"{theirs}.proj_mlp"]
        yield f"{ours}.q_norm", [f"{theirs}.attn.norm_q"]
        yield f"{ours}.k_norm", [f"{theirs}.attn.norm_k"]
        yield f"{ours}.linear2", [f"{theirs}.proj_out"]
    yield "final_layer.linear", ["proj_out"]
    yield FINAL_MODULATION, ["norm_out.linear"]


def swap_halves(tensor):
    return torch.cat(tensor.chunk(2)[::-1])


def to_tencent(state, config):
    """diffusers' state dictionary under Tencent's names."""
    state, result = dict(state), {}
    for ours, theirs in transformer_modules(config):
        for suffix in ("weight", "bias"):
            if f"{theirs[0]}.{suffix}" not in state:
                continue  # norms of queries and keys have no bias
            value = torch.cat([state.pop(f"{name}.{suffix}") for name in theirs])
            result[f"{ours}.{suffix}"] = swap_halves(value) if ours == FINAL_MODULATION else value
    assert not state, f"not converted: {sorted(state)}"
    return result


def to_diffusers(state, config):
    """Tencent's state dictionary under diffusers' names."""
    hidden = config["num_attention_heads"] * config["attention_head_dim"]
    state, result = dict(state), {}
    for ours, theirs in transformer_modules(config):
        for suffix in ("weight", "bias"):
            value = state.pop(f"{ours}.{suffix}", None)
            if value is None:
                continue
            if ours == FINAL_MODULATION:
                value = swap_halves(value)
            sizes = [hidden] * (len(theirs) - 1)
            parts = value.split([*sizes, len(value) - sum(sizes)])
            result.update({f"{name}.{suffix}": part for name, part in zip(theirs, parts, strict=True)})
    assert not state, f"not converted: {sorted(state)}"
    return result


def transformer_config_to_tencent(config):
    """The `config.json` of a transformer folder."""
    return {
        "_class_name": "HYVideoDiffusionTransformer",
        "hidden_size": config["num_attention_heads"] * config["attention_head_dim"],
        "heads_num": config["num_attention_heads"],
        "mm_double_blocks_depth": config["num_layers"],
        "mm_single_blocks_depth": config["num_single_layers"],
        "refiner_depth": config["num_refiner_layers"],
        "rope_dim_list": list(config["rope_axes_dim"]),
        "rope_theta": int(config["rope_theta"]),
        "patch_size": [config["patch_size_t"], config["patch_size"], config["patch_size"]],
        "in_channels": config["in_channels"],
        "out_channels": config["out_channels"],
        "mlp_width_ratio": config["mlp_ratio"],
        "mlp_act_type": "gelu_tanh",
        "qkv_bias": True,
        "qk_norm": True,
        "qk_norm_type": "rms",
        "guidance_embed": config["guidance_embeds"],
        "text_projection": "single_refiner",
        "text_states_dim": config["text_embed_dim"],
        "text_states_dim_2": config["pooled_projection_dim"],
    }


def transformer_config_to_diffusers(config):
    """diffusers' constructor arguments for a `config.json` of a transformer folder."""
    return {
        "in_channels": config["in_channels"],
        "out_channels": config["out_channels"],
        "num_attention_heads": config["heads_num"],
        "attention_head_dim": config["hidden_size"] // config["heads_num"],
        "num_layers": config["mm_double_blocks_depth"],
        "num_single_layers": config["mm_single_blocks_depth"],
        "num_refiner_layers": config["refiner_depth"],
        "mlp_ratio": config["mlp_width_ratio"],
        "patch_size": config["patch_size"][1],
        "patch_size_t": config["patch_size"][0],
        "qk_norm": "rms_norm",
        "guidance_embeds": config["guidance_embed"],
        "text_embed_dim": config["text_states_dim"],
        "pooled_projection_dim": config["text_states_dim_2"],
        "rope_theta": float(config["rope_theta"]),
        "rope_axes_dim": tuple(config["rope_dim_list"]),
    }


def vae_config_to_tencent(config, sample_size, sample_tsize):
    """The `config.json` of a VAE folder; the tile sizes exist in Tencent's configuration only."""
    return {
        "_class_name": "AutoencoderKLCausal3D",
        "act_fn": config["act_fn"],
        "block_out_channels": list(config["block_out_channels"]),
        "down_block_types": ["DownEncoderBlockCausal3D"] * 4,
        "in_channels": config["in_channels"],
        "latent_channels": config["latent_channels"],
        "layers_per_block": config["layers_per_block"],
        "mid_block_add_attention": config["mid_block_add_attention"],
        "norm_num_groups": config["norm_num_groups"],
        "out_channels": config["out_channels"],
        "sample_size": sample_size,
        "sample_tsize": sample_tsize,
        "scaling_factor": config["scaling_factor"],
        "spatial_compression_ratio": config["spatial_compression_ratio"],
        "time_compression_ratio": config["temporal_compression_ratio"],
        "up_block_types": ["UpDecoderBlockCausal3D"] * 4,
    }


def as_float(state):
    return {name: value.float() for name, value in state.items()}


def load_transformer(model):
    """A float32 diffusers transformer from a checkpoint folder in Tencent's layout."""
    folder = Path(model) / TRANSFORMER_FOLDER
    config = transformer_config_to_diffusers(json.loads((folder / "config.json").read_text()))
    network = HunyuanVideoTransformer3DModel(**config)
    network.load_state_dict(to_diffusers(as_float(load_file(folder / TRANSFORMER_FILE)), config), strict=True)
    return network.eval().requires_grad_(False)


def load_vae(model):
    """A float32 diffusers VAE from a checkpoint folder in Tencent's layout."""
    folder = Path(model) / VAE_FOLDER
    config = json.loads((folder / "config.json").read_text())
    network = AutoencoderKLHunyuanVideo(
        in_channels=config["in_channels"], out_channels=config["out_channels"], latent_channels=config["latent_channels"],
        block_out_channels=tuple(config["block_out_channels"]), layers_per_block=config["layers_per_block"],
        norm_num_groups=config["norm_num_groups"], scaling_factor=config["scaling_factor"],
        mid_block_add_attention=config["mid_block_add_attention"])
    network.load_state_dict(as_float(load_file(folder / VAE_FILE)), strict=True)
    return network.eval().requires_grad_(False)
