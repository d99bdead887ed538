"""Write the folder of a model with learned ratings: a graph that reads what was fitted, and heads."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from affectlens import model_folder
from affectlens.adaptation.classifier import number_format
from affectlens.adaptation.folder import MODEL, FinetuneRequest
from affectlens.adaptation.rated_card import LearnedFacts, rated_card
from affectlens.adaptation.rated_graph import features_output, graph_with_ratings
from affectlens.adaptation.ridge import RatingLine
from affectlens.adaptation.start import Start
from affectlens.errors import SettingsError
from affectlens.inference.engine import ONNX_RUNTIME, Engine, load_engine
from affectlens.model_folder import GRAPH, GRAPH_EMBEDDING, GRAPH_FEATURES, GRAPH_LOGITS, Card
from affectlens.ratings import RatingHead, RatingScale

GRAPH_TOLERANCE = 1e-3  # of a rating: what rounding to float32 makes of some thousand products
_CHECKED = 8  # pictures on which the new graph is compared with what was fitted


def features_width(start: Start) -> int:
    """Return how many features the ratings of a model are read from, as its graph states."""
    graph = start.opened.graph.graph
    name = features_output(graph)
    output = next(output for output in graph.output if output.name == name)
    return int(output.type.tensor_type.shape.dim[1].dim_value)


def merged_ratings(
    card: Card, head: RatingHead | None, scales: Sequence[RatingScale], lines: Sequence[RatingLine]
) -> tuple[tuple[RatingScale, ...], RatingHead]:
    """Return a model's ratings with new ones: in the stead of those of the same name, or after all others."""
    width = len(lines[0].weights)
    rows: dict[str, tuple[RatingScale, NDArray[np.float32], float]] = {}
    if head is not None:
        for scale, weights, offset in zip(card.ratings, head.weights, head.offsets, strict=True):
            rows[scale.name.lower()] = (scale, weights, float(offset))
    for scale, line in zip(scales, lines, strict=True):
        rows[scale.name] = (scale, line.weights.astype(np.float32), line.offset)
    weights = np.stack([each[1] for each in rows.values()]).reshape(len(rows), width)
    offsets = np.array([each[2] for each in rows.values()], np.float32)
    merged = tuple(each[0] for each in rows.values())
    percents = np.array([scale.is_percent for scale in merged])
    return merged, RatingHead(weights, offsets, percents if percents.any() else None)


def write_rated_model(
    request: FinetuneRequest,
    start: Start,
    scales: Sequence[RatingScale],
    lines: Sequence[RatingLine],
    learned: LearnedFacts,
    readme_of: Callable[[Card], str],
) -> Path:
    """Write the model folder, once its graph is shown to read what was fitted, and the same emotions.

    `scales` and `lines` are those of the new ratings; of labels in percent, lines read log-odds.
    """
    before, weights, heads = model_folder.read_model(start.folder)
    former = RatingHead.from_tensors(heads) if before.ratings else None
    merged, head = merged_ratings(before, former, scales, lines)
    graph = graph_with_ratings((start.folder / GRAPH).read_bytes(), head, [each.name for each in merged])
    card = rated_card(before, merged, learned, request.name)
    readme, others = readme_of(card), model_folder.for_others(start.folder)

    def write(target: Path) -> None:
        model_folder.write_model(
            target, card, weights, readme, dtype=number_format(weights), for_others=others, graph=graph,
            heads={**heads, **head.tensors()},
        )  # fmt: skip

    with TemporaryDirectory() as scratch:
        trial = Path(scratch) / MODEL
        write(trial)
        _require_read(
            load_engine(str(start.folder), ONNX_RUNTIME), load_engine(str(trial), ONNX_RUNTIME), head
        )
    write(request.out / MODEL)
    return request.out / MODEL


def _require_read(before: Engine, after: Engine, head: RatingHead) -> None:
    """Raise `SettingsError` where a new graph reads other ratings than were fitted, or other emotions."""
    preprocessing = before.card.preprocessing
    size = (_CHECKED, preprocessing.height, preprocessing.width, 3)
    images = preprocessing.normalise(np.random.RandomState(0).randint(256, size=size, dtype=np.uint8))
    answers = after.answer_images(images)
    assert answers.ratings is not None, "ratings were fitted"
    expected = head.read(after.output(images, features_output_of(after)))
    difference = float(np.abs(answers.ratings - expected).max())
    if not difference <= GRAPH_TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise SettingsError(f"The new graph reads ratings that differ by {difference:.3g} from those fitted.")
    if not np.array_equal(before.output(images, GRAPH_LOGITS), after.output(images, GRAPH_LOGITS)):
        raise SettingsError("The new graph answers other emotions than the one that it was made from.")


def features_output_of(engine: Engine) -> str:
    """Return the name of the output of an engine that ratings are read from."""
    return GRAPH_FEATURES if GRAPH_FEATURES in engine.outputs else GRAPH_EMBEDDING
