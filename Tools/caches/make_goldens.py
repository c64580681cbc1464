"""Writes Tests/Goldens/caches: which steps each rule skips on the demo checkpoint, and the latents that it ends with."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tools" / "goldens"))

from common import DEMO, GOLDENS, save, write_json
from make_scheduler import sigmas
from rules import (AscendTeaCache, Blocks, EasyCache, FirstBlockCacheConfig, MagCacheConfig, TeaCache, count_calls,
                   taylorseer)
from tencent_layout import load_transformer

STEPS, SHIFT = 30, json.loads((DEMO / "model.json").read_text())["defaults"]["flow_shift"]
SAMPLING = load_file(GOLDENS / "demo" / "sampling.safetensors")


def sample(transformer, step_of=None):
    """Latents after all steps; `step_of` stands around the network."""
    levels = sigmas(STEPS, SHIFT, reverse=True)
    latents = SAMPLING["initial_noise"]
    for i in range(STEPS):
        def run(x, i=i):
            with transformer.cache_context("cond"):
                return transformer(
                    hidden_states=x, timestep=levels[i].reshape(1) * 1000, encoder_hidden_states=SAMPLING["text_states"],
                    encoder_attention_mask=SAMPLING["text_mask"], pooled_projections=SAMPLING["text_states_2"],
                    guidance=torch.tensor([6016.0]), return_dict=False)[0]
        velocity = step_of(latents, run) if step_of else run(latents)
        latents = latents + velocity * (levels[i + 1] - levels[i])
    return latents


def magnitude_ratios(transformer):
    """`mean(|r_i| / |r_{i-1}|)` over tokens, of the blocks' residuals of a run that computes every step."""
    residuals = []

    class Watch:
        def skips(self, step, signal):
            return False

    blocks = Blocks(transformer, Watch())
    last = transformer.single_transformer_blocks[-1]
    forward = last.forward

    def watched(*arguments, **named):
        output = forward(*arguments, **named)
        residuals.append(blocks.residual)
        return output

    last.forward = watched
    sample(transformer)
    norms = [r.norm(dim=-1) for r in residuals]
    return [1.0] + [(b / (a + 1e-8)).mean().item() for a, b in zip(norms, norms[1:])]


def blocks_rule(rule):
    transformer = load_transformer(DEMO)
    blocks = Blocks(transformer, rule)
    return sample(transformer), blocks.trace


def network_rule(rule):
    return sample(load_transformer(DEMO), rule), rule.trace


def diffusers_rule(config):
    """diffusers' hooks: a step ran its blocks where the last block's attention was called."""
    transformer = load_transformer(DEMO)
    attention = transformer.single_transformer_blocks[-1].attn
    if hasattr(config, "cache_interval") and not config.use_lite_mode:
        # single-stream attention itself is not hooked there: the output projection tells
        attention = transformer.single_transformer_blocks[-1].proj_out
    calls, counts = count_calls(attention), []
    transformer.enable_cache(config)

    def step_of(latents, run):
        before = len(calls)
        velocity = run(latents)
        counts.append(len(calls) == before)
        return velocity

    return sample(transformer, step_of), counts


@torch.no_grad()
def main():
    torch.set_num_threads(2)
    ratios = magnitude_ratios(load_transformer(DEMO))
    ratio_text = ",".join(repr(r) for r in ratios)

    def mag(threshold, most):
        return MagCacheConfig(threshold=threshold, max_skip_steps=most, num_inference_steps=STEPS, mag_ratios=ratios)

    cases = {
        "teacache_0.1": ("teacache", {"rel_l1_thresh": "0.1"}, blocks_rule(TeaCache(STEPS, 0.1))),
        "teacache_0.15": ("teacache", {"rel_l1_thresh": "0.15"}, blocks_rule(TeaCache(STEPS, 0.15))),
        "teacache_ascend": ("teacache-ascend", {}, blocks_rule(AscendTeaCache(STEPS, 0.15))),
        "fbcache": ("fbcache", {"rel_l1_thresh": "0.1"}, diffusers_rule(FirstBlockCacheConfig(threshold=0.1))),
        "taylorseer_1": ("taylorseer", {"n_derivatives": "1", "skip_interval_steps": "5", "offset": "1", "cutoff_steps": "0"},
                         diffusers_rule(taylorseer(1, 5, 3, None, False))),
        "taylorseer_3": ("taylorseer", {"n_derivatives": "3", "skip_interval_steps": "4", "offset": "1", "cutoff_steps": "1"},
                         diffusers_rule(taylorseer(3, 4, 3, STEPS - 1, False))),
        "taylorseer_velocity": (
            "taylorseer", {"n_derivatives": "2", "skip_interval_steps": "4", "offset": "1", "cutoff_steps": "1",
                           "scope": "velocity"}, diffusers_rule(taylorseer(2, 4, 3, STEPS - 1, True))),
        "easycache": ("easycache", {"thresh": "0.05"}, network_rule(EasyCache(STEPS, 0.05))),
        "magcache": ("magcache", {"thresh": "0.24", "K": "6", "mag_ratios": ratio_text}, diffusers_rule(mag(0.24, 6))),
        "magcache_slow": ("magcache", {"thresh": "0.12", "K": "4", "mag_ratios": ratio_text}, diffusers_rule(mag(0.12, 4))),
    }
    dense = sample(load_transformer(DEMO))
    table = {}
    for name, (method, options, (latents, skipped)) in cases.items():
        assert len(skipped) == STEPS and any(skipped), name
        difference = ((latents - dense).norm() / dense.norm()).item()
        print(f"{name}: {STEPS - sum(skipped)} of {STEPS} computed, {difference:.2e} from dense", file=sys.stderr)
        table[name] = {"method": method, "options": options, "skipped": skipped}
    facts = {"steps": STEPS, "shift": SHIFT, "magnitude_ratios": ratios, "cases": table}
    write_json(GOLDENS / "caches" / "decisions.json", facts)
    save(GOLDENS / "caches" / "latents.safetensors",
         {"dense": dense, **{name: latents for name, (_, _, (latents, _)) in cases.items()}})


if __name__ == "__main__":
    main()
