"""What a network that names attributes sees in a picture, and which of it speaks for the emotion it answers.

    sadness because of scene cemetery (40%), brightness 0.2 (15%), what has no name (30%)

An answer is a sum of parts (`models.capabilities.AttributeExplanation`). What speaks for an emotion is what
adds more to it than to the emotions on average, for what adds to all alike decides nothing. A share is of all
that speaks for the emotion: named words and the residual, which has no name. What speaks against it is left
out.
This tells how the network came to its answer; whether people would give the same reasons is another question.

Letters: B pictures, E emotions, W words of one attribute.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from affectlens.attributes import MEASURED, Attribute
from affectlens.emotions import Vocabulary
from affectlens.models.capabilities import AttributeExplanation

PREDICTED, BECAUSE = "predicted_attributes", "because"
SHOWN = 3  # reasons of a picture
LEAST_SHARE = 0.05  # of a reason that is worth mentioning
EVEN_ODDS = 0.5  # above it, one of several words is said to be there
DIGITS = 3


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


def said_of(
    explained: AttributeExplanation, attributes: Sequence[Attribute], vocabulary: Vocabulary
) -> list[dict[str, Any]]:
    """Put an explanation of B pictures into plain data, one a picture.

    `predicted_attributes` holds by name the likeliest word with its probability, or of attributes with
    several words a list of those that are likelier there than not. `because` holds reasons, the greatest
    first and what has no name last; it is empty where the network does not judge by attributes.
    """
    sure = {a.name: _probabilities(a, explained.attributes[a.name]) for a in attributes}
    said = []
    for picture in range(len(explained.logits)):
        reasons = _reasons(explained, sure, attributes, vocabulary, picture)
        seen = {a.name: _named(a, sure[a.name][picture]) for a in attributes}
        said.append({PREDICTED: seen, BECAUSE: [asdict(reason) for reason in reasons]})
    return said


def in_words(said: Mapping[str, Any]) -> list[str]:
    """Say what `said_of` gave for people; nothing of other data.

    >>> in_words({"because": [{"attribute": "scene", "word": "cemetery", "emotion": "sadness", "share": 0.4,
    ...     "absent": False}], "predicted_attributes": {"scene": {"word": "cemetery", "probability": 0.8}}})
    ['seen: scene cemetery (80%)', 'sadness because of scene cemetery (40%)']
    """
    lines = []
    seen = [f"{name} {_listed(found)}" for name, found in said.get(PREDICTED, {}).items() if found]
    if seen:
        lines.append(f"seen: {', '.join(seen)}")
    reasons = said.get(BECAUSE) or ()
    if reasons:
        because = ", ".join(f"{_reason(reason)} ({reason['share']:.0%})" for reason in reasons)
        lines.append(f"{reasons[0]['emotion']} because of {because}")
    return lines


def _probabilities(attribute: Attribute, logits: Tensor) -> Tensor:
    return logits.sigmoid() if attribute.several else logits.softmax(dim=1)


def _named(attribute: Attribute, probabilities: Tensor) -> Any:
    """(W,) -> the likeliest word, or of several those above even odds, likeliest first."""
    order = probabilities.argsort(descending=True).tolist()
    words = [
        {"word": attribute.words[place], "probability": round(float(probabilities[place]), DIGITS)}
        for place in order
        if not attribute.several or probabilities[place] > EVEN_ODDS
    ]
    return words if attribute.several else words[0]


def _reasons(
    explained: AttributeExplanation,
    sure: Mapping[str, Tensor],
    attributes: Sequence[Attribute],
    vocabulary: Vocabulary,
    picture: int,
) -> list[Reason]:
    if not explained.contributions:
        return []
    top = int(explained.logits[picture].argmax())
    emotion = vocabulary.words[top]
    found = []
    for a in attributes:
        parts = _speaking_for(explained.contributions[a.name][picture], top)
        p = sure[a.name][picture]
        if a.name in MEASURED:
            found.append((float(parts.sum()), a.name, a.words[int(p.argmax())], False))
        else:
            absent = ((p < explained.usual_words[a.name]) & a.several).tolist()
            rows = zip(parts.tolist(), a.words, absent, strict=True)
            found += [(part, a.name, word, gone) for part, word, gone in rows]
    unnamed = max(0.0, float(_speaking_for(explained.residual[picture], top)))
    found = sorted((row for row in found if row[0] > 0), reverse=True)
    total = sum(row[0] for row in found) + unnamed
    reasons = [
        Reason(name, word, emotion, round(part / total, DIGITS), gone)
        for part, name, word, gone in found[:SHOWN]
        if part / total >= LEAST_SHARE
    ]
    if unnamed > 0:
        reasons.append(Reason(None, None, emotion, round(unnamed / total, DIGITS)))
    return reasons


def _speaking_for(contributions: Tensor, emotion: int) -> Tensor:
    """What is added to one emotion beyond what is added to all on average: (E, ...) -> (...)."""
    return contributions[emotion] - contributions.mean(dim=0)


def _listed(found: Any) -> str:
    words: Iterable[Mapping[str, Any]] = found if isinstance(found, list) else [found]
    return ", ".join(f"{word['word']} ({word['probability']:.0%})" for word in words)


def _reason(reason: Mapping[str, Any]) -> str:
    if reason["attribute"] is None:
        return "what has no name"
    return f"{'no ' if reason['absent'] else ''}{reason['attribute']} {reason['word']}"
