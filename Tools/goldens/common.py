"""What every generator shares: repeatable random numbers, sorted files, a few checks."""

import json
import zlib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "Tests" / "Goldens"
DEMO = ROOT / "Models" / "demo"


def normal(seed, name, shape, std=1.0, mean=0.0):
    """Normals that depend on the seed and the name only, not on the order in which tensors are made.

    NumPy draws them, so that weights and inputs do not depend on the vector instructions of the machine.
    """
    generator = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    return torch.from_numpy((generator.standard_normal(tuple(shape)) * std + mean).astype(np.float32))


def save(path, tensors, dtype=None):
    """Writes a safetensors file; `dtype` applies to floating-point tensors only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ready = {}
    for name in sorted(tensors):
        value = tensors[name].detach()
        if value.is_floating_point():
            assert torch.isfinite(value).all(), f"{name} is not finite"
            value = value.to(dtype) if dtype is not None else value
        ready[name] = value.contiguous().clone()
    save_file(ready, path, metadata={"format": "pt"})


def write_json(path, value, indent=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=True, sort_keys=True) + "\n")


def relative_change(a, b):
    """Largest difference relative to the largest value."""
    return ((a - b).abs().max() / a.abs().max()).item()


def assert_every_tensor_matters(module, forward, seed, exempt=(), least=5e-4):
    """Perturbs one parameter at a time and asserts that the output moves: nothing in the golden is inert.

    `exempt` holds patterns of names that cannot matter.
    """
    before = forward()
    for name, parameter in sorted(module.named_parameters()):
        if any(fnmatch(name, pattern) for pattern in exempt):
            continue
        keep = parameter.detach().clone()
        noise = normal(seed, "perturb " + name, parameter.shape, std=max(float(parameter.std(correction=0)), 0.1))
        with torch.no_grad():
            parameter.add_(noise)
        change = relative_change(before, forward())
        with torch.no_grad():
            parameter.copy_(keep)
        assert change > least, f"{name} hardly changes the output ({change:.1e})"
    assert torch.equal(before, forward())
