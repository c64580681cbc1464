"""Noise levels and timesteps of the flow-matching scheduler, computed in float32."""

import torch

from common import write_json

CASES = ((50, 7.0), (50, 5.0), (30, 7.0), (4, 7.0), (2, 7.0), (20, 3.0), (1, 7.0), (6, 17.0), (10, 1.0))


def sigmas(steps, shift, reverse):
    """steps + 1 levels: from 1 to 0 when `reverse` is set, from 0 to 1 otherwise."""
    u = torch.linspace(1, 0, steps + 1)
    shifted = shift * u / (1 + (shift - 1) * u)
    return shifted if reverse else 1 - shifted


def generate(out):
    entries = []
    for reverse in (True, False):
        for steps, shift in CASES:
            levels = sigmas(steps, shift, reverse)
            entries.append({"steps": steps, "shift": shift, "reverse": reverse, "sigmas": levels.tolist(),
                            "timesteps": (levels[:-1] * 1000).tolist()})
    assert abs(entries[0]["sigmas"][1] - 343 / 344) < 1e-6 and entries[0]["sigmas"][-1] == 0
    write_json(out / "scheduler" / "sigmas.json", entries, indent=None)
