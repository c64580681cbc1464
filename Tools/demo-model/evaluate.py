"""Measures whether videos show what their prompts ask for, by plain geometry.

Videos can come from the training weights (default), from the exported checkpoint through diffusers (--reference), or from
any program (--measure) that took the list of --write-prompts.  --rendered measures rendered videos: the checker's own ceiling.
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from geometry import score
from scenes import FRAMES, SIZE, caption, render, sample_scene

ROOT = Path(__file__).resolve().parents[2]
FIRST_SEED = 5000
SHEET = (
    "A red ball moves from left to right on a black background.",
    "A blue square rises upwards over a gray background.",
    "A yellow ring grows bigger on a dark blue background.",
    "A green ball bounces up and down on a checkered floor.",
    "A purple triangle slides to the left over a light background.",
    "An orange square shrinks on a black background.",
    "A cyan triangle falls downwards on a dark blue background.",
    "A white ring moves from right to left on a checkered floor.",
)


def measured_list(count):
    """The scenes, prompts and seeds that every measurement uses."""
    rng = random.Random(2024)
    scenes = [sample_scene(rng) for _ in range(count)]
    return [{"seed": FIRST_SEED + i, "prompt": caption(scene, rng), "scene": scene} for i, scene in enumerate(scenes)]


class Generator:
    """Samples with diffusers; `folder` holds training weights or, with `exported`, a checkpoint in Tencent's layout."""

    def __init__(self, folder, exported, options):
        from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoTransformer3DModel

        from text import TextFeatures

        if exported:
            sys.path.insert(0, str(ROOT / "Tools" / "goldens"))
            from tencent_layout import load_transformer, load_vae

            self.transformer, self.vae = load_transformer(folder), load_vae(folder)
        else:
            self.transformer = HunyuanVideoTransformer3DModel.from_pretrained(folder / "transformer").eval()
            self.vae = AutoencoderKLHunyuanVideo.from_pretrained(folder / "vae").eval()
        self.text = TextFeatures(folder)
        self.options = options

    def __call__(self, prompts, seeds):
        """Videos [B, 3, frames, height, width] in [0, 1]."""
        from diffusion import decode, sample

        shape = (16, (FRAMES - 1) // 4 + 1, SIZE // 8, SIZE // 8)
        noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
        latents = sample(self.transformer, noise, self.text(prompts, 64), self.options.steps, self.options.shift,
                         self.options.guidance)
        return decode(self.vae, latents)

    def all(self, entries):
        videos = []
        for i in range(0, len(entries), 8):
            part = entries[i:i + 8]
            videos += list(self([e["prompt"] for e in part], [e["seed"] for e in part]))
            print(f"{len(videos)} of {len(entries)} videos", file=sys.stderr, flush=True)
        return videos


def read_video(folder, seed):
    """`<seed>.safetensors` with key `video`, [1, 3, frames, height, width] in [0, 1], or the PNG frames of `<seed>/`."""
    path, frames = folder / f"{seed}.safetensors", sorted((folder / str(seed)).glob("*.png"))
    if path.exists():
        video = load_file(path)["video"].float()
        video = video[0] if video.ndim == 5 else video
    elif frames:
        pictures = [torch.from_numpy(np.array(Image.open(f).convert("RGB"))) for f in frames]
        video = torch.stack(pictures).permute(3, 0, 1, 2).float() / 255
    else:
        sys.exit(f"{folder}: neither {path.name} nor a folder {seed} with PNG frames")
    if video.shape != (3, FRAMES, SIZE, SIZE):
        sys.exit(f"{folder}: video {seed} is {list(video.shape)}, expected {[3, FRAMES, SIZE, SIZE]} "
                 "(the demo's default size and length)")
    return video


def contact_sheet(videos, path):
    rows = [torch.cat([v[:, t] for t in range(0, FRAMES, 2)], dim=2) for v in videos]
    pixels = (torch.cat(rows, dim=1) * 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def report(entries, videos, **facts):
    """Prints the mistakes to standard error and returns the accuracy table."""
    table, found = score([e["scene"] for e in entries], videos)
    for entry, seen in zip(entries, found):
        wrong = [f"{k}: {seen[k]}" for k in seen if seen[k] != entry["scene"][k]]
        if wrong:
            print(f"{entry['seed']} {entry['prompt']}  ->  {', '.join(wrong)}", file=sys.stderr)
    return {"accuracy": {k: round(v, 6) for k, v in table.items()}, "pairs": len(entries), **facts}


def measure_training_weights(entries, options):
    """Accuracy of the weights in --work and of rendered videos, and the contact sheet; kept for `export.py`."""
    generate = Generator(options.work, False, options)
    begin = time.time()
    contact_sheet(generate(SHEET, [100 + i for i in range(len(SHEET))]), options.work / "contact_sheet.png")
    print(f"contact sheet of {len(SHEET)} videos in {time.time() - begin:.1f} s", file=sys.stderr)
    ceiling = report(entries, [(render(e["scene"]) + 1) / 2 for e in entries])["accuracy"]
    sampled = report(entries, generate.all(entries))["accuracy"]
    facts = {"ceiling_on_rendered_videos": ceiling, "sampled": sampled, "pairs": len(entries), "steps": options.steps}
    (options.work / "accuracy.json").write_text(json.dumps(facts, indent=1))
    return facts


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--write-prompts", type=Path, metavar="FILE", help="write the list of seeds, prompts and scenes as JSON")
    mode.add_argument("--measure", type=Path, metavar="FOLDER",
                      help="measure FOLDER/<seed>.safetensors (key video, [1, 3, frames, height, width] in 0...1) "
                           "or FOLDER/<seed>/*.png")
    mode.add_argument("--reference", action="store_true", help="sample with diffusers from the exported checkpoint and measure")
    mode.add_argument("--rendered", action="store_true", help="measure rendered videos: the checker's own ceiling")
    parser.add_argument("--model", type=Path, default=ROOT / "Models" / "demo", help="checkpoint of --reference")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="with --reference: keep the videos in the form of --measure")
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of the training weights")
    parser.add_argument("--count", type=int, default=64, help="prompt and seed pairs (64)")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--shift", type=float, default=3.0)
    parser.add_argument("--guidance", type=float, default=6.0)
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    return parser.parse_args()


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    entries = measured_list(options.count)
    if options.write_prompts:
        options.write_prompts.write_text(json.dumps(entries, indent=1) + "\n")
        return
    if options.measure:
        result = report(entries, [read_video(options.measure, e["seed"]) for e in entries], source=str(options.measure))
    elif options.rendered:
        result = report(entries, [(render(e["scene"]) + 1) / 2 for e in entries], source="rendered videos")
    elif options.reference:
        videos = Generator(options.model, True, options).all(entries)
        for entry, video in zip(entries, videos) if options.save else ():
            options.save.mkdir(parents=True, exist_ok=True)
            save_file({"video": video[None].contiguous()}, options.save / f"{entry['seed']}.safetensors")
        result = report(entries, videos, source=f"diffusers on {options.model.name}", steps=options.steps)
    else:
        result = measure_training_weights(entries, options)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
