"""Embeddings of labelled pictures, or other features, by an engine: computed once and kept in a folder.

On disk:
    FOLDER/manifest.json      which weights, preprocessing and engine the embeddings are of
    FOLDER/OUTPUT/            the same of features of another kind (`folder_of_output`)
    FOLDER/HASH.npy           features of up to `PART` pictures, float32; HASH is of their names, sizes, dates

A part is written completely or not at all, so that an interrupted computation goes on after the last one.
A part always holds the same pictures, so that the features are the same to the bit, and where a picture
changed, or was not readable, its part alone is computed again.

Letters: N pictures, D features.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens.data.records import Record
from affectlens.errors import DatasetError, OutputError, PictureError
from affectlens.files import atomic_write, read_file
from affectlens.images import Pixels
from affectlens.inference.engine import Engine
from affectlens.inference.predictions import answered_batches
from affectlens.model_folder import GRAPH_EMBEDDING

PART = 128  # pictures of a file: some seconds of work
MANIFEST = "manifest.json"
_SHOWN = 3  # errors in a message

Features = NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddingProgress:
    """Pictures whose embeddings are there, of how many."""

    done: int
    total: int


def folder_of_output(folder: Path, output: str = GRAPH_EMBEDDING) -> Path:
    """Return where features of a kind are in a folder: in itself, or below it where it has those of another.

    So that words and ratings of the same pictures can share a folder, whichever were first.
    """
    try:
        found = json.loads(read_file(folder / MANIFEST).decode("utf-8")).get("output", GRAPH_EMBEDDING)
    except (OSError, ValueError, AttributeError):
        return folder  # none yet, or one that `embed` reports
    return folder if found == output else folder / output


def embed(
    engine: Engine, records: Sequence[Record], folder: Path, output: str = GRAPH_EMBEDDING
) -> Iterator[EmbeddingProgress]:
    """Compute what is not in the folder yet, part by part, and yield how far that is.

    `output` is what the graph returns for a picture, (D,). Raises `OutputError` for a folder that holds
    embeddings of another model, and, once all others are computed, `DatasetError` for pictures that cannot be
    read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_manifest(folder, _manifest(engine, output))
    errors: list[PictureError] = []
    yield EmbeddingProgress(0, len(records))
    for begin in range(0, len(records), PART):
        part = records[begin : begin + PART]
        file = _file(folder, part)
        if not file.is_file():
            features, bad = embed_files(engine, [record.path for record in part], output)
            errors += bad
            if not bad:
                with atomic_write(file, "wb") as out:
                    np.save(out, features)
        yield EmbeddingProgress(begin + len(part), len(records))
    if errors:
        first = "; ".join(str(error).removesuffix(".") for error in errors[:_SHOWN])
        more = f"; and {len(errors) - _SHOWN:,} more" if len(errors) > _SHOWN else ""
        raise DatasetError(
            f"{len(errors):,} of the {len(records):,} pictures cannot be read: {first}{more}. Repair them or "
            "leave them out, and give the same command again; what is embedded already is kept."
        )


def read_embeddings(records: Sequence[Record], folder: Path) -> Features:
    """Read what `embed` computed: (N, D). Raises `OutputError` for a part that is missing or damaged."""
    features = []
    for begin in range(0, len(records), PART):
        part = records[begin : begin + PART]
        file = _file(folder, part)
        try:
            stored = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise OutputError(f"{file} cannot be read ({error}). Delete it, then --resume.") from None
        if stored.ndim != 2 or len(stored) != len(part) or stored.dtype != np.float32:
            raise OutputError(f"{file} does not hold {len(part)} embeddings. Delete it, then --resume.")
        features.append(stored)
    found: Features = np.concatenate(features)
    return found


def embed_files(
    engine: Engine, files: Sequence[Path | str], output: str = GRAPH_EMBEDDING
) -> tuple[Features, list[PictureError]]:
    """Embed some pictures: (n, D) of those that can be read, in order, and the errors of the others."""
    preprocessing = engine.card.preprocessing

    def features_of(pixels: Pixels) -> Features:
        return engine.output(preprocessing.normalise(pixels), output)

    parts: list[Features] = []
    errors: list[PictureError] = []
    named = ((str(file), file) for file in files)
    with closing(answered_batches(engine, named, features_of, PART)) as answered:
        for batch in answered:
            parts += [] if batch.found is None else [batch.found]
            errors += [each.error for each in batch.unreadable]
    return (np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)), errors


def _file(folder: Path, records: Sequence[Record]) -> Path:
    """Name the file of a part by what its features depend on, besides the model."""
    facts = hashlib.sha256()
    for record in records:
        try:
            stat = record.path.stat()
            size, changed = stat.st_size, stat.st_mtime_ns
        except OSError:
            size, changed = -1, 0
        facts.update(f"{record.key}\0{size}\0{changed}\n".encode(errors="surrogateescape"))
    return folder / f"{facts.hexdigest()[:24]}.npy"


def _manifest(engine: Engine, output: str) -> dict[str, Any]:
    """State which network made the features, and of which images."""
    card = engine.card
    return {
        "output": output,
        "weights": card.weights_hash,
        "preprocessing": card.preprocessing.to_json(),
        "engine": engine.name,
        "precision": engine.precision,
    }


def _check_manifest(folder: Path, wanted: dict[str, Any]) -> None:
    file = folder / MANIFEST
    if not file.is_file():
        with atomic_write(file, "w") as out:
            out.write(json.dumps(wanted, indent=1) + "\n")
        return
    try:
        found = {"output": GRAPH_EMBEDDING, **json.loads(read_file(file).decode("utf-8"))}
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{file} cannot be read ({error}). Delete {folder} to compute anew.") from None
    differing = [name for name, value in wanted.items() if found.get(name) != value]
    if differing:
        raise OutputError(
            f"{folder} holds embeddings that were computed otherwise: {', '.join(differing)} differ. Choose "
            "another --out or --cache, or delete that folder."
        )
