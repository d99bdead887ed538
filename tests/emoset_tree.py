"""A small EmoSet in its exact layout, made on the spot, for tests that need attributes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from affectlens.attributes import LEVELS, brightness, colourfulness, level
from affectlens.emotions import MIKELS
from pictures import COLOURS

# By emotion, in the order of Mikels' words: what the scene is whenever it is known, and so on.
SCENES = ("amusement_park", "mountain", "beach", "stadium", "street", "landfill", "cemetery", "bakery/shop")
OBJECTS = ("Toy", "Tree", "Flower", "Ball", "Weapon", "Insect", "Skull", "Candle")
EXPRESSIONS = ("happy", "surprise", "happy", "happy", "angry", "disgust", "fear", "sad")
ACTIONS = ("laughing", "rock climbing", "yoga", "surfing water", "boxing", "sniffing", "crying", "praying")
ELSEWHERE = "Person"  # an object that pictures of every emotion have
WORDS: Mapping[str, tuple[str, ...]] = {
    "brightness": LEVELS,
    "colorfulness": LEVELS,
    "scene": SCENES,
    "object": (*OBJECTS, ELSEWHERE),
    "facial_expression": tuple(sorted(set(EXPRESSIONS))),
    "human_action": ACTIONS,
}
MISSING = {"scene": 0.2, "object": 0.1, "facial_expression": 0.5, "human_action": 0.5}


def emoset_tree(
    root: Path, rows: Literal["new", "old"] = "new", each: int = 4, side: int = 40, seed: int = 0
) -> Path:
    """Write a small EmoSet below `root`, `each` pictures of each emotion in every split; return root.

    `new` is the later release: rows of four, words of attributes in info.json, what is not known absent.
    `old` is the earlier one: rows of three, emotions alone in info.json, what is not known -1 or empty.
    Pictures of an emotion have a colour of their own, and attributes go with the emotion wherever they are
    known.
    """
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    (root / "info.json").write_text(json.dumps(_info(rows)), encoding="utf-8")
    for number, split in enumerate(("train", "val", "test")):
        listed = [
            _write(root, position, f"{emotion}_{picture:05}", rows, side, rng)
            for position, emotion in enumerate(MIKELS.words)
            for picture in range(number * each, (number + 1) * each)
        ]
        (root / f"{split}.json").write_text(json.dumps(listed), encoding="utf-8")
    return root


def annotation_of(root: Path, name: str) -> Path:
    """The annotation of a picture such as `awe_00000`."""
    return root / "annotation" / name.rpartition("_")[0] / f"{name}.json"


def _info(rows: str) -> dict[str, Any]:
    emotions = _numbered(MIKELS.words)
    return emotions if rows == "old" else {"emotion": emotions, **{k: _numbered(w) for k, w in WORDS.items()}}


def _numbered(words: tuple[str, ...]) -> dict[str, Any]:
    forth = {word: number for number, word in enumerate(words)}
    return {"label2idx": forth, "idx2label": {str(number): word for word, number in forth.items()}}


def _write(root: Path, position: int, name: str, rows: str, side: int, rng: np.random.Generator) -> list[str]:
    """Write a picture and its annotation; return its row."""
    emotion = MIKELS.words[position]
    image, annotation = f"image/{emotion}/{name}.jpg", f"annotation/{emotion}/{name}.json"
    for path in (root / image, root / annotation):
        path.parent.mkdir(parents=True, exist_ok=True)
    grain = rng.normal(0, 40, (side, side, 1))  # grey, so that colourfulness goes with the colour
    noisy = np.clip(np.array(COLOURS[position]) + grain, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(root / image, quality=90)
    known = {"image_id": name, "emotion": emotion, **_attributes(position, noisy, rows, rng)}
    (root / annotation).write_text(json.dumps(known), encoding="utf-8")
    return [emotion, name, image, annotation] if rows == "new" else [emotion, image, annotation]


def _attributes(
    position: int, picture: NDArray[np.uint8], rows: str, rng: np.random.Generator
) -> dict[str, Any]:
    objects = [OBJECTS[position], ELSEWHERE][: rng.integers(1, 3)]
    words = {
        "scene": SCENES[position],
        "object": objects,
        "facial_expression": EXPRESSIONS[position],
        "human_action": ACTIONS[position],
    }
    missing = (
        {"scene": -1, "object": [], "facial_expression": "", "human_action": -1} if rows == "old" else {}
    )
    gone = {name for name, share in MISSING.items() if rng.random() < share}
    return {
        "brightness": float(level(brightness(picture))),
        "colorfulness": float(level(colourfulness(picture))),
        **{name: value for name, value in words.items() if name not in gone},
        **{name: value for name, value in missing.items() if name in gone},
    }
