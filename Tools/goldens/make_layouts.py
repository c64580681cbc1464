"""Tiny checkpoints in other releases' layouts, each written by the program that publishes it, and key lists at full size.

The networks are those of other goldens (same seeds), so their expected values hold here too: that Tencent's form and another
release's give the same output is tested against one reference.
"""

import json

import gguf
import torch
from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoTransformer3DModel
from safetensors.torch import load_file, save_file
from transformers import (CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, LlamaConfig,
                          LlamaForCausalLM, LlavaConfig, LlavaForConditionalGeneration)

import make_clip
import make_llama
import make_transformer
import make_vae
from common import GOLDENS, normal, save
from tencent_layout import to_diffusers, to_tencent

TRANSFORMER, VAE, LLAMA, CLIP = "one_valid_token_float16", "two_layers", "six_heads", "end_id"

# What ComfyUI renames when it saves the transformer, in its order.
COMFY = (
    ("txt_in.t_embedder.mlp.0.", "txt_in.t_embedder.in_layer."), ("txt_in.t_embedder.mlp.2.", "txt_in.t_embedder.out_layer."),
    ("txt_in.c_embedder.linear_1.", "txt_in.c_embedder.in_layer."),
    ("txt_in.c_embedder.linear_2.", "txt_in.c_embedder.out_layer."),
    ("_mod.linear.", "_mod.lin."), ("_attn_qkv.", "_attn.qkv."), ("mlp.fc1.", "mlp.0."), ("mlp.fc2.", "mlp.2."),
    ("_attn_q_norm.weight", "_attn.norm.query_norm.scale"), ("_attn_k_norm.weight", "_attn.norm.key_norm.scale"),
    (".q_norm.weight", ".norm.query_norm.scale"), (".k_norm.weight", ".norm.key_norm.scale"), ("_attn_proj.", "_attn.proj."),
    (".modulation.linear.", ".modulation.lin."), ("_in.mlp.2.", "_in.out_layer."), ("_in.mlp.0.", "_in.in_layer."),
)


def comfy_name(name):
    for ours, theirs in COMFY:
        name = name.replace(ours, theirs)
    return "model.model." + name


def transformer():
    config, seed, dtype = make_transformer.CASES[TRANSFORMER][:3]
    network = HunyuanVideoTransformer3DModel(**config).eval()
    make_transformer.random_weights(network, seed)
    return network.to(dtype), config


def vae():
    network = AutoencoderKLHunyuanVideo(**make_vae.CASES[VAE][0]).eval()
    make_vae.random_weights(network, 11 + list(make_vae.CASES).index(VAE))
    return network


def llama(folder):
    """The weights of the golden: its file, so that seeds need not be known here."""
    network = LlamaForCausalLM(LlamaConfig(**make_llama.CASES[LLAMA][0])).eval()
    network.load_state_dict(load_file(folder / "llama" / LLAMA / "weights.safetensors"))
    return network


def clip(folder):
    network = CLIPTextModel(CLIPTextConfig(**make_clip.CASES[CLIP][0])).eval()
    state = load_file(folder / "clip" / CLIP / "weights.safetensors")
    network.load_state_dict({name.removeprefix("text_model."): value for name, value in state.items()})
    return network


def llava(language_model):
    """A full LLaVA with a vision tower of the least size."""
    vision = CLIPVisionConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=4,
                              patch_size=2, projection_dim=8)
    network = LlavaForConditionalGeneration(LlavaConfig(vision_config=vision, text_config=language_model.config))
    network.model.language_model.load_state_dict(language_model.model.state_dict())
    # The picture tower has whatever weights it was made with.
    for name, parameter in network.named_parameters():
        if "language_model" not in name:
            parameter.copy_(normal(52, name, parameter.shape))
    network.lm_head.weight.zero_()
    return network


def full_clip(folder, state):
    """The whole CLIP as OpenAI publishes it: a picture tower and projections of the least size beside the text model."""
    vision = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=4, patch_size=2)
    network = CLIPModel(CLIPConfig(text_config=dict(make_clip.CASES[CLIP][0]), vision_config=vision, projection_dim=8)).eval()
    for name, parameter in network.named_parameters():
        parameter.copy_(normal(51, name, parameter.shape or (1,)).reshape(parameter.shape))
    network.text_model.load_state_dict({name.removeprefix("text_model."): value for name, value in state.items()})
    # Older files have this among the weights.
    positions = {"text_model.embeddings.position_ids": torch.arange(16)[None]}
    save(folder / "model.safetensors", {**network.state_dict(), **positions})
    (folder / "config.json").write_text(network.config.to_json_string(use_diff=False))


def wrapped_vae(folder, network):
    """The decoding half as Tencent's loader accepts it: in a wrapper, with a prefix, beside parts of a training run."""
    state = {f"vae.{k}": v for k, v in network.state_dict().items() if k.startswith(("decoder.", "post_quant_conv."))}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": {**state, "loss.logvar": torch.zeros(1)}, "epoch": 2}, folder / "pytorch_model.pt")


LLAMA_CPP = (("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"),
             ("model.layers.", "blk."), ("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm"),
             ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"),
             ("self_attn.o_proj", "attn_output"), ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"),
             ("mlp.down_proj", "ffn_down"))


def llama_cpp(path, network):
    """As llama.cpp's converter writes it: its names and notes, rows of queries and keys with the halves of a head alternating."""
    config = network.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(make_llama.COMMON["rope_theta"])
    for name, value in network.state_dict().items():
        for heads, part in ((config.num_attention_heads, "q_proj"), (config.num_key_value_heads, "k_proj")):
            if part in name:
                value = value.reshape(heads, 2, -1, value.shape[1]).swapaxes(1, 2).reshape(value.shape)
        for ours, theirs in LLAMA_CPP:
            name = name.replace(ours, theirs)
        writer.add_tensor(name, value.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantized(state, product):
    """The blocks' matrices in 8 bits with a factor each, and the numbers that these stand for."""
    stored, scales, numbers = dict(state), {}, dict(state)
    for name, value in state.items():
        if value.ndim == 2 and ("_blocks." in name or ".layers." in name) and "refiner" not in name:
            scale = (value.float().abs().max() / 448).reshape(())
            scales[name.removesuffix(".weight")] = scale
            stored[name] = (value.float() / scale).to(torch.float8_e4m3fn)
            numbers[name] = product(stored[name], scale)
    return stored, scales, numbers


def float32_product(stored, scale):
    return stored.float() * scale


def bfloat16_product(stored, scale):
    return (stored.to(torch.bfloat16) * scale.to(torch.bfloat16)).float()


def scaled_file(path, stored, scales, name_of=lambda name: name, marker="scaled_fp8"):
    """As ComfyUI publishes 8-bit weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name_of(name): value for name, value in stored.items()}
    tensors |= {name_of(f"{name}.weight").removesuffix(".weight") + ".scale_weight": s for name, s in scales.items()}
    tensors[marker] = torch.zeros(0, dtype=torch.float8_e4m3fn)
    save_file({name: tensors[name].contiguous() for name in sorted(tensors)}, path)


def eight_bit(root, network, config, language):
    """8-bit releases of whole networks, and what PyTorch's networks with the numbers that they stand for give."""
    golden = load_file(GOLDENS / "transformer" / TRANSFORMER / "expected.safetensors")
    state = to_tencent(network.state_dict(), config)
    expected = {}

    def velocity(numbers):
        other = HunyuanVideoTransformer3DModel(**config).eval()
        other.load_state_dict(to_diffusers({k: v.float() for k, v in numbers.items()}, config))
        return other(hidden_states=golden["latents"], timestep=golden["timestep"], guidance=golden["guidance"],
                     encoder_hidden_states=golden["text_states"], encoder_attention_mask=golden["text_mask"],
                     pooled_projections=golden["text_states_2"], return_dict=False)[0]

    stored, scales, numbers = quantized(state, float32_product)
    scaled_file(root / "comfy_fp8_scaled" / "transformer.safetensors", stored, scales, comfy_name, "model.model.scaled_fp8")
    (root / "comfy_fp8_scaled" / "config.json").write_text((root / "comfy" / "config.json").read_text())
    expected["comfy"] = velocity(numbers)

    stored, scales, numbers = quantized(state, bfloat16_product)
    folder = root / "tencent_fp8"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"module": stored}, folder / "mp_rank_00_model_states_fp8.pt")
    torch.save({name: scale.reshape(1) for name, scale in scales.items()}, folder / "mp_rank_00_model_states_fp8_map.pt")
    (folder / "config.json").write_text((root / "comfy" / "config.json").read_text())
    expected["tencent"] = velocity(numbers)

    golden = load_file(GOLDENS / "llama" / LLAMA / "expected.safetensors")
    stored, scales, numbers = quantized(language.state_dict(), float32_product)
    scaled_file(root / "llava_fp8_scaled" / "model.safetensors", stored, scales)
    (root / "llava_fp8_scaled" / "config.json").write_text((root / "diffusers" / "text_encoder" / "config.json").read_text())
    other = LlamaForCausalLM(language.config).eval()
    other.load_state_dict(numbers)
    states = other.model(input_ids=golden["input_ids"][1:2].long(), attention_mask=golden["attention_mask"][1:2],
                         output_hidden_states=True).hidden_states
    expected["llava"] = states[-2]
    save(root / "eight_bit.safetensors", expected)


def strip_versions(folder):
    """Versions of the writing programs in configurations would change goldens for no reason."""
    for file in folder.rglob("config.json"):
        value = {k: v for k, v in json.loads(file.read_text()).items() if not k.endswith("_version")}
        file.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    for file in folder.rglob("generation_config.json"):
        file.unlink()


def write_keys(path, shapes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(f"{json.dumps(n)}:{json.dumps(list(s), separators=(',', ':'))}" for n, s in shapes) + "\n}\n")


def full_keys(out):
    """Every key and shape of the published files, from the programs that read them, without any weights."""
    with torch.device("meta"):
        config = dict(make_transformer.COMMON, num_attention_heads=24, attention_head_dim=128, rope_axes_dim=(16, 56, 56),
                      num_layers=20, num_single_layers=40, num_refiner_layers=2, guidance_embeds=True, text_embed_dim=4096,
                      pooled_projection_dim=768)
        network = HunyuanVideoTransformer3DModel(**config)
        language = LlamaConfig(hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
                               num_key_value_heads=8, vocab_size=128320)
        models = {
            "vae": AutoencoderKLHunyuanVideo(), "llama": LlamaForCausalLM(language),
            "clip": CLIPModel(CLIPConfig(text_config=dict(
                hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, vocab_size=49408))),
        }
        original = to_tencent(network.state_dict(), config)
    shapes = {name: {k: v.shape for k, v in model.state_dict().items()} for name, model in models.items()}
    shapes["transformer_diffusers"] = {k: v.shape for k, v in network.state_dict().items()}
    shapes["transformer_tencent"] = {k: v.shape for k, v in original.items()}
    shapes["transformer_comfy"] = {comfy_name(k): v.shape for k, v in original.items()}
    for name, keys in shapes.items():
        write_keys(out / "keys" / f"{name}.json", keys.items())


@torch.no_grad()
def generate(out):
    root = out / "layouts"
    network, config = transformer()
    network.save_pretrained(root / "diffusers" / "transformer", max_shard_size="160KB")
    vae().save_pretrained(root / "diffusers" / "vae")
    language = llama(GOLDENS)
    language.model.save_pretrained(root / "diffusers" / "text_encoder")
    clip(GOLDENS).save_pretrained(root / "diffusers" / "text_encoder_2")
    save(root / "comfy" / "transformer.safetensors",
         {comfy_name(k): v for k, v in to_tencent(network.state_dict(), config).items()})
    (root / "comfy" / "config.json").write_text((root / "diffusers" / "transformer" / "config.json").read_text())
    llava(language).save_pretrained(root / "llava")
    full_clip(root / "clip", load_file(GOLDENS / "clip" / CLIP / "weights.safetensors"))
    wrapped_vae(root / "tencent_vae", vae())
    (root / "tencent_vae" / "config.json").write_text((root / "diffusers" / "vae" / "config.json").read_text())
    (root / "llama_cpp").mkdir(parents=True, exist_ok=True)
    llama_cpp(root / "llama_cpp" / "model.gguf", language)
    eight_bit(root, network, config, language)
    strip_versions(root)
    full_keys(out)
    print("layouts: written")
