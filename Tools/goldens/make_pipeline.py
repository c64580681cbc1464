"""The demo checkpoint with classifier-free guidance, at a size that is neither square nor the one it was trained at."""

import json

import torch
from transformers import CLIPTextModel, CLIPTokenizerFast, LlamaModel, PreTrainedTokenizerFast

from common import DEMO, relative_change, save, write_json
from make_scheduler import sigmas
from tencent_layout import load_transformer, load_vae

PROMPT = "A red ball moves from left to right on a black background."
OTHER_NEGATIVE = "A blue square rises upwards, light background."
HEIGHT, WIDTH, FRAMES = 48, 80, 9
STEPS, CFG, SEED = 4, 3.0, 7
GUIDANCE_INPUT = 6016.0  # 6.0 x 1000, both rounded to bfloat16 as the network was used


class TextEncoders:
    """Both encoders of a checkpoint folder in float32, with the template, padding and cropping of the original."""

    def __init__(self, folder, defaults):
        self.defaults = defaults
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "text_encoder")
        self.tokenizer_2 = CLIPTokenizerFast.from_pretrained(folder / "text_encoder_2")
        self.encoder = LlamaModel.from_pretrained(folder / "text_encoder", dtype=torch.float32).eval()
        self.encoder_2 = CLIPTextModel.from_pretrained(folder / "text_encoder_2", dtype=torch.float32).eval()

    def __call__(self, prompt):
        """Hidden states [1, slots, width], mask [1, slots] and pooled vector [1, width]."""
        crop = self.defaults["crop_start"]
        ids = self.tokenizer(
            self.defaults["template"].replace("{}", prompt.strip()), truncation=True, padding="max_length",
            max_length=self.defaults["max_prompt_tokens"] + crop, padding_side="right", return_tensors="pt")
        states = self.encoder(input_ids=ids.input_ids, attention_mask=ids.attention_mask, output_hidden_states=True)
        ids_2 = self.tokenizer_2(prompt.strip(), truncation=True, max_length=77, padding="max_length", return_tensors="pt")
        pooled = self.encoder_2(input_ids=ids_2.input_ids, attention_mask=ids_2.attention_mask).pooler_output
        skip = self.defaults["hidden_state_skip_layer"]
        return states.hidden_states[-(skip + 1)][:, crop:], ids.attention_mask[:, crop:], pooled


def velocity(transformer, latents, sigma, text):
    states, mask, pooled = text
    return transformer(
        hidden_states=latents, timestep=sigma.reshape(1) * 1000, encoder_hidden_states=states, encoder_attention_mask=mask,
        pooled_projections=pooled, guidance=torch.tensor([GUIDANCE_INPUT]), return_dict=False)[0]


@torch.no_grad()
def generate(out):
    defaults = json.loads((DEMO / "model.json").read_text())["defaults"]
    transformer, vae, encode = load_transformer(DEMO), load_vae(DEMO), TextEncoders(DEMO, defaults)
    shift = defaults["flow_shift"]
    levels = sigmas(STEPS, shift, reverse=True)
    noise = torch.randn(1, 16, (FRAMES - 1) // 4 + 1, HEIGHT // 8, WIDTH // 8, generator=torch.Generator().manual_seed(SEED))
    negatives = {"default_negative": defaults["negative_prompt"], "other_negative": OTHER_NEGATIVE}
    positive = encode(PROMPT)
    tensors = {"sigmas": levels, "initial_noise": noise}
    finals = []
    for name, negative in negatives.items():
        condition = encode(negative)
        latents, trace = noise, []
        for i in range(STEPS):
            without, with_prompt = (velocity(transformer, latents, levels[i], text) for text in (condition, positive))
            if i == 0:
                tensors |= {f"{name}.first_negative_velocity": without, "first_positive_velocity": with_prompt}
            combined = without + CFG * (with_prompt - without)
            latents = latents + combined * (levels[i + 1] - levels[i])
            trace.append(latents)
        tensors[f"{name}.latents_after_step"] = torch.cat(trace)
        finals.append(latents)
    assert relative_change(*finals) > 0.05, "the negative prompt hardly matters"
    vae.use_framewise_decoding = False  # 3 latent frames are below Tencent's tile of 16: decoded in one piece
    tensors["default_negative.decoder_output"] = vae.decode(finals[0] / vae.config.scaling_factor).sample[0]
    save(out / "pipeline" / "cfg.safetensors", tensors)
    write_json(out / "pipeline" / "cfg.json", {
        "prompt": PROMPT, "negative_prompts": negatives, "height": HEIGHT, "width": WIDTH, "frames": FRAMES, "steps": STEPS,
        "flow_shift": shift, "cfg_scale": CFG, "embedded_guidance": defaults["embedded_guidance"],
        "guidance_input": GUIDANCE_INPUT, "seed_of_torch_cpu_generator": SEED,
        "velocity": "negative + cfg_scale x (positive - negative), in float32",
        "decoder_output": "raw network output [3, frames, height, width] of the first case's final latents",
    })
    print(f"pipeline: final latents std {finals[0].std():.3f}, {finals[1].std():.3f}")
