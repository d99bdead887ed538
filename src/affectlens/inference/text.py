"""Predictions in words, for people."""

from affectlens.attributes import MEASURED, in_words
from affectlens.emotions import polarity_of
from affectlens.inference.attribute_evidence import evidence_lines
from affectlens.inference.predictor import Prediction
from affectlens.report.text import printable

SHOWN_EMOTIONS = 3


def prediction_line(prediction: Prediction) -> str:
    """Write one picture among several on one line: its first emotions, its polarity and its attributes."""
    image = printable(prediction.image)
    emotions = prediction.emotions
    if emotions is None:
        return f"{image}: not read ({type(prediction.error).__name__})"
    shown = ", ".join(f"{word} {value:.0%}" for word, value in emotions.ranked[:SHOWN_EMOTIONS])
    parts = (shown, polarity_text(prediction), attribute_text(prediction))
    return f"{image}: {'; '.join(filter(None, parts))}"


def polarity_text(prediction: Prediction) -> str:
    """Write how likely a positive and a negative feeling are; empty where the emotions are the polarity."""
    emotions = prediction.emotions
    polarity = polarity_of(emotions) if emotions else None
    if polarity is None or polarity.vocabulary == (emotions and emotions.vocabulary):
        return ""
    return ", ".join(f"{word} {value:.0%}" for word, value in polarity.weights.items())


def attribute_text(prediction: Prediction) -> str:
    """Write a picture's attributes; empty where there are none."""
    attributes = prediction.attributes or {}
    measured = ", ".join(in_words({name: attributes[name] for name in MEASURED if name in attributes}))
    return printable("; ".join(filter(None, (measured, *evidence_lines(attributes)))))
