"""The cache rules around diffusers' HunyuanVideo transformer, independent of the program.

First-block cache, TaylorSeer and MagCache are diffusers' own; TeaCache, its variant in the Ascend recipe and EasyCache are
written here from their papers and scripts.  Every rule records which steps ran the blocks.
"""

import torch
from diffusers import FirstBlockCacheConfig, MagCacheConfig, TaylorSeerCacheConfig

TEACACHE = (7.33226126e02, -4.01131952e02, 6.75869174e01, -3.14987800e00, 9.61237896e-02)
ASCEND = (733.226126, -401.131952, 67.5869174, -3.149879, 0.0961237896)
# what a block adds through a gate: attention and MLP of both streams, the joint output of a single-stream block
MODULES = [r"transformer_blocks\.\d+\.(attn|ff|ff_context)", r"single_transformer_blocks\.\d+\.proj_out"]


def mean(x):
    return x.abs().mean().item()


def polynomial(coefficients, x):
    value = 0.0
    for c in coefficients:
        value = value * x + c
    return value


class Blocks:
    """Lets a rule look at the video stream before the first block and put a residual in place of all blocks."""

    def __init__(self, transformer, rule):
        self.rule, self.skipping, self.trace = rule, False, []
        first = transformer.transformer_blocks[0]
        blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
        for block in blocks:
            block.forward = self.wrap(block, block is first, block is blocks[-1])

    def wrap(self, block, is_first, is_last):
        forward = block.forward

        def wrapped(hidden_states, encoder_hidden_states, temb, *arguments, **named):
            if is_first:
                self.input = hidden_states
                signal = block.norm1(hidden_states, emb=temb)[0]
                self.skipping = self.rule.skips(len(self.trace), signal)
                self.trace.append(self.skipping)
                if self.skipping:
                    return hidden_states + self.residual, encoder_hidden_states
            if self.skipping:
                return hidden_states, encoder_hidden_states
            output = forward(hidden_states, encoder_hidden_states, temb, *arguments, **named)
            if is_last:
                self.residual = output[0] - self.input
            return output

        return wrapped


class TeaCache:
    def __init__(self, steps, threshold, coefficients=TEACACHE):
        self.steps, self.threshold, self.coefficients = steps, threshold, coefficients
        self.accumulated, self.previous = 0.0, None

    def skips(self, step, signal):
        previous, self.previous = self.previous, signal
        if step in (0, self.steps - 1):
            self.accumulated = 0.0
            return False
        self.accumulated += polynomial(self.coefficients, mean(signal - previous) / mean(previous))
        if self.accumulated < self.threshold:
            return True
        self.accumulated = 0.0
        return False


class AscendTeaCache:
    """With the recipe's defect repaired: its skip flag stays set through the last forced steps."""

    def __init__(self, steps, threshold, warmup=2):
        self.steps, self.threshold, self.warmup = steps, threshold, warmup
        self.accumulated, self.computed = 0.0, None

    def skips(self, step, signal):
        if step < self.warmup or step >= self.steps - self.warmup:
            self.accumulated = 0.0
            return False
        if self.computed is not None:
            ratio = mean(signal - self.computed) / (mean(self.computed) + 1e-8)
            self.accumulated += abs(polynomial(ASCEND, ratio))
            if self.accumulated < self.threshold:
                return True
            self.accumulated = 0.0
        self.computed = signal
        return False


class EasyCache:
    """Around the whole network: `__call__` takes the latents and a function that runs it."""

    def __init__(self, steps, threshold, retained=5):
        self.steps, self.threshold, self.retained = steps, threshold, retained
        self.error, self.rate, self.previous, self.last, self.trace = 0.0, None, None, None, []

    def __call__(self, latents, run):
        step, previous, self.previous = len(self.trace), self.previous, latents
        if step < self.retained or step == self.steps - 1:
            self.error = 0.0
        elif self.rate is not None:
            self.error += self.rate * mean(latents - previous) / mean(self.last[1])
            if self.error < self.threshold:
                self.trace.append(True)
                return latents + (self.last[1] - self.last[0])
            self.error = 0.0
        velocity = run(latents)
        if self.last is not None:
            self.rate = mean(velocity - self.last[1]) / mean(latents - self.last[0])
        self.last = latents, velocity
        self.trace.append(False)
        return velocity


def taylorseer(order, interval, warmup, cutoff_step, lite):
    return TaylorSeerCacheConfig(
        cache_interval=interval, disable_cache_before_step=warmup, disable_cache_after_step=cutoff_step, max_order=order,
        taylor_factors_dtype=torch.float32, use_lite_mode=lite, cache_identifiers=None if lite else MODULES)


def count_calls(module):
    """A list that gets one entry for every time a module truly runs, below whatever hooks are put on it later."""
    calls, forward = [], module.forward

    def counted(*arguments, **named):
        calls.append(True)
        return forward(*arguments, **named)

    module.forward = counted
    return calls


__all__ = ["AscendTeaCache", "Blocks", "EasyCache", "FirstBlockCacheConfig", "MagCacheConfig", "TeaCache", "count_calls",
           "taylorseer"]
