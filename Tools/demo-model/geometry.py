"""Recognises colour, motion, shape and background of a video without any network.

The object is segmented against the recognised background; its outline over time gives motion and shape.
"""

import math
from collections import Counter

import torch
import torch.nn.functional as F

from scenes import BACKGROUNDS, COLOURS, background_image

ATTRIBUTES = ("colour", "motion", "shape", "background")
CONTRAST = 0.17  # least difference from the background, in the colour that differs most
SMALLEST = 40  # pixels


def find_background(video):
    border = torch.ones(video.shape[-2:], dtype=torch.bool)
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
    """Growth by area, a circle by its extent in both directions, a bounce by a height that comes back."""
    height, width = mask.shape[-2:]
    x = (mask.sum(dim=1) * (torch.arange(width) + 0.5)).sum(1) / area
    y = (mask.sum(dim=2) * (torch.arange(height) + 0.5)).sum(1) / area
    dx, dy = (v[-3:].mean().item() - v[:3].mean().item() for v in (x, y))
    growth = math.log(area[-3:].mean().item() / area[:3].mean().item())
    reach_x, reach_y = (x.max() - x.min()).item(), (y.max() - y.min()).item()
    if abs(growth) > 0.8:
        return "grow" if growth > 0 else "shrink"
    if reach_x > 22 and reach_y > 22:
        return "orbit"
    if reach_x > reach_y:
        return None if abs(dx) < 25 else "right" if dx > 0 else "left"
    if reach_y > 14:
        steady = y.diff().sum().abs() / y.diff().abs().sum()
        return "bounce" if steady < 0.8 else "down" if dy > 0 else "up"
    return None


def find_shape_in(mask):
    ys, xs = torch.nonzero(mask, as_tuple=True)
    top, bottom, left, right = int(ys.min()), int(ys.max()), int(xs.min()), int(xs.max())
    fill = mask.sum().item() / ((bottom - top + 1) * (right - left + 1))
    cy, cx = (top + bottom) // 2, (left + right) // 2
    if mask[cy - 1:cy + 2, cx - 1:cx + 2].mean() < 0.5:
        return "ring"
    return "square" if fill > 0.89 else "ball" if fill > 0.65 else "triangle"


def find_shape(mask, area):
    """What most frames show in which the object is not small."""
    votes = Counter(find_shape_in(mask[t]) for t in range(len(mask)) if area[t] > 0.4 * area.max())
    return votes.most_common(1)[0][0]


def classify(video):
    """Attributes of a video [3, frames, height, width] in [0, 1]; None where nothing is recognised.

    When the object is missing from a frame, everything but the background is None.
    """
    background = find_background(video)
    difference = (video - background_image(background).unsqueeze(1)).abs().amax(dim=0)
    mask = (difference > CONTRAST).float()
    mask = (F.avg_pool2d(mask.unsqueeze(1), 3, 1, 1).squeeze(1) > 0.5).float()  # no single pixels
    area = mask.sum(dim=(1, 2))
    if (area < SMALLEST).any():
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
