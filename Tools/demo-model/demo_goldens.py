"""Reference values of the demo checkpoint, computed in float32 from its files, so that their rounding is part of them."""

import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "goldens"))

import scenes
from diffusion import GUIDANCE, SHIFT, guidance_input, sample, sigmas, velocity
from tencent_layout import load_transformer, load_vae
from text import MAX_PROMPT_TOKENS, SKIP_LAYERS, TEMPLATE_VIDEO, TextFeatures

PROMPTS = (
    "A red ball moves from left to right on a black background.",
    "A video of a blue square rising upwards over a gray background.",
    "On a dark blue background, a yellow ring grows bigger.",
    "The green ball bounces up and down, checkered floor.",
    "Eine Katze läuft, 3 × schneller!  It's 2024…",
    "",
)
ENCODED = 2  # prompts whose text features are kept
GOLDEN_STEPS = 20
TIMESTEP = 812.5
KEPT = ("img_in", "txt_in", "vec", "double_blocks.0.0", "double_blocks.0.1", "double_blocks.1.0", "double_blocks.1.1",
        "single_blocks.0.0", "single_blocks.0.1", "single_blocks.3.0")


def save(path, tensors):
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path, metadata={"format": "pt"})


def token_goldens(folder, text):
    ids, mask, ids_2, mask_2 = text.tokenize(PROMPTS)
    plain, plain_2 = (Tokenizer.from_file(str(folder / name / "tokenizer.json")) for name in ("text_encoder", "text_encoder_2"))
    for i, prompt in enumerate(PROMPTS):  # the files alone give the same ids
        assert plain.encode(TEMPLATE_VIDEO.format(prompt)).ids == ids[i][:int(mask[i].sum())].tolist(), prompt
        assert plain_2.encode(prompt).ids == ids_2[i][:int(mask_2[i].sum())].tolist(), prompt
    return {"llama.input_ids": ids.int(), "llama.attention_mask": mask.int(), "clip.input_ids": ids_2.int(),
            "clip.attention_mask": mask_2.int()}


def text_goldens(text):
    ids, mask, ids_2, mask_2 = (t[:ENCODED] for t in text.tokenize(PROMPTS))
    states = text.encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    valid = int(mask[0].sum())
    return {
        "text_states": states[-(SKIP_LAYERS + 1)][:, text.crop_start:],
        "text_mask": mask[:, text.crop_start:].int(),
        "text_states_2": text.encoder_2(input_ids=ids_2, attention_mask=mask_2).pooler_output,
        "clip.last_hidden_state": text.encoder_2(input_ids=ids_2[:1], attention_mask=mask_2[:1]).last_hidden_state,
        # first prompt, without padding and without cropping
        **{f"llama.hidden_states.{i}": state[0, :valid] for i, state in enumerate(states)},
    }


def transformer_goldens(transformer, latents, condition):
    captured, hooks = {}, []

    def capture(name, module):
        def hook(_, __, output):
            parts = enumerate(output) if isinstance(output, tuple) else [("", output)]
            captured.update({f"{name}.{i}".rstrip("."): value for i, value in parts if torch.is_tensor(value)})
        hooks.append(module.register_forward_hook(hook))

    capture("img_in", transformer.x_embedder)
    capture("txt_in", transformer.context_embedder)
    capture("vec", transformer.time_text_embed)
    for i, block in enumerate(transformer.transformer_blocks):
        capture(f"double_blocks.{i}", block)
    for i, block in enumerate(transformer.single_transformer_blocks):
        capture(f"single_blocks.{i}", block)
    output = velocity(transformer, latents, TIMESTEP / 1000, condition)
    for hook in hooks:
        hook.remove()
    captured["vec"] = captured.pop("vec.0")
    valid = int(condition[1].sum())
    is_text = lambda name: name == "txt_in" or (name.startswith(("double", "single")) and name.endswith(".1"))
    return {
        "latents": latents, "timestep": torch.tensor([TIMESTEP]), "guidance": guidance_input(GUIDANCE), "text_states": condition[0],
        "text_mask": condition[1].int(), "text_states_2": condition[2], "output": output,
        # of text the valid positions only: padding never influences anything
        **{f"internal.{k}": captured[k][:, :valid] if is_text(k) else captured[k] for k in KEPT},
    }


def sampling_goldens(transformer, vae, noise, condition):
    trace = []
    begin = time.time()
    final = sample(transformer, noise, condition, GOLDEN_STEPS, SHIFT, GUIDANCE, trace)
    middle = time.time()
    raw = vae.decoder(vae.post_quant_conv(final / vae.config.scaling_factor))
    seconds = middle - begin, time.time() - middle
    levels = sigmas(GOLDEN_STEPS)
    return seconds, {
        "sigmas": levels, "timesteps": levels[:-1] * 1000, "initial_noise": noise, "latents_after_step": torch.cat(trace),
        "text_states": condition[0], "text_mask": condition[1].int(), "text_states_2": condition[2], "decoder_output": raw[0]}


def write_pictures(raw, folder):
    pixels = ((raw / 2 + 0.5).clamp(0, 1) * 255).byte().permute(1, 2, 3, 0).numpy()
    for name, frame in (("first", 0), ("middle", scenes.FRAMES // 2), ("last", scenes.FRAMES - 1)):
        Image.fromarray(np.ascontiguousarray(pixels[frame])).save(folder / f"{name}.png")


@torch.no_grad()
def write_goldens(model, folder, prompt, seed):
    """Writes the goldens of a checkpoint folder; returns the seconds that sampling and decoding took."""
    transformer, vae, text = load_transformer(model), load_vae(model), TextFeatures(model)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save(folder / "tokens.safetensors", token_goldens(model, text))
    save(folder / "text.safetensors", text_goldens(text))

    condition = text([prompt])
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 16, (scenes.FRAMES - 1) // 4 + 1, scenes.HEIGHT // 8, scenes.WIDTH // 8)
    noise, probe = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    save(folder / "dit.safetensors", transformer_goldens(transformer, probe, condition))
    seconds, sampled = sampling_goldens(transformer, vae, noise, condition)
    save(folder / "sampling.safetensors", sampled)
    write_pictures(sampled["decoder_output"], folder)
    handed = float(guidance_input(GUIDANCE))
    (folder / "goldens.json").write_text(json.dumps({
        "token_prompts": list(PROMPTS),
        "token_lengths": {"llama": MAX_PROMPT_TOKENS + text.crop_start, "clip": 77},
        "text_prompts": list(PROMPTS[:ENCODED]),
        "dit": {"prompt": prompt, "timestep": TIMESTEP, "guidance": handed,
                "note": "text tensors inside 'internal.*' hold the valid positions only; of a pair .0 is video, .1 is text"},
        "sampling": {"prompt": prompt, "seed_of_torch_cpu_generator": seed, "steps": GOLDEN_STEPS, "shift": SHIFT,
                     "guidance": GUIDANCE, "guidance_input": handed},
        "decoder_output": "raw network output [3, frames, height, width]; pixels are clamp(x / 2 + 0.5, 0, 1), "
                          "PNG files truncate times 255",
        "precision": "float32 arithmetic on the exported (rounded) weights",
    }, indent=2, ensure_ascii=False) + "\n")
    return seconds
