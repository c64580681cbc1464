"""What the libraries write down beside the weights, and what it changes: positions of a language model, and a whole pipeline's
folder with another shift. Also the names of other programs' networks, to know them by."""

import json
import re

import diffusers
import torch
import transformers
from diffusers import (AutoencoderKLHunyuanVideo, FlowMatchEulerDiscreteScheduler, HunyuanVideoPipeline,
                       HunyuanVideoTransformer3DModel)
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import make_layouts
import make_llama
from common import DEMO, GOLDENS, normal, save, write_json

POSITIONS = {
    "theta": {"rope_type": "default", "rope_theta": 100.0},
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    # Heads of 8 channels turn within 6, 30, 140 and 661 positions: one is fast, one between, two are slow.
    "llama3": {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 32},
}
SHIFT, STEPS = 3.5, 4

# Sizes that make a class small where its own are for a large network; names of blocks are the same.
OTHERS = {
    "HunyuanVideo15Transformer3DModel": {}, "HunyuanVideoFramepackTransformer3DModel": {"has_clean_x_embedder": True, "has_image_proj": True},
    "HunyuanImageTransformer2DModel": {"text_embed_2_dim": 8}, "WanTransformer3DModel": {}, "FluxTransformer2DModel": {},
    "Flux2Transformer2DModel": {}, "SD3Transformer2DModel": {}, "QwenImageTransformer2DModel": {},
    "LTXVideoTransformer3DModel": {}, "CogVideoXTransformer3DModel": {}, "MochiTransformer3DModel": {},
    "HunyuanDiT2DModel": {"in_channels": 4, "sample_size": 32, "patch_size": 2}, "UNet2DConditionModel": {"cross_attention_dim": 8}, "CosmosTransformer3DModel": {},
    "PixArtTransformer2DModel": {}, "ControlNetModel": {}, "FluxControlNetModel": {},
    "AutoencoderKL": {}, "AutoencoderKLWan": {}, "AutoencoderKLCogVideoX": {}, "AutoencoderKLLTXVideo": {},
    "AutoencoderKLMochi": {}, "AutoencoderKLHunyuanVideo15": {}, "AutoencoderTiny": {},
}
OTHER_ENCODERS = {"T5EncoderModel": "T5Config", "Qwen2ForCausalLM": "Qwen2Config", "Qwen3ForCausalLM": "Qwen3Config",
                  "Gemma2ForCausalLM": "Gemma2Config", "SiglipVisionModel": "SiglipVisionConfig"}


def positions(folder, name, parameters):
    """The network of another golden with other turns: only its configuration is new."""
    common = {k: v for k, v in make_llama.CASES["six_heads"][0].items() if k != "rope_theta"}
    network = LlamaForCausalLM(LlamaConfig(**common, rope_parameters=dict(parameters))).eval()
    network.load_state_dict(load_file(GOLDENS / "llama" / "six_heads" / "weights.safetensors"))
    ids = (normal(71, "ids", (1, 48)).abs() * 1e4).long() % 300
    states = network.model(input_ids=ids, output_hidden_states=True).hidden_states
    write_json(folder / "config.json", json.loads(network.config.to_json_string()))
    save(folder / "expected.safetensors", {"input_ids": ids.int(), "state": states[-1]})
    return states[-1]


def pipeline(folder):
    """The small files of a pipeline's folder; the weights are those of `layouts/diffusers`, the tokenizers the demo's."""
    transformer, _ = make_layouts.transformer()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(DEMO / "text_encoder")
    whole = HunyuanVideoPipeline(
        text_encoder=make_layouts.llama(GOLDENS).model, tokenizer=tokenizer, transformer=transformer, vae=make_layouts.vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT), text_encoder_2=make_layouts.clip(GOLDENS),
        tokenizer_2=CLIPTokenizer.from_pretrained(DEMO / "text_encoder_2"))
    whole.save_pretrained(folder)
    for file in sorted(folder.rglob("*")):
        weights = file.name.endswith(".safetensors") or file.name in ("tokenizer.json", "vocab.json", "merges.txt")
        if file.is_file() and (weights or file.parent.name in ("transformer", "vae", "text_encoder", "text_encoder_2")):
            file.unlink()
    for part in sorted(folder.iterdir()):
        if part.is_dir() and not list(part.iterdir()):
            part.rmdir()

    # As the pipeline steps.
    golden = load_file(GOLDENS / "transformer" / make_layouts.TRANSFORMER / "expected.safetensors")
    network = transformer.float()
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(sigmas=torch.linspace(1, 0, STEPS + 1)[:-1].tolist())
    latents = normal(72, "noise", golden["latents"].shape)
    steps = {"noise": latents, "sigmas": scheduler.sigmas}
    for timestep in scheduler.timesteps:
        velocity = network(
            hidden_states=latents, timestep=timestep[None], guidance=golden["guidance"],
            encoder_hidden_states=golden["text_states"], encoder_attention_mask=golden["text_mask"],
            pooled_projections=golden["text_states_2"], return_dict=False)[0]
        latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
    save(folder / "expected.safetensors", {**steps, "latents": latents})


def names(network):
    """The names of a network's tensors, of several blocks of a kind the first."""
    kept = [name for name in network.state_dict() if not re.search(r"(blocks|layers|block|resnets)\.[1-9]", name)]
    return sorted(kept)


def other_names():
    found = {}
    with torch.device("meta"):
        for name, sizes in OTHERS.items():
            found[name] = names(getattr(diffusers, name)(**sizes))
        for name, config in OTHER_ENCODERS.items():
            found[name] = names(getattr(transformers, name)(getattr(transformers, config)(num_hidden_layers=1)))
    return found


@torch.no_grad()
def generate(out):
    root = out / "settings"
    states = [positions(root / "positions" / name, name, value) for name, value in POSITIONS.items()]
    assert all((a - b).abs().max() > 0.01 for i, a in enumerate(states) for b in states[:i])
    pipeline(root / "pipeline")
    make_layouts.strip_versions(root)
    write_json(root / "other_networks.json", other_names(), indent=None)
    print("settings: written")
