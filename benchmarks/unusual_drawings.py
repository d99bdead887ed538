"""Line drawings, cartoons of flat shapes and patterns for benchmarks/unusual_pictures.py."""

import math
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from unusual_patterns import colour, size_of

TWICE = 2  # drawn at twice the size and shrunk, so that edges are smooth
Colour = tuple[int, int, int]
Pen = ImageDraw.ImageDraw


def _canvas(rng: np.random.Generator, paper: Colour) -> tuple[Image.Image, Pen, int, int]:
    width, height = size_of(rng)
    picture = Image.new("RGB", (TWICE * width, TWICE * height), paper)
    return picture, ImageDraw.Draw(picture), TWICE * width, TWICE * height


def _smooth(picture: Image.Image) -> Image.Image:
    return picture.resize((picture.width // TWICE, picture.height // TWICE), Image.Resampling.LANCZOS)


def _by_hand(rng: np.random.Generator, pen: Pen, points: Any, ink: Colour, width: int) -> None:
    """Draw a line through points as a hand would: in short pieces that tremble a little."""
    points = np.asarray(points, float)
    steps = np.linspace(0, len(points) - 1, 14 * len(points))
    line = np.stack([np.interp(steps, range(len(points)), points[:, axis]) for axis in (0, 1)], axis=1)
    tremble = rng.normal(0, 1, line.shape).cumsum(axis=0)
    tremble -= np.linspace(0, 1, len(line))[:, None] * tremble[-1]
    line += 0.5 * tremble
    pen.line([(float(x), float(y)) for x, y in line], fill=ink, width=width, joint="curve")


def _ring(x: float, y: float, across: float, down: float | None = None) -> Any:
    angles = np.linspace(0, 2 * math.pi, 30)
    return np.stack([x + across * np.cos(angles), y + (down or across) * np.sin(angles)], axis=1)


def _figure_of_lines(
    rng: np.random.Generator, pen: Pen, x: float, foot: float, tall: float, ink: Colour
) -> None:
    """A person of a head and five lines."""
    head, width = 0.14 * tall, max(3, int(0.012 * tall * TWICE))
    neck, hip = foot - tall + 2 * head, foot - 0.42 * tall
    _by_hand(rng, pen, _ring(x, foot - tall + head, head), ink, width)
    _by_hand(rng, pen, [(x, neck), (x, hip)], ink, width)
    for side in (-1, 1):
        hand = (x + side * 0.28 * tall, neck + rng.uniform(-0.2, 0.3) * tall)
        _by_hand(rng, pen, [(x, neck + 0.08 * tall), hand], ink, width)
        _by_hand(rng, pen, [(x, hip), (x + side * rng.uniform(0.08, 0.22) * tall, foot)], ink, width)


def _line_scene(rng: np.random.Generator) -> Image.Image:
    """A house, a sun, trees and people of lines on paper."""
    ink = (20, 20, 20) if rng.random() < 0.6 else colour(rng, 0, 120)
    picture, pen, width, height = _canvas(
        rng, (255, 255, 255) if rng.random() < 0.7 else colour(rng, 225, 256)
    )
    thick, ground = int(rng.integers(4, 9)), 0.82 * height
    _by_hand(rng, pen, [(0, ground), (width / 2, ground - 10), (width, ground)], ink, thick)
    wide, tall, left = 0.3 * width, 0.28 * height, rng.uniform(0.05, 0.4) * width
    roof = ground - tall
    corners = [(left, ground), (left, roof), (left + wide, roof), (left + wide, ground)]
    _by_hand(rng, pen, corners, ink, thick)
    _by_hand(rng, pen, [(left, roof), (left + wide / 2, roof - 0.6 * tall), (left + wide, roof)], ink, thick)
    door = left + 0.4 * wide
    frame = [(door, ground), (door, ground - 0.5 * tall), (door + 0.2 * wide, ground - 0.5 * tall)]
    _by_hand(rng, pen, [*frame, (door + 0.2 * wide, ground)], ink, thick)
    sun = rng.uniform(0.6, 0.9) * width, 0.18 * height
    _by_hand(rng, pen, _ring(*sun, 0.07 * height), ink, thick)
    for angle in np.linspace(0, 2 * math.pi, 10)[:-1]:
        ray = [
            (sun[0] + r * height * math.cos(angle), sun[1] + r * height * math.sin(angle))
            for r in (0.1, 0.15)
        ]
        _by_hand(rng, pen, ray, ink, thick)
    for _ in range(int(rng.integers(1, 5))):
        _figure_of_lines(
            rng, pen, rng.uniform(0.5, 0.95) * width, ground, rng.uniform(0.18, 0.36) * height, ink
        )
    return _smooth(picture)


def _line_face(rng: np.random.Generator) -> Image.Image:
    """A face in outlines."""
    picture, pen, width, height = _canvas(
        rng, (255, 255, 255) if rng.random() < 0.6 else colour(rng, 215, 256)
    )
    ink, thick = (15, 15, 15), int(rng.integers(4, 10))
    x, y, size = width / 2, height / 2, 0.36 * min(width, height)
    _by_hand(rng, pen, _ring(x, y, size * rng.uniform(0.75, 1), size), ink, thick)
    for side in (-1, 1):
        eye = x + side * 0.35 * size, y - 0.2 * size
        _by_hand(rng, pen, _ring(*eye, 0.14 * size, 0.09 * size), ink, thick)
        pen.ellipse((eye[0] - 9, eye[1] - 9, eye[0] + 9, eye[1] + 9), fill=ink)
        brow = rng.uniform(-0.1, 0.1) * size
        outer, inner = (
            (eye[0] + side * 0.2 * size, eye[1] - 0.2 * size),
            (eye[0] - side * 0.2 * size, eye[1] - 0.2 * size + brow),
        )
        _by_hand(rng, pen, [outer, inner], ink, thick)
    nose = [(x, y - 0.1 * size), (x + 0.12 * size, y + 0.2 * size), (x, y + 0.22 * size)]
    _by_hand(rng, pen, nose, ink, thick)
    across = np.linspace(-0.4, 0.4, 9) * size
    bend = rng.uniform(-0.5, 0.9)
    mouth = np.stack([x + across, y + 0.5 * size + bend * (0.08 * size - across**2 / (1.6 * size))], axis=1)
    _by_hand(rng, pen, mouth, ink, thick)
    for _ in range(int(rng.integers(8, 40))):
        begin = rng.uniform(-0.8, 0.8) * size
        hair = [(x + begin, y - math.sqrt(max(0, size**2 - begin**2))), (x + 1.2 * begin, y - 1.25 * size)]
        _by_hand(rng, pen, hair, ink, max(2, thick // 2))
    return _smooth(picture)


def _doodle(rng: np.random.Generator) -> Image.Image:
    """Curves and hatched shapes of a pen or pencil."""
    picture, pen, width, height = _canvas(rng, colour(rng, 235, 256))
    for _ in range(int(rng.integers(3, 12))):
        ink = (int(rng.integers(10, 110)),) * 3 if rng.random() < 0.7 else colour(rng, 0, 200)
        centre, size = rng.uniform(0.1, 0.9, 2) * (width, height), rng.uniform(0.05, 0.3) * width
        angles = np.linspace(0, 2 * math.pi, 60)
        radius = size * (
            1 + sum(rng.normal(0, 0.25) * np.cos(k * angles + rng.uniform(0, 6)) for k in (2, 3, 5))
        )
        outline = np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], axis=1)
        _by_hand(rng, pen, outline, ink, int(rng.integers(2, 7)))
        if rng.random() < 0.5:
            for shift in np.arange(-0.5 * size, 0.5 * size, rng.uniform(10, 24)):
                x, y = centre[0] + shift, centre[1]
                _by_hand(
                    rng, pen, [(x - 0.2 * size, y + 0.4 * size), (x + 0.2 * size, y - 0.4 * size)], ink, 2
                )
    return _smooth(picture)


def _cartoon_scene(rng: np.random.Generator) -> Image.Image:
    """Hills, a sun, clouds, trees and houses of flat colours, some with outlines."""
    picture, pen, width, height = _canvas(rng, colour(rng, 110, 256))
    outline, thick = ((20, 20, 20), 5) if rng.random() < 0.5 else (None, 0)
    x, y, radius = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.3) * height, 0.1 * height
    pen.ellipse(
        (x - radius, y - radius, x + radius, y + radius), fill=(255, 215, 60), outline=outline, width=thick
    )
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(0, width), rng.uniform(0.05, 0.35) * height
        for shift in (-40, 0, 40):
            pen.ellipse((x + shift - 50, y - 30, x + shift + 50, y + 34), fill=(255, 255, 255))
    for level in (0.5, 0.62, 0.75):
        across = np.linspace(0, width, 80)
        hills = level * height + 0.07 * height * np.sin(
            across / width * rng.uniform(3, 12) + rng.uniform(0, 6)
        )
        edge = [(float(a), float(b)) for a, b in zip(across, hills, strict=True)]
        pen.polygon(
            [*edge, (width, height), (0, height)], fill=colour(rng, 30, 210), outline=outline, width=thick
        )
    for _ in range(int(rng.integers(2, 8))):
        x, foot, tall = (
            rng.uniform(0, width),
            rng.uniform(0.65, 0.95) * height,
            rng.uniform(0.1, 0.3) * height,
        )
        if rng.random() < 0.6:
            pen.rectangle((x - 0.06 * tall, foot - 0.5 * tall, x + 0.06 * tall, foot), fill=(110, 70, 40))
            crown = (x - 0.35 * tall, foot - 1.1 * tall, x + 0.35 * tall, foot - 0.4 * tall)
            pen.ellipse(crown, fill=colour(rng, 30, 170), outline=outline, width=thick)
        else:
            walls = (x - 0.4 * tall, foot - 0.6 * tall, x + 0.4 * tall, foot)
            pen.rectangle(walls, fill=colour(rng, 120, 256), outline=outline, width=thick)
            roof = [(x - 0.5 * tall, walls[1]), (x, walls[1] - 0.4 * tall), (x + 0.5 * tall, walls[1])]
            pen.polygon(roof, fill=colour(rng, 60, 200), outline=outline, width=thick)
    return _smooth(picture)


def _cartoon_figure(rng: np.random.Generator) -> Image.Image:
    """A head with large eyes on a body, of flat colours with black outlines, before one colour."""
    picture, pen, width, height = _canvas(rng, colour(rng, 120, 256))
    ink, thick, skin = (20, 20, 20), int(rng.integers(5, 11)), colour(rng, 100, 256)
    x, y, size = width / 2, 0.42 * height, 0.26 * min(width, height)
    body = (x - 0.9 * size, y + 0.7 * size, x + 0.9 * size, height + size)
    pen.rounded_rectangle(body, int(0.4 * size), fill=colour(rng), outline=ink, width=thick)
    for side in (-1, 1):
        ear = x + side * 0.85 * size, y - 0.75 * size
        box = (ear[0] - 0.35 * size, ear[1] - 0.35 * size, ear[0] + 0.35 * size, ear[1] + 0.35 * size)
        pen.ellipse(box, fill=skin, outline=ink, width=thick)
    pen.ellipse((x - size, y - size, x + size, y + size), fill=skin, outline=ink, width=thick)
    for side in (-1, 1):
        eye = x + side * 0.38 * size, y - 0.2 * size
        for part, fill in ((0.26, (255, 255, 255)), (0.12, ink)):
            box = (eye[0] - part * size, eye[1] - part * size, eye[0] + part * size, eye[1] + part * size)
            pen.ellipse(box, fill=fill, outline=ink, width=thick // 2)
    smile = (x - 0.5 * size, y - 0.1 * size, x + 0.5 * size, y + 0.65 * size)
    if rng.random() < 0.5:
        pen.chord(smile, 10, 170, fill=(150, 20, 40), outline=ink, width=thick)
    else:
        pen.arc(smile, 10, 170, fill=ink, width=thick)
    return _smooth(picture)


def _geometry(rng: np.random.Generator) -> Image.Image:
    """Flat circles, boxes and triangles, or one motif in rows."""
    picture, pen, width, height = _canvas(rng, colour(rng))
    if rng.random() < 0.5:
        step, inks = int(rng.integers(60, 200)), [colour(rng) for _ in range(3)]
        part = rng.uniform(0.2, 0.45)
        for row, y in enumerate(range(0, height + step, step)):
            for x in range(step // 2 * (row % 2), width + step, step):
                box = (x - part * step, y - part * step, x + part * step, y + part * step)
                pen.ellipse(box, fill=inks[row % 3])
        return _smooth(picture)
    for _ in range(int(rng.integers(4, 25))):
        centre, size = rng.uniform(0, 1, 2) * (width, height), rng.uniform(0.05, 0.3) * width
        sides, turn = int(rng.integers(3, 9)), int(rng.integers(0, 90))
        pen.regular_polygon((*centre.tolist(), size / 2), sides, turn, fill=colour(rng))
    return _smooth(picture)


def _logo(rng: np.random.Generator) -> Image.Image:
    """An icon: a few flat shapes in the middle of white or of one colour."""
    picture, pen, width, height = _canvas(rng, (255, 255, 255) if rng.random() < 0.6 else colour(rng))
    x, y, size = width / 2, height / 2, 0.35 * min(width, height)
    first, second = colour(rng, 0, 220), colour(rng)
    box = (x - size, y - size, x + size, y + size)
    if rng.random() < 0.5:
        pen.rounded_rectangle(box, int(0.3 * size), fill=first)
    else:
        pen.ellipse(box, fill=first)
    pen.regular_polygon((x, y, 0.6 * size), int(rng.integers(3, 7)), int(rng.integers(0, 90)), fill=second)
    pen.arc((x - 0.8 * size, y - 0.8 * size, x + 0.8 * size, y + 0.8 * size), 0, int(rng.integers(60, 300)),
            fill=second, width=int(0.08 * size))  # fmt: skip
    return _smooth(picture)


DRAWINGS = (_line_scene, _line_face, _doodle, _cartoon_scene, _cartoon_figure, _geometry, _logo)
