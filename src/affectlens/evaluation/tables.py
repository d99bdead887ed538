"""Scores for people: rows of text, Markdown for the model card, tables for the terminal.

Figures are percent with one decimal where they are shares, else three decimals, and the interval in
brackets: "70.1 % (68.2–72.0)". What is undefined is a dash.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from affectlens.evaluation.scores import Scores
from affectlens.markdown import markdown_text
from affectlens.report.text import TextTable, markdown_table, print_table

if TYPE_CHECKING:
    from rich.console import Console

DASH = "\u2013"  # an en dash: within a range, and for what is undefined


def scores_table(scores: Scores) -> list[tuple[str, str]]:
    """List each measure with its value and interval, below the header ("measure", "value")."""
    shares = {
        "accuracy": ("accuracy", scores.accuracy),
        "balanced_accuracy": ("balanced accuracy", scores.balanced_accuracy),
        "macro_f1": ("macro F1", scores.macro_f1),
        "polarity_accuracy": (_polarity_title(scores), scores.polarity_accuracy),
        "across_polarity": ("errors across polarity", scores.across_polarity),
        "expected_calibration_error": ("expected calibration error", scores.expected_calibration_error),
    }
    numbers = {
        "negative_log_likelihood": ("negative log-likelihood", scores.negative_log_likelihood),
        "brier": ("Brier score (0 to 2)", scores.brier),
    }
    for name, value in (scores.label_distribution or {}).items():
        numbers[name] = (_DISTRIBUTION_TITLES.get(name, name), value)
    if scores.across_polarity is None:  # without polarity, or of an earlier version
        del shares["across_polarity"]
    rows = [("measure", "value")]
    for name, (title, share) in shares.items():
        rows.append((title, _share_with_interval(share, scores.intervals.get(name))))
    for name, (title, number) in numbers.items():
        rows.append((title, _number_with_interval(number, scores.intervals.get(name))))
    return rows


def emotions_table(
    scores: Scores, intervals: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType({})
) -> list[tuple[str, ...]]:
    """List precision, recall, F1 and number of pictures of each emotion, in vocabulary order.

    `intervals` are those of an emotion's `precision`, `recall` and `f1`, where they were measured.
    """
    rows: list[tuple[str, ...]] = [("emotion", "precision", "recall", "F1", "pictures")]
    for word, figures in scores.per_emotion.items():
        shares = {"precision": figures.precision, "recall": figures.recall, "f1": figures.f1}
        of_word = intervals.get(word, {})
        cells = [_share_with_interval(value, of_word.get(name)) for name, value in shares.items()]
        rows.append((word, *cells, _count(figures.support)))
    return rows


def confusion_table(scores: Scores) -> list[tuple[str, ...]]:
    """Give the confusion matrix in percent of each row: a row is what the model predicts for one emotion.

    The rows of emotions without pictures are dashes.
    """
    labels = scores.confusion.labels
    rows: list[tuple[str, ...]] = [("evoked / predicted", *labels)]
    for label, counts in zip(labels, scores.confusion.rows, strict=True):
        total = sum(counts)
        rows.append((label, *(f"{100 * count / total:.1f}" if total else DASH for count in counts)))
    return rows


def summary(scores: Scores) -> str:
    """Summarise in two or three sentences what was measured, and what the brackets mean."""
    parts = [f"{_count(scores.count)} pictures, {len(scores.words)} emotions of {scores.vocabulary}."]
    if scores.unreadable:
        parts.append(f"{_count(scores.unreadable)} more could not be read and are not counted.")
    if scores.shared_top:
        parts.append(
            f"For {_count(scores.shared_top)} of them several emotions share the top; any of these is right."
        )
    if scores.temperature is None:
        parts.append("Probabilities as they are in the file of predictions.")
    else:
        parts.append(f"Temperature {scores.temperature:.3g}.")
    if scores.intervals:
        what = "groups of pictures" if scores.bootstrap.groups else "the pictures"
        parts.append(
            f"In brackets {100 * scores.bootstrap.level:g} % intervals: percentiles over "
            f"{_count(scores.bootstrap.resamples)} bootstrap resamples of {what}."
        )
    return " ".join(parts)


def markdown(scores: Scores) -> str:
    """Write scores as Markdown: the summary, the measures, the emotions, and which are confused.

    Has no heading, so that a card can put it under its own. Ends with a line break.
    """
    return (
        "\n\n".join(
            [
                markdown_text(summary(scores)),
                _table(scores_table(scores)),
                _table(emotions_table(scores)),
                CONFUSION_CAPTION,
                _table(confusion_table(scores)),
            ]
        )
        + "\n"
    )


def print_scores(scores: Scores, console: "Console") -> None:
    """Print scores to a terminal as three tables."""
    from rich.text import Text  # here, so that a card can be written without loading rich

    console.print(Text(summary(scores)))
    for title, rows in (
        ("Scores", scores_table(scores)),
        ("Emotions", emotions_table(scores)),
        (CONFUSION_CAPTION, confusion_table(scores)),
    ):
        print_table(rows, console, title)


CONFUSION_CAPTION = (
    "Confusion in percent: a row holds the pictures that evoke one emotion, a column what was predicted; "
    "each row adds up to 100."
)

_DISTRIBUTION_TITLES = {
    "chebyshev": "Chebyshev distance",
    "clark": "Clark distance",
    "canberra": "Canberra distance",
    "kullback_leibler": "Kullback-Leibler divergence",
    "cosine": "cosine similarity (1 is best)",
    "intersection": "intersection (1 is best)",
}


def _polarity_title(scores: Scores) -> str:
    if scores.polarity_accuracy is None or scores.polarity_count == scores.count:
        return "positive or negative"
    return f"positive or negative ({_count(scores.polarity_count)} pictures that are either)"


def share(value: float | None) -> str:
    """Write a share of 0..1 in percent with one decimal; a dash for None."""
    return DASH if value is None else f"{100 * value:.1f} %"


def _share_with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return share(value)
    low, high = interval
    return f"{share(value)} ({100 * low:.1f}{DASH}{100 * high:.1f})"


def _number_with_interval(value: float, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return f"{value:.3f}"
    low, high = interval
    return f"{value:.3f} ({low:.3f}{DASH}{high:.3f})"


def _count(value: float) -> str:
    """2272.0 becomes "2,272"; parts of a picture, from shared tops, keep one decimal."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def _table(rows: TextTable) -> str:
    header, *body = [[markdown_text(cell) for cell in row] for row in rows]
    return markdown_table(header, body)
