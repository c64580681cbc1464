"""Trains the encoder of the small causal 3D autoencoder: it finds `scenes.codes` in videos.

The codes say what is seen in single frames, so the encoder looks at single frames: of every kernel only the last tap in
time is used, but for the two convolutions that halve the number of frames, and the attention adds nothing.  What it makes
of a frame cannot depend on how long the clip is, pieces of 9 frames train the function that any length needs, and training
runs two-dimensional convolutions (`FrameEncoder`), many times as fast as the network itself.  `install` writes the weights
into the network; constant channels keep its group normalisation a fixed scale, as in the decoder.

First the codes alone are learned, then (`--through`, from the result of the first) the codes as the decoder draws them.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from scenes import CENTRE, REACH, SPREAD
from train_decoder import CONFIG, CONSTANT, decode, held_out_psnr, pieces, spread, trained_decoder, weights_of

RESERVED = 3  # channels that keep group normalisation a fixed scale: negative sum and two constants
# How much an error of a channel changes what the decoder draws, roughly.
MATTERS = torch.tensor([0.3, 0.3, 0.3, 1.0] + [0.05] * 4 + [0.2] * 3 + [1.5] * 3 + [0.2, 0.3])


class Convolution(torch.nn.Module):
    """A convolution over frames [B * frames, C, H, W], its weights as a matrix; with `halves` over three frames at a time,
    of which every second one is kept."""

    def __init__(self, inputs, outputs, size=3, stride=1, halves=False, gain=1.0):
        super().__init__()
        self.shape, self.stride, self.halves = (outputs, inputs, 3 if halves else 1, size, size), stride, halves
        fan = inputs * self.shape[2] * size * size
        self.weight = torch.nn.Parameter(torch.randn(outputs, fan) * gain / fan ** 0.5)
        self.bias = torch.nn.Parameter(torch.zeros(outputs))

    def forward(self, frames, length):
        outputs, inputs, taps, size, _ = self.shape
        if self.halves:
            index = (2 * torch.arange((length + 1) // 2).view(-1, 1) + torch.tensor([-2, -1, 0])).clamp(min=0)
            frames = frames.view(-1, length, *frames.shape[1:])[:, index].flatten(2, 3).flatten(0, 1)
        if size == 3:
            frames = F.pad(frames, (1, 1, 1, 1), mode="replicate")
        return F.conv2d(frames, self.weight.view(outputs, taps * inputs, size, size), self.bias, self.stride)

    def kernel(self):
        """[outputs, inputs, taps, size, size]"""
        outputs, inputs, taps, size, _ = self.shape
        return self.weight.view(outputs, taps, inputs, size, size).transpose(1, 2)


class Scale(torch.nn.Module):
    """What group normalisation comes to, and the nonlinearity behind it."""

    def __init__(self, channels):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(channels))
        self.bias = torch.nn.Parameter(torch.zeros(channels))

    def forward(self, frames):
        return F.silu(frames * self.gain.view(-1, 1, 1) + self.bias.view(-1, 1, 1))


class Residual(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1, self.norm2 = Scale(inputs), Scale(outputs)
        self.conv1, self.conv2 = Convolution(inputs, outputs, gain=1.4), Convolution(outputs, outputs, gain=0.1)
        self.shortcut = Convolution(inputs, outputs, size=1) if inputs != outputs else None

    def forward(self, frames, length):
        branch = self.conv2(self.norm2(self.conv1(self.norm1(frames), length)), length)
        return branch + (self.shortcut(frames, length) if self.shortcut else frames)


class FrameEncoder(torch.nn.Module):
    """The encoder without its reserved channels, on frames."""

    def __init__(self):
        super().__init__()
        widths = [c - RESERVED for c in CONFIG["block_out_channels"]]
        self.conv_in = Convolution(CONFIG["in_channels"], widths[0])
        self.residuals = torch.nn.ModuleList(Residual(a, b) for a, b in zip([widths[0], *widths], widths))
        self.downs = torch.nn.ModuleList(Convolution(w, w, stride=2, halves=i > 0) for i, w in enumerate(widths[:-1]))
        self.middle = torch.nn.ModuleList(Residual(widths[-1], widths[-1]) for _ in range(2))
        self.norm_out = Scale(widths[-1])
        self.conv_out = Convolution(widths[-1], CONFIG["latent_channels"], gain=0.5)

    def forward(self, videos):
        """[B, 3, frames, H, W] in [-1, 1] to codes [B, 16, latent frames, H / 8, W / 8]."""
        count, _, length = videos.shape[:3]
        frames = self.conv_in(videos.transpose(1, 2).flatten(0, 1), length)
        for i, residual in enumerate(self.residuals):
            frames = residual(frames, length)
            if i < len(self.downs):
                frames = self.downs[i](frames, length)
                length = len(frames) // count
        for residual in self.middle:
            frames = residual(frames, length)
        frames = self.conv_out(self.norm_out(frames), length)
        return frames.view(count, length, *frames.shape[1:]).transpose(1, 2)


@torch.no_grad()
def install(trained, vae):
    """Writes the weights into a network's encoder, with everything that makes its normalisations fixed scales."""
    encoder, latent = vae.encoder, CONFIG["latent_channels"]

    def put(convolution, source, constant=True):
        kernel, (outputs, inputs, taps) = source.kernel(), source.shape[:3]
        convolution.weight.zero_()
        convolution.bias.zero_()
        convolution.weight[:outputs, :inputs, -taps:] = kernel
        convolution.bias[:outputs] = source.bias
        if len(convolution.bias) == outputs + RESERVED:
            convolution.weight[outputs] = -convolution.weight[:outputs].sum(0)
            convolution.bias[outputs] = -source.bias.sum()
            if constant:
                convolution.bias[-2:] = torch.tensor([CONSTANT, -CONSTANT])

    def scale(norm, source):
        norm.weight.zero_()
        norm.bias.zero_()
        norm.weight[:-RESERVED] = source.gain * spread(len(norm.weight))
        norm.bias[:-RESERVED] = source.bias

    def residual(block, source):
        scale(block.norm1, source.norm1)
        scale(block.norm2, source.norm2)
        put(block.conv1.conv, source.conv1)
        put(block.conv2.conv, source.conv2, constant=False)
        if source.shortcut:
            put(block.conv_shortcut.conv, source.shortcut)

    put(encoder.conv_in.conv, trained.conv_in)
    for i, block in enumerate(encoder.down_blocks):
        residual(block.resnets[0], trained.residuals[i])
        if block.downsamplers:
            put(block.downsamplers[0].conv.conv, trained.downs[i])
    for block, source in zip(encoder.mid_block.resnets, trained.middle):
        residual(block, source)
    for parameter in encoder.mid_block.attentions[0].to_out[0].parameters():
        parameter.zero_()
    scale(encoder.conv_norm_out, trained.norm_out)
    put(encoder.conv_out.conv, trained.conv_out)
    vae.quant_conv.weight.copy_(torch.eye(2 * latent).view(2 * latent, 2 * latent, 1, 1, 1))
    vae.quant_conv.weight.div_(vae.config.scaling_factor)
    vae.quant_conv.bias.zero_()
    vae.quant_conv.bias[latent:] = -6.0  # logarithm of the posterior's variance: almost none


def importance(code):
    """Weights of the codes, [B, 16, ...]: distances count near outlines, colours where something of that colour is seen."""
    shape = (1, -1, 1, 1, 1)
    squashed = code[:, :4] * SPREAD[:4].view(shape) + CENTRE[:4].view(shape)
    distance = REACH * torch.atanh(squashed.clamp(-0.99, 0.99))
    near = torch.exp(-(distance / 10).square()) + 0.15
    nearest = near.amax(1, keepdim=True)
    inside = torch.sigmoid((distance.amax(1, keepdim=True) + 8) / 2) + 0.05
    outside = torch.sigmoid((8 - distance.amin(1, keepdim=True)) / 2) + 0.02
    weight = torch.cat([near, nearest.expand(-1, 4, -1, -1, -1), inside.expand(-1, 3, -1, -1, -1),
                        outside.expand(-1, 3, -1, -1, -1), nearest.expand(-1, 2, -1, -1, -1)], dim=1)
    border = torch.full(code.shape[-2:], 0.2)  # what lies behind the border of a piece cannot be known
    border[1:-1, 1:-1] = 1
    return weight * MATTERS.view(shape) * border


def loss_of(net, vae, rng, options):
    """Distance from the codes; through the decoder, also from the video."""
    code, video = pieces(rng, options.batch, options.length, options.size)
    found, weight = net(video), importance(code)
    loss = (weight * (found - code).square()).sum() / weight.sum()
    if options.through:
        loss = options.codes * loss + (weights_of(video) * (decode(vae, found) - video).square()).mean()
    return loss


class Run:
    """Everything that a continued training needs."""

    def __init__(self, options):
        name = "encoder" if options.through else "encoder_codes"
        self.path = options.work / f"{name}.pt"
        torch.manual_seed(options.seed)
        self.rng, self.step, self.history = random.Random(f"{options.seed} {name}"), 0, []
        self.vae, self.net = trained_decoder(options.work, options.decoder), FrameEncoder()
        if options.through:
            self.net.load_state_dict(torch.load(options.work / "encoder_codes.pt", weights_only=False)["average"])
        self.average = {n: p.detach().clone() for n, p in self.net.named_parameters()}
        matrices = [p for p in self.net.parameters() if p.ndim == 2]
        others = [p for p in self.net.parameters() if p.ndim == 1]
        self.optimizers = [
            torch.optim.Muon(matrices, lr=options.lr, momentum=0.95, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=options.lr, betas=(0.9, 0.99), weight_decay=0)]
        if self.path.exists():
            stored = torch.load(self.path, weights_only=False)
            self.step, self.history, self.average = stored["step"], stored["history"], stored["average"]
            self.net.load_state_dict(stored["model"])
            for optimizer, state in zip(self.optimizers, stored["optimizers"]):
                optimizer.load_state_dict(state)
            self.rng.setstate(stored["rng"])
            torch.set_rng_state(stored["torch"])

    def save(self):
        part = self.path.with_suffix(".part")
        torch.save({"step": self.step, "history": self.history, "average": self.average, "model": self.net.state_dict(),
                    "optimizers": [o.state_dict() for o in self.optimizers], "rng": self.rng.getstate(),
                    "torch": torch.get_rng_state()}, part)
        part.replace(self.path)

    def judged(self, count):
        """PSNR of held-out videos, encoded and decoded by the network itself."""
        net = FrameEncoder()
        net.load_state_dict(self.average)
        install(net, self.vae)
        return held_out_psnr(self.vae, count, encoded=True)


def train(run, options):
    saved, reported, processor = time.time(), time.time(), time.process_time()
    while run.step < options.steps:
        fall = max(0.01, (options.steps - run.step) / (options.decay * options.steps))
        for optimizer in run.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = options.lr * min(1, (run.step + 1) / 50, fall)
        loss = loss_of(run.net, run.vae, run.rng, options)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.net.parameters(), 1.0)
        for optimizer in run.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        run.history.append(loss.item())
        run.step += 1
        decay = min(0.99, (run.step + 2) / (run.step + 21))
        with torch.no_grad():
            for name, parameter in run.net.named_parameters():
                run.average[name].lerp_(parameter, 1 - decay)
        if time.time() - reported > 30:
            reported = time.time()
            print(f"{time.strftime('%H:%M:%S')} step {run.step} loss {sum(run.history[-50:]) / len(run.history[-50:]):.5f} "
                  f"processor seconds {time.process_time() - processor:.0f}", flush=True)
        if time.time() - saved > options.save_minutes * 60:
            saved = time.time()
            run.save()
    run.save()


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of everything that is trained")
    parser.add_argument("--decoder", type=Path, help="checkpoint folder whose decoder is taken instead of that in --work")
    parser.add_argument("--through", action="store_true", help="train through the decoder, from what was trained without")
    parser.add_argument("--codes", type=float, default=0.02, help="share of the codes in the loss with --through")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--decay", type=float, default=0.6, help="share of the steps over which the learning rate falls")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=9, help="frames of a piece")
    parser.add_argument("--size", type=int, default=64, help="height and width of a piece in pixels")
    parser.add_argument("--save-minutes", type=float, default=3)
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--judged", type=int, default=24, help="held-out videos that are measured in the end")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    run = Run(options)
    print(f"{sum(p.numel() for p in run.net.parameters()) / 1e6:.2f} M parameters, from step {run.step}", flush=True)
    train(run, options)
    values = run.judged(options.judged)
    facts = {"steps": run.step, "median_psnr": values.median().item(), "lowest_psnr": values.min().item()}
    run.path.with_name(f"{run.path.stem}_facts.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
