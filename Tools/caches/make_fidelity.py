"""Writes Tests/Goldens/fidelity: two short videos and their PSNR and SSIM, computed directly in float64."""

import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tools" / "goldens"))

from common import GOLDENS, normal, save, write_json

SIZE = (1, 3, 3, 20, 26)


def gaussian_means(plane):
    """Weighted means over all windows of 11 x 11 that lie inside; sigma 1.5."""
    axis = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    return np.einsum("yxij,ij->yx", np.lib.stride_tricks.sliding_window_view(plane, (11, 11)), window)


def ssim(x, y):
    mx, my = gaussian_means(x), gaussian_means(y)
    vx, vy, vxy = gaussian_means(x * x) - mx**2, gaussian_means(y * y) - my**2, gaussian_means(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    return (((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()


def main():
    first = normal(31, "first", SIZE).cumsum(3).cumsum(4)
    first = (first - first.amin()) / (first.amax() - first.amin())
    second = (first + 0.03 * normal(31, "second", SIZE)).clamp(0, 1)
    second[:, :, 2] = first[:, :, 2]
    x, y = first.double().numpy()[0], second.double().numpy()[0]
    frames = range(SIZE[2])
    errors = [float(((x[:, f] - y[:, f]) ** 2).mean()) for f in frames]
    similarities = [float(np.mean([ssim(x[c, f], y[c, f]) for c in range(3)])) for f in frames]
    save(GOLDENS / "fidelity" / "first.safetensors", {"video": first})
    save(GOLDENS / "fidelity" / "second.safetensors", {"video": second})
    write_json(GOLDENS / "fidelity" / "expected.json", {
        "psnr_db": -10 * np.log10(np.mean(errors)), "ssim": float(np.mean(similarities)),
        "per_frame": [{"psnr_db": -10 * np.log10(e) if e else 100.0, "ssim": s} for e, s in zip(errors, similarities)]})


if __name__ == "__main__":
    main()
