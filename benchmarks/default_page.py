"""The page of the default model, written from what was measured of it.

    python benchmarks/default_page.py

Reads benchmarks/results: default_model.json, set_apart.json, screening.jsonl, branch_cost.json,
ratings.jsonl, ratings.json, ratings_cost.json, coverage.json and unusual.json, and the card of the default
model; writes docs/results/default.md and its figure.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

import coverage
import result_page
import unusual
from affectlens import library
from affectlens.evaluation.scores import Scores
from affectlens.model_folder import load_card
from affectlens.ratings import AROUSAL, HIGHEST, LOWEST, VALENCE
from affectlens.report.figures import INK, PALE, STYLE, new_figure, save_figure
from affectlens.report.text import markdown_table, signed
from averaged_answers import compared
from default_scores import table

RESULTS = Path(__file__).parent / "results"
SOURCES = {"oasis": "OASIS", "emdt": "EMDT"}
RATINGS = (VALENCE, AROUSAL)
SHIPPED = "both trained embeddings, polarity, four layers, deepest frozen level"  # among the tries
FIGURE = "default_ratings.svg"
FORMER, JOINED = "default_of_0_1", "default_levels"  # rows of the screening
KINDS = {
    "constant": "one width",
    "scaled": "width by picture",
    "from_the_other": "calibrated on the other set",
}


def read(name: str) -> Any:
    """Read a result."""
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def tries(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write what was tried for valence and arousal: mean r over divisions into folds, and its spread."""
    keys = [f"{source} {rating}" for source in SOURCES for rating in RATINGS]
    header = ["features", *(f"{SOURCES[source]}: {rating}" for source in SOURCES for rating in RATINGS)]
    cells = []
    for row in rows:
        figures = [row["r"][key] for key in keys]
        spread = [f"{sum(each) / len(each):.2f} (±{(max(each) - min(each)) / 2:.2f})" for each in figures]
        name = f"**{row['try']}**" if row["try"] == SHIPPED else row["try"]
        cells.append([name, *spread])
    return markdown_table(header, cells)


def ratings_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Write how near the shipped ratings come, by set."""
    header = [
        "rating",
        "set",
        "photographs",
        "themes or scenes",
        "r (95 % interval)",
        "mean error",
        "of the mean",
    ]
    rows = []
    for rating in RATINGS:
        for source, title in SOURCES.items():
            found = figures[f"{source} {rating}"]
            low, high = found["r_interval"]
            rows.append([
                rating, title, str(found["pictures"]), str(found["groups"]),
                f"{found['r']:.2f} ({low:.2f} to {high:.2f})",
                f"{found['error']:.2f}", f"{found['error_of_the_mean']:.2f}",
            ])  # fmt: skip
    return markdown_table(header, rows, left=2)


def intervals_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Write coverage and width of 90 % intervals."""
    cells = []
    for rating in RATINGS:
        for source, title in SOURCES.items():
            for kind, words in KINDS.items():
                found = rows[f"{source} {rating} {kind}"]
                harder = found.get("coverage_of_the_harder_half")
                cells.append([
                    rating, title, words, f"{100 * found['coverage']:.1f} %",
                    "–" if harder is None else f"{100 * harder:.1f} %",  # noqa: RUF001
                    f"{found['width']:.2f}",
                ])  # fmt: skip
    header = ["rating", "set", "intervals", "coverage", "of the half expected to be harder", "width"]
    return markdown_table(header, cells, left=3)


def errors_tables(found: Mapping[str, Any]) -> dict[str, str]:
    """Write how often answers cross polarity, and the surest of those."""
    counts = [
        [
            title, str(own["clear"]), str(own["crossed"]), str(own["crossed_by_valence"]),
            str(own["crossed_by_both"]), str(own["set_has_the_right_side"]),
            str(own["interval_has_the_rating"]),
        ]
        for title, own in ((title, found["counts"][source]) for source, title in SOURCES.items())
    ]  # fmt: skip
    header = ["set", "clearly pleasant or not", "emotion on the wrong side", "valence on the wrong side"]
    header += ["both", "of the first, set has the right side", "interval has the rating"]
    listed = [
        [
            f"{SOURCES[row['source']]}: {row['name']}", f"{row['top']} {100 * row['probability']:.0f} %",
            " or ".join(row["set"]), f"{row['rated']:.1f}", f"{row['valence']:.1f} ± "
            f"{found['half_width']:.1f}",
        ]
        for row in found["surest"]
    ]  # fmt: skip
    titles = ["picture", "emotion", "90 % set", "people's valence", "predicted"]
    return {"CROSSING": markdown_table(header, counts), "SUREST": markdown_table(titles, listed, left=3)}


def draw(scatter: Mapping[str, Any], file: Path) -> None:
    """Plot predicted against people's ratings, each picture by a fit that saw none of its theme."""
    with matplotlib.rc_context(STYLE):
        figure = new_figure(7, 3.6, layout="constrained")
        for index, rating in enumerate(RATINGS):
            axes = figure.add_subplot(1, 2, index + 1)
            axes.plot([LOWEST, HIGHEST], [LOWEST, HIGHEST], color=PALE, linewidth=1)
            for source, mark in (("oasis", "o"), ("emdt", "^")):
                own = [number for number, name in enumerate(scatter["source"]) if name == source]
                axes.plot([scatter["truth"][number][index] for number in own],
                          [scatter["predicted"][number][index] for number in own], mark, color=INK,
                          markersize=3, alpha=0.45, markeredgewidth=0, label=SOURCES[source])  # fmt: skip
            axes.set(xlim=(LOWEST, HIGHEST), ylim=(LOWEST, HIGHEST), aspect="equal",
                     xlabel=f"people's {rating}", ylabel=f"predicted {rating}")  # fmt: skip
            axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right")
    save_figure(file, figure)


def gain_on_folds(results: Sequence[Mapping[str, Any]]) -> str:
    """Write what the frozen branch adds to the recipe on folds of FI, in points of two measures."""
    rows = {(each["row"], each["fold"]): each for each in results if each["seed"] == 0}
    folds = sorted(fold for row, fold in rows if row == JOINED)
    gains = []
    for fold in folds:
        with_it, without = rows[JOINED, fold], rows[FORMER, fold]
        points = (100 * (with_it[name] - without[name]) for name in ("accuracy", "balanced_accuracy"))
        gains.append(f"fold {fold}: {' / '.join(signed(each, 1) for each in points)}")
    return "; ".join(gains)


def on_folds(screened: Sequence[Mapping[str, Any]]) -> str:
    """Write what the default model's recipe reached on folds of FI."""
    return ", ".join(
        f"{row['accuracy']:.1%} / {row['balanced_accuracy']:.1%}" for row in screened if row["row"] == JOINED
    )


def branch_cost(result: Mapping[str, Any]) -> str:
    """Write how much longer a picture takes with the third branch, by engine."""
    return ", ".join(
        f"{each['ratio']:.2f} times in {name} ({each['ratios'][0]:.2f} to {each['ratios'][1]:.2f})"
        for name, each in result["engines"].items()
    )


def main() -> None:
    """Write the page."""
    screened = [json.loads(line) for line in (RESULTS / "screening.jsonl").read_text().splitlines()]
    model, rated, covered, found = (
        read(f"{name}.json") for name in ("default_model", "ratings", "coverage", "unusual")
    )
    apart = read("set_apart.json")
    card = load_card(library.find(library.DEFAULT))
    cost = read("ratings_cost.json")
    lines = (RESULTS / "ratings.jsonl").read_text(encoding="utf-8").splitlines()
    trained = next(iter(card.training["joined"].values()))["training"]
    log = [
        f"| {row['epoch']} | {row['scores']['accuracy']:.1%} | {row['scores']['balanced_accuracy']:.1%} |"
        for row in trained["log"]
    ]
    sets, marks = coverage.tables(covered), unusual.tables(found)
    out = result_page.RESULTS / "default.md"
    draw(rated["scatter"], out.with_name(FIGURE))
    parts = {
        "COMMAND": trained["command"],
        "JOIN": " \\\n        ".join(textwrap.wrap(card.training["command"], 90, break_on_hyphens=False)),
        "GAIN": gain_on_folds(screened),
        "BRANCH_COST": branch_cost(read("branch_cost.json")),
        "COMPARED": compared(model["compared"]),
        "SET_APART": compared(apart["rows"]),
        "SET_APART_PICTURES": f"{apart['pictures']['test']:,}",
        "SET_APART_LEARNED": f"{apart['pictures']['train']:,}",
        "SET_APART_MORE": f"{apart['pictures']['val']:,}",
        "FOLDS": on_folds(screened),
        "TABLE": table([(row["variant"], Scores.from_json(row)) for row in model["rows"]]),
        "LOG": "\n".join(log),
        "FIGURE": FIGURE,
        "TRIES": tries([json.loads(line) for line in lines]),
        "RATINGS": ratings_table(rated["figures"]),
        "INTERVALS": intervals_table(rated["intervals"]),
        "SIBLINGS": " and ".join(f"{name} r {value:.2f}" for name, value in rated["siblings"].items()),
        "COST": f"{100 * (cost['ratio'] - 1):+.1f} %",
        **errors_tables(rated["errors"]),
        **{f"SETS_{name}": sets[name] for name in ("NINETY", "EMOTIONS", "ABSTAINING", "PHOTOGRAPHS")},
        **{f"UNUSUAL_{name}": marks[name] for name in ("METHODS", "KINDS", "SOURCES", "ALTERED", "FOUND")},
    }
    result_page.write(out, "default_model.template.md", parts)


if __name__ == "__main__":
    main()
