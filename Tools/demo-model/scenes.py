"""Procedural videos of one moving shape, captions that describe them, and the code that the autoencoder learns for them.

A scene is a plain dict (shape, colour, motion, background plus random geometry).  `render` draws it as a float tensor
[3, frames, height, width] in [-1, 1]; `caption` writes one of several natural sentences about it; `codes` describes it on
the latent grid (see there).
"""

import math
import random

import torch

WIDTH, HEIGHT = 128, 96
FRAMES = 17
CELL = 8  # pixels per latent
BLOCK = 4  # frames per latent frame

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

# name: (noun phrase, short noun phrase, RGB); floor and sky are drawn by `background_image`
BACKGROUNDS = {
    "black": ("a black background", "black background", (0.03, 0.03, 0.03)),
    "gray": ("a gray background", "gray background", (0.40, 0.40, 0.40)),
    "dark blue": ("a dark blue background", "dark blue background", (0.04, 0.06, 0.28)),
    "light": ("a light background", "light background", (0.86, 0.84, 0.80)),
    "checkered": ("a checkered floor", "checkered floor", (0.12, 0.12, 0.14)),
    "sunset": ("a sunset sky", "sunset sky", (0.10, 0.08, 0.28)),
}
SUNSET_BOTTOM = (0.62, 0.30, 0.30)
FLOOR_TOP, FLOOR_CELL, FLOOR_LIGHT, FLOOR_DARK = 56, 8, 0.62, 0.26

# motion: list of (third person, participle)
MOTIONS = {
    "right": [("moves from left to right", "moving from left to right"), ("slides to the right", "sliding to the right")],
    "left": [("moves from right to left", "moving from right to left"), ("slides to the left", "sliding to the left")],
    "up": [("moves up", "moving up"), ("rises upwards", "rising upwards")],
    "down": [("moves down", "moving down"), ("falls downwards", "falling downwards")],
    "grow": [("grows bigger", "growing bigger"), ("gets larger", "getting larger")],
    "shrink": [("shrinks", "shrinking"), ("gets smaller", "getting smaller")],
    "bounce": [("bounces up and down", "bouncing up and down"), ("bounces on the spot", "bouncing on the spot")],
    "orbit": [("moves in a circle", "moving in a circle"), ("circles around the middle", "circling around the middle")],
}

TEMPLATES = (
    "A {colour} {shape} {verb} on {bg}.",
    "A {colour} {shape} {verb} over {bg}.",
    "A {colour} {shape} {participle} on {bg}.",
    "A video of a {colour} {shape} {participle} over {bg}.",
    "On {bg}, a {colour} {shape} {verb}.",
    "The {colour} {shape} {verb}, {bg_short}.",
    "{Colour} {shape} {participle}, {bg_short}.",
    "{colour} {shape} {participle} {bg_short}",
    "There is {bg}. In front of it, a {colour} {shape} {verb}.",
    "A short video with {bg}, in which one {colour} {shape} {verb}, realistic style, high quality.",
)


def article(text):
    return text.replace("A orange", "An orange").replace("a orange", "an orange")


def allowed(colour, background):
    """False where the object would hardly be seen."""
    return (colour, background) not in (("white", "light"), ("red", "sunset"))


def held_out(scene):
    """True for one combination in nine, which is never trained."""
    shape, colour, motion, background = labels(scene)
    return (shape + 2 * colour + 4 * motion + 5 * background) % 9 == 4


def sample_scene(rng: random.Random, unseen=False, **fixed):
    """Draws a random scene; keyword arguments pin attributes.  `unseen` draws from the combinations that are never trained,
    None from all."""
    while True:
        scene = {
            "shape": rng.choice(SHAPES),
            "colour": rng.choice(tuple(COLOURS)),
            "motion": rng.choice(tuple(MOTIONS)),
            "background": rng.choice(tuple(BACKGROUNDS)),
        }
        scene.update(fixed)
        if allowed(scene["colour"], scene["background"]) and (unseen is None or held_out(scene) == unseen):
            break
    u, motion = rng.uniform, scene["motion"]
    path = {"radius": u(15.0, 19.0), "x": u(40.0, WIDTH - 40.0), "y": u(38.0, HEIGHT - 38.0)}
    if motion in ("right", "left"):
        path.update(near=u(27.0, 35.0), far=WIDTH - u(27.0, 35.0))
    elif motion in ("up", "down"):
        path.update(near=u(24.0, 29.0), far=HEIGHT - u(24.0, 29.0))
    elif motion in ("grow", "shrink"):
        path.update(small=u(9.0, 11.0), large=u(24.0, 28.0), x=u(54.0, WIDTH - 54.0), y=u(45.0, HEIGHT - 45.0))
    elif motion == "bounce":
        path.update(floor=HEIGHT - u(22.0, 26.0), height=u(28.0, 34.0), period=u(13.0, 15.0), phase=u(0.0, 1.0))
    else:
        path.update(orbit=u(18.0, 22.0), turn=20.0, phase=u(0.0, 1.0), x=u(56.0, WIDTH - 56.0), y=u(45.0, HEIGHT - 45.0))
    return scene | {"path": path}


def trajectory(scene, times, frames=FRAMES):
    """Centre x, centre y and radius at the given frames of a clip."""
    p, motion = scene["path"], scene["motion"]
    result = []
    for t in times:
        a = t / (frames - 1)
        x, y, r = p["x"], p["y"], p["radius"]
        if motion == "right":
            x = p["near"] + (p["far"] - p["near"]) * a
        elif motion == "left":
            x = p["far"] + (p["near"] - p["far"]) * a
        elif motion == "down":
            y = p["near"] + (p["far"] - p["near"]) * a
        elif motion == "up":
            y = p["far"] + (p["near"] - p["far"]) * a
        elif motion == "bounce":
            y = p["floor"] - p["height"] * abs(math.sin(math.pi * (t / p["period"] + p["phase"])))
        elif motion == "orbit":
            angle = 2 * math.pi * (t / p["turn"] + p["phase"])
            x, y = x + p["orbit"] * math.cos(angle), y + p["orbit"] * math.sin(angle)
        else:
            r = p["small"] + (p["large"] - p["small"]) * (a if motion == "grow" else 1.0 - a)
        result.append((x, y, r))
    return result


def background_image(name, height=HEIGHT, width=WIDTH):
    """[3, height, width] in [0, 1]."""
    rgb = torch.tensor(BACKGROUNDS[name][2]).view(3, 1, 1)
    image = rgb.expand(3, height, width).clone()
    if name == "checkered":
        rows = torch.arange(height - FLOOR_TOP).view(-1, 1) // FLOOR_CELL
        cols = torch.arange(width).view(1, -1) // FLOOR_CELL
        image[:, FLOOR_TOP:] = torch.where((rows + cols) % 2 == 0, FLOOR_LIGHT, FLOOR_DARK)
    elif name == "sunset":
        down = ((torch.arange(height) + 0.5) / height).view(1, -1, 1)
        image += down * (torch.tensor(SUNSET_BOTTOM).view(3, 1, 1) - rgb)
    return image


def geometry_of(scenes, times, frames, xs, ys):
    """Signed distance in pixels (positive inside) and brightness, [scenes, times, ys, xs]; every scene has its times."""
    paths = torch.tensor([trajectory(s, t, frames) for s, t in zip(scenes, times)]).unsqueeze(-1).unsqueeze(-1)
    cx, cy, r = paths.unbind(2)
    x, y = xs.view(1, 1, 1, -1) - cx, ys.view(1, 1, -1, 1) - cy
    rho = torch.sqrt(x * x + y * y)
    distances = (
        r - rho,
        0.88 * r - torch.maximum(x.abs(), y.abs()),
        0.62 * r - torch.maximum(0.8660254 * x.abs() - 0.5 * y, y),
        0.29 * r - (rho - 0.8 * r).abs(),
    )
    light = torch.sqrt((x + 0.35 * r) ** 2 + (y + 0.35 * r) ** 2) / r
    round_shade, flat_shade = (1.14 - 0.40 * light).clamp(0.6, 1.14), (1.0 - 0.08 * (x + y) / r).clamp(0.8, 1.1)
    distance, shade = torch.empty_like(rho), torch.empty_like(rho)
    for i, scene in enumerate(scenes):
        distance[i] = distances[SHAPES.index(scene["shape"])][i]
        shade[i] = (round_shade if scene["shape"] == "ball" else flat_shade)[i]
    return distance, shade


def colours_of(scenes):
    return torch.tensor([COLOURS[s["colour"]] for s in scenes]).view(len(scenes), 3, 1, 1, 1)


def render(scene, frames=FRAMES, window=(0, 0, HEIGHT, WIDTH), times=None):
    """Anti-aliased drawing: [3, frames, height, width] in [-1, 1]; `window` (top, left, height, width) and `times` cut."""
    top, left, height, width = window
    times = range(frames) if times is None else times
    distance, shade = geometry_of([scene], [times], frames, torch.arange(left, left + width) + 0.5,
                                  torch.arange(top, top + height) + 0.5)
    alpha = (0.5 + distance / 1.8).clamp(0, 1)
    colour = (colours_of([scene])[0] * shade).clamp(0, 1)
    bg = background_image(scene["background"])[:, top:top + height, left:left + width].unsqueeze(1)
    return (bg + alpha * (colour - bg)) * 2 - 1


REACH = 16.0  # pixels: distances are squashed beyond
# mean and reciprocal spread of the sixteen channels, so that they have zero mean and about unit variance
CENTRE = torch.tensor([-0.75] * 4 + [0.0] * 4 + [0.14, 0.14, 0.13, 0.30, 0.28, 0.33, -0.85, -0.85])
SPREAD = torch.tensor([0.36] * 4 + [0.32] * 4 + [0.26] * 3 + [0.27] * 3 + [0.42] * 2)


def codes(scenes, frames=FRAMES, starts=None, length=None):
    """What the sixteen latent channels say about scenes: [scenes, 16, latent frames, height / 8, width / 8].

    A latent frame covers four frames (the first one only frame 0).  Channels: the outline as squashed signed distance in
    each of the four frames (0-3), its gradient in the last and the second frame (4-7), the object's colour near it (8-10),
    the background's colour (11-13), and the distance close to the outline in the last and the second frame (14, 15).
    `starts` and `length` cut pieces of the clips, one start for each scene.  All of it can be seen locally in the pixels, and
    all of it is smooth, so that small errors leave outlines sharp.
    """
    blocks = ((length or frames) - 1) // BLOCK + 1
    xs, ys = (torch.arange(n // CELL) * CELL + CELL / 2 for n in (WIDTH, HEIGHT))
    times = [max(BLOCK * k - 3 + j, 0) for k in range(blocks) for j in range(BLOCK)]
    times = [[start + t for t in times] for start in starts or [0] * len(scenes)]
    distance, shade = geometry_of(scenes, times, frames, xs, ys)
    times = [t[1::2] for t in times]
    right, below = (geometry_of(scenes, times, frames, xs + dx, ys + dy)[0] for dx, dy in ((1, 0), (0, 1)))
    count, _, h, w = distance.shape
    distance, shade = distance.view(count, blocks, BLOCK, h, w), shade.view(count, blocks, BLOCK, h, w)
    near = distance[:, :, 1::2]
    slope = 1 / torch.cosh(near / REACH) ** 2
    dx, dy = ((v.view(near.shape) - near).clamp(-1, 1) * slope for v in (right, below))
    backgrounds = torch.stack([background_image(s["background"]) for s in scenes])
    backgrounds = torch.nn.functional.avg_pool2d(backgrounds, CELL).unsqueeze(2).expand(-1, -1, blocks, -1, -1)
    last = distance[:, :, 3].unsqueeze(1)
    colour = (colours_of(scenes) * shade[:, :, 3].unsqueeze(1)).clamp(0, 1) * torch.sigmoid((last + 14) / 3)
    code = torch.cat([
        torch.tanh(distance / REACH).transpose(1, 2),
        dx[:, :, 1:].transpose(1, 2), dy[:, :, 1:].transpose(1, 2), dx[:, :, :1].transpose(1, 2), dy[:, :, :1].transpose(1, 2),
        colour, backgrounds, torch.tanh(last / 5), torch.tanh(distance[:, :, 1:2].transpose(1, 2) / 5)], dim=1)
    return (code - CENTRE.view(1, -1, 1, 1, 1)) / SPREAD.view(1, -1, 1, 1, 1)


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
