"""Pictures of kinds that a model of photographs was not made for, drawn by programs from random seeds.

    python benchmarks/unusual_pictures.py FOLDER        writes all of them, and a contact sheet of each kind

Nine kinds, each in several layouts that alternate: `KINDS`. Fonts are those that matplotlib brings, so that
pictures are the same on every machine with the same versions. The medical ones are synthetic: patterns that
resemble an X-ray, an ultrasound, a slice, a stained tissue or a retina at first sight, and no one's body.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from affectlens.images import Pixels
from unusual_drawings import DRAWINGS
from unusual_medical import MEDICAL
from unusual_pages import CHARTS, DOCUMENTS, SCREENSHOTS, WRITING
from unusual_patterns import FRAMES, NOISE, PLAIN

Maker = Callable[[np.random.Generator], Image.Image]

KINDS: dict[str, Sequence[Maker]] = {
    "screenshots": SCREENSHOTS,
    "documents": DOCUMENTS,
    "charts": CHARTS,
    "pictures of text": WRITING,
    "plain colours and gradients": PLAIN,
    "noise": NOISE,
    "drawings": DRAWINGS,
    "medical-like (synthetic)": MEDICAL,
    "empty film frames": FRAMES,
}
EACH = 70
TILE = 150  # pixels of a contact sheet's pictures


def made(kind: str, count: int = EACH, seed: int = 0) -> Iterator[Pixels]:
    """Yield pictures of a kind: uint8, (H, W, 3) each. The first ones do not depend on the count."""
    makers = KINDS[kind]
    for number in range(count):
        rng = np.random.default_rng((seed, list(KINDS).index(kind), number))
        yield np.asarray(makers[number % len(makers)](rng).convert("RGB"))


def layouts(kind: str, count: int = EACH) -> list[str]:
    """Name the layout of each picture of a kind."""
    names = [maker.__name__.removeprefix("_").replace("_", " ") for maker in KINDS[kind]]
    return [names[number % len(names)] for number in range(count)]


def contact_sheet(pictures: Sequence[Pixels], columns: int = 10) -> Image.Image:
    """Arrange small copies of pictures in rows."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * TILE, rows * TILE), (128, 128, 128))
    for number, pixels in enumerate(pictures):
        copy = Image.fromarray(pixels)
        copy.thumbnail((TILE - 6, TILE - 6))
        sheet.paste(copy, (number % columns * TILE + 3, number // columns * TILE + 3))
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=EACH)
    parser.add_argument("--kind", choices=KINDS, action="append")
    given = parser.parse_args(arguments)
    for kind in given.kind or KINDS:
        name = kind.partition(" (")[0].replace(" ", "-")
        folder = given.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        pictures = list(made(kind, given.each))
        for number, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(folder / f"{number:03}.png")
        contact_sheet(pictures).save(given.folder / f"{name}.png")
        print(kind, flush=True)


if __name__ == "__main__":
    main()
