"""Measures whether videos show what their prompts ask for, by plain geometry.

Videos can come from the exported checkpoint through `hyvideo` (--hyvideo) or diffusers (--reference), or from any program
(--measure) that took the list of --write-prompts.  --rendered measures rendered videos, the checker's own ceiling, and
--reconstructed what the autoencoder makes of these, the generator's.  Every second scene is of a combination that was never
trained.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from diffusion import SHIFT
from geometry import score
from scenes import FRAMES, HEIGHT, WIDTH, caption, render, sample_scene
from text import NEGATIVE_PROMPT

ROOT = Path(__file__).resolve().parents[2]
FIRST_SEED = 5000


def measured_list(count, unwanted=False):
    """The scenes, prompts and seeds that every measurement uses; `unwanted` makes negative prompts of the prompts."""
    rng = random.Random(2024)
    scenes = [sample_scene(rng, unseen=i % 2 == 1) for i in range(count)]
    entries = [{"seed": FIRST_SEED + i, "prompt": caption(scene, rng), "scene": scene} for i, scene in enumerate(scenes)]
    if unwanted:  # the standard negative prompt was trained with all kinds of scenes: as a prompt it says nothing
        return [e | {"prompt": NEGATIVE_PROMPT, "negative": e["prompt"]} for e in entries]
    return entries


class Reference:
    """Samples with diffusers from a checkpoint in Tencent's layout."""

    def __init__(self, folder, options):
        sys.path.insert(0, str(ROOT / "Tools" / "goldens"))
        from tencent_layout import load_transformer, load_vae

        from text import TextFeatures

        self.transformer, self.vae, self.text = load_transformer(folder), load_vae(folder), TextFeatures(folder)
        self.options = options

    def __call__(self, prompts, seeds):
        """Videos [B, 3, frames, height, width] in [0, 1]."""
        from diffusion import decode, sample

        shape = (16, (self.options.frames - 1) // 4 + 1, HEIGHT // 8, WIDTH // 8)
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

    @torch.no_grad()
    def reconstruct(self, video):
        """What encoder and decoder make of a video [3, frames, height, width] in [-1, 1]; in [0, 1]."""
        latents = self.vae.quant_conv(self.vae.encoder(video[None]))[:, :16]
        return (self.vae.decoder(self.vae.post_quant_conv(latents))[0] / 2 + 0.5).clamp(0, 1)


def run_hyvideo(program, entries, folder, flags):
    """One video per entry at the program's defaults, in the form of --measure."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        frames = folder / f"{entry['seed']}.safetensors"
        if not frames.exists():
            negative = ["--neg-prompt", entry["negative"]] if "negative" in entry else []
            subprocess.run([program, "generate", "--prompt", entry["prompt"], "--seed", str(entry["seed"]), "--output",
                            folder / f"{entry['seed']}.mp4", "--save-frames", frames, *negative, *flags], check=True,
                           capture_output=True)


def read_video(folder, seed, length):
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
    if video.shape != (3, length, HEIGHT, WIDTH):
        sys.exit(f"{folder}: video {seed} is {list(video.shape)}, expected {[3, length, HEIGHT, WIDTH]} (the demo's default size; "
                 "--frames changes the length)")
    return video


def contact_sheet(videos, path):
    """A row of every fourth frame for each video."""
    rows = [torch.cat([v[:, t] for t in range(0, v.shape[1], 4)], dim=2) for v in videos]
    pixels = (torch.cat(rows, dim=1) * 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def report(entries, videos, **facts):
    """Prints the mistakes to standard error and returns the accuracy table."""
    table, found = score([e["scene"] for e in entries], videos)
    for entry, seen in zip(entries, found):
        wrong = [f"{k}: {seen[k]}" for k in seen if seen[k] != entry["scene"][k]]
        if wrong:
            print(f"{entry['seed']} {entry['prompt']}  ->  {', '.join(wrong)}", file=sys.stderr)
    halves = {name: score([e["scene"] for e in entries[k::2]], videos[k::2])[0]["all_four"]
              for k, name in enumerate(("all_four_trained", "all_four_held_out"))}
    return {"accuracy": {k: round(v, 6) for k, v in (table | halves).items()}, "pairs": len(entries), **facts}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write-prompts", type=Path, metavar="FILE", help="write the list of seeds, prompts and scenes as JSON")
    mode.add_argument("--hyvideo", metavar="PROGRAM", help="make the videos with hyvideo at its defaults (in --save) and measure")
    mode.add_argument("--measure", type=Path, metavar="FOLDER",
                      help="measure FOLDER/<seed>.safetensors (key video, [1, 3, frames, height, width] in 0...1) "
                           "or FOLDER/<seed>/*.png")
    mode.add_argument("--reference", action="store_true", help="sample with diffusers from the exported checkpoint and measure")
    mode.add_argument("--rendered", action="store_true", help="measure rendered videos: the checker's own ceiling")
    mode.add_argument("--reconstructed", action="store_true", help="measure rendered videos after encoding and decoding")
    parser.add_argument("--model", type=Path, default=ROOT / "Models" / "demo", help="checkpoint of all but --measure")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep the videos in the form of --measure")
    parser.add_argument("--sheet", type=Path, metavar="FILE",
                        help="contact sheet of the first eight videos; with --reconstructed, of four held-out videos, each above "
                             "what is left of it")
    parser.add_argument("--count", type=int, default=96, help="prompt and seed pairs (96)")
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"length of the videos ({FRAMES})")
    parser.add_argument("--flag", action="append", default=[], metavar="FLAG=VALUE",
                        help="further flag for --hyvideo, such as --flag=--cfg-scale=2; may be repeated")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--shift", type=float, default=SHIFT)
    parser.add_argument("--guidance", type=float, default=6.0)
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--unwanted", action="store_true",
                        help="with --hyvideo: prompts that say nothing, captions as negative prompts; right means unwanted")
    options = parser.parse_args()
    if options.hyvideo and not options.save:
        parser.error("--hyvideo needs --save")
    return options


def make(entries, options):
    """The videos of the chosen source, and facts about it."""
    rendered = [render(e["scene"], options.frames) for e in entries] if options.rendered or options.reconstructed else []
    if options.rendered:
        return [(v + 1) / 2 for v in rendered], {"source": "rendered videos"}
    if options.hyvideo:
        length = [] if options.frames == FRAMES else ["--video-length", str(options.frames)]
        run_hyvideo(options.hyvideo, entries, options.save,
                    ["--model", str(options.model), "--threads", str(options.threads), *length, *options.flag])
    if options.hyvideo or options.measure:
        folder = options.save if options.hyvideo else options.measure
        facts = {"source": "hyvideo" if options.hyvideo else str(folder)}
        return [read_video(folder, e["seed"], options.frames) for e in entries], facts
    reference = Reference(options.model, options)
    if options.reconstructed:
        videos = [reference.reconstruct(v) for v in rendered]
        errors = torch.stack([(v * 2 - 1 - r).square().mean() for v, r in zip(videos, rendered)])
        decibels = 10 * torch.log10(4 / errors)
        held_out = decibels[1::2]
        if options.sheet:
            contact_sheet([v for i in (1, 3, 5, 7) for v in ((rendered[i] + 1) / 2, videos[i])], options.sheet)
        return videos, {"source": f"autoencoder of {options.model.name}", "median_psnr_db": decibels.median().item(),
                        "median_psnr_db_held_out": held_out.median().item(), "lowest_psnr_db": decibels.min().item(),
                        "lowest_psnr_db_held_out": held_out.min().item()}
    return reference.all(entries), {"source": f"diffusers on {options.model.name}", "steps": options.steps}


def main():
    options = parse()
    torch.set_num_threads(options.threads)
    entries = measured_list(options.count, options.unwanted)
    if options.write_prompts:
        options.write_prompts.write_text(json.dumps(entries, indent=1) + "\n")
        return
    videos, facts = make(entries, options)
    if options.save and not options.hyvideo:
        options.save.mkdir(parents=True, exist_ok=True)
        for entry, video in zip(entries, videos):
            save_file({"video": video[None].contiguous()}, options.save / f"{entry['seed']}.safetensors")
    if options.sheet and not options.reconstructed:
        contact_sheet(videos[:8], options.sheet)
    print(json.dumps(report(entries, videos, **facts), indent=1))


if __name__ == "__main__":
    main()
