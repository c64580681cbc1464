"""Trains the tiny transformer by rectified flow on latents of rendered videos.

Latents are encoded once and kept; a few new videos are added all the time, so the training set keeps growing.
"""

import argparse
import copy
import json
import math
import random
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoTransformer3DModel

from diffusion import SHIFT, build_transformer
from scenes import caption, render, sample_scene
from text import NEGATIVE_PROMPT, TextFeatures

TEXT_LENGTH = 64
CAPTIONS = 3


class Dataset:
    """A growing store of (latents, caption features)."""

    def __init__(self, work, seed):
        self.vae = AutoencoderKLHunyuanVideo.from_pretrained(work / "vae").eval()
        self.text = TextFeatures(work)
        self.rng = random.Random(seed)
        self.latents, self.features = [], []
        self.plain = self.describe(["", NEGATIVE_PROMPT])

    def describe(self, prompts):
        hidden, mask, pooled = self.text(prompts, TEXT_LENGTH)
        return [(h[:int(m.sum())].clone(), p.clone()) for h, m, p in zip(hidden, mask, pooled)]

    @torch.no_grad()
    def grow(self, count):
        scenes = [sample_scene(self.rng) for _ in range(count)]
        for i in range(0, count, 8):  # never a batch of one: PyTorch's 3D convolution is several times slower for it
            videos = torch.stack([render(s) for s in scenes[i:i + 8]])
            self.latents += list(self.vae.quant_conv(self.vae.encoder(videos))[:, :16] * self.vae.config.scaling_factor)
            prompts = [caption(s, self.rng) for s in scenes[i:i + 8] for _ in range(CAPTIONS)]
            features = self.describe(prompts)
            self.features += [features[k:k + CAPTIONS] for k in range(0, len(features), CAPTIONS)]

    def save(self, path):
        torch.save({"latents": self.latents, "features": self.features, "rng": self.rng.getstate()}, path)

    def load(self, path):
        stored = torch.load(path, weights_only=False)
        self.latents, self.features = stored["latents"], stored["features"]
        self.rng.setstate(stored["rng"])

    def batch(self, count):
        """Latents and padded text features; some captions are empty or the standard negative prompt."""
        rng = self.rng
        picks = [rng.randrange(len(self.latents)) for _ in range(count)]
        texts = [rng.choice(self.features[k]) for k in picks]
        texts = [self.plain[0] if rng.random() < 0.06 else t for t in texts]
        if rng.random() < 0.1:
            texts[:2] = [self.plain[1]] * 2
        length = max(len(h) for h, _ in texts)
        hidden = torch.zeros(count, length, texts[0][0].shape[1])
        mask = torch.zeros(count, length, dtype=torch.long)
        for i, (h, _) in enumerate(texts):
            hidden[i, :len(h)], mask[i, :len(h)] = h, 1
        return torch.stack([self.latents[k] for k in picks]), (hidden, mask, torch.stack([p for _, p in texts]))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of everything that is trained")
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--videos", type=int, default=1200, help="videos encoded before the first step")
    parser.add_argument("--every", type=int, default=24, help="eight videos are added once in so many steps")
    parser.add_argument("--limit", type=int, default=6000, help="most videos kept")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--resume", action="store_true", help="start from work/transformer and the stored latents")
    return parser.parse_args()


def prepare_data(options):
    data = Dataset(options.work, options.seed)
    cache = options.work / "latents.pt"
    if options.resume and cache.exists():
        data.load(cache)
    else:
        data.grow(options.videos)
        data.save(cache)
    return data


def prepare_model(options, data):
    if options.resume and (options.work / "transformer").exists():
        return HunyuanVideoTransformer3DModel.from_pretrained(options.work / "transformer")
    model = build_transformer()
    with torch.no_grad():  # the language model's features are wide; keep the first activations near unit size
        width = torch.cat([h for f in data.features[:200] for h, _ in f]).std()
        for layer in (model.context_embedder.proj_in, model.context_embedder.time_text_embed.text_embedder.linear_1):
            layer.weight.div_(width)
    return model


def noise_levels(count):
    """Mostly logit-normal levels, shifted as in sampling; one in ten is uniform."""
    level = torch.sigmoid(torch.randn(count))
    level = SHIFT * level / (1 + (SHIFT - 1) * level)
    return torch.where(torch.rand(count) < 0.1, torch.rand(count), level).clamp(1e-3, 1.0)


def flow_loss(model, data, count):
    clean, (hidden, mask, pooled) = data.batch(count)
    level = noise_levels(count)
    s = level.view(-1, 1, 1, 1, 1)
    noise = torch.randn_like(clean)
    predicted = model(
        hidden_states=(1 - s) * clean + s * noise, timestep=level * 1000, encoder_hidden_states=hidden,
        encoder_attention_mask=mask, pooled_projections=pooled, guidance=torch.empty(count).uniform_(1000, 10000),
        return_dict=False)[0]
    return (predicted - (noise - clean)).square().mean()


def train(model, data, options, start):
    """Trains until `options.minutes` after `start`; returns the averaged model and the loss of every step."""
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, betas=(0.9, 0.99), weight_decay=0.01)
    history, next_report, budget = [], time.time() + 60, options.minutes * 60
    while (elapsed := time.time() - start) < budget:
        step = len(history)
        rate = options.lr * min(1, (step + 1) / 100) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * elapsed / budget)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        if step % options.every == options.every - 1 and len(data.latents) < options.limit:
            data.grow(8)
        loss = flow_loss(model, data, options.batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        history.append(loss.item())
        with torch.no_grad():
            decay = min(0.998, (step + 2) / (step + 21))
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        if time.time() > next_report:
            next_report += 60
            print(f"{elapsed / 60:5.1f} min step {step + 1} videos {len(data.latents)} lr {rate:.2e} "
                  f"loss {recent(history):.4f}", flush=True)
            average.save_pretrained(options.work / "transformer")
    return average, history


def recent(history):
    return sum(history[-200:]) / len(history[-200:])


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    start = time.time()
    data = prepare_data(options)
    sample = torch.stack(data.latents[:200])
    print(f"{len(data.latents)} videos after {time.time() - start:.0f} s, latents {tuple(sample.shape[1:])} "
          f"mean {sample.mean():.3f} std {sample.std():.3f}", flush=True)
    model = prepare_model(options, data)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters", flush=True)
    average, history = train(model, data, options, start)
    average.save_pretrained(options.work / "transformer")
    data.save(options.work / "latents.pt")
    facts = {"steps": len(history), "batch": options.batch, "minutes": options.minutes, "videos": len(data.latents),
             "loss": recent(history)}
    (options.work / "dit_facts.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
