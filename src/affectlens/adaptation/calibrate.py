"""Calibrate a trained model on own pictures: its temperature, its sets of emotions, and its ratings.

The weights of the network stay as they are, to the bit. `adaptation.recalibration` decides what is changed.

On disk: a model folder like any other (`model_folder`); its card states what was calibrated and measured.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from affectlens import library, model_folder
from affectlens.adaptation.calibration_report import CalibrationReport, PartReport, joined_reasons
from affectlens.adaptation.classifier import number_format
from affectlens.adaptation.own_pictures import (
    OwnAnswers,
    OwnPictures,
    answer_own_pictures,
    open_own_pictures,
)
from affectlens.adaptation.recalibration import (
    FOLDS,
    REPEATS,
    DividedPictures,
    EmotionAnswers,
    EmotionFit,
    RatingFit,
    divided,
    refit_emotions,
    refit_rating,
)
from affectlens.data.folder import require_apart
from affectlens.data.groups import SearchProgress, find_groups, search_for
from affectlens.data.rated_table import SCALE
from affectlens.errors import AffectLensError, MissingExtra, OutputError, SettingsError
from affectlens.evaluation.scores import score
from affectlens.extras import ADAPT
from affectlens.files import output_path
from affectlens.inference.coverage import PredictionSets
from affectlens.inference.engine import AUTO, MANY, Engine, load_engine
from affectlens.library.licences import licences, merged_licences
from affectlens.library.text import heads_text, licences_text, markdown_list, readme_beginning
from affectlens.locks import locked_file
from affectlens.markdown import markdown_code, markdown_text
from affectlens.model_folder import CALIBRATED, GRAPH, Card, has_graph
from affectlens.ratings import RatingHead, RatingScale
from affectlens.report.text import listed, markdown_table, printable
from affectlens.version import VERSION

SPLIT = "cross-validation"
GRAPH_TOLERANCE = 1e-3  # of a rating: what rounding to float32 makes of some thousand products
_WEIGHTS, _OFFSETS = "rating_weights", "rating_offsets"  # of `models.graph_outputs.GraphNetwork`
_CHECKED = 4  # pictures on which the new graph is compared with the former one


class NotCalibrated(AffectLensError):
    """Own pictures that are not shown to make any part of a calibration better; nothing is written."""

    def __init__(self, report: CalibrationReport) -> None:
        self.report = report
        super().__init__(
            f"{report.start} stays as it is, and nothing was written. No part is shown to be better on these "
            f"pictures: {joined_reasons(report.parts)}."
        )


@dataclass(frozen=True, kw_only=True)
class CalibrationRequest:
    """A model to calibrate.

    Attributes:
        model: by name, folder or name on the hub
        data: of `data.catalog.open_data`
        out: folder to write, which must not hold anything
        split: of the data; all but a split `test` by default
        scale: ends of the scale of its ratings
        name: of the new model
        command: what the card states
    """

    model: str
    data: str
    out: Path
    split: str = ""
    scale: tuple[float, float] = SCALE
    name: str = ""
    engine: str = AUTO
    device: str = "auto"
    seed: int = 0
    command: str = "affectlens.calibrate(...)"


@dataclass(frozen=True)
class CalibrationProgress:
    """How far a step is: what it does, how much of it is done, and of how much."""

    doing: str
    done: float
    total: float


@dataclass(frozen=True)
class Calibrated:
    """The end of a calibration: the model folder, and what was measured."""

    model: Path
    report: CalibrationReport


OnProgress = Callable[[CalibrationProgress], None]


def calibrate(
    model: str,
    data: str | Path,
    out: str | Path,
    *,
    split: str = "",
    scale: tuple[float, float] = SCALE,
    name: str = "",
    engine: str = AUTO,
    device: str = "auto",
    seed: int = 0,
    progress: OnProgress = lambda done: None,
) -> Calibrated:
    """Calibrate a model on own pictures, as `affectlens calibrate` does, and write it into a new folder.

    `data` is a folder with a folder of pictures for each emotion, a table, or NAME:PATH; a table may have
    ratings on a scale, in columns as `valence`. `out` is the folder to write, whose name is the model's by
    default. `progress` is called as it goes on. Returns where the model is, and what was measured. Raises
    `NotCalibrated` where no part is shown to be better, and what `fit_calibration` raises.

        found = affectlens.calibrate("default", "photos/", "mine")
        print("\\n".join(found.report.findings()))
    """
    out = output_path(out)
    request = CalibrationRequest(
        model=model, data=str(data), out=out, split=split, scale=scale,
        name=printable(name or out.resolve().name), engine=engine, device=device, seed=seed,
    )  # fmt: skip
    return fit_calibration(request, progress)


def fit_calibration(request: CalibrationRequest, progress: OnProgress = lambda done: None) -> Calibrated:
    """Predict the pictures, measure what calibration would help, and write what does.

    Raises `NotCalibrated`; `DatasetError` and others of `open_own_pictures` for the pictures; `MissingExtra`
    where ratings are in a graph and onnx is not installed; `OutputError` for a folder that is not empty,
    `OutputInUse` where another process writes it, and what reading the model raises.
    """
    card = library.card(request.model)
    folder = library.find(request.model)
    own = open_own_pictures(request.data, card, request.split, request.scale)
    if own.has_ratings:
        _require_onnx(folder)
    require_apart(request.out, own.source)
    with locked_file(request.out):
        _require_empty(request.out)
        engine = load_engine(
            str(folder), request.engine, request.device, "float32", many=len(own.records) >= MANY
        )
        answers = _answered(engine, own, progress)
        records = [own.records[row] for row in answers.rows]
        progress(CalibrationProgress("comparing", 0, 1))
        groups = find_groups(records, search_for(len(records)), partial(_searched, progress, len(records)))
        fitted = _fitted(card, own, answers, divided(records, groups, request.seed), progress)
        report = _report(request, card, own, answers, fitted)
        if not report.changed:
            raise NotCalibrated(report)
        _write(request, folder, engine, fitted, report, own)
    return Calibrated(request.out, report)


def _require_onnx(folder: Path) -> None:
    """Raise `MissingExtra` where a graph holds ratings, and what changes a graph is not there."""
    if has_graph(folder) and find_spec("onnx") is None:
        raise MissingExtra("Calibrating ratings, which the model's graph holds,", "onnx", ADAPT.name)


def _require_empty(out: Path) -> None:
    try:
        is_taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except (OSError, ValueError) as error:
        raise OutputError(f"{out} cannot be written: {getattr(error, 'strerror', None) or error}.") from None
    if is_taken:
        raise OutputError(f"{out} exists and is not overwritten. Name another folder.")


# ------------------------------------------------------------------------------------------------- fitting


@dataclass(frozen=True)
class _Fitted:
    """What was found of each part; None of what the pictures do not have.

    Attributes:
        targets: of the pictures that were read, (N, E), in the order of `EmotionFit.crossed`
        groups: how many groups there are
    """

    emotions: EmotionFit | None
    ratings: Mapping[str, RatingFit]
    targets: Any
    groups: int


def _answered(engine: Engine, own: OwnPictures, progress: OnProgress) -> OwnAnswers:
    done, total = 0, len(own.records)

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(CalibrationProgress("predicting", done, total))

    progress(CalibrationProgress("predicting", 0, total))
    return answer_own_pictures(engine, own.records, progress=advance)


def _searched(progress: OnProgress, total: int, found: SearchProgress) -> None:
    part = found.compared if found.read >= total else 0.0
    progress(CalibrationProgress("comparing", (found.read / max(1, total) + part) / 2, 1))


def _fitted(
    card: Card, own: OwnPictures, answers: OwnAnswers, pictures: DividedPictures, progress: OnProgress
) -> _Fitted:
    """Fit every part that the pictures have something for."""
    progress(CalibrationProgress("validating", 0, REPEATS))
    targets = np.array([own.records[row].target.probabilities for row in answers.rows], dtype=np.float64)
    emotions = None
    if own.has_emotions:
        sets = card.prediction_sets
        emotions = refit_emotions(
            EmotionAnswers(answers.logits, targets, card.vocabulary),
            card.temperature,
            PredictionSets.from_json(sets, card.vocabulary) if sets else None,
            pictures,
            lambda done: progress(CalibrationProgress("validating", done, REPEATS)),
        )
    ratings = {}
    for index, scale in enumerate(card.ratings):
        rated = own.ratings[answers.rows, index]
        known = np.flatnonzero(np.isfinite(rated))
        # A line in percent is not one in log-odds, which are what a label is read by.
        if len(known) and not scale.is_percent:
            read = answers.ratings[known, index]
            ratings[scale.name] = refit_rating(scale, read, rated[known], pictures.some(known))
    return _Fitted(emotions, ratings, targets, len(set(pictures.groups)))


def _report(
    request: CalibrationRequest, card: Card, own: OwnPictures, answers: OwnAnswers, fitted: _Fitted
) -> CalibrationReport:
    parts: tuple[PartReport, ...] = fitted.emotions.parts if fitted.emotions else ()
    return CalibrationReport(
        start=card.name,
        weights=card.weights_hash,
        data=_name_of(request.data),
        hash=own.hash,
        pictures=len(answers.rows),
        groups=fitted.groups,
        unreadable=tuple(str(each.error) for each in answers.unreadable),
        repeats=REPEATS,
        folds=FOLDS,
        seed=request.seed,
        notes=(*own.source.notes, *_learned_ratings(card, own.learned)),
        parts=(*parts, *(each.part for each in fitted.ratings.values())),
    )


def _learned_ratings(card: Card, learned: int) -> tuple[str, ...]:
    """Note how many ratings were left out, on whose pictures errors are smaller than on others."""
    if not learned:
        return ()
    return (
        f"{learned:,} of these pictures are those that the ratings of {card.name} were learned from: their "
        "ratings are left out",
    )


def _name_of(data: str) -> str:
    """Name a data set without folders of this machine."""
    return data.partition(":")[0] if ":" in data else "own pictures"


# ------------------------------------------------------------------------------------------------- writing


def _write(
    request: CalibrationRequest,
    folder: Path,
    engine: Engine,
    fitted: _Fitted,
    report: CalibrationReport,
    own: OwnPictures,
) -> None:
    """Write the new model, once it is shown to answer as the former one with other ratings."""
    card, weights, heads = model_folder.read_model(folder)
    graph = (folder / GRAPH).read_bytes() if has_graph(folder) else None
    lines = {
        name: (each.factor, each.offset)
        for name, each in fitted.ratings.items()
        if (each.factor, each.offset) != (1.0, 0.0)
    }
    if lines:
        head = changed_head(RatingHead.from_tensors(heads), card, lines)
        heads = {**heads, **head.tensors()}
        graph = None if graph is None else changed_graph(graph, head)
    new = calibrated_card(card, request, fitted, report, own)
    readme, others = calibrated_readme(new, report), model_folder.for_others(folder)

    def write(target: Path) -> None:
        model_folder.write_model(
            target, new, weights, readme, dtype=number_format(weights), for_others=others, graph=graph,
            heads=heads,
        )  # fmt: skip

    if lines:
        with TemporaryDirectory() as scratch:
            write(Path(scratch) / "model")
            made = load_engine(str(Path(scratch) / "model"), engine.name, request.device, "float32")
            _require_lines(engine, made, lines)
    write(request.out)


def changed_head(head: RatingHead, card: Card, lines: Mapping[str, tuple[float, float]]) -> RatingHead:
    """Return what reads ratings with lines folded into it: by name a factor and an offset."""
    found = [lines.get(scale.name, (1.0, 0.0)) for scale in card.ratings]
    factors, offsets = (np.array(each) for each in zip(*found, strict=True))
    return RatingHead(
        (head.weights * factors[:, None]).astype(np.float32),
        (head.offsets * factors + offsets).astype(np.float32),
        head.percents,
    )


def changed_graph(graph: bytes, head: RatingHead) -> bytes:
    """Put other weights and offsets of ratings into a graph. Raises `SettingsError` where it has none."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(graph)
    held = {weight.name: weight for weight in model.graph.initializer}
    for name, values in {_WEIGHTS: head.weights, _OFFSETS: head.offsets}.items():
        found = held.get(name)
        if found is None or tuple(found.dims) != values.shape:
            raise SettingsError(
                f"The model's graph reads its ratings by no {name} of shape {values.shape}. Make it anew by "
                "`affectlens models graph FOLDER`."
            )
        found.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), name))
    changed: bytes = model.SerializeToString()
    return changed


def _require_lines(before: Engine, after: Engine, lines: Mapping[str, tuple[float, float]]) -> None:
    """Raise `SettingsError` where a new graph does not read ratings by the lines from the former ones."""
    card = before.card
    size = (_CHECKED, card.preprocessing.height, card.preprocessing.width, 3)
    pixels = np.random.RandomState(0).randint(256, size=size, dtype=np.uint8)
    old, new = before.answer(pixels).ratings, after.answer(pixels).ratings
    assert old is not None and new is not None, "a line is fitted to ratings that the model has"
    found = np.array([lines.get(scale.name, (1.0, 0.0)) for scale in card.ratings])
    difference = float(np.abs(old * found[:, 0] + found[:, 1] - new).max())
    if not difference <= GRAPH_TOLERANCE * max(1.0, float(np.abs(new).max())):
        raise SettingsError(
            f"The new model reads ratings that differ by {difference:.3g} from those that were fitted."
        )


def calibrated_card(
    start: Card, request: CalibrationRequest, fitted: _Fitted, report: CalibrationReport, own: OwnPictures
) -> Card:
    """Make the card of a calibrated model: what it was, what was changed, and what that was measured by."""
    scales = tuple(
        fitted.ratings[scale.name].scale if scale.name in fitted.ratings else scale for scale in start.ratings
    )
    names = ("name", "weights_hash", "version", "temperature")
    facts = {
        **report.to_json(),
        "start": {name: getattr(start, name) for name in names},
        "command": request.command,
    }
    changed: dict[str, Any] = {}
    found = fitted.emotions
    if found is not None:
        changed["temperature"] = found.temperature
        changed["prediction_sets"] = found.sets.to_json() if found.sets else {}
        if found.temperature != start.temperature:
            scores = score(found.crossed, fitted.targets, start.vocabulary, resamples=0)
            measured = replace(scores, temperature=found.temperature, unreadable=len(report.unreadable))
            changed["scores"] = {"split": SPLIT, **measured.to_json()}
    training = _still_true(start, scales, changed)
    titles = listed([part.title for part in report.changed])
    return replace(
        start,
        name=request.name or start.name,
        ratings=scales,
        training={**training, CALIBRATED: facts},
        licences=merged_licences([start.licences, licences(own.source.name)]),
        limits=(
            *start.limits,
            f"Its calibration ({titles}) is of {report.pictures:,} pictures that its user chose; on pictures "
            "unlike these it may be surer than it is right, or less sure.",
        ),
        weights_hash="",
        version="",
        **changed,
    )


def _still_true(start: Card, scales: tuple[RatingScale, ...], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card's facts on training without figures of what is now read otherwise.

    They are those of a former line, temperature or threshold; what calibrated these has the new ones.
    """
    training = dict(start.training)
    kept = {new.name for old, new in zip(start.ratings, scales, strict=True) if old == new}
    if len(kept) < len(scales) and isinstance(facts := training.get("ratings"), Mapping):
        figures = {
            key: value for key, value in facts.get("figures", {}).items() if key.partition(" ")[2] in kept
        }
        training["ratings"] = {**facts, "figures": figures}
    for key, name in (("prediction_sets", "held_out"), ("temperature", "abstaining")):
        is_changed = key in changed and changed[key] != getattr(start, key)
        if is_changed and isinstance(facts := training.get("sets"), Mapping):
            training["sets"] = {each: value for each, value in facts.items() if each != name}
    return training


def calibrated_readme(card: Card, report: CalibrationReport) -> str:
    """Write the card as Markdown, with the header that the hub reads."""
    header, *rows = report.table()
    text = f"""{readme_beginning(card)}
## Calibrated on own pictures
The model {markdown_text(report.start)}, with the same weights, calibrated on {report.pictures:,} pictures.

{markdown_list(report.findings())}

{markdown_table(header, rows)}

## Limits
{markdown_list(card.limits)}

## Training
Start: {markdown_text(report.start)}, weights {report.weights}. Its own card has how it was trained.
Calibrated on: {markdown_text(report.data)} ({report.pictures:,} pictures; hash {report.hash}).
Command: {markdown_code(card.training[CALIBRATED]["command"])}
Made by AffectLens {VERSION}.

## Licences
{licences_text(card)}
"""
    has_heads = card.ratings or card.prediction_sets or card.unusual
    return heads_text(text, card) if has_heads else text
