"""Which attributes a network finds in a picture, and which of them speak for the emotion that it predicts.

    sadness because of scene cemetery (40%), brightness 0.2 (15%), what has no name (30%)

A prediction is a sum of parts (`ExplainedAttributes`). What speaks for an emotion is
what adds more to it than to the emotions on average, for what adds to all alike decides nothing. A share is
of all that speaks for the emotion: named words and the residual, which has no name. What speaks against it
is left out. This shows how the network came to its prediction; whether people would give the same reasons is
another question.

Letters: B pictures, E emotions, W words of one attribute.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens.attributes import MEASURED, Attribute
from affectlens.emotions import Vocabulary
from affectlens.metrics import sigmoid, softmax

# Keys of rows.
PREDICTED, EVIDENCE = "predicted_attributes", "because"
SHOWN = 3  # reasons of a picture
LEAST_SHARE = 0.05  # of a reason that is worth mentioning
LEAST_SEEN = 0.2  # of a word that is named to people; the likeliest of hundreds may have a hundredth
EVEN_ODDS = 0.5  # above it, one of several words counts as present
DIGITS = 3


@dataclass(frozen=True, kw_only=True)
class ExplainedAttributes:
    """Answers to B pictures taken apart: `models.capabilities.AttributeExplanation`, where each is described.

    All are float32, and of the same shapes.
    """

    logits: NDArray[np.floating]
    attributes: Mapping[str, NDArray[np.floating]]
    contributions: Mapping[str, NDArray[np.floating]]
    residual: NDArray[np.floating]
    usual: NDArray[np.floating]
    usual_words: Mapping[str, NDArray[np.floating]]
    usual_residual: NDArray[np.floating]


@dataclass(frozen=True)
class Reason:
    """One thing that speaks for an emotion.

    `share` is in 0..1. With `absent` it is that the word is less likely here than usual. Where `attribute`
    and `word` are None it is what has no name. Of brightness and colourfulness, whose words are levels of
    one thing, all levels are one reason, by the likeliest.
    """

    attribute: str | None
    word: str | None
    emotion: str
    share: float
    absent: bool = False


def evidence_of(
    explanation: ExplainedAttributes, attributes: Sequence[Attribute], vocabulary: Vocabulary
) -> list[dict[str, Any]]:
    """Turn an explanation of B pictures into plain data, one dictionary a picture.

    `predicted_attributes` holds by name the likeliest word with its probability, or of attributes with
    several words a list of those that are likelier present than not. `because` holds reasons, the greatest
    first and what has no name last; it is empty where the network does not predict emotions from attributes.
    """
    probabilities = {a.name: _probabilities(a, explanation.attributes[a.name]) for a in attributes}
    evidence = []
    for picture in range(len(explanation.logits)):
        reasons = _reasons(explanation, probabilities, attributes, vocabulary, picture)
        seen = {a.name: _likeliest_words(a, probabilities[a.name][picture]) for a in attributes}
        evidence.append({PREDICTED: seen, EVIDENCE: [asdict(reason) for reason in reasons]})
    return evidence


def evidence_lines(evidence: Mapping[str, Any]) -> list[str]:
    """Write what `evidence_of` returned for people; nothing of other data.

    >>> evidence_lines({"because": [{"attribute": "scene", "word": "cemetery", "emotion": "sadness",
    ...     "share": 0.4, "absent": False}],
    ...     "predicted_attributes": {"scene": {"word": "cemetery", "probability": 0.8}}})
    ['seen: scene cemetery (80%)', 'sadness because of scene cemetery (40%)']
    """
    lines = []
    found = {name: _worth_naming(words) for name, words in evidence.get(PREDICTED, {}).items()}
    seen = [f"{name} {_listed(words)}" for name, words in found.items() if words]
    if seen:
        lines.append(f"seen: {', '.join(seen)}")
    reasons = evidence.get(EVIDENCE) or ()
    if reasons:
        listed = ", ".join(f"{_reason_text(reason)} ({reason['share']:.0%})" for reason in reasons)
        lines.append(f"{reasons[0]['emotion']} because of {listed}")
    return lines


def _probabilities(attribute: Attribute, logits: NDArray[np.floating]) -> NDArray[np.floating]:
    return sigmoid(logits) if attribute.several else softmax(logits)


def _likeliest_words(attribute: Attribute, probabilities: NDArray[np.floating]) -> Any:
    """(W,) -> the likeliest word, or of several those above even odds, likeliest first."""
    order = np.argsort(-probabilities, kind="stable").tolist()
    words = [
        {"word": attribute.words[index], "probability": round(float(probabilities[index]), DIGITS)}
        for index in order
        if not attribute.several or probabilities[index] > EVEN_ODDS
    ]
    return words if attribute.several else words[0]


def _reasons(
    explanation: ExplainedAttributes,
    probabilities: Mapping[str, NDArray[np.floating]],
    attributes: Sequence[Attribute],
    vocabulary: Vocabulary,
    picture: int,
) -> list[Reason]:
    if not explanation.contributions:
        return []
    top = int(explanation.logits[picture].argmax())
    emotion = vocabulary.words[top]
    found = []
    for a in attributes:
        parts = _speaking_for(explanation.contributions[a.name][picture], top)
        p = probabilities[a.name][picture]
        if a.name in MEASURED:
            found.append((float(parts.sum()), a.name, a.words[int(p.argmax())], False))
        else:
            absent = ((p < explanation.usual_words[a.name]) & a.several).tolist()
            rows = zip(parts.tolist(), a.words, absent, strict=True)
            found += [(part, a.name, word, is_absent) for part, word, is_absent in rows]
    unnamed = max(0.0, float(_speaking_for(explanation.residual[picture], top)))
    found = sorted((row for row in found if row[0] > 0), reverse=True)
    total = sum(row[0] for row in found) + unnamed
    reasons = [
        Reason(name, word, emotion, round(part / total, DIGITS), is_absent)
        for part, name, word, is_absent in found[:SHOWN]
        if part / total >= LEAST_SHARE
    ]
    if unnamed > 0:
        reasons.append(Reason(None, None, emotion, round(unnamed / total, DIGITS)))
    return reasons


def _speaking_for(contributions: NDArray[np.floating], emotion: int) -> NDArray[np.floating]:
    """Return what is added to one emotion beyond what is added to all on average: (E, ...) -> (...)."""
    return np.asarray(contributions[emotion] - contributions.mean(axis=0))


def _worth_naming(found: Any) -> list[Mapping[str, Any]]:
    words: Iterable[Mapping[str, Any]] = found if isinstance(found, list) else [found]
    return [word for word in words if word["probability"] >= LEAST_SEEN]


def _listed(words: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(f"{word['word']} ({word['probability']:.0%})" for word in words)


def _reason_text(reason: Mapping[str, Any]) -> str:
    if reason["attribute"] is None:
        return "what has no name"
    return f"{'no ' if reason['absent'] else ''}{reason['attribute']} {reason['word']}"
