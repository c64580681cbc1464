"""PyTorch's CPU generator: raw bits, uniforms and normals."""

import numpy as np
import torch

from common import save

SEEDS = (0, 42, 2**32 + 5)
COUNTS = (1, 15, 16, 17, 512, 70001)
BITS = 700  # more than the 624 words of one state
UNIFORMS = 40


def generator(seed):
    return torch.Generator().manual_seed(seed)


def raw_bits(seed, count):
    """32-bit outputs of MT19937; PyTorch keeps the lower 32 bits of a seed."""
    twister = np.random.MT19937()
    twister._legacy_seeding(seed % 2**32)
    return torch.from_numpy(twister.random_raw(count).astype(np.int64))


def make():
    tensors = {}
    for seed in SEEDS:
        bits = raw_bits(seed, BITS)
        drawn = torch.empty(BITS, dtype=torch.int32).random_(generator=generator(seed))
        assert torch.equal(bits & 0x7FFF_FFFF, drawn.long()), "PyTorch's stream is not MT19937"
        uniforms = torch.rand(UNIFORMS, generator=generator(seed))
        assert torch.equal(uniforms, (bits[:UNIFORMS] & 0xFF_FFFF).float() * 2.0**-24)
        tensors[f"seed{seed}.bits"] = bits
        tensors[f"seed{seed}.uniforms"] = uniforms
        for count in COUNTS if seed == 42 else COUNTS[:4]:
            tensors[f"seed{seed}.normals.{count}"] = torch.randn(count, generator=generator(seed))
        for first, second in ((17, 40), (16, 5), (3, 2)):  # two draws from one generator
            one = generator(seed)
            tensors[f"seed{seed}.consecutive.{first}_{second}.0"] = torch.randn(first, generator=one)
            tensors[f"seed{seed}.consecutive.{first}_{second}.1"] = torch.randn(second, generator=one)
    shaped = torch.randn(1, 16, 2, 4, 6, generator=generator(42))
    assert torch.equal(shaped.flatten(), torch.randn(shaped.numel(), generator=generator(42)))
    return tensors


def generate(out):
    save(out / "random" / "normals.safetensors", make())
