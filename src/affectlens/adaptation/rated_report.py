"""What validation of learned ratings found, as plain data and as sentences.

Letters: P pictures that were predicted, as many times as divided; B resamples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens.adaptation.rated_validation import MEAN, START, RatedOutOfFold
from affectlens.adaptation.report import validated_pictures, with_more_pictures
from affectlens.adaptation.ridge import group_folds
from affectlens.adaptation.validation import KNOWN, OWN
from affectlens.evaluation.resampling import RESAMPLES, Measured, times_sampled_by_groups
from affectlens.metrics import Doubles, bootstrap_interval
from affectlens.ratings import COVERAGE, RatingColumn, RatingScale, conformal_half_widths, possible_coverages
from affectlens.report.text import markdown_table, signed, with_minus

LEVEL = 0.95
MOST_SUSPECTS = 24
SUSPECT_ERRORS = 3.0  # standard deviations of an error, by its median, from which a rating is doubted
_DEVIATIONS = 1.4826  # standard deviations in a median absolute error, of normal errors
_FLAT = 1e-9

TITLES: Mapping[str, str] = {
    OWN: "the new rating",
    MEAN: "the mean rating for every picture",
    KNOWN: "the known emotions alone",
    START: "the rating of the model that it began with",
}
R, CONCORDANCE, ERROR = "r", "concordance", "error"
MEASURES: Mapping[str, str] = {
    R: "correlation (r)",
    CONCORDANCE: "concordance",
    ERROR: "mean absolute error",
}

MaybeMeasured = Measured | None  # of what has no correlation, as where all answers are the same


@dataclass(frozen=True)
class RatedSuspect:
    """A picture whose rating looks wrong: what people gave, and what fits that did not see it predict."""

    key: str
    rated: float
    predicted: float


@dataclass(frozen=True)
class RatedCurvePoint:
    """Mean absolute error where so many pictures were learned from, and how much more than from all."""

    pictures: int
    error: Measured
    more_than_all: Measured


@dataclass(frozen=True, kw_only=True)
class RatingReport:
    """What was measured of one rating.

    Attributes:
        scale: of the new model, with its intervals
        given: ends of the scale that people rated on
        pictures, groups: with this rating, and how many of them are groups or single pictures
        predicted: how many of them were predicted: all, or those of the part that was held out
        compared_with_start: how many the start's rating was compared on
        parts, divisions: parts of each division of the pictures; 1 where one part was held out
        penalty, penalties: of the fit to all pictures, and in each part
        estimates: by answer (`TITLES`) and measure (`MEASURES`); intervals by a bootstrap over groups
        differences: by simpler answer and measure, how much more the new rating has; intervals hold for all
            simpler answers together (Bonferroni)
        coverage: share of the pictures in the interval of .9, whose width is known from the other parts
        width: of that interval, before it is cut off at the ends of the scale
        curve: from fewer pictures to all
    """

    scale: RatingScale
    given: tuple[float, float]
    pictures: int
    groups: int
    predicted: int
    compared_with_start: int
    parts: int
    divisions: int
    penalty: float
    penalties: tuple[float, ...]
    estimates: Mapping[str, Mapping[str, MaybeMeasured]]
    differences: Mapping[str, Mapping[str, MaybeMeasured]]
    coverage: Measured
    width: float
    curve: tuple[RatedCurvePoint, ...]
    suspects: tuple[RatedSuspect, ...]

    @property
    def name(self) -> str:
        """Name of the rating."""
        return self.scale.name

    def findings(self) -> list[str]:
        """Write what follows from the measurements, and what does not, for people."""
        return [
            self._how_near(),
            *(self._compared(name, found[ERROR]) for name, found in self.differences.items()),
            self._of_more_pictures(),
        ]

    def _how_near(self) -> str:
        what = validated_pictures(self.parts, self.pictures, self.predicted, self.groups, self.divisions)
        own = self.estimates[OWN]
        error, r = own[ERROR], own[R]
        assert error is not None, "an error is a mean"
        follows = (
            "follows people's ratings not at all" if r is None else f"follows people's with r {_range(r)}"
        )
        covered = f"{100 * self.coverage.value:.0f} % ({100 * self.coverage.low:.0f} to "
        covered += f"{100 * self.coverage.high:.0f} %)"
        ends = f"{self.scale.low:g} to {self.scale.high:g}"
        return (
            f"In {what} predicted {self.name}, {ends}, {follows} and "
            f"is off by {_range(error)} on average; its {COVERAGE:g} intervals hold {covered}."
        )

    def _compared(self, name: str, found: MaybeMeasured) -> str:
        assert found is not None, "an error is a mean"
        than = f"than {TITLES[name]}: its mean error"
        if found.high < 0:
            smaller = Measured(-found.value, -found.high, -found.low)
            return f"Predicted {self.name} is better {than} is smaller by {_range(smaller)}."
        if found.low > 0:
            return f"Predicted {self.name} is worse {than} is larger by {_range(found)}."
        by = f"{signed(found.value)} ({signed(found.low)} to {signed(found.high)})"
        return (
            f"Predicted {self.name} is not shown to be better {than} differs by {by}, which is within chance."
        )

    def _of_more_pictures(self) -> str:
        *_, fewer, most = self.curve
        gain = fewer.more_than_all
        begin = (
            f"From {fewer.pictures:,} to {most.pictures:,} pictures to learn {self.name} from, the mean "
            f"error changes by {signed(-gain.value)} ({signed(-gain.high)} to {signed(-gain.low)})"
        )
        return with_more_pictures(begin, gain)


def _range(found: Measured) -> str:
    value, low, high = (signed(each).lstrip("+") for each in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


@dataclass(frozen=True, kw_only=True)
class RatedReport:
    """What was measured of a model with learned ratings.

    Attributes:
        start, weights: name of the model that it began with, and the hash of its weights
        pictures, groups: that may be learned from, and how many of them are groups or single pictures
        learned_before: pictures that ratings of the start were learned from, which is not compared on them
        notes: on the data
    """

    start: str
    weights: str
    pictures: int
    groups: int
    learned_before: int
    seed: int
    ratings: tuple[RatingReport, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    def findings(self) -> list[str]:
        """Write what follows from the measurements of each rating, for people."""
        lines = [line for each in self.ratings for line in each.findings()]
        if self.learned_before:
            lines.append(
                f"{self.learned_before:,} of the pictures are those that ratings of {self.start} were "
                "learned from: on these it is not compared."
            )
        return lines

    def markdown(self) -> str:
        """Write a table of the new ratings and the mean of people's, as Markdown."""
        header = [
            "rating",
            "scale",
            "pictures",
            *MEASURES.values(),
            f"in {COVERAGE:g} intervals",
            "error of the mean",
        ]
        rows = []
        for each in self.ratings:
            own, plain = each.estimates[OWN], each.estimates[MEAN][ERROR]
            covered = f"{each.coverage.value:.1%}".replace("%", " %")
            cells = [cell_text(own[measure]) for measure in MEASURES]
            ends = f"{each.scale.low:g} to {each.scale.high:g}"
            rows.append([each.name, ends, f"{each.pictures:,}", *cells, covered, cell_text(plain)])
        return markdown_table(header, rows)


def cell_text(found: MaybeMeasured) -> str:
    """Write a measured value with its interval.

    >>> cell_text(Measured(0.5, 0.25, 0.75))
    '0.50 (0.25 to 0.75)'
    """
    if found is None:
        return "none"
    value, low, high = (with_minus(f"{each:.2f}") for each in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def report_rating(
    column: RatingColumn,
    found: RatedOutOfFold,
    truth: Doubles,
    groups: NDArray[np.str_],
    keys: Sequence[str],
    penalty: float,
    seed: int,
) -> RatingReport:
    """Measure what was predicted of a rating by fits that did not see it.

    `truth` (N,) are people's ratings, `groups` and `keys` those of the same pictures.
    """
    ends, rated = column.scale, truth[found.rows]
    times = times_sampled_by_groups([str(name) for name in groups[found.rows]], RESAMPLES, seed)
    answers = {name: np.clip(read, *ends) for name, read in found.read.items() if np.isfinite(read).any()}
    measured = {name: ResampledRatings(read, rated, times) for name, read in answers.items()}
    simpler = [name for name in answers if name != OWN]
    level = 1 - (1 - LEVEL) / len(simpler)
    estimates = {name: each.estimates(LEVEL) for name, each in measured.items()}
    differences = {
        name: _own_on(answers, rated, times, name).differences(measured[name], level) for name in simpler
    }
    # Means of different parts differ a little, which correlates with nothing but how pictures were divided.
    for measure in (R, CONCORDANCE):
        estimates[MEAN][measure] = differences[MEAN][measure] = None
    errors = found.read[OWN] - rated
    covered, width = _coverage(errors, found, groups, ends[1] - ends[0])
    ones = np.concatenate([np.ones((len(times), 1)), times], axis=1)
    compared = int(np.isfinite(found.read[START]).sum()) // found.divisions if START in answers else 0
    return RatingReport(
        scale=RatingScale(name=column.name, low=ends[0], high=ends[1], **_intervals(errors, found)),
        given=column.given,
        pictures=len(truth),
        groups=len(np.unique(groups)),
        predicted=len(found.rows) // found.divisions,
        compared_with_start=compared,
        parts=len(found.penalties) // found.divisions,
        divisions=found.divisions,
        penalty=penalty,
        penalties=found.penalties,
        estimates=estimates,
        differences=differences,
        coverage=_measured((covered @ ones) / ones.sum(axis=0), LEVEL),
        width=width,
        curve=_curve(found, rated, times, ends, len(truth)),
        suspects=_suspects(found, truth, keys),
    )


class ResampledRatings:
    """Correlation, concordance and mean absolute error of one answer, for all pictures and resamples.

    Concordance is Lin's coefficient: "A concordance correlation coefficient to evaluate reproducibility",
    Biometrics 1989. Of each measure the first value is that of all pictures, then one for each resample,
    (1 + B,); NaN where it has none. Pictures without an answer (NaN) count for nothing.
    """

    def __init__(self, read: Doubles, rated: Doubles, times: Doubles) -> None:
        known = np.isfinite(read)
        read, rated = read[known], rated[known]
        once = np.concatenate([np.ones((len(read), 1)), times[known]], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):  # of resamples without any of these pictures
            share = once / once.sum(axis=0)
        first, second = read @ share, rated @ share
        covariance = (read * rated) @ share - first * second
        variances = read**2 @ share - first**2, rated**2 @ share - second**2
        scale = np.sqrt(np.maximum(variances[0], 0) * np.maximum(variances[1], 0))
        spread = variances[0] + variances[1] + (first - second) ** 2
        self.measures: dict[str, Doubles] = {
            R: _ratio(covariance, scale),
            CONCORDANCE: _ratio(2 * covariance, spread),
            ERROR: np.abs(read - rated) @ share,
        }

    def estimates(self, level: float) -> dict[str, MaybeMeasured]:
        """Return each measure with its percentile interval; None where it has no value."""
        return {name: _maybe_measured(values, level) for name, values in self.measures.items()}

    def differences(self, other: "ResampledRatings", level: float) -> dict[str, MaybeMeasured]:
        """Return by how much each measure is larger than that of another answer to the same resamples."""
        return {
            name: _maybe_measured(values - other.measures[name], level)
            for name, values in self.measures.items()
        }


def _ratio(above: Doubles, below: Doubles) -> Doubles:
    flat = ~(below > _FLAT)
    found: Doubles = np.where(flat, np.nan, above / np.where(flat, 1.0, below))
    return found


def _maybe_measured(values: Doubles, level: float) -> MaybeMeasured:
    return _measured(values, level) if np.isfinite(values[0]) else None


def _measured(values: Doubles, level: float) -> Measured:
    tails = ((1 - level) / 2, (1 + level) / 2)
    return Measured(float(values[0]), *bootstrap_interval(values[1:][np.isfinite(values[1:])], tails))


def _own_on(answers: Mapping[str, Doubles], rated: Doubles, times: Doubles, name: str) -> ResampledRatings:
    """Measure the new rating on the pictures that another answer has."""
    return ResampledRatings(np.where(np.isfinite(answers[name]), answers[OWN], np.nan), rated, times)


def _intervals(errors: Doubles, found: RatedOutOfFold) -> dict[str, Any]:
    """Return coverages and half widths of intervals: means over divisions of conformal ones.

    Coverages that so few pictures cannot promise are left out.
    """
    number = found.part_of // (found.part_of.max() // found.divisions + 1)
    by_division = [np.abs(errors[number == each]) for each in np.unique(number)]
    count = min(map(len, by_division))
    coverages = possible_coverages(count)
    widths = np.mean([conformal_half_widths(each, coverages) for each in by_division], axis=0)
    # Rising and above 0, also where predictions are exact.
    return {"coverages": coverages, "half_widths": tuple(float(max(width, 1e-6)) for width in widths)}


def _coverage(
    errors: Doubles, found: RatedOutOfFold, groups: NDArray[np.str_], span: float
) -> tuple[Doubles, float]:
    """Mark which errors are within the interval of .9 that the other parts give, (P,), and its mean width.

    Of a single part the other half of its groups gives it. Where these are too few pictures, as where one
    group is most of all, it is the whole scale, `span`.
    """
    enough = math.ceil(COVERAGE / (1 - COVERAGE) - _FLAT)
    parts = found.part_of if found.part_of.max() else group_folds(groups[found.rows], 2, 0)
    within, widths = np.zeros(len(errors)), np.zeros(len(errors))
    for part in np.unique(parts):
        own = parts == part
        others = ~np.isin(found.rows, found.rows[own])  # another division has the same pictures
        has_enough = np.count_nonzero(others) >= enough
        widths[own] = conformal_half_widths(errors[others], [COVERAGE])[0] if has_enough else span
        within[own] = np.abs(errors[own]) <= widths[own]
    return within, float(2 * widths.mean())


def _curve(
    found: RatedOutOfFold, rated: Doubles, times: Doubles, ends: tuple[float, float], pictures: int
) -> tuple[RatedCurvePoint, ...]:
    learned = pictures - len(found.rows) / len(found.penalties)
    own = ResampledRatings(np.clip(found.read[OWN], *ends), rated, times).measures[ERROR]
    points = []
    for share, read in (*found.curve, (1.0, found.read[OWN])):
        error = ResampledRatings(np.clip(read, *ends), rated, times).measures[ERROR]
        points.append(
            RatedCurvePoint(round(share * learned), _measured(error, LEVEL), _measured(error - own, LEVEL))
        )
    return tuple(points)


def _suspects(found: RatedOutOfFold, truth: Doubles, keys: Sequence[str]) -> tuple[RatedSuspect, ...]:
    predicted = found.mean_of(found.read[OWN])
    errors = {row: abs(value - truth[row]) for row, value in predicted.items()}
    usual = _DEVIATIONS * float(np.median(list(errors.values())))
    order = sorted(errors, key=lambda row: -errors[row])
    doubted = [row for row in order if errors[row] > max(SUSPECT_ERRORS * usual, _FLAT)]
    return tuple(
        RatedSuspect(keys[row], float(truth[row]), predicted[row]) for row in doubted[:MOST_SUSPECTS]
    )


def how_ratings_were_learned(report: RatedReport) -> str:
    """Write what was fitted, and what stayed."""
    names = ", ".join(f"{each.name} {each.penalty:.3g}" for each in report.ratings)
    return (
        "Each rating was fitted by ridge regression to the features that the network computes (penalties: "
        f"{names}); all weights, and with them its emotions, are as they were."
    )


def facts_of_ratings(report: RatedReport) -> dict[str, Any]:
    """State by rating what a card keeps of the measurements."""
    return {
        each.name: {
            "scale_as_given": list(each.given),
            "penalty": each.penalty,
            "pictures": each.pictures,
            "groups": each.groups,
            "validation": "cross-validation" if each.parts > 1 else "held out",
            "estimates": {
                answer: {name: None if one is None else asdict(one) for name, one in found.items()}
                for answer, found in each.estimates.items()
            },
            "coverage": asdict(each.coverage),
        }
        for each in report.ratings
    }
