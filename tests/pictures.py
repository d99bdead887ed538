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
