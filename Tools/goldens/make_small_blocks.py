"""Blocks of the smaller GGUF types, and what the package `gguf` makes of them. It cannot quantize into these: they are random bits."""

import gguf
import numpy as np
from safetensors.numpy import save_file

SEED = 6
# Where a block's numbers in half precision are: random bits there would be of any size, or NaN.
PLACES = {"Q2_K": (80, 82), "Q3_K": (108,), "IQ4_NL": (0,), "IQ4_XS": (0,)}


def random_blocks(name, count):
    kind = gguf.GGMLQuantizationType[name]
    generator = np.random.Generator(np.random.PCG64([SEED, int(kind)]))
    blocks = generator.integers(0, 256, (count, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    for place in PLACES[name]:
        numbers = (generator.standard_normal(count) * 0.05).astype(np.float16)
        blocks[:, place:place + 2] = numbers.view(np.uint8).reshape(count, 2)
    return kind, blocks


def generate(out):
    folder = out / "small_blocks"
    folder.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(folder / "types.gguf", "hyvid")
    expected = {}
    for name in PLACES:
        kind, blocks = random_blocks(name, 6)
        writer.add_tensor(name, blocks.reshape(3, -1), raw_dtype=kind)
        expected[name] = gguf.quants.dequantize(blocks, kind).astype(np.float32).reshape(3, -1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(dict(sorted(expected.items())), folder / "expected.safetensors", metadata={"format": "np"})
    print("small_blocks: written")
