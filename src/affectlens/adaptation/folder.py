"""The folder of a run that adapts a model: what it was begun with, and what it ends with.

On disk:
    OUT/settings.json        what the run was begun with, checked when it is resumed
    OUT/embeddings/          what the model reads its answer from, for every picture (`embeddings`)
    OUT/folds/N/             the training run of each part, where more than the last layer is trained
    OUT/refit/               the training run on all pictures
    OUT/model/               the new model, a folder like any other
    OUT/report.json          what was measured; OUT/report.html shows it
    OUT/predictions.csv      the answer to every picture by a model that did not learn from it
"""

import csv
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import warn

from affectlens import library
from affectlens.adaptation.depths import HEAD
from affectlens.adaptation.label_page import write_label_page
from affectlens.adaptation.label_report import LabelsReport
from affectlens.adaptation.label_source import LabelSource
from affectlens.adaptation.page import write_page
from affectlens.adaptation.rated_page import write_rated_page
from affectlens.adaptation.rated_report import RatedReport
from affectlens.adaptation.rated_source import RatedSource
from affectlens.adaptation.report import Report, mean_probabilities
from affectlens.adaptation.validation import Labelled, OutOfFold, cross_fitted
from affectlens.data import splits
from affectlens.data.folder import require_apart
from affectlens.data.records import DataSource, Record, digest, require_listed
from affectlens.errors import RunError
from affectlens.files import atomic_write, clear_leftovers, json_text, read_file
from affectlens.inference.engine import ONNX_RUNTIME
from affectlens.metrics import Doubles
from affectlens.model_folder import Card

SETTINGS, EMBEDDINGS, MODEL = "settings.json", "embeddings", "model"
FOLDS, REFIT, PIXELS = "folds", "refit", "pixels"
REPORT, PAGE, PREDICTIONS = "report.json", "report.html", "predictions.csv"
# What a run has, once it did more than to embed pictures; and the settings of other runs.
_OF_BEGUN = (FOLDS, REFIT, PIXELS, MODEL, REPORT, PAGE, PREDICTIONS, "settings.toml")


@dataclass(frozen=True, kw_only=True)
class FinetuneRequest:
    """A model to adapt.

    Attributes:
        start: the model that it begins with, by name, folder or name on the hub
        rated, labels: ratings, or several labels, to learn instead of words; their pictures are those of
            `source`
        depth: how much of it learns (`adaptation.depths`)
        data: the name of the data set, as its argument has it, for the card
        name: of the new model
        cache: folder of embeddings that several runs share; None for one of its own, in `out`
        file, assignments: what changes the settings of training, where more than the last layer learns
        device, dtype, graph: those of `training.run_folder.TrainingRequest`, likewise
        trackers: names of `training.trackers`, which get the numbers of each training, likewise
        note: called with what a tracker that failed is left out for
        command: what the card states
    """

    source: DataSource
    out: Path
    start: str = library.DEFAULT
    rated: RatedSource | None = None
    labels: LabelSource | None = None
    depth: str = HEAD
    data: str = ""
    name: str = ""
    cache: Path | None = None
    engine: str = ONNX_RUNTIME
    seed: int = 0
    file: Path | None = None
    assignments: Sequence[str] = ()
    device: str = "auto"
    dtype: str = "float16"
    graph: bool = True
    trackers: Sequence[str] = ()
    note: Callable[[str], None] = warn
    resume: bool = False
    command: str = ""


@dataclass(frozen=True)
class ValidationProgress:
    """Classifiers fitted so far for the report, of how many rounds."""

    done: int
    total: int


@dataclass(frozen=True)
class Finetuned:
    """The end of a run: the model folder, what was measured, and why there is no graph if one was wanted.

    The report is that of words, of ratings or of several labels, by what was learned.
    """

    model: Path
    page: Path
    report: Report | RatedReport | LabelsReport
    no_graph: str = ""


def learnable_records(source: DataSource) -> list[Record]:
    """Return all pictures that may be learned from: those that are not set apart for a test."""
    require_listed(source)
    splits.require_learnable(source)
    splits.require_pictures(source)
    splits.require_disjoint(source)
    left = {name: part for name, part in source.splits.items() if name != splits.TEST}
    records = [record for part in left.values() for record in part]
    return sorted(records, key=lambda record: record.key)


def open_folder(
    request: FinetuneRequest,
    start: Card,
    records: Sequence[Record],
    settings: Mapping[str, Any] | None = None,
    rated: Mapping[str, Any] | None = None,
    labels: Mapping[str, Any] | None = None,
) -> None:
    """Begin a run, or check that the one there is to be resumed with the same settings.

    One that holds nothing but embeddings is begun anew: what stopped it may have been its data or settings,
    and nothing is lost. `settings` are those of training, where more than the last layer learns; `rated`
    and `labels` are what is known of ratings or several labels, where these are learned.
    """
    file = request.out / SETTINGS
    wanted = {
        "depth": request.depth,
        "start": start.name,
        "weights": start.weights_hash,
        "answers": start.answers_hash,  # ratings and sets of the start are kept, so they are part of the run
        "name": request.name,
        "engine": request.engine,
        "seed": request.seed,
        "words": list(request.source.vocabulary.words),
        "pictures": len(records),
        "hash": digest(records),
        **({} if settings is None else {"dtype": request.dtype, "settings": dict(settings)}),
        **({} if rated is None else {"ratings": dict(rated)}),
        **({} if labels is None else {"labels": dict(labels)}),
    }
    if not request.resume:
        if any(os.path.lexists(request.out / name) for name in _OF_BEGUN):
            raise RunError(f"{request.out} holds a run. Go on with it by --resume, or choose another --out.")
        require_apart(request.out, request.source)
        _require_own(file, wanted)
        with atomic_write(file, "w") as out:
            out.write(json.dumps(wanted, indent=1, ensure_ascii=False) + "\n")
        return
    clear_leftovers(request.out)
    try:
        found = dict(_read_settings(file))
    except FileNotFoundError:
        raise RunError(f"{request.out} holds no run to resume: {SETTINGS} is not there.") from None
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{file} cannot be read: {error}.") from None
    # Which runs of earlier versions did not write.
    found = {"depth": HEAD, "answers": wanted["answers"], **found}
    differing = [name for name, value in wanted.items() if found.get(name) != value]
    if differing:
        raise RunError(
            f"The run in {request.out} was begun with other settings or data: {', '.join(differing)} differ. "
            "Resume with the same command, or choose another --out."
        )


def _require_own(file: Path, wanted: Mapping[str, Any]) -> None:
    """Raise `RunError` for settings that no run of this kind wrote: they would be replaced."""
    if not os.path.lexists(file):
        return
    try:
        is_own = wanted.keys() - {"depth", "dtype", "settings"} <= dict(_read_settings(file)).keys()
    except (OSError, ValueError, TypeError):
        is_own = False
    if not is_own:
        raise RunError(f"{file} is there already, and is not of this run. Choose another --out.")


def _read_settings(file: Path) -> Any:
    return json.loads(read_file(file).decode("utf-8"))


def write_report(out: Path, report: Report, data: Labelled, found: OutOfFold) -> None:
    """Write what was measured as numbers, as a page, and picture by picture."""
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


def write_rated_report(
    out: Path, report: RatedReport, rated: RatedSource, predicted: Sequence[Mapping[int, float]]
) -> None:
    """Write what was measured of ratings as numbers, as a page, and picture by picture.

    `predicted` holds for each rating what pictures got from fits that did not see them, by their rows.
    """
    with atomic_write(out / REPORT, "w") as file:
        file.write(json_text(report.to_json(), indent=1) + "\n")
    names = [column.name for column in rated.columns]
    with atomic_write(out / PREDICTIONS, "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["path", *(f"{name}{end}" for name in names for end in ("", "_rated"))])
        for row, record in enumerate(rated.records):
            cells = [record.key]
            for found, values in zip(predicted, rated.values.T, strict=True):
                cells += [f"{found[row]:.4f}" if row in found else ""]
                cells += [f"{values[row]:.4f}" if math.isfinite(values[row]) else ""]
            table.writerow(cells)
    write_rated_page(out / PAGE, report, rated, predicted)


def write_label_report(
    out: Path, report: LabelsReport, labels: LabelSource, probabilities: Sequence[Doubles]
) -> None:
    """Write what was measured of several labels as numbers, as a page, and picture by picture.

    `probabilities` hold for each label what pictures got from fits that did not see them, NaN for nothing.
    """
    with atomic_write(out / REPORT, "w") as file:
        file.write(json_text(report.to_json(), indent=1) + "\n")
    with atomic_write(out / PREDICTIONS, "w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["path", *(f"{word}{end}" for word in labels.words for end in ("", "_given"))])
        for row, record in enumerate(labels.records):
            cells = [record.key]
            for found, share in zip(probabilities, labels.values.T, strict=True):
                cells += [f"{found[row]:.4f}" if math.isfinite(found[row]) else "", f"{share[row]:g}"]
            table.writerow(cells)
    write_label_page(out / PAGE, report, labels)
