"""Model folders for tests, and ways to spoil them."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from affectlens.emotions import MIKELS
from affectlens.model_folder import Card
from affectlens.preprocess import Preprocessing

CARD = Card(
    name="small",
    network="test_efficientnet",
    network_options={"dropout": 0.1},
    vocabulary=MIKELS,
    preprocessing=Preprocessing(height=64, width=48, fit="pad"),
    temperature=1.25,
    training={"seed": 0, "log": [{"epoch": 1, "accuracy": 0.5}]},
    scores={"split": "val", "accuracy": 0.5},
    licences={"code": "Apache-2.0", "weights": "none", "data": "none"},
    limits=("A sentence.", "Another, with \u00e4 and \U0001f5fb."),
)


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, by its path in it."""
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None], keep_hash: bool = False) -> None:
    """Change our part of config.json, and its hash with it unless that is to be found wrong."""
    config = json.loads((folder / "config.json").read_text())
    ours = config["affectlens"]
    change(ours)
    if not keep_hash:
        ours.pop("config_sha256", None)
        ours["config_sha256"] = hash_of(ours)
    (folder / "config.json").write_text(json.dumps(config))


def hash_of(ours: dict[str, Any]) -> str:
    """The hash that `model_folder.write` puts into a config, written anew from what it promises."""
    return hashlib.sha256(json.dumps(ours, sort_keys=True).encode()).hexdigest()


def restock(folder: Path, data: bytes) -> None:
    """Put other weights in, with a hash of their own."""
    (folder / "model.safetensors").write_bytes(data)
    described = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "dtype": "float32"}
    rewrite(folder, lambda ours: ours.update(weights=described))


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change, cut, double or swap a few bytes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        index = rng.randrange(len(changed))
        match rng.randrange(5):
            case 0:
                changed[index] ^= 1 << rng.randrange(8)
            case 1:
                changed[index] = rng.choice(b'0123456789"{}[]:,. -eE\\\n\x00\xff')
            case 2:
                del changed[index : index + rng.randrange(1, 20)]
            case 3:
                changed[index:index] = changed[index : index + rng.randrange(1, 20)]
            case _:
                changed[index:index] = rng.choice(
                    (b"null", b"true", b"NaN", b"1e999", b"-1", b"[", b'{"a":', b'"')
                )
        changed = changed or bytearray(b" ")
    return bytes(changed)
