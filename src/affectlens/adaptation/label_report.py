"""What validation of several labels found, as plain data and as sentences.

The calibration error has no interval: a resample adds noise to every bin, and an absolute gap grows with
noise, so that intervals by a bootstrap lie above the figure. What it is compared with is how large it gets by
chance alone where probabilities are calibrated: with the sign of all differences of a group turned or not at
random (the wild bootstrap of clusters: Cameron, Gelbach and Miller, "Bootstrap-Based Improvements for
Inference with Clustered Errors", Review of Economics and Statistics 90, 2008).

Letters: N pictures, W labels, B resamples (the first column of measures is that of all pictures, once each).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from affectlens.adaptation.label_source import LabelSource
from affectlens.adaptation.label_validation import ANSWERS, LabelOutOfFold
from affectlens.adaptation.rated_report import cell_text
from affectlens.adaptation.report import measured_text, with_more_pictures
from affectlens.adaptation.validation import KNOWN, MOST_FREQUENT, OWN
from affectlens.evaluation.resampling import RESAMPLES, Measured, times_sampled_by_groups
from affectlens.metrics import Doubles, bootstrap_interval
from affectlens.ratings import (
    LEAST_PERCENT,
    MOST_PERCENT,
    RatingScale,
    conformal_half_widths,
    possible_coverages,
)
from affectlens.report.text import listed, markdown_table, signed

LEVEL = 0.95
MOST_SUSPECTS = 24
SUSPECT_ODDS = 4.0  # how much less likely than usual a given label is, or likely one that is not given
BINS = 10  # of probabilities, for the calibration error
_SMALLEST = 1e-6
_FLAT = 1e-9

TITLES: Mapping[str, str] = {
    OWN: "the new labels",
    MOST_FREQUENT: "the frequency of each label, for every picture",
    KNOWN: "the known emotions alone",
}
PRECISION, AUC, BRIER = "average_precision", "auc", "brier"
MICRO, MACRO = "micro_f1", "macro_f1"
MEASURES: Mapping[str, str] = {
    PRECISION: "mean average precision",
    AUC: "mean area under ROC",
    BRIER: "Brier score",
}
CALIBRATION_TITLE = "calibration error"
F1_TITLES: Mapping[str, str] = {MICRO: "micro F1", MACRO: "macro F1"}


class LabelMeasures(NamedTuple):
    """Measures of one label, each (1 + B,), and counts for F1: right, given, true.

    `errors` are calibration errors: that of all pictures, and those by chance, (1 + B,).
    """

    measures: dict[str, Doubles]
    counts: tuple[Doubles, Doubles, Doubles]
    errors: Doubles


@dataclass(frozen=True)
class CalibrationError:
    """Mean gap between probability and share, and up to where it gets by chance in 95 % of samples."""

    value: float
    by_chance: float

    def __str__(self) -> str:
        """Write both, to three digits."""
        return f"{self.value:.3f} (chance {self.by_chance:.3f})"


@dataclass(frozen=True)
class LabelSuspect:
    """A picture whose label looks wrong: whether it is given, and the probability that others give it."""

    key: str
    word: str
    given: float
    probability: float


@dataclass(frozen=True)
class LabelCurvePoint:
    """Mean Brier score where so many pictures were learned from, and how much more than from all."""

    pictures: int
    error: Measured
    more_than_all: Measured


@dataclass(frozen=True, kw_only=True)
class LabelReport:
    """What was measured of one label.

    Attributes:
        scale: of the new model, in percent, with its intervals
        frequency: share of the pictures that have it
        line: probability from which giving it has the highest F1
        f1: at lines that the other parts gave
        estimates: by answer and measure
        calibration: by answer
        difference: how much more Brier score the new label has than its frequency; of all labels together
            (Bonferroni)
        temperature: of its log-odds
        parts: how many parts were predicted, each from the others
    """

    scale: RatingScale
    frequency: float
    line: float
    f1: Measured
    estimates: Mapping[str, Mapping[str, Measured]]
    calibration: Mapping[str, CalibrationError]
    difference: Measured
    temperature: float
    parts: int

    @property
    def word(self) -> str:
        """The label."""
        return self.scale.name


@dataclass(frozen=True, kw_only=True)
class LabelsReport:
    """What was measured of a model with several labels.

    Attributes:
        start, weights: name of the model that it began with, and the hash of its weights
        pictures, groups: that may be learned from, and how many of them are groups or single pictures
        estimates: means over labels, by answer (`TITLES`) and measure (`MEASURES`); intervals by a bootstrap
            over groups
        calibration: means over labels, by answer
        f1: at lines that the other parts gave, by `F1_TITLES`
        differences: by simpler answer and measure, how much more the new labels have; intervals hold for both
            answers together (Bonferroni)
        curve: from fewer pictures to all
        notes: on the data
    """

    start: str
    weights: str
    pictures: int
    groups: int
    seed: int
    labels: tuple[LabelReport, ...]
    estimates: Mapping[str, Mapping[str, Measured]]
    calibration: Mapping[str, CalibrationError]
    f1: Mapping[str, Measured]
    differences: Mapping[str, Mapping[str, Measured]]
    curve: tuple[LabelCurvePoint, ...]
    suspects: tuple[LabelSuspect, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    def findings(self) -> list[str]:
        """Write what follows from the measurements, and what does not, for people."""
        unshown = [each.word for each in self.labels if each.difference.high >= 0]
        lines = [self._how_good(), *(self._compared(name) for name in self.differences)]
        if unshown:
            lines.append(f"Not shown to be better than its frequency, by itself: {listed(unshown)}.")
        return [*lines, self._of_more_pictures()]

    def _how_good(self) -> str:
        most = max(each.parts for each in self.labels)
        how = f"{most}-fold cross-validation over" if most > 1 else "one part in five that was held out of"
        groups = f" in {self.groups:,} groups" if self.groups < self.pictures else ""
        own, usual = self.estimates[OWN][PRECISION], self.estimates[MOST_FREQUENT][PRECISION]
        return (
            f"In {how} {self.pictures:,} pictures{groups} the mean average precision of {len(self.labels)} "
            f"labels is {cell_text(own)}, where that of a random order is {usual.value:.2f}; micro F1 is "
            f"{cell_text(self.f1[MICRO])}, macro F1 {cell_text(self.f1[MACRO])}."
        )

    def _compared(self, name: str) -> str:
        found = self.differences[name][BRIER]
        than = f"than {TITLES[name]}: their Brier score"
        if found.high < 0:
            return f"The labels are better {than} is smaller by {measured_text(_turned(found))}."
        if found.low > 0:
            return f"The labels are worse {than} is larger by {measured_text(found)}."
        by = f"{signed(found.value, 3)} ({signed(found.low, 3)} to {signed(found.high, 3)})"
        return f"The labels are not shown to be better {than} differs by {by}, which is within chance."

    def _of_more_pictures(self) -> str:
        *_, fewer, most = self.curve
        gain = fewer.more_than_all
        begin = (
            f"From {fewer.pictures:,} to {most.pictures:,} pictures to learn from, the mean Brier score "
            f"changes by {signed(-gain.value, 3)} ({signed(-gain.high, 3)} to {signed(-gain.low, 3)})"
        )
        return with_more_pictures(begin, gain)

    def rows(self) -> list[list[str]]:
        """Return a table of all labels: a header, and a row for each."""
        measures = ["average precision", "area under ROC", "Brier score", "calibration error", "F1"]
        rows = [["label", "pictures", *measures, "given from"]]
        for each in self.labels:
            own = each.estimates[OWN]
            cells = [cell_text(own[measure]) for measure in MEASURES]
            cells.append(str(each.calibration[OWN]))
            frequency, line = (f"{100 * share:.0f} %" for share in (each.frequency, each.line))
            rows.append([each.word, frequency, *cells, cell_text(each.f1), line])
        return rows

    def markdown(self) -> str:
        """Write the table of all labels as Markdown."""
        header, *rows = self.rows()
        return markdown_table(header, rows)


def _turned(found: Measured) -> Measured:
    return Measured(-found.value, -found.high, -found.low)


def report_labels(
    labels: LabelSource,
    found: Sequence[LabelOutOfFold],
    groups: Sequence[str],
    start: tuple[str, str],
    seed: int,
) -> LabelsReport:
    """Measure what was predicted of all labels by fits that did not see the pictures.

    `groups` names the group of each picture, `start` is name and weights' hash of the model begun with.
    """
    sampled = times_sampled_by_groups(list(groups), RESAMPLES, seed)
    times = np.concatenate([np.ones((len(sampled), 1)), sampled], axis=1)
    signs = signs_by_groups(groups, RESAMPLES, seed)
    measured = {
        answer: [
            measure_label(
                each.probabilities[answer], share, times, signs, each.line, ranks=answer != MOST_FREQUENT
            )
            for each, share in zip(found, labels.values.T, strict=True)
        ]
        for answer in ANSWERS
    }
    simpler = [answer for answer in ANSWERS if answer != OWN]
    level, each_level = (1 - (1 - LEVEL) / count for count in (len(simpler), len(labels.words)))
    means = {answer: _means([each.measures for each in of]) for answer, of in measured.items()}
    counts = np.sum([each.counts for each in measured[OWN]], axis=0)
    reports = tuple(
        _report_label(
            labels, number, each, {answer: of[number] for answer, of in measured.items()}, each_level
        )
        for number, each in enumerate(found)
    )
    return LabelsReport(
        start=start[0],
        weights=start[1],
        pictures=len(labels.records),
        groups=len(set(groups)),
        seed=seed,
        labels=reports,
        estimates={answer: _estimates(of, LEVEL) for answer, of in means.items()},
        calibration={
            answer: _calibration(np.mean([each.errors for each in of], axis=0))
            for answer, of in measured.items()
        },
        f1={
            MICRO: _measured(f1_of(*counts), LEVEL),
            MACRO: _measured(np.mean([f1_of(*each.counts) for each in measured[OWN]], axis=0), LEVEL),
        },
        differences={
            answer: _estimates({name: means[OWN][name] - of for name, of in means[answer].items()}, level)
            for answer in simpler
        },
        curve=_curve_of_labels(labels, found, times),
        suspects=_suspects(labels, found),
        notes=labels.notes,
    )


def signs_by_groups(groups: Sequence[str], resamples: int, seed: int) -> Doubles:
    """Return for all pictures as they are, then for each resample, 1 or -1 by group at random: (N, 1 + B)."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    turned = np.random.RandomState(seed).randint(2, size=(int(index.max()) + 1, resamples))
    signs = np.concatenate([np.ones((len(turned), 1)), 1.0 - 2 * turned], axis=1)
    found: Doubles = signs[index]
    return found


def measure_label(
    probabilities: Doubles,
    share: Doubles,
    times: Doubles,
    signs: Doubles,
    line: Doubles,
    ranks: bool = True,
) -> LabelMeasures:
    """Measure one label's probabilities, (N,), NaN of pictures that were not predicted.

    `share` (N,) is how many people gave the label, `times` (N, 1 + B) how often each resample has a picture,
    `signs` (N, 1 + B) are `signs_by_groups`, `line` (N,) from which probability it is given. Without `ranks`
    all pictures rank alike, for those of different parts differ by chance alone.
    """
    known = np.isfinite(probabilities)
    p, y, t = probabilities[known], share[known], times[known]
    total = t.sum(axis=0)
    precision, area = ranked_measures(p if ranks else np.zeros(len(p)), y, t)
    given = (p >= line[known]).astype(np.float64)
    bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    gaps = [np.abs((p - y)[bins == each] @ signs[known][bins == each]) for each in np.unique(bins)]
    measures = {
        PRECISION: precision,
        AUC: area,
        BRIER: (p - y) ** 2 @ t / total,
    }
    return LabelMeasures(measures, ((given * y) @ t, given @ t, y @ t), np.sum(gaps, axis=0) / len(p))


def ranked_measures(scores: Doubles, share: Doubles, times: Doubles) -> tuple[Doubles, Doubles]:
    """Average precision and area under ROC of each resample: (N,), (N,), (N, B) -> (B,) both.

    Scores that are the same rank alike. NaN of a resample without the label, or with it alone.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, own = scores[order], times[order] * share[order, None]
    others = times[order] * (1 - share[order, None])
    true, false = np.cumsum(own, axis=0), np.cumsum(others, axis=0)
    last = len(ranked) - 1 - np.searchsorted(ranked[::-1], ranked, side="left")
    with np.errstate(invalid="ignore", divide="ignore"):
        at_end = true[last] / (true[last] + false[last])
        precision = (own * np.nan_to_num(at_end)).sum(axis=0) / true[-1]
        first = len(ranked) - np.searchsorted(ranked[::-1], ranked, side="right")
        before = np.where(first[:, None] > 0, false[first - 1], 0.0)
        above = (before + false[last]) / 2  # of those that rank alike, half
        area = (own * (false[-1] - above)).sum(axis=0) / (true[-1] * false[-1])
    return precision, area


def f1_of(right: Doubles, given: Doubles, true: Doubles) -> Doubles:
    """Return F1 of counts; 0 where nothing is given and nothing true."""
    both = given + true
    found: Doubles = np.where(both > 0, 2 * right / np.where(both > 0, both, 1.0), 0.0)
    return found


def _report_label(
    labels: LabelSource,
    number: int,
    found: LabelOutOfFold,
    measured: Mapping[str, LabelMeasures],
    level: float,
) -> LabelReport:
    share = labels.values[:, number]
    errors = MOST_PERCENT * (found.probabilities[OWN] - share)
    errors = errors[np.isfinite(errors)]
    coverages = possible_coverages(len(errors))
    widths = tuple(max(each, _SMALLEST) for each in conformal_half_widths(errors, coverages))
    briers = [measured[answer].measures[BRIER] for answer in (OWN, MOST_FREQUENT)]
    return LabelReport(
        scale=RatingScale(
            name=labels.words[number], low=LEAST_PERCENT, high=MOST_PERCENT, coverages=coverages,
            half_widths=widths, is_percent=True,
        ),
        frequency=float(share.mean()),
        line=found.best_line,
        f1=_measured(f1_of(*measured[OWN].counts), LEVEL),
        estimates={answer: _estimates(each.measures, LEVEL) for answer, each in measured.items()},
        calibration={answer: _calibration(each.errors) for answer, each in measured.items()},
        difference=_measured(briers[0] - briers[1], level),
        temperature=found.temperature,
        parts=found.parts,
    )  # fmt: skip


def _means(several: Sequence[Mapping[str, Doubles]]) -> dict[str, Doubles]:
    return {name: np.mean([each[name] for each in several], axis=0) for name in MEASURES}


def _estimates(measures: Mapping[str, Doubles], level: float) -> dict[str, Measured]:
    return {name: _measured(values, level) for name, values in measures.items()}


def _measured(values: Doubles, level: float) -> Measured:
    tails = ((1 - level) / 2, (1 + level) / 2)
    return Measured(float(values[0]), *bootstrap_interval(values[1:], tails))


def _calibration(errors: Doubles) -> CalibrationError:
    return CalibrationError(float(errors[0]), float(np.quantile(errors[1:], LEVEL)))


def _curve_of_labels(
    labels: LabelSource, found: Sequence[LabelOutOfFold], times: Doubles
) -> tuple[LabelCurvePoint, ...]:
    """Mean Brier score of all labels by how many pictures were learned from."""

    def score(probabilities: Sequence[Doubles]) -> Doubles:
        of_each = []
        for p, share in zip(probabilities, labels.values.T, strict=True):
            known = np.isfinite(p)
            of_each.append((p - share)[known] ** 2 @ times[known] / times[known].sum(axis=0))
        mean: Doubles = np.mean(of_each, axis=0)
        return mean

    learned = float(np.mean([each.learned for each in found]))
    last = [each.probabilities[OWN] for each in found]
    shares = [share for share, _ in found[0].curve]
    steps = [[each.curve[index][1] for each in found] for index in range(len(shares))]
    full = score(last)
    points = []
    for share, probabilities in zip([*shares, 1.0], [*steps, last], strict=True):
        error = score(probabilities)
        points.append(
            LabelCurvePoint(round(share * learned), _measured(error, LEVEL), _measured(error - full, LEVEL))
        )
    return tuple(points)


def _suspects(labels: LabelSource, found: Sequence[LabelOutOfFold]) -> tuple[LabelSuspect, ...]:
    """Labels that are given and much less likely than usual, and those that are likely and not given."""
    doubted: list[tuple[float, LabelSuspect]] = []
    for word, each, share in zip(labels.words, found, labels.values.T, strict=True):
        usual = _odds(float(share.mean()))
        for row, probability in enumerate(each.probabilities[OWN].tolist()):
            if not np.isfinite(probability):
                continue
            odds = _odds(probability)
            doubt = usual / odds if share[row] > 0.5 else odds
            if doubt > SUSPECT_ODDS:
                suspect = LabelSuspect(labels.records[row].key, word, float(share[row]), probability)
                doubted.append((doubt, suspect))
    doubted.sort(key=lambda pair: -pair[0])
    return tuple(suspect for _, suspect in doubted[:MOST_SUSPECTS])


def _odds(probability: float) -> float:
    bounded = min(max(probability, _SMALLEST), 1 - _SMALLEST)
    return bounded / (1 - bounded)


def how_labels_were_learned(report: LabelsReport) -> str:
    """Write what was fitted, and what stayed."""
    temperatures = ", ".join(f"{each.word} {each.temperature:.3g}" for each in report.labels)
    return (
        "Each label was fitted by logistic regression, by itself, on what the network reads its answer from "
        f"and on the emotions that it knows (temperatures: {temperatures}); all weights, and with them its "
        "emotions, are as they were."
    )


def facts_of_labels(report: LabelsReport) -> dict[str, Any]:
    """State by label what a card keeps of the measurements."""
    return {
        each.word: {
            "frequency": each.frequency,
            "line": each.line,
            "f1": asdict(each.f1),
            "temperature": each.temperature,
            "estimates": {
                answer: {name: asdict(one) for name, one in found.items()}
                for answer, found in each.estimates.items()
            },
            "calibration": {answer: asdict(found) for answer, found in each.calibration.items()},
        }
        for each in report.labels
    }
