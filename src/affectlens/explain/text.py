"""What every figure and page states about a heat map: what it shows, how it was made, how far to trust it.

Nothing is stated about a map that was not measured: a method without completeness, or a map whose
faithfulness was not measured, has no sentence about it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from affectlens.explain.core.heatmap import Heatmap
from affectlens.explain.core.question import RatingQuestion
from affectlens.explain.core.reference import USUAL
from affectlens.explain.story.text import feeling, rated, subject
from affectlens.inference.text import UNUSUAL
from affectlens.report.text import percent, printable_in_files, signed, with_minus

if TYPE_CHECKING:
    from affectlens.explain.explainer import Explanation

READING = "Orange speaks for the answer, blue against it, the stronger the more."
_READING_OF_BOTH = (
    "Orange speaks for an emotion or raises a rating, blue speaks against it or lowers it, "
    "the stronger the more."
)

# What a picture is compared with: the baselines of `core.baselines`, and the reference of `story.branches`.
BASELINES_IN_WORDS = {
    "black": "a black picture",
    "mean": "the mean colour of the training pictures",
    "blurred": "the picture itself, blurred",
    "uniform": "random pixels",
    USUAL: "the mean description of the training pictures",
}

# Details that have sentences of their own, or that only machines want.
_OTHERWISE_REPORTED = frozenset({
    "steps", "baselines", "baseline", "seconds", "difference", "faithfulness", "complete", "together",
    "completeness_error", "completeness_error_relative", "completeness_error_of_pieces", "precision", "cells",
    "variation",
})  # fmt: skip
# Details that are parts of a difference in log-odds: for the answer or against it.
_SIGNED = frozenset({"on_maps", "by_gradient", "elsewhere"})
_KINDS = (str, int, float)


def reading(heatmaps: Sequence[Heatmap]) -> str:
    """State what the colours of maps mean: of ratings, what raises them and what lowers them."""
    rated_ones = [each.question for each in heatmaps if isinstance(each.question, RatingQuestion)]
    if not rated_ones:
        return READING
    if len(rated_ones) < len(heatmaps):
        return _READING_OF_BOTH
    name = rated_ones[0].name if len(heatmaps) == 1 else "the rating"
    return f"Orange raises {name}, blue lowers it, the stronger the more."


def ends_of(heatmaps: Sequence[Heatmap]) -> tuple[str, str]:
    """Name what is negative and what is positive in maps, for the two ends of a scale of colours."""
    are_rated = {each.rating is not None for each in heatmaps}
    if len(are_rated) > 1:
        return "against, lowers", "for, raises"
    return ("lowers", "raises") if True in are_rated else ("against", "for")


def why(heatmap: Heatmap) -> str:
    """Write the question that a map answers: `Why fear?`, `Why this valence?`."""
    question = heatmap.question
    return f"Why this {question.name}?" if isinstance(question, RatingQuestion) else f"Why {question}?"


def title(heatmap: Heatmap) -> str:
    """Name what a map is the answer to, with how likely that is: `fear (62 %)`, `valence 4.8 of 1 to 9`."""
    question = heatmap.question
    if isinstance(question, RatingQuestion):
        return rated(question, heatmap.answer)
    name = feeling(question, question.favour)
    if len(question.favour) + len(question.against) < len(question.vocabulary):
        return f"{name} rather than {feeling(question, question.against)}"
    return f"{name} ({percent(heatmap.probability or 0)})"


def how_made(heatmaps: Sequence[Heatmap]) -> list[str]:
    """Describe in sentences how maps of one picture by one method were made, and how exact they are."""
    groups = _by_unit(heatmaps)
    faithfulness = [_faithfulness(each, alone=len(groups) == 1) for each in groups]
    sentences = (_method(heatmaps), _exactness(heatmaps), *faithfulness, _view(heatmaps[0]))
    return [printable_in_files(sentence) for sentence in sentences if sentence]


def baseline(*names: str) -> str:
    """State what a picture is compared with, by name.

    >>> baseline("mean")
    'Baseline: the mean colour of the training pictures.'
    >>> baseline("uniform", "black")
    'Baselines: random pixels, and a black picture.'
    """
    words = [BASELINES_IN_WORDS.get(name, name) for name in names]
    together = words[0] if len(words) == 1 else f"{', '.join(words[:-1])}, and {words[-1]}"
    return f"Baseline{'s' if len(words) > 1 else ''}: {together}."


def doubts(heatmaps: Sequence[Heatmap]) -> str:
    """Warn of maps that were measured and not found better than random ones; "" where there is none."""
    doubtful = [
        title(each)
        for each in heatmaps
        if (each.details.get("faithfulness") or {}).get("beats_random") is False
    ]
    if not doubtful:
        return ""
    if len(heatmaps) == 1:
        return "Do not rely on this map: on this picture it was not found to be better than random ones."
    which = "these maps" if len(doubtful) > 1 else "this map"
    return (
        f"Do not rely on {which}, on this picture not found to be better than random ones: "
        f"{', '.join(doubtful)}."
    )


def unusual_in_words(explanation: "Explanation") -> str:
    """Warn of a picture that is unlike those that the model was made for; "" for any other."""
    return f"{UNUSUAL[0].upper()}{UNUSUAL[1:]}." if explanation.unusual else ""


def _by_unit(heatmaps: Sequence[Heatmap]) -> list[list[Heatmap]]:
    """Divide maps into those about emotions, and those about each rating, whose numbers have other units."""
    groups: dict[str, list[Heatmap]] = {}
    for each in heatmaps:
        groups.setdefault(str(each.question) if each.log_odds is None else "", []).append(each)
    return list(groups.values())


def _method(heatmaps: Sequence[Heatmap]) -> str:
    first = heatmaps[0]
    parts = [_steps(heatmaps)] if "steps" in first.details else []
    for name, value in first.details.items():
        if name not in _OTHERWISE_REPORTED and isinstance(value, _KINDS) and not isinstance(value, bool):
            values = [
                each.details[name] for each in heatmaps if isinstance(each.details.get(name), type(value))
            ]
            parts.append(f"{name.replace('_', ' ')} {_range(name, values)}")
    options = f": {', '.join(parts)}" if parts else ""
    sentences = [f"Model {first.model}. Method {first.method.replace('_', ' ')}{options}."]
    compared = first.details.get("baselines") or first.details.get("baseline")
    if compared:
        sentences.append(baseline(*([compared] if isinstance(compared, str) else map(str, compared))))
    return " ".join(sentences)


def _range(name: str, values: Sequence[Any]) -> str:
    """Write one value, or the smallest and the largest where maps differ in what was measured of each."""
    low, high = min(values), max(values)
    ends = [_number(name, low), _number(name, high)]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _number(name: str, value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return signed(value) if name in _SIGNED else with_minus(f"{value:.3g}")


def _steps(heatmaps: Sequence[Heatmap]) -> str:
    steps = [int(each.details.get("steps", 0)) for each in heatmaps]
    return f"{min(steps)} steps" if min(steps) == max(steps) else f"{min(steps)} to {max(steps)} steps"


def _exactness(heatmaps: Sequence[Heatmap]) -> str:
    """Completeness: how far the sum over a map is from the difference that it should be."""
    relative = [each.details.get("completeness_error_relative") for each in heatmaps]
    known = [abs(value) for value in relative if value is not None]
    at_most = "" if len(heatmaps) == 1 else "at most "
    if known and len(known) == len(heatmaps):
        return f"Completeness error {at_most}{_share(max(known))} of the difference that is divided up."
    largest: dict[str, float] = {}
    for each in heatmaps:
        if "completeness_error" in each.details:
            unit, error = each.question.unit, abs(each.details["completeness_error"])
            largest[unit] = max(error, largest.get(unit, 0.0))
    if largest:
        errors = " and ".join(f"{error:.2g} in {unit}" for unit, error in largest.items())
        return f"Completeness error {at_most}{errors}."
    return (
        "The values do not add up to the answer: compare regions, not numbers."
        if not heatmaps[0].sums_up
        else ""
    )


def _faithfulness(heatmaps: Sequence[Heatmap], *, alone: bool = True) -> str:
    """Deletion and insertion compared with random maps, averaged over the maps, which may not be alone."""
    measured = [each.details["faithfulness"] for each in heatmaps if each.details.get("faithfulness")]
    if not measured:
        return ""
    own_in, random_in = _mean_of(measured, "insertion")
    own_out, random_out = _mean_of(measured, "deletion")
    question = heatmaps[0].question
    whose = "these maps, on average"
    if len(heatmaps) == 1:
        whose = "this map" if alone else f"the map of {subject(question)}"
    brought, scale = "the answer to a mean probability of", ""
    if isinstance(question, RatingQuestion):
        brought, scale = f"{question.name} to a mean of", f" of {question.range}"
    return (
        f"Faithfulness on this picture: put in by the order of {whose}, its parts bring {brought} "
        f"{own_in:.2f}{scale}, in a random order to {random_in:.2f} (more is better); taken out, to "
        f"{own_out:.2f} against {random_out:.2f} (less is better)."
    )


def _mean_of(measured: Sequence[Mapping[str, Any]], name: str) -> tuple[float, float]:
    areas = [(each[name]["area"], each[name]["random"]) for each in measured]
    known = [(own, random) for own, random in areas if own is not None and random is not None]
    return (
        (sum(own for own, _ in known) / len(known), sum(r for _, r in known) / len(known))
        if known
        else (0.0, 0.0)
    )


def _view(heatmap: Heatmap) -> str:
    """State what the network did not see, and what fell outside the picture."""
    top, left, bottom, right = heatmap.view.seen
    seen = (bottom - top) * (right - left)
    if seen < 1:
        return f"Hatched: not seen by the model, which crops the picture to {percent(seen)} of it."
    if heatmap.on_padding > 0.005:
        return f"{percent(heatmap.on_padding)} of the map fell outside the picture."
    return ""


def _share(value: float) -> str:
    return "under 0.1 %" if value < 0.001 else f"{100 * value:.1f} %"
