"""Results of a comparison of explanations: means and intervals over pictures, and a verdict.

Intervals are percentiles of a bootstrap over pictures (Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 13). All methods have the same resamples, so differences between two are of pairs.

Letters: N pictures, R resamples.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np

from affectlens.data.records import DataSource, digest
from affectlens.errors import RunError, SettingsError
from affectlens.explain.faithfulness.measurements import CONTROLS, GRADIENT, KINDS, RANDOM, Measurement
from affectlens.files import atomic_write, read_file
from affectlens.machine import describe as describe_machine
from affectlens.metrics import RowSampler, bootstrap_interval
from affectlens.model_folder import Card

if TYPE_CHECKING:
    from affectlens.explain.core.attribution import Method
    from affectlens.explain.faithfulness.compare import ComparisonOptions


ANSWERS = "answers"  # the hash of what decides them, where that is more than weights


@dataclass(frozen=True)
class Estimate:
    """A mean over pictures, its interval, and of how many pictures it is."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Summary:
    """Figures of all methods, and how they differ.

    Attributes:
        pictures: how many
        methods: estimate by method and figure
        rows: the measurements that were summarised
    """

    pictures: int
    methods: Mapping[str, Mapping[str, Estimate]]
    rows: tuple[Measurement, ...] = field(repr=False)
    resamples: int = 2000
    seed: int = 0

    def difference(self, figure: str, method: str, other: str) -> Estimate:
        """Estimate a method's figure less another's, over pictures that have both."""
        first, second = (_column(self.rows, name, figure) for name in (method, other))
        both = [picture for picture in first if picture in second]
        return _estimate([first[p] - second[p] for p in both], self.resamples, self.seed)

    def gain(self, figure: str, method: str) -> Estimate:
        """Estimate a method's figure less that of random maps of the same pictures.

        Pictures differ more than methods do: with some, the answer falls whatever is removed. This leaves
        that out.
        """
        return self.difference(figure, method, RANDOM)

    def replacements(self) -> list[str]:
        """Names of the replacements of cells, in order."""
        figures = next(iter(self.methods.values()))
        return [name.removeprefix("deletion ") for name in figures
                if name.startswith("deletion ") and not name.endswith(" normalised")]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return estimates and rows as plain data."""
        return {
            "pictures": self.pictures,
            "resamples": self.resamples,
            "methods": {m: {f: asdict(e) for f, e in figures.items()} for m, figures in self.methods.items()},
            "rows": [row.to_json() for row in self.rows],
        }


def summarise(rows: Sequence[Measurement], *, resamples: int = 2000, seed: int = 0) -> Summary:
    """Take means and intervals over pictures. Raises `SettingsError` for no rows."""
    if not rows:
        raise SettingsError("There is nothing to summarise: no picture was explained.")
    names = list(dict.fromkeys(row.method for row in rows))
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    methods = {
        method: {
            figure: _estimate(list(column.values()), resamples, seed)
            for figure in figures
            if (column := _column(rows, method, figure))
        }
        for method in names
    }
    pictures = len({row.picture for row in rows})
    return Summary(pictures, MappingProxyType(methods), tuple(rows), resamples, seed)


def settings_of(
    card: Card,
    source: DataSource,
    split: str,
    methods: Mapping[str, "Method"],
    options: "ComparisonOptions",
) -> dict[str, Any]:
    """Return all that determines the figures of a comparison, but for the choice of pictures."""
    return {
        "model": {
            "name": card.name,
            "weights": card.weights_hash,
            **({ANSWERS: card.answers_hash} if card.is_more_than_weights else {}),
        },
        "data": {"name": source.name, "split": split, "hash": digest(source.split(split))},
        "options": asdict(options),
        "options_of_methods": {
            name: asdict(cast(Any, method)) if is_dataclass(method) else {}
            for name, method in methods.items()
        },
    }


def to_document(
    card: Card,
    source: DataSource,
    split: str,
    rows: Sequence[Measurement],
    methods: Mapping[str, "Method"],
    options: "ComparisonOptions",
) -> dict[str, Any]:
    """Put a comparison and all that it depends on into one document that can be written as JSON."""
    return {
        **settings_of(card, source, split, methods, options),
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe_machine(),
        **summarise(rows).to_json(),
    }


def write_results(file: Path, document: Mapping[str, Any]) -> None:
    """Write what `to_document` returned. Raises `OutputError`; the old file stays then."""
    with atomic_write(file, "w") as out:
        out.write(json.dumps(document, indent=1) + "\n")


class StoredComparison(msgspec.Struct, frozen=True):
    """What another comparison takes from a document: all that determines its figures, and these."""

    model: dict[str, Any]
    data: dict[str, Any]
    options: dict[str, Any]
    options_of_methods: dict[str, Any]
    rows: tuple[Measurement, ...]


def read_results(file: Path) -> StoredComparison:
    """Read a document that `write_results` wrote. Raises `RunError`."""
    try:
        return msgspec.json.decode(read_file(file), type=StoredComparison)
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, RecursionError) as error:
        reason = f"it is torn or was altered ({error})"
    raise RunError(f"The comparison in {file} cannot be read: {reason}. Start anew, with another file.")


def resume(earlier: StoredComparison, settings: Mapping[str, Any]) -> list[Measurement]:
    """Take the measurements of an earlier, unfinished comparison that one with these settings keeps.

    Those of a picture whose methods were not all measured are left out. Raises `SettingsError` where the
    settings differ.
    """
    for key, now in settings.items():
        then = getattr(earlier, key)
        if key == "model" and ANSWERS not in then:  # as earlier versions wrote it
            now = {name: value for name, value in now.items() if name != ANSWERS}
        # Through JSON, where a tuple is a list.
        if json.loads(json.dumps(now)) != then:
            raise SettingsError(
                f"The comparison cannot go on: its {key.replace('_', ' ')} were {then}, "
                f"and are now {now}. Use the same options, or name another file."
            )
    methods = CONTROLS | settings["options_of_methods"].keys()
    measured: dict[str, set[str]] = {}
    for row in earlier.rows:
        # Without these figures, methods cannot be compared with one another.
        needed = {"faithfulness"} if row.method in CONTROLS else {"faithfulness", "seconds"}
        if needed <= row.figures.keys():
            measured.setdefault(row.picture, set()).add(row.method)
    return [row for row in earlier.rows if measured.get(row.picture) == methods]


@dataclass(frozen=True)
class Verdict:
    """Which method the figures support.

    Attributes:
        chosen: the quickest of `best` and `equal`; None where no method beats both random and gradient
        best: that beats both, with the greatest faithfulness
        equal: others that beat both and are not significantly different from the best: the interval of the
            difference in faithfulness contains 0
        behind: that beat both, but are less faithful than the best
        failed: methods, and in which figures they do not beat which of the two
    """

    chosen: str | None
    best: str | None
    equal: tuple[str, ...]
    behind: tuple[str, ...]
    failed: Mapping[str, tuple[str, ...]]


def decide(summary: Summary, *, scale: str = "") -> Verdict:
    """Compare methods by gains over random maps (`Summary.gain`).

    Their intervals must overlap neither 0 nor the interval of the plain gradient's gain.

    A method has to beat both in deletion and insertion, with every replacement. `scale` is "" for
    probabilities, "normalised" for normalised log-odds.
    """
    controls = [name for name in (RANDOM, GRADIENT) if name in summary.methods]
    failed: dict[str, tuple[str, ...]] = {}
    for name in summary.methods:
        if name not in CONTROLS | {GRADIENT}:
            failed[name] = tuple(_not_beaten(summary, name, controls, scale))
    sound = [name for name, reasons in failed.items() if not reasons]
    if not sound:
        return Verdict(None, None, (), (), failed)
    best = max(sound, key=lambda name: summary.methods[name]["faithfulness"].mean)
    rest = [name for name in sound if name != best]
    equal = tuple(n for n in rest if not summary.difference("faithfulness", best, n).excludes_zero)
    behind = tuple(name for name in rest if name not in equal)
    chosen = min((best, *equal), key=lambda name: summary.methods[name]["seconds"].mean)
    return Verdict(chosen, best, equal, behind, {n: reasons for n, reasons in failed.items() if reasons})


def _not_beaten(summary: Summary, name: str, controls: Sequence[str], scale: str) -> Iterator[str]:
    for control in controls:
        for replacement in summary.replacements():
            deletion, insertion = (f"{kind} {replacement} {scale}".strip() for kind in KINDS)
            own, theirs = (
                {figure: summary.gain(figure, one) for figure in (deletion, insertion)}
                for one in (name, control)
            )
            # What could not be measured is not beaten.
            if not own[deletion].high < theirs[deletion].low:
                yield f"{deletion} against {control}"
            if not own[insertion].low > theirs[insertion].high:
                yield f"{insertion} against {control}"


def _column(rows: Sequence[Measurement], method: str, figure: str) -> dict[str, float]:
    """One figure of one method by picture, of those that have it."""
    return {r.picture: r.figures[figure] for r in rows if r.method == method and figure in r.figures}


def _estimate(values: Sequence[float], resamples: int, seed: int) -> Estimate:
    """Mean and percentiles of resampled means; the same resamples for the same number of values."""
    if not values:
        return Estimate(math.nan, math.nan, math.nan, 0)
    column = np.array(values, dtype=np.float64)
    sampled = RowSampler(seed).rows(len(column), (resamples, len(column)))
    low, high = bootstrap_interval(column[sampled].mean(axis=1))
    return Estimate(float(column.mean()), low, high, len(column))
