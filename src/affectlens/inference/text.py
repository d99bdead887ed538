"""Predictions in words, for people."""

from collections.abc import Mapping, Sequence

from affectlens.attributes import MEASURED, in_words
from affectlens.emotions import EmotionDistribution, polarity_sums
from affectlens.inference.attribute_evidence import evidence_lines
from affectlens.inference.predictor import Prediction
from affectlens.ratings import Rating
from affectlens.report.text import padded, printable, stands_out, terminal_columns

SHOWN_EMOTIONS = 3
LIKE_EVEN = 0.1  # of probability
UNUSUAL = "unlike the photographs that the model was made for: do not rely on this answer"
BAR = 30  # columns of a probability of 1


def prediction_text(prediction: Prediction, model: str) -> str:
    """Write one picture alone, which was read: a title, a bar for each emotion, attributes and notes."""
    lines = [
        f"{word} {percent}  {'#' * round(value * BAR)}" for word, value, percent in emotion_rows(prediction)
    ]
    lines += filter(None, [beyond_text(prediction), attribute_text(prediction)])
    lines += [notes_text(prediction, model)]
    return "\n".join([title_text(prediction), *(f"  {line}".rstrip() for line in lines)])


def title_text(prediction: Prediction) -> str:
    """Name what a picture is most likely to evoke; it was read."""
    assert prediction.emotions is not None
    image = printable(prediction.image)
    emotions = prediction.emotions
    if prediction.abstains:
        return f"{image}: {abstention_text(prediction)}"
    if not stands_out(emotions.weights):
        return f"{image} evokes no emotion clearly in people who look at it; the likeliest is {emotions.top}"
    return f"{image} is most likely to evoke {emotions.top} in people who look at it"


def emotion_rows(prediction: Prediction) -> list[tuple[str, float, str]]:
    """Return word, probability and percent of each emotion, the most likely first, texts of equal width."""
    assert prediction.emotions is not None
    width = max(map(terminal_columns, prediction.emotions.vocabulary.words))
    return [(padded(word, width), value, f"{value:>6.1%}") for word, value in prediction.emotions.ranked]


def notes_text(prediction: Prediction, model: str) -> str:
    """Write a picture's polarity, where it adds to its emotions, and the model's name."""
    return ", ".join(filter(None, [polarity_text(prediction), f"model {model}"]))


def prediction_line(prediction: Prediction) -> str:
    """Write one picture among several on one line: its first emotions, its polarity and its attributes."""
    image = printable(prediction.image)
    emotions = prediction.emotions
    if emotions is None:
        return f"{image}: not read ({type(prediction.error).__name__})"
    shown = ", ".join(f"{word} {value:.0%}" for word, value in emotions.ranked[:SHOWN_EMOTIONS])
    if prediction.abstains:
        shown = abstention_text(prediction)
    parts = (shown, polarity_text(prediction), beyond_text(prediction), attribute_text(prediction))
    return f"{image}: {'; '.join(filter(None, parts))}"


def beyond_text(prediction: Prediction) -> str:
    """Write a picture's ratings, its set of emotions, and whether it is unusual; empty where it has none."""
    parts = (
        ratings_text(prediction.ratings), set_text(prediction), UNUSUAL if prediction.unusual else ""
    )  # fmt: skip
    return "; ".join(filter(None, parts))


def abstention_text(prediction: Prediction) -> str:
    """Write that no emotion is probable enough to be named, and which comes nearest."""
    emotions = prediction.emotions
    assert emotions is not None
    nearest = f"{emotions.top}, {emotions[emotions.top]:.1%}".replace("%", " %")
    return f"no emotion is as probable as {prediction.min_confidence:g} (the likeliest: {nearest})"


def ratings_text(ratings: Mapping[str, Rating]) -> str:
    """Write ratings with their names and intervals; empty where there are none."""
    return ", ".join(f"{name} {rating_text(rating)}" for name, rating in ratings.items())


def rating_text(rating: Rating) -> str:
    """Write a rating with its interval.

    >>> rating_text(Rating(4.8, 2.52, 7.08))
    '4.8 (2.5 to 7.1)'
    """
    return f"{rating.mean:.1f} ({rating.low:.1f} to {rating.high:.1f})"


def set_text(prediction: Prediction) -> str:
    """Write the set of emotions of the requested coverage; empty where none was requested.

    Of all emotions it names none: then the picture may evoke any.
    """
    if prediction.coverage is None or prediction.emotions is None:
        return ""
    words = prediction.set(prediction.coverage)
    everything = len(words) == len(prediction.emotions.vocabulary)
    named = "any emotion" if everything else either(words)
    return f"{prediction.coverage:.3g} set: {named}"


def either(words: Sequence[str]) -> str:
    """Join words as alternatives.

    >>> either(["awe"]), either(["awe", "fear"]), either(["awe", "fear", "anger"])
    ('awe', 'awe or fear', 'awe, fear or anger')
    """
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def polarity_text(prediction: Prediction) -> str:
    """Write how likely a positive and a negative feeling are; empty where these are emotions themselves.

    Of words of which more are negative, as Ekman's, an answer that is alike for all is mostly negative, by
    the count of words alone: where that is all there is to it, no polarity is stated.
    """
    emotions = prediction.emotions
    polarity = polarity_sums(emotions) if emotions else None
    if emotions is None or polarity is None or polarity.vocabulary == emotions.vocabulary:
        return ""
    if not stands_out(emotions.weights) and _is_like_even(emotions, polarity):
        return "neither positive nor negative clearly"
    return ", ".join(f"{word} {value:.0%}" for word, value in polarity.weights.items())


def _is_like_even(emotions: EmotionDistribution, polarity: EmotionDistribution) -> bool:
    """Whether a polarity is about that of an answer in which all of the words are equally likely."""
    words = emotions.vocabulary.words
    even = emotions.vocabulary.distribution(dict.fromkeys(words, 1.0)).polarity
    return abs(polarity["positive"] - even["positive"]) < LIKE_EVEN


def attribute_text(prediction: Prediction) -> str:
    """Write a picture's attributes; empty where there are none."""
    attributes = prediction.attributes or {}
    measured = ", ".join(in_words({name: attributes[name] for name in MEASURED if name in attributes}))
    return printable("; ".join(filter(None, (measured, *evidence_lines(attributes)))))
