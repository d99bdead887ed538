"""The model that is adapted, and what it makes of the pictures that it is adapted to."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from affectlens import library
from affectlens.adaptation.classifier import ClassifierFolder, open_classifier
from affectlens.adaptation.embeddings import EmbeddingProgress, embed, folder_of_output, read_embeddings
from affectlens.adaptation.folder import EMBEDDINGS, FinetuneRequest, ValidationProgress
from affectlens.adaptation.head import known_directions
from affectlens.adaptation.validation import LARGE, Labelled
from affectlens.data.groups import find_groups, search_for
from affectlens.data.records import Record
from affectlens.errors import SettingsError
from affectlens.inference.engine import MANY, ONNX_RUNTIME, OPENVINO, load_engine

T = TypeVar("T")


@dataclass(frozen=True)
class Start:
    """A model to adapt: its folder, and what its answers are read by."""

    folder: Path
    opened: ClassifierFolder


def open_start(request: FinetuneRequest) -> Start:
    """Open the model that a request begins with.

    Raises `SettingsError` for an engine that computes no embeddings and a model whose classifier cannot be
    replaced, and what reading it raises.
    """
    if request.engine not in (ONNX_RUNTIME, OPENVINO):
        raise SettingsError(f"Embeddings are computed by {ONNX_RUNTIME} or {OPENVINO}, not {request.engine}.")
    folder = library.find(request.start)
    return Start(folder, open_classifier(folder))


def label_embeddings(
    request: FinetuneRequest, start: Start, records: Sequence[Record]
) -> Generator[EmbeddingProgress, None, Labelled]:
    """Embed the pictures, or read what was kept, and find those that belong together."""
    cache = folder_of_output(request.cache or request.out / EMBEDDINGS)
    engine = load_engine(str(start.folder), request.engine, precision="float32", many=len(records) >= MANY)
    yield from embed(engine, records, cache)
    features = read_embeddings(records, cache)
    targets = np.array([record.target.probabilities for record in records], dtype=np.float64)
    known = known_directions(start.opened.classifier, start.opened.card.vocabulary)
    return Labelled(features, records, targets, find_groups(records, search_for(len(records))), known)


def single_thread(pictures: int) -> AbstractContextManager[Any]:
    """Have products of few rows computed in one thread: several would wait for one another longer."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1 if pictures < LARGE else None)
    return limits


def counted(
    steps: Generator[None, None, T], done: Iterator[int], total: int
) -> Generator[ValidationProgress, None, T]:
    """Pass on what the steps return, and yield how far they are."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            returned: T = end.value
            return returned
        yield ValidationProgress(next(done), total)
