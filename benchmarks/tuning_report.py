"""The page of `tuning.py`: every sentence about a difference is chosen by its interval."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import result_page
from affectlens.files import atomic_write
from affectlens.report.text import signed
from seeds_report import DASH, MINUS, table
from seeds_statistics import Difference, difference

TITLES = {"pbt": "population based training", "random": "random search", "asha": "ASHA"}
# Distinguishable for colour-blind readers, and by their dashes for everyone.
LOOKS = {"pbt": ("#d55e00", "-"), "random": ("#0072b2", "--"), "asha": ("#1a1a1a", ":")}
PAIRS = (("pbt", "random"), ("pbt", "asha"), ("asha", "random"))
GOAL = 0.10  # of the plain loop's time, that Ray may cost


def write(out: Path, results: Mapping[str, Any]) -> None:
    """Write the page, and next to it its figure as SVG."""
    figure = out.with_suffix(".svg")
    draw(results, figure)
    result_page.write(out, "tuning.template.md", parts(results, figure.name))


def parts(results: Mapping[str, Any], figure: str) -> dict[str, str]:
    """What fills each slot of the template."""
    size, machine = results["size"], results["machine"]
    found = {pair: held_out_difference(results, *pair) for pair in PAIRS}
    return {
        "DATE": results["date"].partition("T")[0],
        "CPU": machine["cpu"],
        "CORES": str(machine["cores"]),
        "SHORT": short(results, found),
        "BUDGET": f"{size['budget']:,}",
        "TRAIN": f"{size['train']:,}",
        "VALIDATION": f"{size['validation']:,}",
        "HELD_OUT": f"{size['held_out']:,}",
        "SIDE": str(size["side"]),
        "BATCH": str(size["batch"]),
        "INTERVAL": str(size["interval"]),
        "ROUNDS": str(size["rounds"]),
        "MEMBERS": table([("way", "members"), *((TITLES[k], _members(results, k)) for k in TITLES)]),
        "FIGURE": figure,
        "SCORES": table(score_rows(results, "curve")),
        "RECIPE": recipe_wins(results),
        "SAMPLED": table(score_rows(results, "sampled_curve")),
        "HELD": table(held_out_rows(results)),
        "VERDICTS": "\n".join(f"- {verdict(*pair, each)}" for pair, each in found.items()),
        "OVERHEAD": overhead(results["overhead"]),
    }


def of(results: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """The searches of one kind, by seed."""
    return sorted((row for row in results["searches"] if row["kind"] == kind), key=lambda row: row["seed"])


def _members(results: Mapping[str, Any], kind: str) -> str:
    counts = {row["members"] for row in of(results, kind)}
    return str(counts.pop()) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def best_at(curve: Sequence[Sequence[float]], steps: float) -> float | None:
    """Best score after so many steps; None before the first interval was done."""
    done = [score for spent, score in curve if spent <= steps]
    return done[-1] if done else None


def recipe_wins(results: Mapping[str, Any]) -> str:
    """In how many searches nothing better was found than what the first member began with."""
    rows = results["searches"]
    count = sum(row["is_the_recipe"] for row in rows)
    return f"In {count} of {len(rows)} searches the best model has the recipe's own settings, unchanged"


def score_rows(results: Mapping[str, Any], key: str) -> list[tuple[str, ...]]:
    """Best so far at quarters of the budget."""
    budget = results["size"]["budget"]
    quarters = [budget * part // 4 for part in (1, 2, 3, 4)]
    rows: list[tuple[str, ...]] = [("after steps", *(f"{steps:,}" for steps in quarters))]
    for kind, title in TITLES.items():
        cells = [[best_at(row[key], steps) for row in of(results, kind)] for steps in quarters]
        rows.append((title, *(_several(cell) for cell in cells)))
    return rows


def held_out_rows(results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What each search's model is worth."""
    rows: list[tuple[str, ...]] = [("way", "accuracy, %", "balanced accuracy, %", "macro F1, %")]
    for kind, title in TITLES.items():
        keys = ("accuracy", "balanced_accuracy", "macro_f1")
        rows.append((title, *(_several([row["held_out"][key] for row in of(results, kind)]) for key in keys)))
    return rows


def _several(values: Sequence[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    if not known or len(known) < len(values):
        return DASH
    spread = f" ± {statistics.stdev(known):.1f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.1f}{spread} ({', '.join(f'{value:.1f}' for value in known)})"


def held_out_difference(results: Mapping[str, Any], one: str, other: str) -> Difference:
    """Accuracy of one way minus the other's, by seed and picture (`seeds_statistics.difference`)."""
    right = [
        np.array([row["held_out"]["right"] for row in of(results, kind)], float) for kind in (one, other)
    ]
    return difference(right[0] - right[1])


def verdict(one: str, other: str, found: Difference) -> str:
    """Write what three repeats can show of a difference."""
    low, high = (100 * limit for limit in found.interval())
    limits = f"95 % interval {signed(low, 1)} to {signed(high, 1)}"
    interval = f"{signed(100 * found.mean, 1)} points of accuracy ({limits})"
    title = f"{TITLES[one]} {MINUS} {TITLES[other]}"
    words = {1: f"{TITLES[one]} is better", -1: f"{TITLES[other]} is better",
             0: "no difference that these searches can show"}  # fmt: skip
    return f"{title}: {interval}: {words[found.sign()]}."


def short(results: Mapping[str, Any], found: Mapping[tuple[str, str], Difference]) -> str:
    """The page in a few sentences."""
    shown = [
        TITLES[one if each.sign() > 0 else other]
        + " did better than "
        + TITLES[other if each.sign() > 0 else one]
        for (one, other), each in found.items()
        if each.sign()
    ]
    differ = (
        f"On pictures that no search has seen, {'; '.join(shown)}; the other comparisons show no difference."
        if shown
        else "On pictures that no search has seen, these repeats show no difference between the three ways."
    )
    best = {kind: statistics.mean(row["curve"][-1][1] for row in of(results, kind)) for kind in TITLES}
    levels = ", ".join(f"{title} {100 * best[kind]:.1f} %" for kind, title in TITLES.items())
    cost = _cost(results["overhead"])
    goal = "within" if cost < GOAL else "beyond"
    return (
        f"{recipe_wins(results)}. With the complete budget the best scores that the searches selected by "
        f"were, on average, {levels}. "
        f"{differ} Ray took {signed(100 * cost, 1)} % of the plain loop's time on top, {goal} the goal of "
        f"{100 * GOAL:.0f} %."
    )


def _cost(measured: Mapping[str, float]) -> float:
    return measured["ray"] / measured["plain"] - 1


def overhead(measured: Mapping[str, float]) -> str:
    """Write what Ray took, compared with the plain loop."""
    return (
        f"{measured['intervals']} intervals of {measured['interval']} steps, of two members that take turns "
        f"in one process: {measured['ray']:.1f} s through Ray, {measured['plain']:.1f} s by the plain loop, "
        "which trains the same members and predicts and saves as often: "
        f"{signed(100 * _cost(measured), 1)} %. "
        f"Measured once. Before the first interval begins, Ray and its first process take "
        f"{measured['start']:.1f} s, whatever the length of the search."
    )


def draw(results: Mapping[str, Any], file: Path) -> None:
    """Draw each way's best so far against steps, repeats thin and their mean thick, as SVG without a date."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    budget = results["size"]["budget"]
    steps = np.linspace(0, budget, 201)
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tuning", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(7.5, 3.8), layout="constrained")
        for kind, title in TITLES.items():
            colour, dashes = LOOKS[kind]
            lines = np.array(
                [
                    [np.nan if (top := best_at(row["curve"], at)) is None else 100 * top for at in steps]
                    for row in of(results, kind)
                ]
            )
            for line in lines:
                axes.plot(steps, line, color=colour, linestyle=dashes, linewidth=0.8, alpha=0.5)
            axes.plot(steps, lines.mean(axis=0), color=colour, linestyle=dashes, linewidth=2.4, label=title)
        axes.set(xlim=(0, budget), xlabel="steps of all members together")
        axes.set_ylabel("best score so far, %\n(selected by)")
        axes.grid(color="0.9")
        axes.legend(frameon=False, loc="lower right")
        axes.spines[["top", "right"]].set_visible(False)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as out:
            figure.savefig(out, format="svg", metadata={"Date": None})
        pyplot.close(figure)
