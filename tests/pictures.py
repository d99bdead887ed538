"""Small pictures made on the spot, for tests that need a data set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = ((220, 40, 30), (30, 60, 210), (40, 190, 60), (230, 220, 40), (120, 40, 150), (240, 140, 30),
           (60, 200, 210), (90, 90, 90))  # fmt: skip


def colour_set(root: Path, emotions: Sequence[str], each: int, side: int = 40, seed: int = 0) -> Path:
    """Write `root/<emotion>/<n>.png`, each emotion noisy pictures of a colour of its own; return root."""
    rng = np.random.default_rng(seed)
    for emotion, colour in zip(emotions, COLOURS, strict=False):
        folder = root / emotion
        folder.mkdir(parents=True)
        for number in range(each):
            noise = rng.normal(0, 40, (side, side, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def rated_pictures(
    root: Path,
    count: int,
    *,
    per_theme: int = 2,
    low: float = 1,
    high: float = 7,
    noise: float = 0.0,
    seed: int = 0,
) -> Path:
    """Write `count` plain pictures, `per_theme` of each theme alike, and `ratings.csv`; return the table.

    Cosiness is how red a picture is, from `low` to `high`, with noise in shares of the scale.
    """
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    lines = ["path,cosiness,group"]
    for number in range(count):
        if number % per_theme == 0:
            colour = rng.uniform(20, 235, 3)
        pixels = np.clip(colour + rng.normal(0, 12, (40, 40, 3)) + rng.normal(0, 12, 3), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{number}.png")
        share = float(np.clip(pixels[..., 0].mean() / 255 + noise * rng.normal(), 0, 1))
        lines.append(f"{number}.png,{low + (high - low) * share:.3f},theme {number // per_theme}")
    table = root / "ratings.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def labelled_pictures(root: Path, count: int, *, per_theme: int = 2) -> Path:
    """Write `count` plain pictures, `per_theme` of each theme alike, and `labels.csv`; return the table.

    Those that are red enough have the label cosy, those that are blue enough cool; both, one or none.
    """
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    lines = ["path,labels,group"]
    for number in range(count):
        if number % per_theme == 0:
            colour = rng.uniform(20, 235, 3)
        pixels = np.clip(colour + rng.normal(0, 12, (40, 40, 3)) + rng.normal(0, 12, 3), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{number}.png")
        red, _, blue = pixels.mean(axis=(0, 1))
        words = [word for word, level in (("cosy", red), ("cool", blue)) if level > 127]
        lines.append(f"{number}.png,{'; '.join(words)},theme {number // per_theme}")
    table = root / "labels.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def mood_pictures(root: Path, count: int, *, labels: bool = False) -> Path:
    """Write `count` plain pictures, two of each theme alike, and `moods.csv`; return the table.

    Valence is how red a picture is and arousal how green, both from 1 to 7; every tenth has no arousal. With
    `labels`, it evokes awe where it is rather blue, else fear.
    """
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    lines = ["path,valence,arousal,group" + (",label" if labels else "")]
    for number in range(count):
        if number % 2 == 0:
            colour = rng.uniform(20, 235, 3)
        pixels = np.clip(colour + rng.normal(0, 12, (40, 40, 3)) + rng.normal(0, 12, 3), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{number}.png")
        red, green, blue = 1 + 6 * pixels.mean(axis=(0, 1)) / 255
        arousal = f"{green:.3f}" if number % 10 else ""
        label = f",{'awe' if blue > 4 else 'fear'}" if labels else ""
        lines.append(f"{number}.png,{red:.3f},{arousal},theme {number // 2}{label}")
    table = root / "moods.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table
