"""Trains the small transformer by rectified flow on the codes of procedural scenes.

The latent space is designed (see `scenes.codes`), so clips need neither drawing nor encoding: every batch is new.  Training
can be stopped and continued at any time with the same command; `--steps` may be changed then.
"""

import argparse
import copy
import json
import random
import time
from pathlib import Path

import torch

from diffusion import SHIFT, build_transformer
from scenes import BACKGROUNDS, COLOURS, FRAMES, MOTIONS, SHAPES, allowed, caption, codes, held_out, labels, sample_scene
from text import NEGATIVE_PROMPT, TextFeatures

LONG_FRAMES = 33
LONG_EVERY = 12  # steps


class Texts:
    """Features of several captions for every trained combination, and of the empty and the negative prompt."""

    def __init__(self, work, seed, captions):
        path = work / "texts.pt"
        if not path.exists():
            torch.save(self.encode(TextFeatures(work), random.Random(seed), captions), path)
        self.known, self.plain = torch.load(path, weights_only=False)

    @staticmethod
    def encode(text, rng, captions):
        combinations = [{"shape": s, "colour": c, "motion": m, "background": b}
                        for s in SHAPES for c in COLOURS for m in MOTIONS for b in BACKGROUNDS]
        combinations = [c for c in combinations if allowed(c["colour"], c["background"]) and not held_out(c)]
        prompts = [caption(c, rng) for c in combinations for _ in range(captions)]
        features = []
        for i in range(0, len(prompts), 64):
            features += text.compact(prompts[i:i + 64])
        known = {labels(c): features[i * captions:(i + 1) * captions] for i, c in enumerate(combinations)}
        return known, text.compact(["", NEGATIVE_PROMPT])

    def batch(self, scenes, rng):
        """Padded hidden states, mask and pooled vectors; some captions are empty or the standard negative prompt."""
        chosen = [rng.choice(self.known[labels(s)]) for s in scenes]
        chosen = [self.plain[0] if rng.random() < 0.07 else c for c in chosen]
        if rng.random() < 0.1:
            chosen[0] = self.plain[1]
        length = (max(len(h) for h, _ in chosen) + 7) // 8 * 8
        hidden = torch.zeros(len(chosen), length, chosen[0][0].shape[1])
        mask = torch.zeros(len(chosen), length, dtype=torch.long)
        for i, (h, _) in enumerate(chosen):
            hidden[i, :len(h)], mask[i, :len(h)] = h, 1
        return hidden, mask, torch.stack([p for _, p in chosen])


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of everything that is trained")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--decay", type=float, default=0.35, help="share of the steps over which the learning rate falls")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--captions", type=int, default=5, help="captions of each combination")
    parser.add_argument("--save-minutes", type=float, default=3)
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--seed", type=int, default=11)
    return parser.parse_args()


def prepare_model(texts):
    model = build_transformer()
    with torch.no_grad():  # the language model's features are wide; keep the first activations near unit size
        width = torch.cat([h for f in list(texts.known.values())[:200] for h, _ in f]).std()
        for layer in (model.context_embedder.proj_in, model.context_embedder.time_text_embed.text_embedder.linear_1):
            layer.weight.div_(width)
        pooled = torch.stack([p for f in list(texts.known.values()) for _, p in f])
        model.time_text_embed.text_embedder.linear_1.weight.div_(pooled.std())
    return model


def optimizers(model, options):
    """Muon for the matrices of the blocks, AdamW for everything else."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        inside = "transformer_blocks." in name or "refiner_blocks." in name
        modulation = "norm1.linear" in name or "norm1_context.linear" in name or ".norm.linear" in name or "norm_out" in name
        (matrices if inside and parameter.ndim == 2 and not modulation else others).append(parameter)
    return [torch.optim.Muon(matrices, lr=options.lr, momentum=0.95, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=options.lr, betas=(0.9, 0.99), weight_decay=0.01)]


def noise_levels(count):
    """Logit-normal levels, one from each of `count` equal shares, shifted as in sampling; one in ten is uniform."""
    share = (torch.arange(count) + torch.rand(count)) / count
    level = torch.sigmoid(torch.special.ndtri(share.clamp(1e-4, 1 - 1e-4)))
    level = SHIFT * level / (1 + (SHIFT - 1) * level)
    return torch.where(torch.rand(count) < 0.1, torch.rand(count), level).clamp(1e-3, 1.0)


def flow_loss(model, texts, rng, options, step):
    long = step % LONG_EVERY == LONG_EVERY - 1
    count, frames = (options.batch // 2, LONG_FRAMES) if long else (options.batch, FRAMES)
    scenes = [sample_scene(rng) for _ in range(count)]
    clean = codes(scenes, frames)
    hidden, mask, pooled = texts.batch(scenes, rng)
    level = noise_levels(count)
    s = level.view(-1, 1, 1, 1, 1)
    noise = torch.randn_like(clean)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=options.bf16):
        predicted = model(
            hidden_states=(1 - s) * clean + s * noise, timestep=level * 1000, encoder_hidden_states=hidden,
            encoder_attention_mask=mask, pooled_projections=pooled, guidance=torch.empty(count).uniform_(1000, 10000),
            return_dict=False)[0]
    return (predicted.float() - (noise - clean)).square().mean()


class Run:
    """Everything that a continued training needs."""

    def __init__(self, options):
        self.path = options.work / "dit.pt"
        torch.manual_seed(options.seed)
        self.rng, self.step, self.history = random.Random(options.seed), 0, []
        self.texts = Texts(options.work, options.seed, options.captions)
        self.model = prepare_model(self.texts)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizers = optimizers(self.model, options)
        if self.path.exists():
            stored = torch.load(self.path, weights_only=False)
            self.step, self.history = stored["step"], stored["history"]
            self.model.load_state_dict(stored["model"])
            self.average.load_state_dict(stored["average"])
            for optimizer, state in zip(self.optimizers, stored["optimizers"]):
                optimizer.load_state_dict(state)
            self.rng.setstate(stored["rng"])
            torch.set_rng_state(stored["torch"])

    def save(self):
        part = self.path.with_suffix(".part")
        torch.save({"step": self.step, "history": self.history, "model": self.model.state_dict(),
                    "average": self.average.state_dict(), "optimizers": [o.state_dict() for o in self.optimizers],
                    "rng": self.rng.getstate(), "torch": torch.get_rng_state()}, part)
        part.replace(self.path)
        self.average.save_pretrained(self.path.parent / "transformer")


def rate(step, options):
    """Warm-up, constant, linear decay."""
    return options.lr * min(1, (step + 1) / 100, max(0.01, (options.steps - step) / (options.decay * options.steps)))


def train(run, options):
    saved = reported = time.time()
    processor = time.process_time()
    while run.step < options.steps:
        now = rate(run.step, options)
        for optimizer in run.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = now
        loss = flow_loss(run.model, run.texts, run.rng, options, run.step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
        for optimizer in run.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        run.history.append(loss.item())
        run.step += 1
        with torch.no_grad():
            decay = min(0.997, (run.step + 2) / (run.step + 21))
            torch._foreach_lerp_(list(run.average.parameters()), list(run.model.parameters()), 1 - decay)
        if time.time() - reported > 30:
            reported = time.time()
            print(f"{time.strftime('%H:%M:%S')} step {run.step} lr {now:.2e} loss {recent(run.history):.4f} "
                  f"processor seconds {time.process_time() - processor:.0f}", flush=True)
        if time.time() - saved > options.save_minutes * 60:
            saved = time.time()
            run.save()
    run.save()


def recent(history):
    return sum(history[-100:]) / len(history[-100:])


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    run = Run(options)
    print(f"{sum(p.numel() for p in run.model.parameters()) / 1e6:.2f} M parameters, {len(run.texts.known)} combinations, "
          f"from step {run.step}", flush=True)
    train(run, options)
    facts = {"steps": run.step, "batch": options.batch, "loss": recent(run.history)}
    (options.work / "dit_facts.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
