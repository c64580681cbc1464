"""Times one double-stream and one single-stream block of diffusers' HunyuanVideo transformer at real width.

Prints JSON: median seconds of a call and GFLOP/s, multiplications and additions of linear layers and attention counted.
"""

import argparse
import json
import os
import resource
import statistics
import time


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=2048, help="video tokens")
    parser.add_argument("--text-tokens", type=int, default=256)
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls after one warm-up; the median counts")
    return parser.parse_args()


def flops(kind, tokens, text_tokens, width):
    """Operations of one block: 2 per multiplication and addition of linears and of the two attention products.

    The modulation works on one vector and is counted too: six outputs per stream, or three.
    """
    total = tokens + text_tokens
    attention = 4 * total * total * width
    if kind == "double":
        return 2 * total * width * width * (3 + 1 + 8) + attention + 2 * 2 * 6 * width * width
    return 2 * total * width * width * (3 + 4 + 5) + attention + 2 * 3 * width * width


def main():
    options = parse()
    import torch
    from diffusers.models.transformers import transformer_hunyuan_video as hunyuan

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    dtype = getattr(torch, options.dtype)
    width = options.heads * options.head_dim
    time_dim = options.head_dim // 8
    side_dim = (options.head_dim - time_dim) // 2
    rope = hunyuan.HunyuanVideoRotaryPosEmbed(2, 1, [time_dim, side_dim, side_dim])
    with torch.no_grad():
        cos, sin = rope(torch.zeros(1, 16, 1, 2, 2 * options.tokens))
        video = torch.randn(1, options.tokens, width, dtype=dtype)
        text = torch.randn(1, options.text_tokens, width, dtype=dtype)
        vector = torch.randn(1, width, dtype=dtype)
        for kind, make in (
            ("double", lambda: hunyuan.HunyuanVideoTransformerBlock(options.heads, options.head_dim, mlp_ratio=4.0)),
            ("single", lambda: hunyuan.HunyuanVideoSingleTransformerBlock(options.heads, options.head_dim, mlp_ratio=4.0)),
        ):
            block = make().to(dtype).eval()
            seconds = []
            for _ in range(options.repeats + 1):
                begin = time.perf_counter()
                block(video, text, vector, None, (cos, sin))
                seconds.append(time.perf_counter() - begin)
            median = statistics.median(seconds[1:])
            work = flops(kind, options.tokens, options.text_tokens, width)
            print(json.dumps({
                "kind": f"transformer_block_{kind}", "shape": {"tokens": options.tokens, "text_tokens": options.text_tokens,
                                                               "width": width, "heads": options.heads},
                "dtype": options.dtype, "threads": options.threads, "torch": torch.__version__, "seconds_median": round(median, 4),
                "seconds": [round(s, 4) for s in seconds[1:]], "flop": work, "gflops": round(work / median / 1e9, 1),
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)
            del block


if __name__ == "__main__":
    main()
