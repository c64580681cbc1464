"""The kinds of `hyvideo bench` in PyTorch, diffusers and transformers, with its flags and the main keys of its JSON.

    python kinds.py double-block --tokens 2048 --text-tokens 256 --dtype bf16 --runs 3
"""

import argparse
import json
import os
import resource
import statistics
import time

DEFAULTS = {
    "linear": {"tokens": 2304, "width": 3072, "outputs": 12288},
    "attention": {"tokens": 2048, "text_tokens": 256, "width": 3072, "heads": 24},
    "double-block": {"tokens": 2048, "text_tokens": 256, "width": 3072, "heads": 24},
    "single-block": {"tokens": 2048, "text_tokens": 256, "width": 3072, "heads": 24},
    "vae": {"frames": 17, "size": 128},
    "text-encoder": {"tokens": 351},
}
DTYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=DEFAULTS)
    for name in ("tokens", "text-tokens", "width", "outputs", "heads", "frames", "size"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="of weights and activations")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--runs", type=int, default=3, help="timed runs after a warm-up; the median counts")
    parser.add_argument("--no-warm-up", action="store_true", help="for work of minutes, whose first run is like the others")
    return parser.parse_args()


def linear(torch, shape, dtype):
    layer = torch.nn.Linear(shape["width"], shape["outputs"]).to(dtype)
    x = torch.randn(1, shape["tokens"], shape["width"], dtype=dtype)
    return lambda: layer(x)


def attention(torch, shape, dtype):
    tokens = shape["tokens"] + shape["text_tokens"]
    q, k, v = (torch.randn(1, shape["heads"], tokens, shape["width"] // shape["heads"], dtype=dtype) for _ in range(3))
    return lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v)


def block(torch, shape, dtype, kind):
    from diffusers.models.transformers import transformer_hunyuan_video as hunyuan

    heads, head = shape["heads"], shape["width"] // shape["heads"]
    make = hunyuan.HunyuanVideoTransformerBlock if kind == "double-block" else hunyuan.HunyuanVideoSingleTransformerBlock
    layer = make(heads, head, mlp_ratio=4.0).to(dtype).eval()
    time_dim = head // 8
    side = (head - time_dim) // 2
    rope = hunyuan.HunyuanVideoRotaryPosEmbed(2, 1, [time_dim, side, side])
    turned = rope(torch.zeros(1, 16, 1, 2, 2 * shape["tokens"]))
    video = torch.randn(1, shape["tokens"], shape["width"], dtype=dtype)
    text = torch.randn(1, shape["text_tokens"], shape["width"], dtype=dtype)
    vector = torch.randn(1, shape["width"], dtype=dtype)
    return lambda: layer(video, text, vector, None, turned)


def vae(torch, shape, dtype):
    from diffusers import AutoencoderKLHunyuanVideo

    model = AutoencoderKLHunyuanVideo().to(dtype).eval()
    del model.encoder
    model.enable_tiling()
    # Tencent's tiles
    model.tile_sample_min_num_frames, model.tile_sample_stride_num_frames = 64, 48
    latents = torch.randn(1, 16, (shape["frames"] - 1) // 4 + 1, shape["size"] // 8, shape["size"] // 8, dtype=dtype)
    return lambda: model.decode(latents)


def text_encoder(torch, shape, dtype):
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(
        hidden_size=4096, num_hidden_layers=1, num_attention_heads=32, num_key_value_heads=8, intermediate_size=14336,
        vocab_size=256, rms_norm_eps=1e-5, rope_theta=500000.0)
    model = LlamaModel(config).to(dtype).eval()
    ids = torch.arange(shape["tokens"])[None] % 256
    return lambda: model(ids, use_cache=False)


def main():
    options = parse()
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shape = {name: getattr(options, name) or value for name, value in DEFAULTS[options.kind].items()}
    if options.kind == "attention" and options.text_tokens == 0:
        shape["text_tokens"] = 0
    dtype = getattr(torch, DTYPES[options.dtype])
    make = {"linear": linear, "attention": attention, "vae": vae, "text-encoder": text_encoder}.get(options.kind)
    with torch.no_grad():
        run = make(torch, shape, dtype) if make else block(torch, shape, dtype, options.kind)
        seconds, processor = [], []
        if not options.no_warm_up:
            run()
        for _ in range(options.runs):
            wall, used = time.perf_counter(), time.process_time()
            run()
            seconds.append(time.perf_counter() - wall)
            processor.append(time.process_time() - used)
    capability = torch.backends.cpu.get_cpu_capability()
    print(json.dumps({
        "instructions": capability, "kind": options.kind, "shape": shape, "dtype": options.dtype, "threads": options.threads,
        "seconds_median": statistics.median(seconds), "processor_seconds_median": statistics.median(processor),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
