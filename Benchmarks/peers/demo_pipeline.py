"""The demo video in Python: diffusers' HunyuanVideo pipeline with transformers' encoders, one process from load to mp4.

Prints wall-clock seconds of every stage and the peak memory of the process as JSON.
"""

import time

START = time.perf_counter()

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROMPT = "A red ball moves from left to right on a black background."


class Stages:
    """Wall-clock seconds of one stage after the other."""

    def __init__(self):
        self.seconds = {}
        self.last = START

    def end(self, name):
        now = time.perf_counter()
        self.seconds[name] = round(now - self.last, 3)
        self.last = now


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / "Models" / "demo", help="checkpoint folder in Tencent's layout")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--output", type=Path, default=Path("demo.mp4"))
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps", type=int, help="from model.json when not given; so are the following")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--height", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--flow-shift", type=float)
    parser.add_argument("--guidance", type=float, help="embedded guidance")
    parser.add_argument("--fps", type=int)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--threads", type=int, help="PyTorch's own choice when not given")
    return parser.parse_args()


def load(model, dtype, shift):
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, HunyuanVideoPipeline
    from transformers import CLIPTextModel, CLIPTokenizerFast, LlamaModel, PreTrainedTokenizerFast
    from transformers.utils import logging

    sys.path.insert(0, str(ROOT / "Tools" / "goldens"))
    from tencent_layout import load_transformer, load_vae

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    dtype = getattr(torch, dtype)

    def cast(network):
        return network if dtype == torch.float32 else network.to(dtype)

    pipeline = HunyuanVideoPipeline(
        text_encoder=LlamaModel.from_pretrained(model / "text_encoder", dtype=dtype),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(model / "text_encoder"),
        transformer=cast(load_transformer(model)),
        vae=cast(load_vae(model)),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        text_encoder_2=CLIPTextModel.from_pretrained(model / "text_encoder_2", dtype=dtype),
        tokenizer_2=CLIPTokenizerFast.from_pretrained(model / "text_encoder_2"))
    # Tencent's temporal tiles (64 frames); diffusers' own default cuts a video of 17 frames in two
    pipeline.vae.tile_sample_min_num_frames, pipeline.vae.tile_sample_stride_num_frames = 64, 48
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def write_mp4(video, path, fps):
    """video: [frames, height, width, 3] in 0...1."""
    frames, height, width, _ = video.shape
    subprocess.run(
        ["ffmpeg", "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps),
         "-i", "-", "-c:v", "libx264", "-pix_fmt", "yuv420p", str(path)],
        input=(video * 255).astype("uint8").tobytes(), check=True)


def main():
    options = parse()
    stages = Stages()
    import diffusers  # noqa: F401  (most of the time to start)
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    stages.end("import")

    defaults = json.loads((options.model / "model.json").read_text())["defaults"]
    for name in ("steps", "frames", "height", "width", "flow_shift", "fps"):
        if getattr(options, name) is None:
            setattr(options, name, defaults[name])
    guidance = options.guidance or defaults["embedded_guidance"]
    pipeline = load(options.model, options.dtype, options.flow_shift)
    stages.end("load")

    with torch.no_grad():
        states, pooled, mask = pipeline.encode_prompt(options.prompt)
    stages.end("encode")

    # the network was used with the guidance value as bfloat16 rounds it (6.0 gives 6016)
    rounded = float(torch.tensor(guidance, dtype=torch.bfloat16) * 1000) / 1000
    latents = pipeline(
        prompt_embeds=states, pooled_prompt_embeds=pooled, prompt_attention_mask=mask, height=options.height,
        width=options.width, num_frames=options.frames, num_inference_steps=options.steps, guidance_scale=rounded,
        generator=torch.Generator().manual_seed(options.seed), output_type="latent").frames
    stages.end("denoise")

    with torch.no_grad():
        decoded = pipeline.vae.decode(latents.to(pipeline.vae.dtype) / pipeline.vae.config.scaling_factor).sample
    video = pipeline.video_processor.postprocess_video(decoded, output_type="np")[0]
    stages.end("decode")

    write_mp4(video, options.output, options.fps)
    stages.end("write")
    print(json.dumps({
        "prompt": options.prompt, "seed": options.seed, "steps": options.steps, "frames": options.frames, "height": options.height,
        "width": options.width, "dtype": options.dtype, "threads": torch.get_num_threads(),
        "seconds": stages.seconds, "seconds_total": round(time.perf_counter() - START, 3),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "output": str(options.output)}, indent=2))


if __name__ == "__main__":
    main()
