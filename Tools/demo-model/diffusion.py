"""Transformer configuration, noise schedule and sampling shared by training, evaluation and export."""

import torch
from diffusers import HunyuanVideoTransformer3DModel

TRANSFORMER = dict(
    in_channels=16,
    out_channels=16,
    num_attention_heads=4,
    attention_head_dim=32,
    num_layers=2,
    num_single_layers=4,
    num_refiner_layers=2,
    mlp_ratio=4.0,
    patch_size=2,
    patch_size_t=1,
    qk_norm="rms_norm",
    guidance_embeds=True,
    text_embed_dim=128,
    pooled_projection_dim=64,
    rope_theta=256.0,
    rope_axes_dim=(8, 12, 12),
)
MODULATIONS = ("norm1.linear.", "norm1_context.linear.", ".norm.linear.", "norm_out.linear.")
SHIFT = 4.0
STEPS = 30
GUIDANCE = 6.0


def sigmas(steps, shift=SHIFT):
    """steps + 1 noise levels from 1 to 0."""
    u = torch.linspace(1, 0, steps + 1)
    return shift * u / (1 + (shift - 1) * u)


def guidance_input(guidance):
    """What the original network receives: scale and product both rounded to bfloat16 (6.0 becomes 6016)."""
    return (torch.tensor([guidance], dtype=torch.bfloat16) * 1000.0).float()


def velocity(model, latents, sigma, text, guidance=GUIDANCE):
    hidden, mask, pooled = text
    count = latents.shape[0]
    return model(
        hidden_states=latents,
        timestep=torch.full((count,), float(sigma) * 1000.0),
        encoder_hidden_states=hidden,
        encoder_attention_mask=mask,
        pooled_projections=pooled,
        guidance=guidance_input(guidance).expand(count),
        return_dict=False,
    )[0]


@torch.no_grad()
def sample(model, noise, text, steps=STEPS, shift=SHIFT, guidance=GUIDANCE, trace=None):
    """Flow-match Euler sampling; `trace` collects the latents after every step."""
    levels = sigmas(steps, shift)
    latents = noise
    for i in range(steps):
        latents = latents + velocity(model, latents, levels[i], text, guidance) * (levels[i + 1] - levels[i])
        if trace is not None:
            trace.append(latents.clone())
    return latents


@torch.no_grad()
def decode(vae, latents):
    """Latents to video [B, 3, frames, height, width] in [0, 1]."""
    clips = [vae.decoder(vae.post_quant_conv(z / vae.config.scaling_factor)) for z in latents.split(4)]
    return (torch.cat(clips) / 2 + 0.5).clamp(0, 1)


def build_transformer():
    """A freshly initialised transformer: modulation and output projections start at zero."""
    model = HunyuanVideoTransformer3DModel(**TRANSFORMER)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            modulation = any(key in name for key in MODULATIONS)
            if modulation or name.startswith("proj_out."):
                parameter.zero_()
    return model
