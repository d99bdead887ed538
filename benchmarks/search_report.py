"""The page of `search_comparison.py`: every sentence about a difference is chosen by its interval.

Differences are paired by seed. Intervals are Student's, over seeds; each is as wide as Holm's procedure needs
for all comparisons of its family together: that of the smallest of k p-values has the level 1 - 0.05 / k, the
next 1 - 0.05 / (k - 1), and so on. A comparison is called a difference where Holm rejects equality.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import t as students_t

import result_page
from affectlens.report.figures import INK, LINE, STYLE, new_figure, save_figure
from affectlens.report.text import markdown_table, signed
from search_comparison import (
    CONDITIONS,
    EPOCHS,
    EVERY,
    LEARNING_RATES,
    MAIN,
    NEEDS,
    POPULATIONS,
    SEEDS,
    Comparison,
    Condition,
    Result,
    Side,
    best_learning_rate,
)
from search_features import NUM_FEATURES, OF_FOLD, SELECTED, SIDE, TRAINED

LEVEL = 0.05  # of all comparisons of a family together
PRIMARY, MISSING = "score", "not yet"
TITLES = {"pbt": "population based training", "random": "random search", "asha": "ASHA",
          "recipe": "the recipe's own settings"}  # fmt: skip
SHORT = {"pbt": "PBT", "random": "random", "asha": "ASHA", "recipe": "recipe"}
# Distinguishable for colour-blind readers, and by their marks for everyone.
LOOKS = {"pbt": ("#d55e00", "o"), "random": ("#0072b2", "s"), "asha": (INK, "^"), "recipe": ("#009e73", "D")}
NAMED = {condition.name: condition for condition in CONDITIONS}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """A comparison with its mean difference over seeds, in points, its limits, and its p-value."""

    comparison: Comparison
    mean: float
    low: float
    high: float
    p: float
    rejected: bool

    @property
    def sign(self) -> int:
        """1 or -1 where Holm's procedure rejects equality, and 0 where it does not."""
        return int(np.sign(self.mean)) if self.rejected else 0


class Rows:
    """The searches there are, by condition and method, each by seed."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.lr = best_learning_rate(results)
        self.about = next(row for row in results if row["kind"] == "about")
        self.learning_rates = [row["scores"] for row in results if row["kind"] == "learning rate"]
        self._rows: dict[Side, dict[int, Result]] = {}
        for row in results:
            if row["kind"] == "search":
                self._rows.setdefault((row["condition"], row["method"]), {})[row["seed"]] = row

    @property
    def count(self) -> int:
        """How many searches there are."""
        return sum(map(len, self._rows.values()))

    def of(self, side: Side) -> list[Result]:
        """Return the searches of a side, by seed; none before all seeds are there."""
        found = self._rows.get(side, {})
        return [found[seed] for seed in SEEDS] if set(found) >= set(SEEDS) else []

    def outer(self, side: Side, measure: str = PRIMARY) -> Floats:
        """Return what the winners are worth on outer pictures, in points (the NLL as it is)."""
        factor = 1 if measure == "nll" else 100
        return np.array([factor * row["outer"][measure] for row in self.of(side)])

    def optimism(self, side: Side) -> Floats:
        """Return how much lower that is than the score they were selected by, in points."""
        return np.array([100 * row["selected_by"] for row in self.of(side)]) - self.outer(side)


def compare(rows: Rows, family: Sequence[Comparison], measure: str = PRIMARY) -> list[Found]:
    """Compare both sides of each comparison whose searches are there; the family's size is that planned."""
    measured = []
    for comparison in family:
        one, other = rows.outer(comparison.one, measure), rows.outer(comparison.other, measure)
        if len(one) and len(other):
            difference = one - other
            error = max(float(difference.std(ddof=1)) / len(difference) ** 0.5, 1e-12)
            freedom = len(difference) - 1
            p = 2 * float(students_t.sf(abs(difference.mean()) / error, freedom))
            measured.append((p, comparison, float(difference.mean()), error, freedom))
    found, rejected = [], True
    for rank, (p, comparison, mean, error, freedom) in enumerate(sorted(measured, key=lambda each: each[0])):
        level = LEVEL / (len(family) - rank)
        rejected = rejected and p < level
        reach = float(students_t.ppf(1 - level / 2, freedom)) * error
        found.append(Found(comparison, mean, mean - reach, mean + reach, p, rejected))
    return sorted(found, key=lambda each: family.index(each.comparison))


def write(out: Path, results: Sequence[Result]) -> None:
    """Write the page, and next to it its figure as SVG."""
    rows, figure = Rows(results), out.with_suffix(".svg")
    draw(rows, figure)
    result_page.write(out, "search_comparison.template.md", parts(rows, figure.name))


def parts(rows: Rows, figure: str) -> dict[str, str]:
    """What fills each slot of the template."""
    main, needs = compare(rows, MAIN), compare(rows, NEEDS)
    machine = rows.about["machine"]
    return {
        "DATE": rows.about["date"].partition("T")[0],
        "CPU": f"{machine['cpu']}, {machine['cores']} cores",
        "DIVISION": f"`{rows.about['division']}`",
        "SHORT": f"{state(rows)}{short(rows, main, needs)}",
        "SEEDS": str(len(SEEDS)),
        "SIDE": str(SIDE),
        "FEATURES": str(NUM_FEATURES),
        "HIDDEN": str(rows.about["hidden"]),
        "BATCH": str(rows.about["batch"]),
        "TRAINED": f"{TRAINED:,}",
        "SELECTED": str(SELECTED),
        "OUTER": str(OF_FOLD),
        "EPOCHS": str(EPOCHS),
        "LR": f"{rows.lr:g}",
        "RATES": learning_rates(rows),
        "MEMBERS": asha_members(rows),
        "FIGURE": figure,
        "SCORES": score_table(rows, [NAMED[f"population {n}"] for n in POPULATIONS]),
        "COMPARED": comparison_table(main),
        "MAIN_COUNT": str(len(MAIN)),
        "NEEDS_COUNT": str(len(NEEDS)),
        "OTHERS": other_measures(rows),
        "CONDITIONS": score_table(rows, [c for c in CONDITIONS if not c.name.startswith("population")]),
        "NEEDS": comparison_table(needs),
        "VERDICTS": "\n".join(f"- {line}" for line in verdicts(main, needs)),
        "SECONDS": cost(rows),
    }


# -------------------------------------------------------------------------------------------------- sentences


def state(rows: Rows) -> str:
    """Write how much is missing; nothing where all searches are made."""
    planned = len(SEEDS) * sum(len(condition.methods) for condition in CONDITIONS)
    if rows.count == planned:
        return ""
    return (
        f"**Not complete**: {rows.count} of {planned} planned searches are made; what follows holds for "
        f"conditions and methods whose {len(SEEDS)} seeds are all there. "
    )


def named(side: Side) -> str:
    """Name one side of a comparison."""
    return f"{SHORT[side[1]]}, {NAMED[side[0]].title}"


def _winners(found: Sequence[Found]) -> list[str]:
    """Write which comparisons show a difference."""
    lines = []
    for each in found:
        if each.sign:
            better, worse = each.comparison.one, each.comparison.other
            if each.sign < 0:
                better, worse = worse, better
            size = f"{abs(each.mean):.1f} points"
            if better[0] == worse[0]:
                lines.append(f"{SHORT[better[1]]} over {SHORT[worse[1]]}, {NAMED[better[0]].title} ({size})")
            else:
                lines.append(f"{named(better)} over {named(worse)} ({size})")
    return lines


def short(rows: Rows, main: Sequence[Found], needs: Sequence[Found]) -> str:
    """The page in three sentences: which wins, what the levels are, and what changes that."""
    if not main:
        return f"The searches are {MISSING} made."
    won = _winners(main)
    widest = max(max(abs(each.low), abs(each.high)) for each in main)
    count = (
        f"{len(main)} comparisons at an equal budget, over {len(SEEDS)} seeds and with 95 % for all together"
    )
    first = (
        f"Of {count}, {len(won)} {'shows' if len(won) == 1 else 'show'} a difference on pictures that no "
        f"search has seen: {'; '.join(won)}."
        if won
        else f"None of {count}, shows a difference on pictures that no search has seen: no method wins, and "
        f"differences above {widest:.1f} points are excluded."
    )
    levels = [
        f"{SHORT[method]} {', '.join(_level(rows, n, method) for n in POPULATIONS)}" for method in EVERY
    ]
    populations = f"{', '.join(map(str, POPULATIONS[:-1]))} and {POPULATIONS[-1]}"
    second = f"With {populations} members the winners' mean scores there are, in %: {'; '.join(levels)}."
    return f"{first} {second} {_third(needs)}"


def _level(rows: Rows, population: int, method: str) -> str:
    values = rows.outer((f"population {population}", method))
    return f"{values.mean():.1f}" if len(values) else MISSING


def _third(needs: Sequence[Found]) -> str:
    """What population based training needs, as far as it was found."""
    within = [each for each in needs if each.comparison.one[0] == each.comparison.other[0]]
    gained = [each for each in within if each.sign > 0 and each.comparison.one[1] == "pbt"]
    if not needs:
        return f"What population based training needs is {MISSING} measured."
    if gained:
        return f"Other conditions in which population based training wins: {'; '.join(_winners(gained))}."
    return (
        f"In none of the {len(within)} comparisons under other conditions (length, schedule, search space, "
        "size of the validation part) does population based training win."
    )


def verdicts(main: Sequence[Found], needs: Sequence[Found]) -> list[str]:
    """All differences that were found, and how many were not."""
    lines = _winners([*main, *needs])
    unclear = len(main) + len(needs) - len(lines)
    return [f"{line}." for line in lines] + [f"The other {unclear} comparisons show no difference."]


def learning_rates(rows: Rows) -> str:
    """Write the mean validation score of the recipe at each learning rate."""
    if not rows.learning_rates:
        return MISSING
    means = [statistics.mean(scores[str(lr)] for scores in rows.learning_rates) for lr in LEARNING_RATES]
    return ", ".join(f"{100 * mean:.1f} % at {lr:g}" for lr, mean in zip(LEARNING_RATES, means, strict=True))


def asha_members(rows: Rows) -> str:
    """Write how many members ASHA began in each of the main conditions."""
    found = []
    for population in POPULATIONS:
        counts = [row["members"] for row in rows.of((f"population {population}", "asha"))]
        found.append(
            f"{statistics.mean(counts):.0f} for {population}" if counts else f"{MISSING} for {population}"
        )
    return ", ".join(found)


def cost(rows: Rows) -> str:
    """Write how long all searches took."""
    seconds = [row["seconds"] for c in CONDITIONS for m in c.methods for row in rows.of((c.name, m))]
    return f"{len(seconds):,} searches took {sum(seconds) / 60:.0f} minutes of one thread of a busy processor"


# ----------------------------------------------------------------------------------------------------- tables


def _mean_and_spread(values: Floats, digits: int = 1) -> str:
    if not len(values):
        return MISSING
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def score_table(rows: Rows, conditions: Sequence[Condition]) -> str:
    """Mean and spread over seeds of each side: what it was selected by, and what it is worth."""
    cells = [
        [
            condition.title,
            SHORT[method],
            _mean_and_spread(rows.outer((condition.name, method))),
            _mean_and_spread(rows.outer((condition.name, method), "balanced_accuracy")),
            _mean_and_spread(rows.outer((condition.name, method), "accuracy")),
            _mean_and_spread(rows.outer((condition.name, method), "nll"), 3),
            _mean_and_spread(rows.optimism((condition.name, method))),
        ]
        for condition in conditions
        for method in condition.methods
    ]
    header = [
        "condition",
        "method",
        "score, %",
        "balanced accuracy, %",
        "accuracy, %",
        "NLL",
        "optimism, points",
    ]
    return markdown_table(header, cells, left=2)


def comparison_table(found: Sequence[Found]) -> str:
    """Each comparison of a family."""
    cells = []
    for each in found:
        one, other = each.comparison.one, each.comparison.other
        same = one[0] == other[0]
        cells.append([
            NAMED[one[0]].title if same else f"{NAMED[one[0]].title}, less {NAMED[other[0]].title}",
            f"{SHORT[one[1]]} \N{MINUS SIGN} {SHORT[other[1]]}",
            signed(each.mean, 2),
            f"{signed(each.low, 2)} to {signed(each.high, 2)}",
            f"{each.p:.4f}",
            {1: "first", -1: "second", 0: "none shown"}[each.sign],
        ])  # fmt: skip
    header = ["condition", "compared", "points", "interval", "p", "better"]
    return markdown_table(header, cells, left=2) if cells else f"Comparisons: {MISSING}."


def other_measures(rows: Rows) -> str:
    """Which of the main comparisons differ by the measures that are not the primary one."""
    lines = []
    for measure, title in (
        ("balanced_accuracy", "balanced accuracy"),
        ("accuracy", "accuracy"),
        ("nll", "NLL"),
    ):
        found = compare(rows, MAIN, measure)
        count = sum(each.sign != 0 for each in found)
        pbt = [each for each in found if each.comparison.one[1] == "pbt" and each.sign]
        good = -1 if measure == "nll" else 1
        better = sum(each.sign == good for each in pbt)
        lines.append(
            f"- {title}: {count} of {len(found)} differ; population based training is better in {better} and "
            f"worse in {len(pbt) - better} of its comparisons."
        )
    return "\n".join(lines)


# ----------------------------------------------------------------------------------------------------- figure


def draw(rows: Rows, file: Path) -> None:
    """Plot means over seeds by population, and the paired differences with their intervals."""
    with matplotlib.rc_context({**STYLE, "font.size": 9}):
        figure = new_figure(8.5, 6.4, layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
        _draw_levels(left, rows)
        _draw_differences(right, [*compare(rows, MAIN), *compare(rows, NEEDS)])
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
    save_figure(file, figure)


def _draw_levels(axes: Axes, rows: Rows) -> None:
    """Mean outer score of each method, with the 95 % interval over seeds, by population."""
    for shift, method in enumerate(EVERY):
        colour, mark = LOOKS[method]
        for index, population in enumerate(POPULATIONS):
            values = rows.outer((f"population {population}", method))
            if len(values):
                reach = students_t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
                axes.errorbar(index + 0.16 * (shift - 1.5), values.mean(), reach, fmt=mark, color=colour,
                              markersize=6, label=TITLES[method] if index == 0 else None)  # fmt: skip
    axes.set_xticks(range(len(POPULATIONS)), [f"{n}" for n in POPULATIONS])
    axes.set_xlabel("members")
    axes.set_ylabel("score of the winner on outer pictures, %")
    axes.margins(0.12)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _draw_differences(axes: Axes, found: Sequence[Found]) -> None:
    """One line for each comparison, filled where there is a difference."""
    axes.axvline(0, color=LINE)
    labels = []
    for line, each in enumerate(found):
        one, other = each.comparison.one, each.comparison.other
        colour, mark = LOOKS[one[1]]
        axes.plot([each.low, each.high], [line, line], color=colour, linewidth=1.5)
        axes.plot(
            each.mean,
            line,
            mark,
            color=colour,
            markersize=5,
            markerfacecolor=colour if each.sign else "white",
        )
        same = one[0] == other[0]
        against = SHORT[other[1]] if same else named(other)
        labels.append(f"{NAMED[one[0]].title}: {SHORT[one[1]]} \N{MINUS SIGN} {against}")
    axes.set_yticks(range(len(found)), labels, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("difference in points, with simultaneous intervals")
