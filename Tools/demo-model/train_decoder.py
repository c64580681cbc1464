"""Trains the decoder of the small causal 3D autoencoder: it learns to draw videos from `scenes.codes`, a latent space that
is designed, not found.

Two things make this cheap.  The network starts as a working codec: interpolation in its plain path, an outline that becomes
a mask and a choice between object and background in two residual blocks of the last stage; everything else starts at zero.
And group normalisation is made harmless: of every layer two channels are large constants and one is the negative sum of all
others, so mean and variance are known in advance, crops behave like whole videos, and colours do not depend on how large
the object is.
"""

import argparse
import json
import math
import random
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLHunyuanVideo
from torch.nn.utils import parametrize

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "goldens"))

from scenes import CELL, CENTRE, FRAMES, HEIGHT, REACH, SPREAD, WIDTH, codes, render, sample_scene, trajectory
from tencent_layout import load_vae

CONFIG = dict(
    in_channels=3,
    out_channels=3,
    latent_channels=16,
    block_out_channels=(16, 24, 48, 64),
    layers_per_block=1,
    norm_num_groups=1,
    spatial_compression_ratio=8,
    temporal_compression_ratio=4,
    mid_block_add_attention=True,
    scaling_factor=0.5,
)
CONSTANT = 512.0
STRAIGHT = 10.0  # where SiLU is a straight line


class Balanced(torch.nn.Module):
    """The last three output channels: negative sum of the others, and two constants (only in biases, if `constant`).
    Layers that read a balanced stream without normalisation do not read its constants (`plain`)."""

    def __init__(self, constant, plain=False):
        super().__init__()
        self.constant, self.plain = constant, plain

    def forward(self, value):
        free = value[:-3]
        if self.plain and value.ndim > 1:
            free = torch.cat([free[:, :-2], torch.zeros_like(free[:, -2:])], dim=1)
        ends = torch.zeros_like(value[:2])
        if value.ndim == 1 and self.constant:
            ends = torch.tensor([CONSTANT, -CONSTANT])
        return torch.cat([free, -free.sum(0, keepdim=True), ends])

    def right_inverse(self, value):
        return value


class Centred(torch.nn.Module):
    """A bias that takes away what the layer in front contributes on average, so that weights can change freely: behind a
    normalisation whose bias is large, every weight would otherwise move the mean."""

    def __init__(self, convolution, norm, then):
        super().__init__()
        self.parts, self.then = (convolution, norm), then

    def forward(self, value):
        convolution, norm = self.parts
        mean = F.silu(norm.bias.detach())
        free = torch.einsum("oi,i->o", convolution.weight.flatten(2).sum(2), mean)
        return (self.then(value) if self.then else value) - free

    def right_inverse(self, value):
        return value


def spread(channels):
    """Standard deviation of balanced channels of which the free ones are small."""
    return CONSTANT * math.sqrt(2 / channels)


@torch.no_grad()
def start_residual(block):
    """A residual branch that adds nothing yet; its normalisations return what they are given."""
    for norm in (block.norm1, block.norm2):
        norm.weight.fill_(spread(len(norm.weight)))
        norm.weight[-2:] = 0
        norm.bias.zero_()
    weight = block.conv1.conv.weight
    torch.nn.init.normal_(weight, std=math.sqrt(2 / weight[0].numel()))
    for convolution in (block.conv1.conv, block.conv2.conv):
        convolution.bias.zero_()
    block.conv2.conv.weight.zero_()
    if block.conv_shortcut is not None:
        shortcut = block.conv_shortcut.conv
        shortcut.bias.zero_()
        torch.nn.init.normal_(shortcut.weight, std=math.sqrt(0.5 / shortcut.weight.shape[1]))


def balance(module):
    """Makes the outputs of a network half's layers balanced; must be called after they have been initialised."""
    def register(convolution, constant, norm=None, plain=False):
        parametrize.register_parametrization(convolution, "weight", Balanced(constant, plain))
        bias = Balanced(constant)
        parametrize.register_parametrization(convolution, "bias", Centred(convolution, norm, bias) if norm else bias)

    for name, part in list(module.named_modules()):
        if name.endswith("conv_in"):
            register(part.conv, True)
        if hasattr(part, "conv_shortcut"):
            register(part.conv1.conv, True, part.norm1)
            register(part.conv2.conv, False, part.norm2)
            if part.conv_shortcut is not None:
                register(part.conv_shortcut.conv, True, plain=True)
        if type(part).__name__ in ("HunyuanVideoUpsampleCausal3D", "HunyuanVideoDownsampleCausal3D"):
            register(part.conv.conv, True, plain=True)
        if name.endswith("to_out.0"):
            register(part, False)
    parametrize.register_parametrization(module.conv_out.conv, "bias", Centred(module.conv_out.conv, module.conv_norm_out, None))


def unbalance(module):
    for part in module.modules():
        if parametrize.is_parametrized(part):
            for name in list(part.parametrizations):
                parametrize.remove_parametrizations(part, name, leave_parametrized=True)


@torch.no_grad()
def start_common(half):
    for part in half.modules():
        if hasattr(part, "conv_shortcut"):
            start_residual(part)
    attention = half.mid_block.attentions[0]
    attention.group_norm.weight.fill_(spread(len(attention.group_norm.weight)))
    attention.group_norm.weight[-2:] = 0
    attention.to_out[0].weight.zero_()
    for linear in (attention.to_q, attention.to_k, attention.to_v, attention.to_out[0]):
        linear.bias.zero_()


# channels of the last stages: outline, its earlier self, edges, slopes, object and background colours, two spare ones
KEPT = (3, 1, 14, 4, 5, 8, 9, 10, 11, 12, 13)
OUTLINE, OBJECT, BACKGROUND, MASK = 0, (5, 6, 7), (8, 9, 10), 11
SHARP = 20.0


@torch.no_grad()
def start_decoder(vae):
    """A decoder that interpolates the codes and then chooses between object and background by the outline."""
    decoder, latent = vae.decoder, CONFIG["latent_channels"]
    start_common(decoder)
    vae.post_quant_conv.weight.copy_(torch.eye(latent).view(latent, latent, 1, 1, 1))
    vae.post_quant_conv.bias.zero_()
    first = decoder.conv_in.conv
    first.weight.zero_()
    first.bias.zero_()
    for i in range(latent):
        first.weight[i, i, 2, 1, 1] = vae.config.scaling_factor
    channels, copies = list(range(latent)), [f"copy of {i}" for i in range(4)]
    space = torch.tensor([0.25, 0.5, 0.25])
    for index, block in enumerate(decoder.up_blocks):
        shortcut = block.resnets[0].conv_shortcut
        if shortcut is not None:
            shortcut.conv.weight.zero_()
            kept = {48: channels, 24: [*KEPT, *copies, 0, 2, 6, 7, 15], 16: KEPT}[len(shortcut.conv.weight)]
            for place, channel in enumerate(kept):
                shortcut.conv.weight[place, channels.index(channel), 0, 0, 0] = 1
            channels = list(kept)
        if block.upsamplers is None:
            continue
        convolution = block.upsamplers[0].conv.conv
        convolution.weight.zero_()
        convolution.bias.zero_()
        time_kernel = torch.tensor([0.0, 0.5, 0.5] if index in (1, 2) else [0.0, 0.0, 1.0])
        for place, channel in enumerate(channels):
            nearest = channel in (11, 12, 13)  # floors have sharp edges, and they lie between latents
            line = torch.tensor([0.0, 1.0, 0.0]) if nearest else space
            convolution.weight[place, place] = time_kernel.view(3, 1, 1) * line.view(3, 1) * line
        if index == 1:  # outlines also without interpolation in time, for the layers behind to choose from
            for i in range(4):
                convolution.weight[latent + i, i, 2] = space.view(3, 1) * space
            channels += copies
    make_mask(decoder.up_blocks[3].resnets[0])
    choose_colour(decoder.up_blocks[3].resnets[1])
    final = decoder.conv_norm_out
    final.weight.fill_(spread(16))
    final.weight[-2:] = 0
    final.bias.fill_(STRAIGHT)
    last = decoder.conv_out.conv
    last.weight.mul_(0.02)
    for colour, channel in enumerate(BACKGROUND):  # videos are in [-1, 1]
        last.weight[colour, :, 2, 1, 1] = 0
        last.weight[colour, channel, 2, 1, 1] = 2
        last.bias[colour] = -1


@torch.no_grad()
def straighten(block):
    """Lets the first nonlinearity of a residual block pass its input (`Centred` takes the offset away again behind it);
    returns the weights behind it."""
    block.norm1.bias.fill_(STRAIGHT)
    weight = block.conv1.conv.weight
    weight.mul_(0.3)
    return weight


@torch.no_grad()
def make_mask(block):
    """mask = min(max(1/2 + distance / 1.8, 0), 1), as a difference of two steep SiLUs."""
    weight = straighten(block)
    slope = REACH * SPREAD[3].item() / 1.8
    offset = 0.5 + REACH * CENTRE[3].item() / 1.8
    for hidden, shift in ((0, 0.0), (1, -1.0)):
        weight[hidden] = 0
        weight[hidden, OUTLINE, 2, 1, 1] = slope
        block.norm2.weight[hidden] *= SHARP / 4
        block.norm2.bias[hidden] = SHARP / 4 * (offset + shift)
        block.conv2.conv.weight[MASK, hidden, 2, 1, 1] = (4 / SHARP) * (1 if shift == 0 else -1)


@torch.no_grad()
def choose_colour(block):
    """max(object + 2 mask - 2, 0) + max(background - 2 mask, 0), in place of the background's code."""
    weight, inner = straighten(block), block.conv2.conv.weight
    for colour in range(3):
        obj, bg = 2 * colour, 2 * colour + 1
        weight[obj], weight[bg] = 0, 0
        weight[obj, OBJECT[colour], 2, 1, 1] = SPREAD[8 + colour]
        weight[obj, MASK, 2, 1, 1] = 2
        weight[bg, BACKGROUND[colour], 2, 1, 1] = SPREAD[11 + colour]
        weight[bg, MASK, 2, 1, 1] = -2
        for hidden, shift in ((obj, CENTRE[8 + colour].item() - 2), (bg, CENTRE[11 + colour].item())):
            block.norm2.weight[hidden] *= SHARP
            block.norm2.bias[hidden] = SHARP * shift
            inner[BACKGROUND[colour], hidden, 2, 1, 1] = 1 / SHARP
        block.conv2.conv.bias[BACKGROUND[colour]] = F.silu(block.norm2.bias[bg]) / SHARP
        plain = 6 + colour  # takes the background away that is in this channel already
        weight[plain] = 0
        weight[plain, BACKGROUND[colour], 2, 1, 1] = 1
        block.norm2.bias[plain] = STRAIGHT
        inner[BACKGROUND[colour], plain, 2, 1, 1] = -1


def build():
    """An autoencoder whose decoder is initialised and its balanced layers parametrised; the encoder is not."""
    vae = AutoencoderKLHunyuanVideo(**CONFIG)
    start_decoder(vae)
    balance(vae.decoder)
    return vae


def trained_decoder(work, checkpoint=None):
    """An autoencoder with the averaged weights of the decoder's training, or with the decoder of a checkpoint folder, as
    plain modules that are not trained any more; the encoder is random."""
    if checkpoint:
        vae = load_vae(checkpoint)
    else:
        vae = build()
        vae.load_state_dict(torch.load(work / "decoder.pt", weights_only=False)["average"], strict=False)
        unbalance(vae)
    return vae.eval().requires_grad_(False)


def pieces(rng, count, length, size):
    """Codes and pictures of pieces of clips, most of them near the object: [count, 16, ...] and
    [count, 3, length, size, size] in [-1, 1]."""
    scenes = [sample_scene(rng) for _ in range(count)]
    starts = [rng.randrange(FRAMES - length + 1) for _ in scenes]
    everything = codes(scenes, starts=starts, length=length)
    found, videos = [], []
    for scene, start, code in zip(scenes, starts, everything):
        x, y, r = trajectory(scene, [start + length // 2])[0]
        corner, anywhere = [], rng.random() < 0.35
        for centre, extent in ((y, HEIGHT), (x, WIDTH)):
            reach = max(r, size / 3)
            if anywhere:
                centre, reach = extent / 2, extent / 2
            cell = round((centre + rng.uniform(-reach, reach) - size / 2) / CELL)
            corner.append(min(max(cell, 0), (extent - size) // CELL))
        top, left = corner
        cells = size // CELL
        found.append(code[:, :, top:top + cells, left:left + cells])
        videos.append(render(scene, window=(top * CELL, left * CELL, size, size), times=range(start, start + length)))
    return torch.stack(found), torch.stack(videos)


def whole(rng, count, unseen=False):
    scenes = [sample_scene(rng, unseen) for _ in range(count)]
    return codes(scenes), torch.stack([render(s) for s in scenes])


def encode(vae, video):
    """Mean of the latents, as the transformer sees them: [B, 16, ...]."""
    return vae.quant_conv(vae.encoder(video))[:, :CONFIG["latent_channels"]] * vae.config.scaling_factor


def decode(vae, latents):
    return vae.decoder(vae.post_quant_conv(latents / vae.config.scaling_factor))


def psnr(found, video):
    """Decibels of each clip; values are in [-1, 1]."""
    error = (found.clamp(-1, 1) - video).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error)


@torch.no_grad()
def held_out_psnr(vae, count, encoded=False):
    """PSNR of videos that are drawn from codes, or from what the encoder finds."""
    rng, results = random.Random(999), []
    for _ in range(count // 2):
        code, video = whole(rng, 2, unseen=True)
        results.append(psnr(decode(vae, encode(vae, video) if encoded else code), video))
    return torch.cat(results)


def weights_of(video):
    """Border pixels, whose surroundings are cut off, count less."""
    weight = torch.full(video.shape[-2:], 0.25)
    weight[CELL:-CELL, CELL:-CELL] = 1
    return weight / weight.mean()


def decoder_loss(vae, rng, options):
    code, video = pieces(rng, options.batch, options.length, options.size)
    noise = torch.rand(options.batch, 1, 1, 1, 1) * 0.16  # slightly wrong latents, as the transformer will deliver them
    difference = decode(vae, code + noise * torch.randn_like(code)) - video
    weight = weights_of(video)
    return (weight * difference.square()).mean() + 0.03 * (weight * difference.abs()).mean()


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of everything that is trained")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--decay", type=float, default=0.4, help="share of the steps over which the learning rate falls")
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--length", type=int, default=9, help="frames of a piece")
    parser.add_argument("--size", type=int, default=48, help="height and width of a piece in pixels")
    parser.add_argument("--save-minutes", type=float, default=3)
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--judged", type=int, default=24, help="held-out videos that are measured in the end")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


class Run:
    """Everything that a continued training needs."""

    def __init__(self, options):
        torch.manual_seed(options.seed)
        self.path = options.work / "decoder.pt"
        self.rng, self.step, self.history = random.Random(f"{options.seed} decoder"), 0, []
        self.vae = build()
        self.names = [n for n, _ in self.vae.named_parameters() if n.startswith(("decoder", "post_quant_conv"))]
        for name, parameter in self.vae.named_parameters():
            parameter.requires_grad_(name in self.names)
        self.parameters = dict((n, p) for n, p in self.vae.named_parameters() if n in self.names)
        self.average = {n: p.detach().clone() for n, p in self.parameters.items()}
        # A layer that starts as a copy must move slowly, the more inputs it has: they all move together at first.
        # A normalisation's weights are as large as the constants.
        def base(name, parameter):
            if parameter.ndim > 1:
                return options.lr * min(1, 100 / parameter[0].numel())
            return options.lr * (CONSTANT / 64 if "norm" in name and name.endswith(".weight") else 1)

        groups = [{"params": [p], "base": base(n, p)} for n, p in self.parameters.items()]
        self.optimizer = torch.optim.AdamW(groups, lr=options.lr, betas=(0.9, 0.99), weight_decay=1e-4)
        if self.path.exists():
            stored = torch.load(self.path, weights_only=False)
            self.step, self.history = stored["step"], stored["history"]
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(stored["model"][name])
                    self.average[name].copy_(stored["average"][name])
            self.optimizer.load_state_dict(stored["optimizer"])
            for group, fresh in zip(self.optimizer.param_groups, groups):
                group["base"] = fresh["base"]
            self.rng.setstate(stored["rng"])

    def save(self):
        part = self.path.with_suffix(".part")
        torch.save({"step": self.step, "history": self.history, "average": self.average,
                    "model": {n: p.detach() for n, p in self.parameters.items()},
                    "optimizer": self.optimizer.state_dict(), "rng": self.rng.getstate()}, part)
        part.replace(self.path)

    def averaged(self):
        """Runs the caller's block with the averaged weights."""
        return Swapped(self)


class Swapped:
    def __init__(self, run):
        self.run = run

    @torch.no_grad()
    def __enter__(self):
        self.kept = {n: p.detach().clone() for n, p in self.run.parameters.items()}
        for name, parameter in self.run.parameters.items():
            parameter.copy_(self.run.average[name])

    @torch.no_grad()
    def __exit__(self, *_):
        for name, parameter in self.run.parameters.items():
            parameter.copy_(self.kept[name])


def train(run, options):
    saved, reported, processor = time.time(), time.time(), time.process_time()
    while run.step < options.steps:
        fall = max(0.01, (options.steps - run.step) / (options.decay * options.steps))
        for group in run.optimizer.param_groups:
            group["lr"] = group["base"] * min(1, (run.step + 1) / 100, fall)
        loss = decoder_loss(run.vae, run.rng, options)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.parameters.values(), 1.0)
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        run.history.append(loss.item())
        run.step += 1
        decay = min(0.99, (run.step + 2) / (run.step + 21))
        with torch.no_grad():
            torch._foreach_lerp_(list(run.average.values()), [run.parameters[n] for n in run.average], 1 - decay)
        if time.time() - reported > 30:
            reported = time.time()
            print(f"{time.strftime('%H:%M:%S')} step {run.step} loss {sum(run.history[-50:]) / len(run.history[-50:]):.5f} "
                  f"processor seconds {time.process_time() - processor:.0f}", flush=True)
        if time.time() - saved > options.save_minutes * 60:
            run.save()
            with run.averaged():
                print(f"held-out {held_out_psnr(run.vae, 4).median():.2f} dB", flush=True)
            saved = time.time()
    run.save()


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    run = Run(options)
    print(f"{sum(p.numel() for p in run.vae.parameters()) / 1e6:.2f} M parameters, from step {run.step}, held-out "
          f"{held_out_psnr(run.vae, 8).median():.2f} dB", flush=True)
    train(run, options)
    with run.averaged():
        values = held_out_psnr(run.vae, options.judged)
    facts = {"steps": run.step, "median_psnr": values.median().item(), "lowest_psnr": values.min().item()}
    (options.work / "decoder_facts.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
