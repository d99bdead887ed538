"""What validation found, as plain data and as sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from affectlens.adaptation.depths import ALL_LAYERS, LAST_BLOCK
from affectlens.adaptation.validation import (
    KNOWN,
    LAST_LAYER,
    MOST_FREQUENT,
    OWN,
    POSITIVE,
    Labelled,
    OutOfFold,
    cross_fitted,
)
from affectlens.emotions import Vocabulary
from affectlens.evaluation.calibration import fit_temperature
from affectlens.evaluation.resampling import (
    RESAMPLES,
    Measured,
    Resampled,
    confusions,
    times_sampled_by_groups,
)
from affectlens.evaluation.scores import Scores, score
from affectlens.metrics import Doubles, bootstrap_interval, confusion_cells, per_class, softmax
from affectlens.model_folder import Card
from affectlens.report.text import listed, signed

LEVEL = 0.95
MOST_SUSPECTS = 24
SUSPECT_ODDS = 4.0  # how many times likelier than its label a word is from which a label is doubted
TITLES: Mapping[str, str] = {
    OWN: "the new model",
    MOST_FREQUENT: "the most frequent word for every picture",
    POSITIVE: "thresholds on the probability of positive emotions",
    KNOWN: "the known emotions alone",
    LAST_LAYER: "a new last layer alone (--depth head)",
}
NO_CURVE = (
    "Whether more pictures would help is not measured at this depth, for it would take as long again for "
    "each share of them; --depth head measures it."
)
MEASURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "negative_log_likelihood": "negative log-likelihood",
}


@dataclass(frozen=True)
class Suspect:
    """A picture whose label looks wrong: how likely classifiers that did not see it find its label."""

    key: str
    row: int
    label: str
    likelier: str
    label_probability: float
    likelier_probability: float


@dataclass(frozen=True)
class CurvePoint:
    """Estimates where so many pictures were learned from, and how they differ from those of all pictures."""

    pictures: int
    estimates: Mapping[str, Measured]
    from_all: Mapping[str, Measured]


@dataclass(frozen=True)
class Trained:
    """How a network was trained, where more than its last layer was.

    Attributes:
        depth: how much of it (`adaptation.depths`)
        epochs: the best of each part, on pictures within those that were learned from
        epochs_of_all: passes over all pictures, of the model that was kept
        settings: of training in the parts
    """

    depth: str
    epochs: tuple[int, ...]
    epochs_of_all: float
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was measured of a new model.

    Attributes:
        start, weights: name of the model that it began with, and the hash of its weights
        pictures, groups: how many, and how many of them are groups or single pictures
        parts: how many parts were predicted, each from the others; 1 where one part was held out
        divisions: how many times the pictures were divided into parts; measures are means over them
        strength, strengths: how weakly weights are penalised (scikit-learn's C): for all pictures, and in
            each part; of a trained network those of the last layer that it is compared with, in the parts
            alone
        trained: how the network was trained; None where its last layer alone was fitted
        temperature: of the new model, fitted on all predictions
        scores: of the predictions, each part at the temperature of the others
        word_intervals: by word, 95 % intervals of precision, recall and F1, where these are defined
        estimates: by answer (`TITLES`) and measure; intervals by a bootstrap over groups
        differences: by simpler answer and measure, how much more the new model has; intervals hold for all
            of them together (Bonferroni)
        curve: from fewer pictures to all; empty for a trained network
    """

    start: str
    weights: str
    pictures: int
    predicted: int
    groups: int
    parts: int
    divisions: int
    seed: int
    strength: float | None
    strengths: tuple[float, ...]
    trained: Trained | None = None
    temperature: float
    scores: Scores
    word_intervals: Mapping[str, Mapping[str, tuple[float, float]]]
    estimates: Mapping[str, Mapping[str, Measured]]
    differences: Mapping[str, Mapping[str, Measured]]
    curve: tuple[CurvePoint, ...]
    suspects: tuple[Suspect, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "scores": self.scores.to_json()}

    def findings(self) -> list[str]:
        """Write what follows from the measurements, and what does not, for people."""
        return [
            self._how_validated(),
            *(_compared(TITLES[name], found) for name, found in self.differences.items()),
            self._of_more_pictures(),
        ]

    def _how_validated(self) -> str:
        what = validated_pictures(self.parts, self.pictures, self.predicted, self.groups, self.divisions)
        accuracy = self.estimates[OWN]["accuracy"]
        return (
            f"In {what} the likeliest word is right for {100 * accuracy.value:.0f} % of the pictures "
            f"(95 % interval {100 * accuracy.low:.0f} to {100 * accuracy.high:.0f} %)."
        )

    def _of_more_pictures(self) -> str:
        if not self.curve:
            return NO_CURVE
        *_, fewer, most = self.curve
        gain = fewer.from_all["negative_log_likelihood"]
        begin = (
            f"From {fewer.pictures:,} to {most.pictures:,} pictures to learn from, the negative "
            f"log-likelihood changes by {signed(-gain.value)} ({signed(-gain.high)} to {signed(-gain.low)})"
        )
        return with_more_pictures(begin, gain)


def with_more_pictures(begin: str, gain: Measured) -> str:
    """End a sentence on how much more pictures gained, and by that would gain."""
    if gain.low > 0:
        return f"{begin}: more pictures would probably help."
    return f"{begin}: it is not shown that more pictures would help."


def validated_pictures(parts: int, pictures: int, predicted: int, groups: int, divisions: int) -> str:
    """Write on which pictures a model was measured, as the begin of a sentence after "In"."""
    what = (
        f"{parts}-fold cross-validation over {pictures:,} pictures"
        if parts > 1
        else f"{predicted:,} of {pictures:,} pictures that were held out"
    )
    what += f" in {groups:,} groups" if groups < pictures else ""
    return what + (f", divided {divisions} times," if divisions > 1 else "")


def measured_text(found: Measured) -> str:
    """Write a measured value with its interval, to three digits."""
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})".replace("-", "\N{MINUS SIGN}")


def _compared(title: str, found: Mapping[str, Measured]) -> str:
    accuracy = found["accuracy"]
    points = f"{signed(100 * accuracy.value, 1)} points of accuracy ({signed(100 * accuracy.low, 1)} to " + (
        f"{signed(100 * accuracy.high, 1)})"
    )
    if accuracy.low > 0:
        return f"It is better than {title}: {points}."
    if accuracy.high < 0:
        return f"It is worse than {title}: {points}."
    return f"It is not shown to be better than {title}: {points}, which is within chance."


def make_report(
    data: Labelled,
    found: OutOfFold,
    curve: Sequence[tuple[float, Doubles]],
    start: Card,
    vocabulary: Vocabulary,
    strength: float | None,
    seed: int,
    trained: Trained | None = None,
) -> Report:
    """Measure what was predicted by classifiers, or networks, that did not see it."""
    targets = data.targets[found.rows]
    names = data.group_names
    times = times_sampled_by_groups([names[row] for row in found.rows], RESAMPLES, seed)
    scaled = cross_fitted(found, data.targets)
    answers = {**found.logits, OWN: scaled}
    if LAST_LAYER in answers:  # which would be calibrated as well
        answers[LAST_LAYER] = cross_fitted(found, data.targets, LAST_LAYER)
    resampled = {name: Resampled(logits, targets, times) for name, logits in answers.items()}
    simpler = [name for name in answers if name != OWN]
    level = 1 - (1 - LEVEL) / len(simpler)
    temperature = fit_temperature(found.logits[OWN], targets)
    return Report(
        start=start.name,
        weights=start.weights_hash,
        pictures=len(names),
        predicted=len(found.rows) // found.divisions,
        divisions=found.divisions,
        groups=len(set(names)),
        parts=len(found.strengths) // found.divisions,
        seed=seed,
        strength=strength,
        strengths=found.strengths,
        trained=trained,
        temperature=temperature,
        scores=_scores(scaled, targets, vocabulary, found.divisions, temperature, times, seed),
        word_intervals=_word_intervals(scaled, targets, vocabulary, times),
        estimates={name: each.estimates(LEVEL) for name, each in resampled.items()},
        differences={name: resampled[OWN].differences(resampled[name], level) for name in simpler},
        curve=_curve(data, found, curve, targets, times),
        suspects=_suspects(data, found, scaled, vocabulary),
    )


def _scores(
    logits: Doubles,
    targets: Doubles,
    vocabulary: Vocabulary,
    divisions: int,
    temperature: float,
    times: Doubles,
    seed: int,
) -> Scores:
    """Measure scaled answers; of several divisions counts are means, so that they are those of pictures."""
    found = score(logits, targets, vocabulary, times=times, seed=seed)
    rows = tuple(tuple(count / divisions for count in row) for row in found.confusion.rows)
    return replace(
        found,
        count=found.count // divisions,
        shared_top=found.shared_top // divisions,
        polarity_count=found.polarity_count // divisions,
        temperature=temperature,
        per_emotion={
            word: replace(each, support=each.support / divisions) for word, each in found.per_emotion.items()
        },
        confusion=replace(found.confusion, rows=rows),
    )


def _word_intervals(
    logits: Doubles, targets: Doubles, vocabulary: Vocabulary, times: Doubles
) -> dict[str, dict[str, tuple[float, float]]]:
    """Give each word's precision, recall and F1 an interval, of the resamples in which it is defined."""
    sampled = per_class(confusions(confusion_cells(logits, targets), times, len(vocabulary)))
    tails = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for index, word in enumerate(vocabulary.words):
        measures = {"precision": sampled.precision, "recall": sampled.recall, "f1": sampled.f1}
        limits = {name: bootstrap_interval(values[:, index], tails) for name, values in measures.items()}
        found[word] = {name: pair for name, pair in limits.items() if np.isfinite(pair).all()}
    return found


def _curve(
    data: Labelled, found: OutOfFold, curve: Sequence[tuple[float, Doubles]], targets: Doubles, times: Doubles
) -> tuple[CurvePoint, ...]:
    """Without temperatures, which were fitted for all pictures."""
    if not curve:
        return ()
    learned = len(data.records) - len(found.rows) / len(found.strengths)
    full = Resampled(found.logits[OWN], targets, times)
    points = []
    for share, logits in (*curve, (1.0, found.logits[OWN])):
        fewer = Resampled(logits, targets, times)
        points.append(
            CurvePoint(round(share * learned), fewer.estimates(LEVEL), fewer.differences(full, LEVEL))
        )
    return tuple(points)


def _suspects(
    data: Labelled, found: OutOfFold, logits: Doubles, vocabulary: Vocabulary
) -> tuple[Suspect, ...]:
    suspects = []
    for row, values in mean_probabilities(found, logits).items():
        record = data.records[row]
        label, likelier = vocabulary.words.index(record.target.top), int(values.argmax())
        if values[likelier] > SUSPECT_ODDS * values[label]:
            words = (record.target.top, vocabulary.words[likelier])
            suspects.append(Suspect(record.key, row, *words, float(values[label]), float(values[likelier])))
    suspects.sort(key=lambda each: each.label_probability / each.likelier_probability)
    return tuple(suspects[:MOST_SUSPECTS])


def mean_probabilities(found: OutOfFold, logits: Doubles) -> dict[int, Doubles]:
    """Return the mean over divisions of what each picture got, by its row."""
    probabilities = softmax(logits)
    return {int(row): probabilities[found.rows == row].mean(axis=0) for row in np.unique(found.rows)}


def strengths_text(report: Report) -> str:
    """Write which strengths were chosen."""
    return listed([f"{strength:.2g}" for strength in report.strengths])


def how_it_learned(report: Report) -> str:
    """Write how much of the start learned, and how."""
    trained = report.trained
    if trained is None:
        return (
            "The last layer alone was fitted anew, by logistic regression on what it reads its answer from "
            f"and on the emotions that it knows (strength {report.strength:.2g}); all other weights are as "
            "they were."
        )
    learned = {
        LAST_BLOCK: "The last block or stage of each backbone and what follows it were trained",
        ALL_LAYERS: "All layers were trained, the first ones at a lower learning rate",
    }[trained.depth]
    epochs = listed([str(each) for each in trained.epochs])
    several = f"the middle one of those that were best without each part ({epochs})"
    return (
        f"{learned}: on all pictures, for {trained.epochs_of_all:g} epochs, "
        f"{several if len(trained.epochs) > 1 else 'as was best without the part held out'}."
    )
