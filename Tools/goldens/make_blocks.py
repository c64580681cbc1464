"""Tiny networks whose matrices are GGUF blocks of every kind, and what PyTorch computes with the numbers that these stand for."""

import gguf
import numpy as np
import torch
from diffusers import HunyuanVideoTransformer3DModel
from transformers import LlamaConfig, LlamaForCausalLM

import make_llama
import make_transformer
from common import normal, save, write_json
from make_formats import BLOCKS, llama_permute
from make_layouts import LLAMA_CPP
from tencent_layout import to_diffusers, to_tencent, transformer_config_to_tencent

SEED = 31
# Widths of 32, 64 and 256: whole blocks of either size.
TRANSFORMER = dict(make_transformer.COMMON, num_attention_heads=4, attention_head_dim=16, rope_axes_dim=(4, 6, 6), num_layers=1,
                   num_single_layers=1, num_refiner_layers=1, guidance_embeds=True, text_embed_dim=32,
                   pooled_projection_dim=32)
LANGUAGE = dict(make_llama.COMMON, vocab_size=64, hidden_size=256, intermediate_size=32, num_hidden_layers=3,
                num_attention_heads=2, num_key_value_heads=1, head_dim=16, bos_token_id=60, eos_token_id=61, pad_token_id=62)


def blocks(name, value, kind):
    """A matrix in blocks, and the numbers that they stand for.

    The package quantizes into blocks of 32 alone: those of 256 are random bits, scaled to the matrix's deviation.
    """
    size = gguf.GGML_QUANT_SIZES[kind][0]
    if size == 32:
        stored = gguf.quants.quantize(value.numpy(), kind)
    else:
        rows, columns = value.shape
        count = rows * columns // size
        generator = np.random.Generator(np.random.PCG64([SEED, len(name), rows, columns]))
        stored = generator.integers(0, 256, (count, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
        places = (208,) if kind.name == "Q6_K" else (0, 2)
        numbers = [generator.standard_normal(count) for _ in places]

        def scaled(factor):
            for place, number in zip(places, numbers):
                stored[:, place:place + 2] = (number * factor).astype(np.float16).view(np.uint8).reshape(count, 2)
            return gguf.quants.dequantize(stored, kind)

        scaled(float(value.std()) / scaled(1e-3).std() * 1e-3)
        stored = stored.reshape(rows, -1)
    return stored, torch.from_numpy(gguf.quants.dequantize(stored, kind).astype(np.float32)).reshape(value.shape)


def write(path, architecture, state, notes, name_of, rows_of, kinds):
    """A GGUF file of a network; gives the numbers that it holds and those that were to be stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    notes(writer)
    numbers = {}
    for name, value in state.items():
        kind = kinds(name, value)
        if kind is None:
            numbers[name] = value
            writer.add_tensor(name_of(name), rows_of(name, value.contiguous().numpy()))
        else:
            kind = gguf.GGMLQuantizationType[kind]
            stored, numbers[name] = blocks(name, value, kind)
            writer.add_tensor(name_of(name), rows_of(name, stored), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return numbers


def kinds_in_turns(is_quantized):
    """Chooses among the kinds whose blocks rows are made of, one after the other."""
    counts = {32: 0, 256: 0}

    def kind(name, value):
        if value.ndim != 2 or value.shape[1] % 32 or not is_quantized(name):
            return None
        size = 256 if value.shape[1] % 256 == 0 else 32
        fitting = [kind for kind in BLOCKS if kind.endswith("_K") == (size == 256)]
        counts[size] += 1
        return fitting[(counts[size] - 1) % len(fitting)]

    return kind


def transformer(folder):
    network = HunyuanVideoTransformer3DModel(**TRANSFORMER).eval()
    make_transformer.random_weights(network, SEED)
    state = to_tencent(network.state_dict(), TRANSFORMER)
    numbers = write(
        folder / "transformer.gguf", "hyvid", state, lambda writer: None, lambda name: name, lambda name, rows: rows,
        kinds_in_turns(lambda name: True))
    network.load_state_dict(to_diffusers(numbers, TRANSFORMER))
    inputs = {
        "latents": normal(SEED, "latents", (1, 16, 2, 4, 6)), "timestep": torch.tensor([700.0]),
        "guidance": torch.tensor([6016.0]), "text_states": normal(SEED, "text_states", (1, 5, 32)),
        "text_states_2": normal(SEED, "text_states_2", (1, 32)),
    }
    output = network(
        hidden_states=inputs["latents"], timestep=inputs["timestep"], encoder_hidden_states=inputs["text_states"],
        encoder_attention_mask=torch.ones(1, 5), pooled_projections=inputs["text_states_2"], guidance=inputs["guidance"],
        return_dict=False)[0]
    write_json(folder / "config.json", transformer_config_to_tencent(TRANSFORMER))
    save(folder / "transformer_expected.safetensors", {**inputs, "output": output})


def language_model(folder):
    network = LlamaForCausalLM(LlamaConfig(**LANGUAGE)).eval()
    make_llama.random_weights(network, SEED)

    def notes(writer):
        writer.add_block_count(LANGUAGE["num_hidden_layers"])
        writer.add_head_count(LANGUAGE["num_attention_heads"])
        writer.add_head_count_kv(LANGUAGE["num_key_value_heads"])
        writer.add_key_length(LANGUAGE["head_dim"])
        writer.add_layer_norm_rms_eps(LANGUAGE["rms_norm_eps"])
        writer.add_rope_freq_base(LANGUAGE["rope_theta"])

    def name_of(name):
        for ours, theirs in LLAMA_CPP:
            name = name.replace(ours, theirs)
        return name

    def rows_of(name, rows):
        heads = {"q_proj": LANGUAGE["num_attention_heads"], "k_proj": LANGUAGE["num_key_value_heads"]}
        count = next((count for part, count in heads.items() if part in name), None)
        return rows if count is None else np.ascontiguousarray(llama_permute(rows, count))

    numbers = write(
        folder / "language_model.gguf", "llama", network.state_dict(), notes, name_of, rows_of,
        kinds_in_turns(lambda name: name != "lm_head.weight"))
    network.load_state_dict(numbers)
    ids = torch.tensor([[60, 5, 17, 42, 3, 63, 8]])
    states = network.model(input_ids=ids, output_hidden_states=True).hidden_states
    save(folder / "language_model_expected.safetensors", {"input_ids": ids, "states": states[-2]})


@torch.no_grad()
def generate(out):
    transformer(out / "blocks" / "transformer")
    language_model(out / "blocks" / "language_model")
    print("blocks: written")
