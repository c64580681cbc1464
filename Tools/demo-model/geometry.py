"""Recognises colour, motion, shape and background of a video without any network.

The object is segmented against the recognised background; its outline over time gives motion and shape.
"""

import math

import torch
import torch.nn.functional as F

from scenes import BACKGROUNDS, COLOURS, FRAMES, SIZE, background_image

ATTRIBUTES = ("colour", "motion", "shape", "background")


def find_background(video):
    border = torch.ones(SIZE, SIZE, dtype=torch.bool)
    border[5:-5, 5:-5] = False
    middle = video.median(dim=1).values
    return min(BACKGROUNDS, key=lambda n: (middle - background_image(n)).abs()[:, border].mean().item())


def find_colour(video, mask):
    core = (F.avg_pool2d(mask.unsqueeze(1), 3, 1, 1).squeeze(1) > 0.99).float()
    pixels = video.permute(1, 2, 3, 0)[(core if core.sum() > 40 else mask).bool()]
    mean = pixels.median(dim=0).values

    def distance(name):
        reference = torch.tensor(COLOURS[name])
        hue = (F.normalize(mean, dim=0) - F.normalize(reference, dim=0)).norm()
        return (hue + 0.15 * (mean - reference).norm()).item()

    return min(COLOURS, key=distance)


def find_motion(mask, area):
    axis = torch.arange(SIZE) + 0.5
    x = (mask.sum(dim=1) * axis).sum(1) / area
    y = (mask.sum(dim=2) * axis).sum(1) / area
    dx, dy = (v[-4:].mean().item() - v[:4].mean().item() for v in (x, y))
    growth = math.log(area[-4:].mean().item() / area[:4].mean().item())
    time_axis = torch.arange(FRAMES).float()
    straight = torch.corrcoef(torch.stack([y, time_axis]))[0, 1].abs().item() if y.std() > 1 else 0.0
    if abs(growth) > 0.7:
        return "grow" if growth > 0 else "shrink"
    if abs(dx) > 10 and abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    if straight > 0.95 and abs(dy) > 10:
        return "down" if dy > 0 else "up"
    return "bounce" if (y.max() - y.min()).item() > 8 else None


def find_shape(mask, area):
    best = mask[int(area.argmax())]
    ys, xs = torch.nonzero(best, as_tuple=True)
    top, bottom, left, right = int(ys.min()), int(ys.max()), int(xs.min()), int(xs.max())
    fill = best.sum().item() / ((bottom - top + 1) * (right - left + 1))
    cy, cx = (top + bottom) // 2, (left + right) // 2
    if best[cy - 1:cy + 2, cx - 1:cx + 2].mean() < 0.5:
        return "ring"
    return "square" if fill > 0.89 else "ball" if fill > 0.66 else "triangle"


def classify(video):
    """Attributes of a video [3, frames, height, width] in [0, 1]; None where nothing is recognised.

    When the object is missing from a frame, everything but the background is None.
    """
    background = find_background(video)
    difference = (video - background_image(background).unsqueeze(1)).abs().amax(dim=0)
    mask = (difference > 0.25).float()
    area = mask.sum(dim=(1, 2))
    if (area < 8).any():
        return {"background": background, "colour": None, "motion": None, "shape": None}
    return {"background": background, "colour": find_colour(video, mask), "motion": find_motion(mask, area),
            "shape": find_shape(mask, area)}


def score(scenes, videos):
    """Shares of videos with the right attributes, and what was found in each."""
    found = [classify(v) for v in videos]

    def share(names):
        return sum(all(f[n] == s[n] for n in names) for f, s in zip(found, scenes)) / len(scenes)

    table = {name: share([name]) for name in ATTRIBUTES}
    return table | {"colour_and_motion": share(["colour", "motion"]), "all_four": share(ATTRIBUTES)}, found
