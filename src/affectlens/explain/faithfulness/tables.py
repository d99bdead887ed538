"""A comparison of explanations for people: tables as rows of text, and the sentences that they support.

Figures are means over pictures with 95 % intervals in brackets. A dash stands for what was not measured.
"""

from collections.abc import Sequence

from affectlens.explain.faithfulness.measurements import CENTRE, EDGES, GRADIENT, RANDOM
from affectlens.explain.faithfulness.results import Estimate, Summary, Verdict
from affectlens.report.text import signed, with_minus

LEAST_PICTURES = 6  # with fewer, a bootstrap is meaningless, and the number of pictures replaces the interval
DASH = "\u2013"  # an en dash: within a range, and for what is missing


def curves_table(summary: Summary, *, scale: str = "") -> list[tuple[str, ...]]:
    """List insertion and deletion by replacement, their difference and the seconds; best methods first.

    `scale` is "" for probabilities, "normalised" for normalised log-odds.
    """
    kinds = [(kind, name) for name in summary.replacements() for kind in ("insertion", "deletion")]
    header = ("method", *(f"{kind}, {name}" for kind, name in kinds), "insertion less deletion", "seconds")
    rows = [header]
    for method in ranked(summary):
        figures = summary.methods[method]
        areas = (_area(summary, method, f"{kind} {name} {scale}".strip()) for kind, name in kinds)
        rows.append((method, *areas, _cell(figures.get("faithfulness")), _seconds(figures.get("seconds"))))
    return rows


def checks_table(summary: Summary) -> list[tuple[str, ...]]:
    """List infidelity, completeness and the checks, of methods that have any; best methods first."""
    columns = ("infidelity", "completeness error relative", "sensitivity", "shuffled weights",
               "points at the patch", "mass on the patch")  # fmt: skip
    present = [name for name in columns if any(name in figures for figures in summary.methods.values())]
    rows: list[tuple[str, ...]] = [("method", *present)]
    for method in ranked(summary):
        figures = summary.methods[method]
        if any(name in figures for name in present):
            rows.append((method, *(_cell(figures.get(name)) for name in present)))
    return rows


def ranked(summary: Summary) -> list[str]:
    """Name the methods by insertion less deletion, the best first."""
    return sorted(summary.methods, key=lambda name: -summary.methods[name]["faithfulness"].mean)


def conclusions(summary: Summary, verdict: Verdict) -> list[str]:
    """State in sentences what the figures support, and nothing else."""
    if summary.pictures < LEAST_PICTURES:
        return [
            f"{summary.pictures} pictures decide nothing: of fewer than {LEAST_PICTURES} there are no "
            "intervals. Compare methods on more, as --pictures 24."
        ]
    sentences = [_choice(summary, verdict)]
    for method, reasons in verdict.failed.items():
        sentences.append(f"`{method}` does not beat them in: {', '.join(reasons)}.")
    controls = {CENTRE: "a map of the middle", EDGES: "a map of edges"}
    for name in dict.fromkeys((verdict.best, verdict.chosen)):
        if name:
            present = [(control, what) for control, what in controls.items() if control in summary.methods]
            sentences += [_compared(summary, name, control, what) for control, what in present]
    return sentences


def _choice(summary: Summary, verdict: Verdict) -> str:
    titles = {RANDOM: "random maps", GRADIENT: "the plain gradient"}
    controls = " and ".join(title for name, title in titles.items() if name in summary.methods)
    if verdict.best is None or verdict.chosen is None:
        return (
            f"On {summary.pictures} pictures no method beats {controls} in every curve, by gains over random "
            "maps whose intervals do not overlap. The table supports no default."
        )
    beaten = (
        f"{controls} in insertion and deletion, with every replacement, by gains over random maps whose "
        "intervals do not overlap."
    )
    less = f" Less faithful, but beating them as well: {_names(verdict.behind)}." if verdict.behind else ""
    if not verdict.equal:
        return (
            f"On {summary.pictures} pictures `{verdict.best}` is the most faithful of the methods that beat "
            f"{beaten}{less} The table supports it as the default."
        )
    seconds = _seconds(summary.methods[verdict.chosen]["seconds"])
    return (
        f"On {summary.pictures} pictures {_names([verdict.best, *verdict.equal])} beat {beaten} Insertion "
        f"less deletion does not separate them.{less} Quickest of them is `{verdict.chosen}` ({seconds} s "
        "a picture), which the table supports as the default."
    )


def _compared(summary: Summary, name: str, control: str, what: str) -> str:
    difference = summary.difference("faithfulness", name, control)
    if not difference.excludes_zero:
        verb = "is not significantly different from"
    else:
        verb = "is more faithful than" if difference.mean > 0 else "is less faithful than"
    return f"`{name}` {verb} {what}: in insertion less deletion they differ by {_cell(difference)}."


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _area(summary: Summary, method: str, figure: str) -> str:
    """A mean area, and how far it is from that of random maps of the same pictures."""
    area = summary.methods[method].get(figure)
    if area is None or area.count == 0:
        return DASH
    if method == RANDOM or RANDOM not in summary.methods:
        return with_minus(f"{area.mean:.2f}")
    gain = summary.gain(figure, method)
    interval = f"{signed(gain.low)} to {signed(gain.high)}"
    return with_minus(f"{area.mean:.2f}, {signed(gain.mean)} ({interval})")


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or estimate.count == 0:
        return DASH
    if estimate.count < LEAST_PICTURES:
        return with_minus(f"{estimate.mean:.2f} (of {estimate.count})")
    digits = 2 if max(abs(estimate.low), abs(estimate.high)) < 100 else 0
    low, high = f"{estimate.low:.{digits}f}", f"{estimate.high:.{digits}f}"
    # A minus next to a dash is hard to read.
    between = DASH if estimate.low >= 0 else " to "
    return with_minus(f"{estimate.mean:.{digits}f} ({low}{between}{high})")


def _seconds(estimate: Estimate | None) -> str:
    return DASH if estimate is None else f"{estimate.mean:.2g}"
