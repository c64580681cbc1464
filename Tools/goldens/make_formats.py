"""The same weights in every file format that checkpoints come in, each written by the format's own program."""

import zipfile

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from common import GOLDENS, normal, save

SEED = 4
BLOCKS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")


def weights():
    """Plain tensors of every kind that a PyTorch file holds, with shared and strided ones."""
    fused = normal(SEED, "fused", (12, 8))
    return {
        "blocks.0.weight": normal(SEED, "weight", (6, 8)),
        "blocks.0.bias": normal(SEED, "bias", (6,)).to(torch.bfloat16),
        "blocks.0.half": normal(SEED, "half", (3, 5)).to(torch.float16),
        "blocks.0.double": normal(SEED, "double", (2, 2)).to(torch.float64),
        "fused.all": fused,
        "fused.rows": fused[4:8],
        "fused.columns": fused[:, 2:5],
        "fused.transposed": fused.t(),
        "fused.steps": fused[1::3, ::2],
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "ids": torch.arange(5),
        "mask": torch.tensor([True, False, True]),
    }


def pytorch(folder):
    state = weights()
    parameters = torch.nn.Linear(8, 6)
    with torch.no_grad():
        parameters.weight.copy_(state["blocks.0.weight"])
        parameters.bias.copy_(state["blocks.0.bias"])
    save(folder / "expected.safetensors", state)
    for protocol in (2, 3, 4, 5):
        torch.save(state, folder / f"bare_protocol_{protocol}.pt", pickle_protocol=protocol)
    ema = {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}
    torch.save({"module": state, "ema": ema, "step": 7, "note": None}, folder / "module_and_ema.pt")
    torch.save({"state_dict": state, "epoch": 3}, folder / "state_dict.pt")
    torch.save(dict(parameters.named_parameters()), folder / "parameters.pth")
    torch.save(parameters.state_dict(), folder / "with_metadata.pth")
    # The same archive with deflated entries.
    with zipfile.ZipFile(folder / "bare_protocol_2.pt") as source:
        entries = [(info.filename, source.read(info)) for info in source.infolist()]
    with zipfile.ZipFile(folder / "deflated.pt", "w", zipfile.ZIP_DEFLATED) as target:
        for name, contents in entries:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(info, contents)
    with zipfile.ZipFile(folder / "wide.pt", "w", zipfile.ZIP_STORED) as target:
        for name, contents in entries:
            with target.open(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), "w", force_zip64=True) as entry:
                entry.write(contents)


def float8(folder):
    """Tencent's 8-bit layout with its map, and ComfyUI's: what each multiplies out to."""
    folder.mkdir(parents=True, exist_ok=True)
    matrices = {name: normal(SEED, name, (6, 8), std=0.02) for name in ("double_blocks.0.img_mod.linear", "txt_in.linear")}
    scales = {name: matrix.abs().max() / 448 for name, matrix in matrices.items()}
    stored = {name: (matrix / scales[name]).to(torch.float8_e4m3fn) for name, matrix in matrices.items()}
    bias = normal(SEED, "float8 bias", (6,)).to(torch.bfloat16)

    official = {f"{name}.weight": value for name, value in stored.items()} | {"txt_in.linear.bias": bias}
    torch.save({"module": official}, folder / "model_fp8.pt")
    torch.save({name: scale.reshape(1) for name, scale in scales.items()}, folder / "model_fp8_map.pt")
    expected = {f"official.{name}": stored[name].to(torch.bfloat16) * scales[name].to(torch.bfloat16) for name in stored}

    comfy = dict(official) | {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}
    rows = {name: matrix.abs().amax(1, keepdim=True) / 448 for name, matrix in matrices.items()}
    for name, scale in scales.items():
        comfy[f"{name}.scale_weight"] = scale
        comfy[f"{name}.scale_input"] = torch.tensor(1.0)
        expected[f"comfy.{name}"] = stored[name].float() * scale
    # Not `save`, which asks whether tensors are finite: 8-bit ones cannot tell.
    save_file(dict(sorted(comfy.items())), folder / "scaled_fp8.safetensors")
    marked = {f"{name}.weight": (matrices[name] / rows[name]).to(torch.float8_e4m3fn) for name in rows}
    marked |= {f"{name}.fp8_scale": scale for name, scale in rows.items()} | {"fp8_scale": torch.zeros(1)}
    for name, scale in rows.items():
        expected[f"rows.{name}"] = marked[f"{name}.weight"].float() * scale
    save_file(dict(sorted(marked.items())), folder / "fp8_scale.safetensors")
    unscaled = {f"{name}.weight": (matrix * 50).to(torch.float8_e4m3fn) for name, matrix in matrices.items()}
    for name in matrices:
        expected[f"unscaled.{name}"] = unscaled[f"{name}.weight"].float()
    save_file(dict(sorted(unscaled.items())), folder / "fp8_e4m3fn.safetensors")
    save(folder / "expected.safetensors", expected)


def random_blocks(name, count):
    """Blocks of random bits whose half-precision numbers are of a usual size."""
    kind = gguf.GGMLQuantizationType[name]
    size = gguf.GGML_QUANT_SIZES[kind][1]
    generator = np.random.Generator(np.random.PCG64([SEED, BLOCKS.index(name)]))
    blocks = generator.integers(0, 256, (count, size), dtype=np.uint8)
    places = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}.get(name, (0,))
    for place in places:
        numbers = (generator.standard_normal(count) * 0.05).astype(np.float16)
        blocks[:, place:place + 2] = numbers.view(np.uint8).reshape(count, 2)
    return kind, blocks


def llama_permute(rows, heads):
    """The order in which llama.cpp's converter has the rows of query and key projections."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def gguf_files(folder):
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    writer = gguf.GGUFWriter(folder / "types.gguf", "hyvid")
    writer.add_file_type(1)
    writer.add_uint32("llama.attention.head_count", 4)
    writer.add_string("note", "é")
    writer.add_bool("flag", True)
    writer.add_array("tokens", [f"token {i}" for i in range(40)])
    writer.add_array("sizes", [3, 1, 2])
    for name, dtype in (("F32", np.float32), ("F16", np.float16)):
        value = normal(SEED, name, (3, 4)).numpy().astype(dtype)
        writer.add_tensor(name, value)
        expected[name] = torch.from_numpy(value)
    value = normal(SEED, "BF16", (3, 4)).to(torch.bfloat16)
    writer.add_tensor("BF16", value.view(torch.int16).numpy().view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    expected["BF16"] = value
    five = normal(SEED, "five", (4, 2, 1, 2, 2)).numpy()
    writer.add_tensor("img_in.proj.weight", five)
    expected["img_in.proj.weight"] = torch.from_numpy(five)
    for name in BLOCKS:
        kind, blocks = random_blocks(name, 6)
        value = torch.from_numpy(gguf.quants.dequantize(blocks, kind).astype(np.float32))
        per_block = gguf.GGML_QUANT_SIZES[kind][0]
        writer.add_tensor(f"{name}.random", blocks.reshape(3, -1), raw_dtype=kind)
        expected[f"{name}.random"] = value.reshape(3, 2 * per_block)
        if not name.endswith("_K"):
            matrix = normal(SEED, f"{name} matrix", (4, 64)).numpy()
            quantized = gguf.quants.quantize(matrix, kind)
            writer.add_tensor(f"{name}.quantized", quantized, raw_dtype=kind)
            expected[f"{name}.quantized"] = torch.from_numpy(gguf.quants.dequantize(quantized, kind))
    query = normal(SEED, "query", (16, 32)).numpy()
    writer.add_tensor("blk.0.attn_q.weight", llama_permute(query, 4))
    expected["blk.0.attn_q.weight"] = torch.from_numpy(query)
    quantized = gguf.quants.quantize(query, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("blk.0.attn_k.weight", llama_permute(quantized, 2), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    expected["blk.0.attn_k.weight"] = torch.from_numpy(
        gguf.quants.dequantize(quantized, gguf.GGMLQuantizationType.Q8_0))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save(folder / "expected.safetensors", expected)


def transformer(folder):
    """A whole network of the transformers' goldens, as Tencent's `.pt` and as GGUF."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = load_file(GOLDENS / "transformer" / "one_valid_token_float16" / "weights.safetensors")
    torch.save({"module": weights}, folder / "mp_rank_00_model_states.pt")
    writer = gguf.GGUFWriter(folder / "model.gguf", "hyvid")
    for name, value in weights.items():
        writer.add_tensor(name, value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def generate(out):
    (out / "formats" / "pytorch").mkdir(parents=True, exist_ok=True)
    pytorch(out / "formats" / "pytorch")
    float8(out / "formats" / "float8")
    gguf_files(out / "formats" / "gguf")
    transformer(out / "formats" / "transformer")
