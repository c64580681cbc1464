"""Linear layers and attention in ggml, the library behind stable-diffusion.cpp, with the flags of `hyvideo bench` and its main JSON keys.

    python ggml_kinds.py linear --tokens 2304 --dtype bf16
    python ggml_kinds.py attention --tokens 2048 --text-tokens 0 --dtype f16

The C library comes from the package libggml-python; its functions are called through ctypes. Weights (or keys and values) have the type
that is asked for, activations are float32, as in stable-diffusion.cpp.
"""

import argparse
import ctypes
import json
import os
import resource
import statistics
import time
from pathlib import Path

import libggml
import numpy

TYPES = {"f32": 0, "f16": 1, "bf16": 30}
MEMORY = 8 << 30


class Parameters(ctypes.Structure):
    """`struct ggml_init_params`"""

    _fields_ = [("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


def load():
    folder = Path(libggml.__file__).parent / "lib64"
    base, cpu = (ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL) for name in ("libggml-base.so", "libggml-cpu.so"))
    for function in (base.ggml_init, base.ggml_new_tensor, base.ggml_get_data, base.ggml_mul_mat, base.ggml_new_graph,
                     base.ggml_flash_attn_ext):
        function.restype = ctypes.c_void_p
    return base, cpu


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("linear", "attention"))
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--text-tokens", type=int, default=0)
    parser.add_argument("--width", type=int, default=3072)
    parser.add_argument("--outputs", type=int, default=12288)
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--dtype", choices=TYPES, default="f16")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--runs", type=int, default=3, help="timed runs after a warm-up; the median counts")
    return parser.parse_args()


class Graph:
    """One operation on tensors of random numbers."""

    def __init__(self):
        self.base, self.cpu = load()
        self.numbers = numpy.random.default_rng(0)
        self.context = ctypes.c_void_p(self.base.ggml_init(Parameters(MEMORY, None, False)))

    def tensor(self, dtype, *extents):
        """Extents from the innermost."""
        sizes = (ctypes.c_int64 * len(extents))(*extents)
        tensor = ctypes.c_void_p(self.base.ggml_new_tensor(self.context, TYPES[dtype], len(extents), sizes))
        values = self.numbers.standard_normal(int(numpy.prod(extents)), dtype=numpy.float32)
        if dtype == "f16":
            values = values.astype(numpy.float16)
        elif dtype == "bf16":
            values = (values.view(numpy.uint32) >> 16).astype(numpy.uint16)
        ctypes.memmove(self.base.ggml_get_data(tensor), values.ctypes.data, values.nbytes)
        return tensor

    def product(self, weight, x):
        return ctypes.c_void_p(self.base.ggml_mul_mat(self.context, weight, x))

    def attention(self, q, k, v, size):
        scale = ctypes.c_float(size ** -0.5)
        return ctypes.c_void_p(self.base.ggml_flash_attn_ext(
            self.context, q, k, v, None, scale, ctypes.c_float(0), ctypes.c_float(0)))

    def run(self, result, threads):
        graph = ctypes.c_void_p(self.base.ggml_new_graph(self.context))
        self.base.ggml_build_forward_expand(graph, result)
        if self.cpu.ggml_graph_compute_with_ctx(self.context, graph, threads) != 0:
            raise SystemExit("ggml failed")


def main():
    options = parse()
    graph = Graph()
    if options.kind == "linear":
        weight = graph.tensor(options.dtype, options.width, options.outputs)
        x = graph.tensor("f32", options.width, options.tokens or 2304)
        make = lambda: graph.product(weight, x)
    else:
        size, tokens = options.width // options.heads, (options.tokens or 2048) + options.text_tokens
        q = graph.tensor("f32", size, tokens, options.heads)
        k, v = (graph.tensor(options.dtype, size, tokens, options.heads) for _ in range(2))
        make = lambda: graph.attention(q, k, v, size)
    seconds, processor = [], []
    for _ in range(options.runs + 1):
        result = make()
        wall, used = time.perf_counter(), time.process_time()
        graph.run(result, options.threads)
        seconds.append(time.perf_counter() - wall)
        processor.append(time.process_time() - used)
    print(json.dumps({
        "kind": options.kind, "dtype": options.dtype, "threads": options.threads,
        "instructions": [name for name in ("avx2", "avx512", "avx512_bf16") if getattr(graph.cpu, f"ggml_cpu_has_{name}")()],
        "seconds_median": statistics.median(seconds[1:]), "processor_seconds_median": statistics.median(processor[1:]),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
