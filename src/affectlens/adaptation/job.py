"""Fit a trained model to one's own words: pictures with labels -> a model folder and a report.

On disk:
    OUT/settings.json        what the run was begun with, checked when it is resumed
    OUT/embeddings/          what the model reads its answer from, for every picture (`embeddings`)
    OUT/model/               the new model, a folder like any other
    OUT/report.json          what was measured; OUT/report.html shows it
    OUT/predictions.csv      the answer to every picture by a classifier that did not learn from it
"""

import csv
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from affectlens import library, model_folder
from affectlens.adaptation.card import adapted_card, adapted_readme, with_other_words
from affectlens.adaptation.classifier import (
    Classifier,
    ClassifierFolder,
    NoLinearClassifier,
    open_classifier,
)
from affectlens.adaptation.embeddings import EmbeddingProgress, Features, embed, read_embeddings
from affectlens.adaptation.head import fit_classifiers, known_directions
from affectlens.adaptation.page import write_page
from affectlens.adaptation.report import Report, make_report, mean_probabilities
from affectlens.adaptation.validation import (
    LARGE,
    Labelled,
    OutOfFold,
    best_strength,
    cross_fitted,
    learning_curve,
    steps_of,
    validate,
)
from affectlens.data import splits
from affectlens.data.catalog import open_data
from affectlens.data.groups import find_groups, search_for
from affectlens.data.records import ALL, DataSource, Record, digest, require_listed
from affectlens.errors import RunError, SettingsError
from affectlens.extras import ADAPT, require
from affectlens.files import atomic_write, clear_leftovers, json_text
from affectlens.inference.engine import MANY, ONNX_RUNTIME, OPENVINO, Engine, load_engine
from affectlens.locks import locked_folder
from affectlens.metrics import Doubles
from affectlens.model_folder import GRAPH_EMBEDDING, GRAPH_LOGITS, Card
from affectlens.report.text import printable

SETTINGS, EMBEDDINGS, MODEL = "settings.json", "embeddings", "model"
REPORT, PAGE, PREDICTIONS = "report.json", "report.html", "predictions.csv"
GRAPH_TOLERANCE = 1e-3  # of a logit: what rounding to float32 makes of some thousand products
_CHECKED = 8  # pictures on which the new graph is compared with the classifier


T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class HeadRequest:
    """A classifier to fit.

    Attributes:
        start: the model that it begins with, by name, folder or name on the hub
        data: the name of the data set, as its argument has it, for the card
        name: of the new model
        cache: folder of embeddings that several runs share; None for one of its own, in `out`
        command: what the card states
    """

    source: DataSource
    out: Path
    start: str = library.DEFAULT
    data: str = ""
    name: str = ""
    cache: Path | None = None
    engine: str = ONNX_RUNTIME
    seed: int = 0
    resume: bool = False
    command: str = ""


@dataclass(frozen=True)
class ValidationProgress:
    """Classifiers fitted so far for the report, of how many rounds."""

    done: int
    total: int


@dataclass(frozen=True)
class HeadFitted:
    """The end of a run: the model folder, and what was measured."""

    model: Path
    page: Path
    report: Report


HeadEvent = EmbeddingProgress | ValidationProgress | HeadFitted


def fit_head(request: HeadRequest) -> Iterator[HeadEvent]:
    """Embed the pictures, validate, fit, and write the folder; the last event is `HeadFitted`.

    Stopping the iteration anywhere leaves a run to resume, which ends in the same bits. Raises `MissingExtra`
    without scikit-learn, `SettingsError` for another engine and a model whose classifier cannot be replaced,
    `DatasetError` for labels that nothing can be learned from and pictures that cannot be read, `RunError`
    where the folder holds another run or none to resume, `OutputInUse` where another process writes it, and
    what reading the model raises.
    """
    require(ADAPT, "Fitting a classifier")
    if request.engine not in (ONNX_RUNTIME, OPENVINO):
        raise SettingsError(f"Embeddings are computed by {ONNX_RUNTIME} or {OPENVINO}, not {request.engine}.")
    folder = library.find(request.start)
    start = open_classifier(folder)
    records = _records(request.source)
    with locked_folder(request.out):
        _open_run(request, start.card, records)
        cache = request.cache or request.out / EMBEDDINGS
        engine = load_engine(str(folder), request.engine, precision="float32", many=len(records) >= MANY)
        yield from embed(engine, records, cache)
        features = read_embeddings(records, cache)
        with _threads(len(records)):
            yield from _fit(request, folder, start, records, features)


def finetune(
    data: str | Path,
    out: str | Path,
    *,
    start: str = library.DEFAULT,
    name: str = "",
    cache: str | Path | None = None,
    seed: int = 0,
    resume: bool = False,
    progress: Callable[[EmbeddingProgress | ValidationProgress], None] = lambda done: None,
) -> HeadFitted:
    """Fit a trained model to the words of one's own pictures, as `affectlens train finetune` does.

    `data` is a folder with a folder of pictures for each word, a table, or NAME:PATH; `out` is the folder to
    write. `progress` is called as it goes on. Returns where the model is, and what was measured. Raises what
    `fit_head` and `data.catalog.open_data` do.

        found = affectlens.finetune("moods/", "my-model")
        print("\\n".join(found.report.findings()))
        affectlens.Predictor.load("my-model")("beach.jpg")
    """
    out = Path(out)
    request = HeadRequest(
        source=open_data(str(data)),
        out=out,
        start=start,
        data=str(data).partition(":")[0] if ":" in str(data) else "own pictures",
        name=printable(name or out.resolve().name),
        cache=None if cache is None else Path(cache),
        seed=seed,
        resume=resume,
        command="affectlens.finetune(...)",
    )
    for event in fit_head(request):
        if isinstance(event, HeadFitted):
            return event
        progress(event)
    raise AssertionError("the last event is HeadFitted")


def _records(source: DataSource) -> list[Record]:
    """Return all pictures that may be learned from: those that are not set apart for a test."""
    require_listed(source)
    splits.require_learnable(source)
    splits.require_pictures(source)
    splits.require_disjoint(source)
    left = {name: part for name, part in source.splits.items() if name != splits.TEST}
    records = [record for part in left.values() for record in part] or source.split(ALL)
    return sorted(records, key=lambda record: record.key)


def _open_run(request: HeadRequest, start: Card, records: Sequence[Record]) -> None:
    """Begin a run, or check that the one there is to be resumed with the same settings."""
    file = request.out / SETTINGS
    wanted = {
        "start": start.name,
        "weights": start.weights_hash,
        "name": request.name,
        "engine": request.engine,
        "seed": request.seed,
        "words": list(request.source.vocabulary.words),
        "pictures": len(records),
        "hash": digest(records),
    }
    if not request.resume:
        if file.exists():
            raise RunError(f"{request.out} holds a run. Go on with it by --resume, or choose another --out.")
        with atomic_write(file, "w") as out:
            out.write(json.dumps(wanted, indent=1, ensure_ascii=False) + "\n")
        return
    clear_leftovers(request.out)
    try:
        found = dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RunError(f"{request.out} holds no run to resume: {SETTINGS} is not there.") from None
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{file} cannot be read: {error}.") from None
    differing = [name for name, value in wanted.items() if found.get(name) != value]
    if differing:
        raise RunError(
            f"The run in {request.out} was begun with other settings or data: {', '.join(differing)} differ. "
            "Resume with the same command, or choose another --out."
        )


def _threads(pictures: int) -> AbstractContextManager[Any]:
    """Have products of few rows computed in one thread: several would wait for one another longer."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1 if pictures < LARGE else None)
    return limits


def _fit(
    request: HeadRequest,
    folder: Path,
    start: ClassifierFolder,
    records: Sequence[Record],
    features: Features,
) -> Iterator[HeadEvent]:
    """Measure by cross-validation, then fit on all pictures and write what was found."""
    targets = np.array([record.target.probabilities for record in records], dtype=np.float64)
    known = known_directions(start.classifier, start.card.vocabulary)
    data = Labelled(features, records, targets, find_groups(records, search_for(len(records))), known)
    found, curve = yield from _validated(request, start, data)
    strength = best_strength(data, np.arange(len(records)), request.seed)
    classifier = next(fit_classifiers(features, targets, known, [strength]))
    report = make_report(data, found, curve, start.card, request.source.vocabulary, strength, request.seed)
    model = _write_model(request, folder, start, classifier, report)
    _write_report(request.out, report, data, found)
    yield HeadFitted(model, request.out / PAGE, report)


def _validated(
    request: HeadRequest, start: ClassifierFolder, data: Labelled
) -> Generator[ValidationProgress, None, tuple[OutOfFold, list[tuple[float, Doubles]]]]:
    """Run the validation; return what was predicted, and the same from fewer pictures."""
    total = steps_of(data, request.seed)
    done = count()
    yield ValidationProgress(next(done), total)
    found = yield from _counted(validate(data, start.classifier, start.card, request.seed), done, total)
    curve = yield from _counted(learning_curve(data, request.seed), done, total)
    return found, curve


def _counted(
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


def _write_model(
    request: HeadRequest, folder: Path, start: ClassifierFolder, classifier: Classifier, report: Report
) -> Path:
    """Write the model folder, once its graph is shown to answer as the classifier does."""
    card = adapted_card(
        start.card, request.source, report, name=request.name, data=request.data, command=request.command
    )
    weights, graph = start.replaced(classifier)
    others = with_other_words(model_folder.for_others(folder), card.vocabulary.words)
    readme = adapted_readme(card, report)

    def write(target: Path) -> None:
        model_folder.write_model(
            target, card, weights, readme, dtype=start.dtype, for_others=others, graph=graph
        )

    with TemporaryDirectory() as scratch:
        trial = Path(scratch) / MODEL
        write(trial)
        _require_same(load_engine(str(trial), ONNX_RUNTIME), classifier)
    write(request.out / MODEL)
    return request.out / MODEL


def _require_same(engine: Engine, classifier: Classifier) -> None:
    """Raise `SettingsError` where a graph answers otherwise than the classifier reads its embedding."""
    preprocessing = engine.card.preprocessing
    pixels = np.random.RandomState(0).randint(
        256, size=(_CHECKED, preprocessing.height, preprocessing.width, 3), dtype=np.uint8
    )
    images = preprocessing.normalise(pixels)
    logits = engine.output(images, GRAPH_LOGITS).astype(np.float64)
    expected = classifier.logits(engine.output(images, GRAPH_EMBEDDING))
    difference = np.abs(logits - logits.mean(axis=1, keepdims=True) - expected).max()
    if not difference <= GRAPH_TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise NoLinearClassifier(
            engine.card, f"its logits differ by {difference:.3g} from what is read of its embedding"
        )


def _write_report(out: Path, report: Report, data: Labelled, found: OutOfFold) -> None:
    with atomic_write(out / REPORT, "w") as file:
        file.write(json_text(report.to_json(), indent=1) + "\n")
    probabilities = mean_probabilities(found, cross_fitted(found, data.targets))
    with atomic_write(out / PREDICTIONS, "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["path", *report.scores.words, "label"])
        for row, values in probabilities.items():
            record = data.records[row]
            table.writerow([record.key, *(f"{value:.6f}" for value in values), record.target.top])
    write_page(out / PAGE, report, data)
