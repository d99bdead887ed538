"""Synthetic patterns that resemble medical pictures, for benchmarks/unusual_pictures.py.

They are of no one's body and show no disease: ellipses, waves and noise that are bright and dark where such
pictures are.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from unusual_patterns import coloured_noise, image_of
from unusual_text import MONO, font

Array = NDArray[np.floating[Any]]
DEVICE = ("FR", "G", "D", "MI")  # what an ultrasound device writes next to its numbers


def _grid(height: int, width: int) -> tuple[Array, Array]:
    """Rows and columns in -1..1: (H, W) each."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return y, x


def _oval(y: Array, x: Array, centre: tuple[float, float], across: float, down: float, soft: float) -> Array:
    """1 inside an ellipse, 0 outside, with a soft rim."""
    far = np.hypot((x - centre[0]) / across, (y - centre[1]) / down)
    inside: Array = 1 / (1 + np.exp((far - 1) / soft))
    return inside


def _marked(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Add the letters and numbers that such devices write at the rim."""
    pen = ImageDraw.Draw(picture)
    letters = font(rng, max(9, picture.height // 36), MONO)
    pen.text((10, 8), str(rng.choice(["L", "R", "AP", "PA"])), fill=(225, 225, 225), font=letters)
    if rng.random() < 0.6:
        text = f"{rng.integers(100, 999)} kV  {rng.integers(1, 90)} mA"
        pen.text((10, picture.height - 24), text, fill=(200, 200, 200), font=letters)
    return picture


def _chest(rng: np.random.Generator) -> Image.Image:
    """As an X-ray of a chest: two dark lungs behind ribs, a bright spine and heart."""
    height, width = int(rng.integers(420, 620)), int(rng.integers(400, 600))
    y, x = _grid(height, width)
    body = _oval(y, x, (0, 0.35), 0.95, 1.4, 0.05)
    values = 40 + 120 * body
    for side in (-1, 1):
        lung = _oval(y, x, (side * rng.uniform(0.38, 0.46), -0.05), rng.uniform(0.27, 0.34), 0.68, 0.06)
        values -= 85 * lung
        for rib in np.linspace(-0.7, 0.7, int(rng.integers(7, 10))):
            arch = rib + 0.35 * (np.abs(x) - 0.35) ** 2 + 0.22 * np.abs(x)
            values += 20 * np.exp(-(((y - arch) / 0.035) ** 2)) * (np.abs(x) > 0.1) * body
    values += 45 * np.exp(-((x / 0.09) ** 2)) * body
    values += 60 * _oval(y, x, (0.14, 0.3), rng.uniform(0.26, 0.36), 0.34, 0.08)
    for side in (-1, 1):
        values += 35 * np.exp(-(((y + 0.82 - 0.12 * side * x) / 0.04) ** 2)) * (side * x > 0.08)
    values += 7 * coloured_noise(rng, height, width, 1) + rng.normal(0, 3, (height, width))
    return _marked(rng, image_of(values * rng.uniform(0.8, 1.15)))


def _bones(rng: np.random.Generator) -> Image.Image:
    """As an X-ray of a limb: long bright bones with joints in a grey outline on black."""
    height, width = int(rng.integers(420, 640)), int(rng.integers(280, 460))
    y, x = _grid(height, width)
    lean, values = rng.uniform(-0.2, 0.2), np.zeros((height, width))
    values += 60 / (1 + np.exp((np.abs(x - lean * y) - 0.55) / 0.04))
    for centre in (-0.18, 0.2) if rng.random() < 0.6 else (0.0,):
        for begin, end in ((-1.2, rng.uniform(-0.1, 0.1)), (rng.uniform(0.12, 0.2), 1.2)):
            along = np.clip((y - begin) / (end - begin), 0, 1)
            half = 0.1 + 0.09 * (np.abs(along - 0.5) * 2) ** 4
            far = np.abs(x - lean * y - centre) / half
            bone = (
                1
                / (1 + np.exp((far - 1) / 0.06))
                / (1 + np.exp(-(y - begin) / 0.012))
                / (1 + np.exp((y - end) / 0.012))
            )
            values += bone * (70 + 65 * np.clip(far, 0, 1) ** 3)
    values += 5 * coloured_noise(rng, height, width, 1) + rng.normal(0, 4, (height, width))
    return _marked(rng, image_of(values))


def _ultrasound(rng: np.random.Generator) -> Image.Image:
    """As an ultrasound: a sector of speckle with dark cavities, on black."""
    height, width = int(rng.integers(420, 560)), int(rng.integers(480, 640))
    rows, columns = np.mgrid[0:height, 0:width]
    across, down = columns - width / 2, rows + 0.1 * height
    far, angle = np.hypot(across, down) / height, np.arctan2(across, down)
    sector = (np.abs(angle) < rng.uniform(0.55, 0.8)) & (far > 0.15) & (far < 1.05)
    speckle = np.hypot(coloured_noise(rng, height, width, 0.4), coloured_noise(rng, height, width, 0.4))
    y, x = _grid(height, width)
    echo = 60 + 25 * coloured_noise(rng, height, width, 1.3) + 30 * np.sin(far * rng.uniform(12, 30))
    for _ in range(int(rng.integers(1, 4))):
        centre, size = (rng.uniform(-0.35, 0.35), rng.uniform(-0.4, 0.5)), rng.uniform(0.1, 0.32)
        cavity = _oval(y, x, centre, size, size * rng.uniform(0.6, 1.1), 0.06)
        echo = echo * (1 - 0.9 * cavity) + 90 * np.exp(-(((cavity - 0.4) / 0.2) ** 2)) * (cavity > 0.05)
    values = np.clip(echo, 5, None) * speckle * sector
    picture = image_of(values).filter(ImageFilter.GaussianBlur(0.7))
    pen, letters = ImageDraw.Draw(picture), font(rng, 12, MONO)
    for number in range(4):
        text = f"{DEVICE[number]} {rng.uniform(1, 60):.1f}"
        pen.text((8, 10 + 16 * number), text, fill=(190, 190, 160), font=letters)
    for level in range(40):
        pen.line(
            (width - 20, 40 + 3 * level, width - 12, 40 + 3 * level), fill=(255 - 6 * level,) * 3, width=3
        )
    return picture


def _slice(rng: np.random.Generator) -> Image.Image:
    """As a slice of a head by CT or MRI: a bright ring, folded grey matter and dark hollows, on black."""
    side = int(rng.integers(380, 560))
    y, x = _grid(side, side)
    across, down = rng.uniform(0.6, 0.7), rng.uniform(0.76, 0.86)
    skull, brain = (
        _oval(y, x, (0, 0), across, down, 0.015),
        _oval(y, x, (0, 0), 0.9 * across, 0.91 * down, 0.015),
    )
    values = rng.uniform(120, 230) * (skull - brain) + 95 * brain
    folds = coloured_noise(rng, side, side, 1.4)
    folds = np.sin(rng.uniform(5, 9) * folds)
    rim = brain * (1 - _oval(y, x, (0, 0), 0.6 * across, 0.62 * down, 0.1))
    values += 30 * folds * rim
    for sign in (-1, 1):
        values -= 75 * _oval(y, x, (sign * 0.1, -0.05), 0.07, rng.uniform(0.16, 0.28), 0.1)
    values -= 50 * np.exp(-((x / 0.012) ** 2)) * rim
    values += rng.normal(0, rng.uniform(3, 9), (side, side))
    return _marked(rng, image_of(values))


def _tissue(rng: np.random.Generator) -> Image.Image:
    """As a stained slice of tissue: pink fibres with many purple nuclei and pale gaps."""
    height, width = int(rng.integers(400, 560)), int(rng.integers(440, 640))
    fibres = np.sin(4 * coloured_noise(rng, height, width, 1.6) + coloured_noise(rng, height, width, 0.8))
    pink, pale = np.array([226.0, 140, 182]), np.array([246.0, 226, 236])
    part = (0.5 + 0.5 * fibres)[..., None]
    picture = image_of(pink * part + pale * (1 - part))
    pen, dense = ImageDraw.Draw(picture), coloured_noise(rng, height, width, 1.5)
    size = rng.uniform(4, 9)
    for _ in range(int(height * width / size**2 / rng.uniform(8, 24))):
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        if dense[int(cy), int(cx)] < rng.normal(-0.2, 0.6):
            continue
        a, b = size * rng.uniform(0.6, 1.2), size * rng.uniform(0.5, 1)
        turn, angles = rng.uniform(0, math.pi), np.linspace(0, 2 * math.pi, 14)
        px = cx + a * np.cos(angles) * math.cos(turn) - b * np.sin(angles) * math.sin(turn)
        py = cy + a * np.cos(angles) * math.sin(turn) + b * np.sin(angles) * math.cos(turn)
        shade = int(rng.integers(60, 130))
        outline = [(float(u), float(v)) for u, v in zip(px, py, strict=True)]
        pen.polygon(outline, fill=(shade + 20, shade - 25, shade + 60))
    soft = picture.filter(ImageFilter.GaussianBlur(1))
    return image_of(np.asarray(soft, float) + rng.normal(0, 4, (height, width, 1)))


def _retina(rng: np.random.Generator) -> Image.Image:
    """As a picture of a retina: an orange disc with a bright spot and branching vessels, on black."""
    side = int(rng.integers(400, 560))
    y, x = _grid(side, side)
    disc = _oval(y, x, (0, 0), 0.9, 0.9, 0.01)[..., None]
    base = np.array([rng.uniform(170, 220), rng.uniform(70, 110), rng.uniform(20, 50)])
    light = (1 - 0.35 * (x**2 + y**2) + 0.05 * coloured_noise(rng, side, side, 1.5))[..., None]
    spot = float(rng.choice([-1, 1])) * 0.4
    bright = np.exp(-(np.hypot(x - spot, y) ** 2) / 0.015)[..., None]
    picture = image_of(disc * (base * light + bright * np.array([60.0, 110, 90])))
    pen = ImageDraw.Draw(picture)
    start = ((spot + 1) / 2 * side, side / 2)
    branches = [(start, angle, 5.0) for angle in (0.7, -0.7, 2.4, -2.4, 1.4, -1.4)]
    while branches:
        (px, py), angle, thick = branches.pop()
        for _ in range(int(rng.integers(8, 20))):
            angle += rng.normal(0, 0.12)
            ahead = px + 9 * math.cos(angle), py + 9 * math.sin(angle)
            if math.hypot(ahead[0] - side / 2, ahead[1] - side / 2) > 0.44 * side:
                break
            pen.line((px, py, *ahead), fill=(120, 25, 15), width=max(1, round(thick)))
            px, py = ahead
        else:
            if thick > 1.2:
                branches += [((px, py), angle + turn, 0.65 * thick) for turn in (0.35, -0.4)]
    return picture.filter(ImageFilter.GaussianBlur(1))


MEDICAL = (_chest, _ultrasound, _tissue, _slice, _bones, _retina)
