"""Fit a trained model to one's own words: pictures with labels -> a model folder and a report.

The last layer alone is fitted here; more of the network is trained in `adaptation.deep`. `adaptation.folder`
has what lies on disk.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from affectlens import library, model_folder
from affectlens.adaptation.card import adapted_card, adapted_readme, with_other_words
from affectlens.adaptation.classifier import Classifier, NoLinearClassifier
from affectlens.adaptation.deep import PartEvent, fit_deep
from affectlens.adaptation.depths import HEAD, require_depth
from affectlens.adaptation.embeddings import EmbeddingProgress
from affectlens.adaptation.folder import (
    MODEL,
    PAGE,
    Finetuned,
    FinetuneRequest,
    ValidationProgress,
    learnable_records,
    open_folder,
    write_report,
)
from affectlens.adaptation.head import fit_classifiers
from affectlens.adaptation.label_job import fit_labels
from affectlens.adaptation.label_source import LabelSource, has_several_labels, open_label_source
from affectlens.adaptation.rated_job import fit_ratings
from affectlens.adaptation.rated_source import RatedSource, open_rated_source, ratings_of_table
from affectlens.adaptation.report import Report, make_report
from affectlens.adaptation.start import Start, counted, label_embeddings, open_start, single_thread
from affectlens.adaptation.validation import (
    Labelled,
    OutOfFold,
    best_strength,
    learning_curve,
    steps_of,
    validate,
)
from affectlens.data.catalog import open_data
from affectlens.data.rated_table import ScaleEnds
from affectlens.data.records import DataSource, with_shares, with_used_words
from affectlens.data.splits import TEST
from affectlens.errors import SettingsError
from affectlens.extras import ADAPT, require
from affectlens.files import output_path
from affectlens.inference.engine import ONNX_RUNTIME, Engine, load_engine
from affectlens.locks import locked_folder
from affectlens.metrics import Doubles
from affectlens.model_folder import GRAPH_EMBEDDING, GRAPH_LOGITS
from affectlens.report.text import printable

GRAPH_TOLERANCE = 1e-3  # of a logit: what rounding to float32 makes of some thousand products
_CHECKED = 8  # pictures on which the new graph is compared with the classifier

Target: TypeAlias = DataSource | RatedSource | LabelSource
FinetuneProgress = EmbeddingProgress | ValidationProgress | PartEvent
FinetuneEvent = FinetuneProgress | Finetuned


def adapt(request: FinetuneRequest) -> Iterator[FinetuneEvent]:
    """Adapt a model at the depth of the request; the last event is `Finetuned`.

    Raises `UnknownName` for another depth, and what `fit_head`, `deep.fit_deep`, `rated_job.fit_ratings` and
    `label_job.fit_labels` do.
    """
    require_depth(request.depth)
    if request.rated is not None:
        yield from fit_ratings(request, request.rated)
        return
    if request.labels is not None:
        yield from fit_labels(request, request.labels)
        return
    yield from fit_head(request) if request.depth == HEAD else fit_deep(request)


def fit_head(request: FinetuneRequest) -> Iterator[FinetuneEvent]:
    """Embed the pictures, validate, fit, and write the folder; the last event is `Finetuned`.

    Stopping the iteration anywhere leaves a run to resume, which ends in the same bits. Raises `MissingExtra`
    without scikit-learn, `SettingsError` for another engine and a model whose classifier cannot be replaced,
    `DatasetError` for labels that nothing can be learned from and pictures that cannot be read, `RunError`
    where the folder holds another run or none to resume, `OutputInUse` where another process writes it, and
    what reading the model raises.
    """
    require(ADAPT, "Fitting a classifier")
    start = open_start(request)
    records = learnable_records(request.source)
    with locked_folder(request.out):
        open_folder(request, start.opened.card, records)
        data = yield from label_embeddings(request, start, records)
        with single_thread(len(records)):
            yield from _fit(request, start, data)


def finetune(
    data: str | Path,
    out: str | Path,
    *,
    start: str = library.DEFAULT,
    depth: str = HEAD,
    ratings: Mapping[str, ScaleEnds] = MappingProxyType({}),
    name: str = "",
    cache: str | Path | None = None,
    seed: int = 0,
    assignments: Sequence[str] = (),
    device: str = "auto",
    trackers: Sequence[str] = (),
    resume: bool = False,
    progress: Callable[[FinetuneProgress], None] = lambda done: None,
) -> Finetuned:
    """Fit a trained model to words or ratings of one's own pictures, as `affectlens train finetune` does.

    `data` is a folder with a folder of pictures for each word, a table, or NAME:PATH; `out` is the folder to
    write. `ratings` are columns of a table to learn instead of words, each with the ends of its scale
    (`{"cosiness": (1, 7)}`); those of a table that has valence or arousal and no words are found, and so are
    several labels for each picture, in a column `labels`. At the depths `last` and `all`, which need torch
    and learn words, `assignments` change settings of training ("epochs=5"), and `trackers` get the numbers of
    each training ("tensorboard"). `progress` is called as it goes on. Returns where the model is, and what
    was measured.
    Raises what `adapt` and `data.catalog.open_data` do.

        found = affectlens.finetune("moods/", "my-model")
        print("\\n".join(found.report.findings()))
        affectlens.Predictor.load("my-model")("beach.jpg")
    """
    out = output_path(out)
    if depth == HEAD and (assignments or trackers or device != "auto"):
        raise SettingsError(
            f"Settings, trackers and a device are of training, for which the depth {HEAD!r} has no use: "
            "leave assignments, trackers and device out, or give another depth."
        )
    request = FinetuneRequest(
        **requested_target(open_target(str(data), start, ratings)),
        out=out,
        start=start,
        depth=depth,
        data=str(data).partition(":")[0] if ":" in str(data) else "own pictures",
        name=printable(name or out.resolve().name),
        cache=None if cache is None else Path(cache),
        seed=seed,
        assignments=tuple(assignments),
        device=device,
        trackers=tuple(trackers),
        resume=resume,
        command="affectlens.finetune(...)",
    )
    for event in adapt(request):
        if isinstance(event, Finetuned):
            return event
        progress(event)
    raise AssertionError("the last event is Finetuned")


def requested_target(target: Target) -> dict[str, Any]:
    """Return what is to be learned as fields of a request."""
    if isinstance(target, RatedSource):
        return {"source": target.source, "rated": target}
    if isinstance(target, LabelSource):
        return {"source": target.source, "labels": target}
    return {"source": target}


def open_target(
    data: str, start: str, ratings: Mapping[str, ScaleEnds], scale: ScaleEnds | None = None
) -> Target:
    """Read what is to be learned: ratings that are named, or those of a table without words; several labels,
    where a table has these; or words.

    `scale` is that of valence and arousal where they are found, not named; 1 to 9 by default. Raises
    `SettingsError` where it is of no use, and what `open_data`, `rated_source.open_rated_source` and
    `label_source.open_label_source` do.
    """
    several = not ratings and has_several_labels(data)
    found = ratings or ({} if several else ratings_of_table(data, scale))
    if found:
        return open_rated_source(data, found, library.card(start))
    if scale is not None:
        raise SettingsError(f"{data} has labels, which have no scale. Leave the scale out, or name ratings.")
    if several:
        return open_label_source(data, library.card(start))
    return with_used_words(with_shares(open_data(data)), TEST)


def _fit(request: FinetuneRequest, start: Start, data: Labelled) -> Iterator[FinetuneEvent]:
    """Measure by cross-validation, then fit on all pictures and write what was found."""
    found, curve = yield from _validated(request, start, data)
    strength = best_strength(data, np.arange(len(data.records)), request.seed)
    classifier = next(fit_classifiers(data.features, data.targets, data.known, [strength]))
    words = request.source.vocabulary
    report = make_report(data, found, curve, start.opened.card, words, strength, request.seed)
    model = _write_model(request, start, classifier, report)
    write_report(request.out, report, data, found)
    yield Finetuned(model, request.out / PAGE, report)


def _validated(
    request: FinetuneRequest, start: Start, data: Labelled
) -> Generator[ValidationProgress, None, tuple[OutOfFold, list[tuple[float, Doubles]]]]:
    """Run the validation; return what was predicted, and the same from fewer pictures."""
    total = steps_of(data, request.seed)
    done = count()
    yield ValidationProgress(next(done), total)
    found = yield from counted(
        validate(data, start.opened.classifier, start.opened.card, request.seed), done, total
    )
    curve = yield from counted(learning_curve(data, request.seed), done, total)
    return found, curve


def _write_model(request: FinetuneRequest, start: Start, classifier: Classifier, report: Report) -> Path:
    """Write the model folder, once its graph is shown to answer as the classifier does."""
    card = adapted_card(
        start.opened.card,
        request.source,
        report,
        name=request.name,
        data=request.data,
        command=request.command,
    )
    weights, graph = start.opened.replaced(classifier)
    others = with_other_words(model_folder.for_others(start.folder), card.vocabulary.words)
    readme = adapted_readme(card, report)

    def write(target: Path) -> None:
        model_folder.write_model(
            target, card, weights, readme, dtype=start.opened.dtype, for_others=others, graph=graph,
            heads=start.opened.heads,
        )  # fmt: skip

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
