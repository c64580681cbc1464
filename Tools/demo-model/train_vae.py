"""Trains the tiny causal 3D VAE on rendered clips.

A curriculum keeps this short on a CPU: single pictures first (cheap, and colours and edges are learned from them), then
cropped short clips, then whole videos, whose group normalisation statistics are the ones met at inference.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLHunyuanVideo

from scenes import FRAMES, SIZE, render, sample_scene

CONFIG = dict(
    in_channels=3,
    out_channels=3,
    latent_channels=16,
    block_out_channels=(16, 16, 32, 48),
    layers_per_block=1,
    norm_num_groups=4,
    spatial_compression_ratio=8,
    temporal_compression_ratio=4,
    mid_block_add_attention=True,
)


def clip(rng, frames, size):
    """A rendered clip, cropped near the object when `size` is smaller than the frame."""
    scene = sample_scene(rng)
    video = render(scene)
    if frames < FRAMES:
        start = rng.randrange(FRAMES - frames + 1)
        video = video[:, start:start + frames]
    if size < SIZE:
        moving = (video - video.amin(dim=1, keepdim=True)).abs().sum(dim=(0, 1))
        ys, xs = torch.nonzero(moving > 0.5, as_tuple=True)
        k = rng.randrange(len(ys)) if len(ys) else 0
        y, x = (int(ys[k]), int(xs[k])) if len(ys) else (SIZE // 2, SIZE // 2)
        # multiples of 8 keep the checkered floor on the latent grid now and then, other offsets vary it
        top = min(max(y - rng.randrange(size), 0), SIZE - size)
        left = min(max(x - rng.randrange(size), 0), SIZE - size)
        video = video[:, :, top:top + size, left:left + size]
    if rng.random() < 0.5:
        video = video.flip(-1)
    return video


def batch(rng, count, frames, size):
    return torch.stack([clip(rng, frames, size) for _ in range(count)])


def encode(vae, video):
    moments = vae.quant_conv(vae.encoder(video))
    mean, logvar = moments.chunk(2, dim=1)
    return mean, logvar.clamp(-30, 20)


def decode(vae, latents):
    return vae.decoder(vae.post_quant_conv(latents))


@torch.no_grad()
def initialise(vae):
    """Unit-gain plain path, small residual branches, no biases, almost noiseless latents: colours pass from the start."""
    for name, parameter in vae.named_parameters():
        if name.endswith("bias") and "norm" not in name:
            parameter.zero_()
        elif name.endswith("conv.weight") or "quant_conv.weight" in name:
            gain = 0.2 if "conv2" in name else 1.0
            torch.nn.init.normal_(parameter, std=gain / math.sqrt(parameter[0].numel()))
            if "samplers" in name:  # resampling convolutions: partly a plain copy of their own channel
                parameter[:, :, 2, 1, 1] += 0.7 * torch.eye(parameter.shape[0])
        elif name.endswith("to_out.0.weight"):
            parameter.mul_(0.2)
    vae.quant_conv.bias[16:] = -6.0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of everything that is trained")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--image-share", type=float, default=0.3, help="share of the time spent on single pictures")
    parser.add_argument("--full-share", type=float, default=0.4, help="share of the time spent on whole frames")
    parser.add_argument("--lr", type=float, default=1.2e-3)
    parser.add_argument("--kl", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="start from work/vae instead of from scratch")
    parser.add_argument("--decoder-only", action="store_true",
                        help="with --resume: whole frames only, encoder and scaling factor stay as they are")
    options = parser.parse_args()
    if options.decoder_only:
        options.resume, options.image_share, options.full_share = True, 0.0, 1.0
    return options


def build(options):
    if options.resume:
        vae = AutoencoderKLHunyuanVideo.from_pretrained(options.work / "vae")
    else:
        vae = AutoencoderKLHunyuanVideo(**CONFIG)
        initialise(vae)
    if options.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    return vae.to(memory_format=torch.channels_last_3d)


def next_batch(rng, options, progress):
    """Pictures first, then short clips, then whole videos."""
    if progress < options.image_share:
        return batch(rng, 12, 1, SIZE)
    if progress < 1 - options.full_share:
        return batch(rng, *rng.choice(((4, 5, SIZE), (2, 9, SIZE))))
    return batch(rng, 2, FRAMES, SIZE)  # PyTorch's convolution is several times slower for a batch of one


def losses(vae, video, options):
    mean, logvar = encode(vae, video)
    latents = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
    if options.decoder_only:  # slightly wrong latents, as the transformer will deliver them
        latents = mean + torch.randn_like(mean) * 0.08 / vae.config.scaling_factor
    difference = decode(vae, latents) - video
    # pixels that differ from the commonest colour belong to the object or the floor: weight them up a little
    common = video.flatten(2).median(dim=2).values.view(*video.shape[:2], 1, 1, 1)
    weight = 1 + (4 if options.decoder_only else 2) * ((video - common).abs().amax(dim=1, keepdim=True) > 0.1)
    loss = (weight * difference.square()).mean() + (0.3 if options.decoder_only else 0.1) * difference.abs().mean()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return loss, kl


@torch.no_grad()
def held_out_psnr(vae, video):
    mean, logvar = encode(vae, video)
    psnr = 10 * math.log10(4 / F.mse_loss(decode(vae, mean), video).item())
    return psnr, mean.std().item(), (0.5 * logvar).exp().mean().item()


class Average:
    """Exponential average of the weights, which is what is saved."""

    def __init__(self):
        self.state = None

    def update(self, vae):
        state = vae.state_dict()
        if self.state is None:
            self.state = {k: v.clone() for k, v in state.items()}
        for key, value in state.items():
            self.state[key].lerp_(value, 0.02)

    def save(self, vae, folder):
        keep = {k: v.clone() for k, v in vae.state_dict().items()}
        vae.load_state_dict(self.state or keep)
        vae.save_pretrained(folder)
        vae.load_state_dict(keep)


def train(vae, options, rng, held_out):
    """Trains for the given minutes and leaves the averaged weights in `vae`; returns the number of steps."""
    trained = [p for p in vae.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=options.lr, betas=(0.9, 0.99), weight_decay=1e-4)
    average, report_every = Average(), 90 if options.decoder_only else 30
    start, step, next_report, budget = time.time(), 0, 20.0, options.minutes * 60
    while (elapsed := time.time() - start) < budget:
        progress = elapsed / budget
        rate = options.lr * min(1.0, (step + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, kl = losses(vae, next_batch(rng, options, progress), options)
        (loss + options.kl * kl).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if progress > (0.2 if options.decoder_only else 0.6):
            average.update(vae)
        if time.time() - start > next_report:
            next_report += report_every
            psnr, latent, posterior = held_out_psnr(vae, held_out[:, :, :1] if progress < options.image_share else held_out)
            print(f"{(time.time() - start) / 60:5.1f} min step {step} lr {rate:.2e} loss {loss.item():.5f} kl {kl.item():.2f} "
                  f"held-out PSNR {psnr:.2f} dB, latent std {latent:.3f}, posterior std {posterior:.3f}", flush=True)
            average.save(vae, options.work / "vae")
    if average.state is not None:
        vae.load_state_dict(average.state)
    return step


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    vae = build(options)
    print(f"{sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M parameters", flush=True)
    held_out = batch(random.Random(999), 4, FRAMES, SIZE)
    steps = train(vae, options, rng, held_out)
    psnr = held_out_psnr(vae, held_out)[0]

    path = options.work / "vae_facts.json"
    if options.decoder_only:
        facts = json.loads(path.read_text())
        facts.update(decoder_only_steps=steps + facts.get("decoder_only_steps", 0), held_out_psnr_db=psnr)
    else:  # scaling factor: the reciprocal of the latents' standard deviation
        with torch.no_grad():
            means = torch.cat([encode(vae, batch(rng, 8, FRAMES, SIZE))[0] for _ in range(6)])
        vae.register_to_config(scaling_factor=1 / means.std().item())
        facts = {"steps": steps, "minutes": options.minutes, "held_out_psnr_db": psnr,
                 "latent_mean": means.mean().item(), "latent_std": means.std().item(),
                 "channel_std": means.std(dim=(0, 2, 3, 4)).tolist(), "channel_mean": means.mean(dim=(0, 2, 3, 4)).tolist()}
    vae.save_pretrained(options.work / "vae")
    path.write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
