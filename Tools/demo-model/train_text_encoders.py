"""Trains the two tiny text encoders, which stay frozen afterwards.

Both learn to tell a caption's shape, colour, motion and background apart: the LLaMA-style one from the layer the
diffusion model will read (its later layers, which nothing reads, keep their initial values), the CLIP-style one from its
pooled output.
"""

import argparse
import json
import random
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from transformers import (CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast, LlamaConfig, LlamaForCausalLM,
                          PreTrainedTokenizerFast)

from scenes import LABEL_SIZES, caption, labels, sample_scene
from text import SKIP_LAYERS, TEMPLATE_VIDEO, template_tokens

ROWS = 832  # embedding rows: a few more than tokens, as in the large model


class Heads(nn.ModuleList):
    def __init__(self, width):
        super().__init__(nn.Linear(width, size) for size in LABEL_SIZES)

    def loss(self, features, target):
        outputs = [head(features) for head in self]
        loss = sum(F.cross_entropy(o, target[:, i]) for i, o in enumerate(outputs))
        right = torch.stack([o.argmax(1) == target[:, i] for i, o in enumerate(outputs)], 1)
        return loss, right.float().mean(0)


def captions(rng, count):
    scenes = [sample_scene(rng) for _ in range(count)]
    return [caption(s, rng) for s in scenes], torch.tensor([labels(s) for s in scenes])


def train(model, heads, step_loss, steps, lr, name):
    parameters = [*model.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.01)
    seen = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1, (step + 1) / 30) * max(0.05, 1 - step / steps)
        loss, right = step_loss()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seen.append(right)
        if step % 50 == 49:
            share = [round(v, 3) for v in torch.stack(seen[-20:]).mean(0).tolist()]
            print(f"{name} step {step} loss {loss.item():.3f} right {share}", flush=True)
    return torch.stack(seen[-20:]).mean(0).tolist()


def train_clip(work, rng, steps):
    folder = work / "text_encoder_2"
    tokenizer = CLIPTokenizerFast.from_pretrained(folder)
    model = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=256, projection_dim=64, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=77, hidden_act="quick_gelu", initializer_factor=1.0,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))
    heads = Heads(64)

    def step_loss():
        texts, target = captions(rng, 64)
        tokens = tokenizer(texts, padding="max_length", max_length=32, truncation=True, return_tensors="pt")
        return heads.loss(model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).pooler_output, target)

    right = train(model, heads, step_loss, steps, 2e-3, "CLIP")
    model.save_pretrained(folder)
    return {"steps": steps, "attribute_accuracy": right}


def train_llama(work, rng, steps):
    folder = work / "text_encoder"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    crop = template_tokens(tokenizer, TEMPLATE_VIDEO)
    torch.manual_seed(5)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=ROWS, hidden_size=128, intermediate_size=320, num_hidden_layers=5, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=500000.0,
        hidden_act="silu", attention_bias=False, mlp_bias=False, tie_word_embeddings=False, initializer_range=0.05,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))
    nn.init.normal_(model.model.embed_tokens.weight, std=0.5)
    heads = Heads(128)

    def encode(texts):
        """States that the transformer will read, and their mask.  The template in front is the same for all: encoded once."""
        tokens = tokenizer([TEMPLATE_VIDEO.format(t) for t in texts], padding="longest", return_tensors="pt")
        keys_and_values = model.model(input_ids=tokens.input_ids[:1, :crop], use_cache=True).past_key_values
        keys_and_values.batch_repeat_interleave(len(texts))
        out = model.model(input_ids=tokens.input_ids[:, crop:], attention_mask=tokens.attention_mask,
                          past_key_values=keys_and_values, output_hidden_states=True)
        return out.hidden_states[-(SKIP_LAYERS + 1)], tokens.attention_mask[:, crop:].unsqueeze(-1).float()

    def step_loss():
        texts, target = captions(rng, 32)
        hidden, mask = encode(texts)
        return heads.loss((hidden * mask).sum(1) / mask.sum(1), target)

    right = train(model, heads, step_loss, steps, 2e-3, "LLaMA")
    with torch.no_grad():
        hidden, _ = encode(captions(rng, 8)[0])
    model.save_pretrained(folder)
    return {"steps": steps, "attribute_accuracy": right, "feature_std": hidden.std().item()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of everything that is trained")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(5)
    rng = random.Random(5)
    facts = {"text_encoder_2": train_clip(options.work, rng, options.steps),
             "text_encoder": train_llama(options.work, rng, options.steps)}
    (options.work / "text_facts.json").write_text(json.dumps(facts, indent=1))
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
