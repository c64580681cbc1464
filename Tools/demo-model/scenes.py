"""Procedural videos of one moving shape, and captions that describe them.

A scene is a plain dict (shape, colour, motion, background plus random geometry).  `render` draws it as a float tensor
[3, frames, size, size] in [-1, 1]; `caption` writes one of several natural sentences about it.
"""

import math
import random

import torch

SIZE = 64
FRAMES = 17

SHAPES = ("ball", "square", "triangle", "ring")

COLOURS = {
    "red": (0.90, 0.10, 0.10),
    "green": (0.10, 0.75, 0.20),
    "blue": (0.15, 0.35, 0.95),
    "yellow": (0.98, 0.88, 0.10),
    "white": (0.97, 0.97, 0.97),
    "purple": (0.60, 0.15, 0.80),
    "orange": (1.00, 0.52, 0.05),
    "cyan": (0.10, 0.85, 0.90),
}

# name: (noun phrase, short noun phrase, RGB); the floor is drawn on top of a dark backdrop
BACKGROUNDS = {
    "black": ("a black background", "black background", (0.02, 0.02, 0.02)),
    "gray": ("a gray background", "gray background", (0.40, 0.40, 0.40)),
    "dark blue": ("a dark blue background", "dark blue background", (0.04, 0.06, 0.28)),
    "light": ("a light background", "light background", (0.86, 0.84, 0.80)),
    "checkered": ("a checkered floor", "checkered floor", (0.12, 0.12, 0.14)),
}

# motion: list of (third person, participle)
MOTIONS = {
    "right": [("moves from left to right", "moving from left to right"), ("slides to the right", "sliding to the right")],
    "left": [("moves from right to left", "moving from right to left"), ("slides to the left", "sliding to the left")],
    "up": [("moves up", "moving up"), ("rises upwards", "rising upwards")],
    "down": [("moves down", "moving down"), ("falls downwards", "falling downwards")],
    "grow": [("grows bigger", "growing bigger"), ("gets larger", "getting larger")],
    "shrink": [("shrinks", "shrinking"), ("gets smaller", "getting smaller")],
    "bounce": [("bounces up and down", "bouncing up and down"), ("bounces on the spot", "bouncing on the spot")],
}

TEMPLATES = (
    "A {colour} {shape} {verb} on {bg}.",
    "A {colour} {shape} {verb} over {bg}.",
    "A {colour} {shape} {participle} on {bg}.",
    "A video of a {colour} {shape} {participle} over {bg}.",
    "On {bg}, a {colour} {shape} {verb}.",
    "The {colour} {shape} {verb}, {bg_short}.",
    "{Colour} {shape} {participle}, {bg_short}.",
)


def article(text):
    return text.replace("A orange", "An orange").replace("a orange", "an orange")


def allowed(colour, background):
    return not (colour == "white" and background == "light")


def sample_scene(rng: random.Random, **fixed):
    """Draws a random scene; keyword arguments pin attributes."""
    while True:
        scene = {
            "shape": rng.choice(SHAPES),
            "colour": rng.choice(tuple(COLOURS)),
            "motion": rng.choice(tuple(MOTIONS)),
            "background": rng.choice(tuple(BACKGROUNDS)),
        }
        scene.update(fixed)
        if allowed(scene["colour"], scene["background"]):
            break

    def u(low, high):  # lengths are given for 64 pixels
        return rng.uniform(low, high) * SIZE / 64

    radius = u(7.5, 11.0)
    near, far = u(10.0, 18.0), SIZE - u(10.0, 18.0)
    across = u(16.0, 48.0)
    scene["path"] = {"radius": radius, "near": near, "far": far, "across": across}
    if scene["motion"] in ("grow", "shrink"):
        scene["path"].update(small=u(4.0, 6.5), large=u(13.0, 18.0), cx=u(24.0, 40.0), cy=u(24.0, 40.0))
    if scene["motion"] == "bounce":
        scene["path"].update(floor=SIZE - u(10.0, 15.0), height=u(20.0, 30.0), period=rng.uniform(9.0, 12.0),
                             phase=rng.uniform(0.0, 1.0), drift=u(-0.4, 0.4))
    return scene


def trajectory(scene, frames=FRAMES):
    """Centre x, centre y and radius for every frame."""
    p, motion = scene["path"], scene["motion"]
    xs, ys, rs = [], [], []
    for t in range(frames):
        a = t / (FRAMES - 1)
        x = y = p["across"]
        r = p["radius"]
        if motion == "right":
            x = p["near"] + (p["far"] - p["near"]) * a
        elif motion == "left":
            x = p["far"] + (p["near"] - p["far"]) * a
        elif motion == "down":
            y = p["near"] + (p["far"] - p["near"]) * a
        elif motion == "up":
            y = p["far"] + (p["near"] - p["far"]) * a
        elif motion == "bounce":
            x = p["across"] + p["drift"] * (t - FRAMES // 2)
            y = p["floor"] - p["height"] * abs(math.sin(math.pi * (t / p["period"] + p["phase"])))
        else:
            b = a if motion == "grow" else 1.0 - a
            x, y, r = p["cx"], p["cy"], p["small"] + (p["large"] - p["small"]) * b
        xs.append(x)
        ys.append(y)
        rs.append(r)
    return torch.tensor(xs), torch.tensor(ys), torch.tensor(rs)


def background_image(name, size=SIZE):
    """[3, size, size] in [0, 1]."""
    rgb = torch.tensor(BACKGROUNDS[name][2]).view(3, 1, 1)
    image = rgb.expand(3, size, size).clone()
    if name == "checkered":
        top = size * 5 // 8
        cell = size // 8
        rows = torch.arange(size - top).view(-1, 1) // cell
        cols = torch.arange(size).view(1, -1) // cell
        image[:, top:] = torch.where((rows + cols) % 2 == 0, 0.62, 0.26)
    return image


def render(scene, frames=FRAMES, size=SIZE):
    """Anti-aliased drawing: [3, frames, size, size] in [-1, 1]."""
    cx, cy, r = (v.view(-1, 1, 1) for v in trajectory(scene, frames))
    axis = torch.arange(size) + 0.5
    x, y = axis.view(1, 1, -1) - cx, axis.view(1, -1, 1) - cy
    shape = scene["shape"]
    shade = torch.ones(1)
    if shape == "ball":
        distance = torch.sqrt(x * x + y * y) - r
        light = torch.sqrt((x + 0.35 * r) ** 2 + (y + 0.35 * r) ** 2) / r
        shade = (1.15 - 0.42 * light).clamp(0.55, 1.15)
    elif shape == "square":
        distance = torch.maximum(x.abs(), y.abs()) - 0.9 * r
    elif shape == "triangle":
        side = 0.8660254 * x.abs() - 0.5 * y
        distance = torch.maximum(side, y.expand_as(side)) - 0.62 * r
    else:
        distance = (torch.sqrt(x * x + y * y) - 0.72 * r).abs() - 0.28 * r
    alpha = (0.5 - distance / 1.5).clamp(0, 1)
    colour = torch.tensor(COLOURS[scene["colour"]]).view(3, 1, 1, 1)
    colour = (colour * shade).clamp(0, 1)
    bg = background_image(scene["background"], size).unsqueeze(1)
    return (bg + alpha * (colour - bg)) * 2 - 1


def caption(scene, rng: random.Random, template=None, wording=None):
    """A sentence about the scene; `template` and `wording` pick one instead of drawing it."""
    template = rng.choice(TEMPLATES) if template is None else TEMPLATES[template]
    options = MOTIONS[scene["motion"]]
    verb, participle = rng.choice(options) if wording is None else options[wording]
    bg, bg_short, _ = BACKGROUNDS[scene["background"]]
    text = template.format(colour=scene["colour"], Colour=scene["colour"].capitalize(), shape=scene["shape"],
                           verb=verb, participle=participle, bg=bg, bg_short=bg_short)
    return article(text)


def labels(scene):
    """Attribute indices (shape, colour, motion, background)."""
    return (SHAPES.index(scene["shape"]), tuple(COLOURS).index(scene["colour"]),
            tuple(MOTIONS).index(scene["motion"]), tuple(BACKGROUNDS).index(scene["background"]))


LABEL_SIZES = (len(SHAPES), len(COLOURS), len(MOTIONS), len(BACKGROUNDS))
