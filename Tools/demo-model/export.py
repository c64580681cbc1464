"""Writes the demo checkpoint in Tencent's layout from the training weights, with its model description and goldens."""

import argparse
import json
import random
import shutil
import sys
from pathlib import Path

import torch
from diffusers import HunyuanVideoTransformer3DModel
from safetensors.torch import save_file
from transformers import CLIPTextModel, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "goldens"))

import scenes
from demo_goldens import GOLDEN_STEPS, PROMPTS, write_goldens
from diffusion import GUIDANCE, SHIFT, STEPS, decode, velocity
from tencent_layout import (TRANSFORMER_FILE, TRANSFORMER_FOLDER, VAE_FILE, VAE_FOLDER, load_transformer, load_vae, to_diffusers,
                            to_tencent, transformer_config_to_tencent, vae_config_to_tencent)
from text import (MAX_PROMPT_TOKENS, NEGATIVE_PROMPT, SKIP_LAYERS, TEMPLATE_IMAGE, TEMPLATE_VIDEO, TextFeatures,
                  template_tokens)
from train_decoder import trained_decoder
from train_encoder import FrameEncoder, install

STORED = torch.float16
KNOWN_WEAKNESSES = [
    "One object with one motion on one background; prompts with two objects give one mixed object.",
    "Trained at 128 x 96 with 17 frames, and one step in twelve with 33; other sizes and lengths run but are not expected to look "
    "right.",
    "The embedded guidance was given random values in training and means nothing. Classifier-free guidance works, for captions "
    "were left out in training, but gains nothing; negative prompts take away backgrounds and motions, not colours and shapes.",
    "The last two layers of the LLaMA-style encoder and its language head have their initial values: nothing reads them.",
]


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def save(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {k: (v.to(STORED) if v.is_floating_point() else v).detach().contiguous().clone() for k, v in tensors.items()}
    save_file(tensors, path, metadata={"format": "pt"})


def export_transformer(work, out):
    model = HunyuanVideoTransformer3DModel.from_pretrained(work / "transformer")
    state = model.state_dict()
    written = to_tencent(state, model.config)
    restored = to_diffusers(written, model.config)
    assert restored.keys() == state.keys() and all(torch.equal(restored[k], state[k]) for k in state), "conversion is not exact"
    save(out / TRANSFORMER_FOLDER / TRANSFORMER_FILE, written)
    write_json(out / TRANSFORMER_FOLDER / "config.json", transformer_config_to_tencent(model.config))


def trained_vae(work, checkpoint=None):
    """The autoencoder of the averaged weights; the decoder that of a checkpoint, if one is given."""
    vae, net = trained_decoder(work, checkpoint), FrameEncoder()
    through, codes = work / "encoder.pt", work / "encoder_codes.pt"
    net.load_state_dict(torch.load(through if through.exists() else codes, weights_only=False)["average"])
    install(net, vae)
    return vae


def export_vae(work, out):
    vae = trained_vae(work)
    save(out / VAE_FOLDER / VAE_FILE, vae.state_dict())
    write_json(out / VAE_FOLDER / "config.json", vae_config_to_tencent(vae.config, sample_size=256, sample_tsize=64))


def export_encoder(work, out):
    """Replaces the encoder of a checkpoint by one that was trained for its decoder (`train_encoder.py --decoder`)."""
    vae = trained_vae(work, out)
    save(out / VAE_FOLDER / VAE_FILE, vae.state_dict())
    description = read(out / "model.json")
    description["training"]["vae"]["encoder"] = encoder_facts(work)
    description["known_weaknesses"] = KNOWN_WEAKNESSES
    write_json(out / "model.json", description)


def export_config(source, target, **changes):
    config = json.loads(source.read_text())
    config.pop("dtype", None)
    write_json(target, config | changes | {"torch_dtype": str(STORED).removeprefix("torch.")})


def export_llama(work, out):
    source, folder = work / "text_encoder", out / "text_encoder"
    save(folder / "model.safetensors", LlamaForCausalLM.from_pretrained(source).state_dict())
    theta = json.loads((source / "config.json").read_text()).get("rope_parameters", {}).get("rope_theta", 500000.0)
    export_config(source / "config.json", folder / "config.json", architectures=["LlamaForCausalLM"], rope_theta=theta,
                  rope_scaling=None)
    for name in ("tokenizer.json", "special_tokens_map.json"):
        shutil.copy(source / name, folder)
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>",
        "pad_token": "<pad>", "unk_token": "<unk>", "padding_side": "right", "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"], "tokenizer_class": "PreTrainedTokenizerFast"})


def export_clip(work, out):
    source, folder = work / "text_encoder_2", out / "text_encoder_2"
    state = CLIPTextModel.from_pretrained(source).state_dict()
    save(folder / "model.safetensors", {k if k.startswith("text_model.") else f"text_model.{k}": v
                                        for k, v in state.items() if "position_ids" not in k})
    export_config(source / "config.json", folder / "config.json", architectures=["CLIPTextModel"])
    for name in ("tokenizer.json", "vocab.json", "merges.txt", "special_tokens_map.json"):
        shutil.copy(source / name, folder)
    write_json(folder / "tokenizer_config.json", {
        "add_prefix_space": False, "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>", "do_lower_case": True, "errors": "replace", "model_max_length": 77,
        "tokenizer_class": "CLIPTokenizer"})


@torch.no_grad()
def rounding(work, out):
    """What rounding the weights changes: one velocity and one decoding, before and after."""
    trained, exported = HunyuanVideoTransformer3DModel.from_pretrained(work / "transformer").eval(), load_transformer(out)
    prompts = list(PROMPTS[:2])
    noise = torch.randn(2, 16, 5, scenes.HEIGHT // 8, scenes.WIDTH // 8, generator=torch.Generator().manual_seed(3))
    a, b = (velocity(model, noise, 0.7, TextFeatures(folder)(prompts)) for model, folder in ((trained, work), (exported, out)))
    vae = trained_vae(work)
    z = scenes.codes([scenes.sample_scene(random.Random(4))])
    c, d = decode(vae, z), decode(load_vae(out), z)
    return {"velocity_max_difference": (a - b).abs().max().item(), "velocity_std": a.std().item(),
            "decoded_pixel_max_difference": (c - d).abs().max().item()}


def read(path):
    return json.loads(path.read_text()) if path.exists() else None


def encoder_facts(work):
    codes, through = read(work / "encoder_codes_facts.json"), read(work / "encoder_facts.json")
    steps = {"steps_towards_codes": codes["steps"], "steps_through_the_decoder": through["steps"] if through else 0}
    return steps | {k: v for k, v in (through or codes).items() if k != "steps"}


def describe(work, out, differences, sampling_seconds, decoding_seconds):
    """The contents of `model.json`."""
    tokenizer = TextFeatures(out).tokenizer
    return {
        "name": "Tiny HunyuanVideo demo: one coloured shape, one motion, one background",
        "files": {"transformer": str(TRANSFORMER_FOLDER / TRANSFORMER_FILE), "vae": str(VAE_FOLDER / VAE_FILE),
                  "text_encoder": "text_encoder", "text_encoder_2": "text_encoder_2"},
        "defaults": {
            "height": scenes.HEIGHT, "width": scenes.WIDTH, "frames": scenes.FRAMES, "fps": 8, "steps": STEPS, "flow_shift": SHIFT,
            "embedded_guidance": GUIDANCE, "cfg_scale": 1.0, "flow_reverse": True, "negative_prompt": NEGATIVE_PROMPT,
            "max_prompt_tokens": MAX_PROMPT_TOKENS, "crop_start": template_tokens(tokenizer, TEMPLATE_VIDEO),
            "crop_start_image": template_tokens(tokenizer, TEMPLATE_IMAGE), "hidden_state_skip_layer": SKIP_LAYERS,
            "apply_final_norm": False, "template": TEMPLATE_VIDEO, "template_image": TEMPLATE_IMAGE},
        "captions": {
            "shapes": list(scenes.SHAPES), "colours": list(scenes.COLOURS),
            "backgrounds": {k: v[0] for k, v in scenes.BACKGROUNDS.items()},
            "motions": {k: [list(pair) for pair in v] for k, v in scenes.MOTIONS.items()},
            "templates": list(scenes.TEMPLATES),
            "not_trained": "white objects on the light background, red objects on the sunset sky, and one combination in nine"},
        "training": {
            "text_encoders": read(work / "text_facts.json"),
            "vae": {"decoder": read(work / "decoder_facts.json"), "encoder": encoder_facts(work)},
            "transformer": read(work / "dit_facts.json"),
            "notes": "All weights trained from scratch on procedurally drawn videos, on two CPU cores. "
                     "Weights are stored as float16."},
        "accuracy": read(work / "accuracy.json"),
        "known_weaknesses": KNOWN_WEAKNESSES,
        "rounding": differences,
        "seconds_in_pytorch_on_two_cpu_cores": {
            f"{GOLDEN_STEPS}_steps": round(sampling_seconds, 2), "decode": round(decoding_seconds, 2)},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of the training weights")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write, such as Models/demo")
    parser.add_argument("--goldens", type=Path, help="folder of the goldens, such as Tests/Goldens/demo")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--goldens-only", action="store_true", help="leave the checkpoint in --out as it is")
    only.add_argument("--encoder-only", action="store_true",
                      help="replace the encoder in --out alone; no golden depends on it")
    parser.add_argument("--prompt", default=PROMPTS[0], help="prompt of the sampling golden")
    parser.add_argument("--seed", type=int, default=100, help="seed of the sampling golden")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.encoder_only:
        export_encoder(options.work, options.out)
        return
    if not options.goldens:
        parser.error("--goldens is needed")
    if options.goldens_only:
        write_goldens(options.out, options.goldens, options.prompt, options.seed)
        return
    for export in (export_transformer, export_vae, export_llama, export_clip):
        export(options.work, options.out)
    differences = rounding(options.work, options.out)
    seconds = write_goldens(options.out, options.goldens, options.prompt, options.seed)
    write_json(options.out / "model.json", describe(options.work, options.out, differences, *seconds))
    total = sum(p.stat().st_size for p in options.out.rglob("*") if p.is_file())
    print(f"exported {total / 1e6:.2f} MB; {json.dumps(differences)}; "
          f"{GOLDEN_STEPS} steps {seconds[0]:.1f} s, decode {seconds[1]:.2f} s")


if __name__ == "__main__":
    main()
