"""The page of `seeds.py`: every sentence about a difference is chosen by its interval.

Letters: S seeds, N pictures, E emotions.
"""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import result_page
from affectlens.files import atomic_write
from affectlens.report.text import signed
from seeds_results import Results, RunResult
from seeds_rows import ADDS_SHALLOW, COMPARISONS, ROWS, SEEDS, SHALLOW, Comparison
from seeds_speed import ANSWERING, FIRST_OF, TRAINING
from seeds_statistics import (
    LEVEL,
    MEASURES,
    Difference,
    compare,
    compare_recall,
    f1_of,
    least_calibration_error,
)

DASH, MINUS = "\u2013", "\u2212"
UNCLEAR = "no difference that these runs can show"
WORDS = {1: "higher", -1: "lower"}

# Of the table of scores: name on the card, title, how a value is written.
SCORES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("accuracy", "accuracy, %", lambda value: f"{100 * value:.1f}"),
    ("balanced_accuracy", "balanced accuracy, %", lambda value: f"{100 * value:.1f}"),
    ("macro_f1", "macro F1, %", lambda value: f"{100 * value:.1f}"),
    ("polarity_accuracy", "positive or negative, %", lambda value: f"{100 * value:.1f}"),
    ("expected_calibration_error", "calibration error", lambda value: f"{value:.3f}"),
)

Differences = dict[Comparison, dict[str, Difference]]


def write(out: Path, results: Results, speed: Path | None) -> None:
    """Write the page, and next to it its figure as SVG."""
    figure = out.with_suffix(".svg")
    measured = json.loads(speed.read_text(encoding="utf-8")) if speed else None
    draw(results, figure)
    result_page.write(out, "seeds.template.md", parts(results, measured, figure.name))


def parts(results: Results, speed: Mapping[str, Any] | None, figure: str) -> dict[str, str]:
    """What fills each slot of the template."""
    found = differences(results)
    pictures = results.data["counts"]
    return {
        "STATE": state(results),
        "SHORT": short(found, results),
        "ROWS": table(
            [("row", "network", "loss", "batches"), *((f"`{row.name}`", *row.what) for row in ROWS.values())]
        ),
        "TRAIN": f"{pictures['train']:,}",
        "VAL": f"{pictures['val']:,}",
        "HASHES": " and ".join(f"`{results.data['hashes'][split]}` ({split})" for split in ("train", "val")),
        "SCORES": table(scores_rows(results)),
        "FIGURE": figure,
        "EPOCHS": epochs(results),
        "FLOOR": f"{_floor(results):.3f}",
        "DIFFERENCES": table(differences_rows(found)),
        "CHANCE": chance([each for measured in found.values() for each in measured.values()]),
        "REACH": reach(found),
        "EMOTIONS": "\n\n".join(emotion_section(each, results) for each in SHALLOW),
        "SIZES": table(sizes_rows(results, speed)),
        "SPEED": speed_sentence(speed),
    }


# ----------------------------------------------------------------------------------------------- the tables


def table(rows: Sequence[Sequence[str]]) -> str:
    """Write rows as Markdown; the first is the header."""
    header, *body = rows
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *body))


def is_complete(results: Results, row: str) -> bool:
    """Whether every seed of a row is there; nothing is averaged before."""
    return [run.seed for run in results.of(row)] == list(SEEDS)


def state(results: Results) -> str:
    """Write which runs are missing; nothing where none is."""
    if not results.unfinished:
        return f"All {len(results.runs)} runs are finished."
    missing = "\n".join(f"- `{name}`: {how_far}" for name, how_far in sorted(results.unfinished.items()))
    lacking, wanted = len(results.unfinished), len(results.unfinished) + len(results.runs)
    return (
        f"**Not complete:** {lacking} of {wanted} runs are missing. Rows that lack a seed have no mean, and "
        f"what would need one is not measured.\n\n{missing}"
    )


def scores_rows(results: Results) -> list[tuple[str, ...]]:
    """Mean and sample standard deviation of each row, with the values of the seeds behind."""
    rows = [("row", *(title for _, title, _ in SCORES))]
    for name in ROWS:
        runs, complete = results.of(name), is_complete(results, name)
        lacking = f", incomplete ({len(runs)} of {len(SEEDS)} seeds)" if runs else ", not run"
        mark = "" if complete else lacking
        cells = [_spread([run.scores[key] for run in runs], form, complete) for key, _, form in SCORES]
        rows.append((f"`{name}`{mark}", *cells))
    return rows


def _spread(values: Sequence[float | None], form: Callable[[float], str], complete: bool) -> str:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return DASH
    each = ", ".join(map(form, known))
    if not complete:
        return f"({each})"
    return f"{form(statistics.mean(known))} ± {form(statistics.stdev(known))} ({each})"


def epochs(results: Results) -> str:
    """Write whether training had come to its end, by what the last epochs still gained."""
    runs = list(results.runs.values())
    last = sum(run.best_epoch == len(run.epochs) for run in runs)
    gains = [100 * (run.epochs[-1][0] - run.epochs[-2][0]) for run in runs if len(run.epochs) > 1]
    gained = (
        f"; the last epoch gained {signed(statistics.mean(gains), 1)} points of accuracy on average"
        if gains
        else ""
    )
    return f"The last epoch was the best in {last} of {len(runs)} runs{gained}."


def _floor(results: Results) -> float:
    """The calibration error of perfect probabilities, as sure as those of the runs are."""
    errors = []
    for key, logits in results.logits.items():
        scaled = logits.astype(np.float64) / results.runs[key].temperature
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        errors.append(least_calibration_error(powers / powers.sum(axis=1, keepdims=True)))
    return statistics.mean(errors)


def sizes_rows(results: Results, speed: Mapping[str, Any] | None) -> list[tuple[str, ...]]:
    """Parameters of each row, and what `seeds.py speed` measured of it."""
    header = (
        "row",
        "parameters",
        "beyond the backbone",
        "training step",
        "its memory",
        "answer",
        "its memory",
    )
    lines = {(line["measured"], line["row"]): line for line in speed["rows"]} if speed else {}
    rows: list[tuple[str, ...]] = [header]
    for name, row in ROWS.items():
        runs = results.of(name)
        counts = [f"{runs[0].parameters:,}", f"{runs[0].new_parameters:,}"] if runs else [DASH, DASH]
        of_training = _speed_cells(lines.get((TRAINING, name)))
        of_answering = _speed_cells(lines.get((ANSWERING, FIRST_OF[row.network])))
        rows.append((f"`{name}`", counts[0], counts[1], *of_training, *of_answering))
    return rows


def _speed_cells(line: Mapping[str, Any] | None) -> tuple[str, str]:
    if line is None:
        return DASH, DASH
    low, high = line["ratio_range"]
    speed = f"{line['pictures_per_second']:.0f}/s, {line['ratio']:.2f} ({low:.2f} to {high:.2f})"
    return speed, f"{line['peak_megabytes']:,} MB"


def speed_sentence(speed: Mapping[str, Any] | None) -> str:
    """Write how speed was measured, or that it was not."""
    if speed is None:
        return "Speed and memory: not measured."
    machine, how = speed["machine"], speed["settings"]
    where = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} threads"
    return (
        f"Pictures per second, and their ratio to `plain` (its range over {how['rounds']} rounds), in "
        f"batches of {how['batch']}, {how['precision']}: a complete training step at {how['train_side']} "
        f"pixels without the reading of pictures, and an answer at {how['side']} pixels. Memory is the peak "
        f"of the process with all libraries. Measured on {where}, {speed['date'][:10]}, rows in turns, each "
        "time in a process of its own (`benchmarks/results/seeds_speed.json`). Rows of one network share its "
        "answers."
    )


# ------------------------------------------------------------------------------------------ the differences


def differences(results: Results) -> Differences:
    """Measure all comparisons whose rows are complete."""
    return {
        each: {
            name: compare(results.logits_of(each.row), results.logits_of(each.base), results.truth, measure)
            for name, measure in MEASURES.items()
        }
        for each in COMPARISONS
        if is_complete(results, each.row) and is_complete(results, each.base)
    }


def short(found: Differences, results: Results) -> str:
    """Answer what the papers claim for shallow branches, and then each comparison in a line."""
    verdicts = "\n".join(verdict(each, found.get(each), results) for each in COMPARISONS)
    return f"{shallow_branches(found)}\n\n{verdicts}"


def shallow_branches(found: Differences) -> str:
    """Write where adding shallow branches moves a score."""
    question = "**Do shallow branches help?**"
    measured = [each for each in ADDS_SHALLOW if each in found]
    if not measured:
        return f"{question} Not measured."
    written = [f"{question} {len(measured)} comparisons add them, MAM's along with its tokenizers."]
    for sign, word in ((1, "rises"), (-1, "falls")):
        moved = {each.title: sort_by_sign(found[each])[sign] for each in measured}
        where = [f"{title} ({_join(names)})" for title, names in moved.items() if names]
        written.append(f"A score {word} in {_join(where) or 'none of them'}.")
    return " ".join(written)


def differences_rows(found: Differences) -> list[tuple[str, ...]]:
    """A line for each comparison, measured or not."""
    strict = strict_level(sum(map(len, found.values())))
    rows = [("difference", "of what", *MEASURES)]
    for each in COMPARISONS:
        measured = found.get(each)
        cells = [cell(measured[name], strict) if measured else "not measured" for name in MEASURES]
        rows.append((each.title, each.what, *cells))
    return rows


def strict_level(count: int) -> float:
    """The level at which, of so many intervals, one in twenty such tables would miss any (Bonferroni)."""
    return 1 - (1 - LEVEL) / max(count, 1)


def cell(found: Difference, strict: float) -> str:
    """A difference in points with its interval; an asterisk where it stands at the strict level too."""
    low, high = found.interval()
    star = "\\*" if found.sign(strict) else ""
    return f"{signed(100 * found.mean, 1)}{star} ({signed(100 * low, 1)} to {signed(100 * high, 1)})"


def chance(found: Sequence[Difference]) -> str:
    """Write how many intervals leave out 0, and how many would by chance."""
    if not found:
        return "None could be measured yet."
    strict = strict_level(len(found))
    clear, still = (sum(bool(each.sign(level)) for each in found) for level in (LEVEL, strict))
    return (
        f"Intervals that leave out 0: {clear} of {len(found)}; were there no difference at all, it would be "
        f"{len(found) * (1 - LEVEL):.1f} on average. At {100 * strict:.2f} %, the level that holds for all "
        f"of them together (Bonferroni): {still}; an asterisk marks such."
    )


def reach(found: Differences) -> str:
    """Write which differences are too small for these runs."""
    if not found:
        return ""
    halves = {
        name: statistics.median(
            100 * (measured[name].interval()[1] - measured[name].mean) for measured in found.values()
        )
        for name in MEASURES
    }
    shown = _join([f"{half:.1f} points of {name}" for name, half in halves.items()])
    return f"Half of the intervals reach further than ± {shown}: smaller differences go unseen here."


def sort_by_sign(found: Mapping[str, Difference]) -> dict[int, list[str]]:
    """Names of the differences above 0 (1), below (-1), and of those that could be either (0)."""
    return {sign: [name for name, each in found.items() if each.sign() == sign] for sign in (1, -1, 0)}


def verdict(comparison: Comparison, found: Mapping[str, Difference] | None, results: Results) -> str:
    """One line of the answer: what is higher, what is lower, and what stays open."""
    head = f"- {comparison.what} ({comparison.title}): "
    if found is None:
        lacking = [name for name in (comparison.row, comparison.base) if not is_complete(results, name)]
        counts = _join([f"`{name}` has {len(results.of(name))} of {len(SEEDS)} seeds" for name in lacking])
        return f"{head}not measured, {counts}."
    by_sign = sort_by_sign(found)
    clauses = [f"{word} {_join(by_sign[sign])}" for sign, word in WORDS.items() if by_sign[sign]]
    if by_sign[0]:
        clauses.append(f"{UNCLEAR} in {_join(by_sign[0])}")
    return f"{head}{'; '.join(clauses)}."


def emotion_section(comparison: Comparison, results: Results) -> str:
    """Recall and F1 of each emotion in both rows, and in which the upper one is better."""
    title = f"### {comparison.title}: {comparison.what}"
    if not (is_complete(results, comparison.row) and is_complete(results, comparison.base)):
        return f"{title}\n\nNot measured: a row lacks seeds."
    row, base = results.logits_of(comparison.row), results.logits_of(comparison.base)
    recall, f1 = {}, {}
    for index, word in enumerate(results.words):
        recall[word] = compare_recall(row, base, results.truth, index)
        f1[word] = compare(row, base, results.truth, f1_of(index))
    everything = [*recall.values(), *f1.values()]
    strict = strict_level(len(everything))
    header = (
        "emotion",
        "pictures",
        *(f"recall of `{name}`, %" for name in (comparison.base, comparison.row)),
    )
    rows: list[tuple[str, ...]] = [(*header, "difference in recall", "difference in F1")]
    for index, word in enumerate(results.words):
        recalls = [f"{100 * _recall(logits, results, index):.1f}" for logits in (base, row)]
        count = int((results.truth == index).sum())
        rows.append((word, str(count), *recalls, cell(recall[word], strict), cell(f1[word], strict)))
    return "\n\n".join(
        [title, table(rows), f"{helped('recall', recall)} {helped('F1', f1)} {chance(everything)}"]
    )


def _recall(logits: Sequence[np.ndarray[Any, Any]], results: Results, index: int) -> float:
    chosen = results.truth == index
    return statistics.mean(float((each[chosen].argmax(axis=1) == index).mean()) for each in logits)


def helped(measure: str, found: Mapping[str, Difference]) -> str:
    """Write for which emotions a measure rose, for which it fell, and that the others stay open."""
    by_sign = sort_by_sign(found)
    if not by_sign[1] and not by_sign[-1]:
        return f"By {measure} there is {UNCLEAR} for any emotion."
    clauses = [
        f"it {word} {_join(by_sign[sign])}" for sign, word in ((1, "helps"), (-1, "hurts")) if by_sign[sign]
    ]
    rest = f"; for the others there is {UNCLEAR}" if by_sign[0] else ""
    return f"By {measure} {' and '.join(clauses)}{rest}."


def _join(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# ----------------------------------------------------------------------------------------------- the figure


def draw(results: Results, file: Path) -> None:
    """Draw every run as a dot, and the mean of each complete row as a line, as SVG without a date."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    shown = ("accuracy", "balanced_accuracy")
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": "seeds", "font.size": 9}):
        figure, panels = pyplot.subplots(1, len(shown), figsize=(8, 3.4), sharey=True, layout="constrained")
        for panel, key in zip(panels, shown, strict=True):
            for height, name in enumerate(ROWS):
                _draw_row(panel, results.of(name), key, height, is_complete(results, name))
            panel.set_xlabel(f"{key.replace('_', ' ')} on validation pictures of FI, %")
            panel.grid(axis="x", color="0.9")
            panel.set_axisbelow(True)
        panels[0].set_yticks(range(len(ROWS)), list(ROWS))
        panels[0].set_ylim(len(ROWS) - 0.5, -0.5)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as out:
            figure.savefig(out, format="svg", metadata={"Date": None})
        pyplot.close(figure)


def _draw_row(panel: Any, runs: Sequence[RunResult], key: str, height: int, complete: bool) -> None:
    values = [100 * value for run in runs if (value := run.scores[key]) is not None]
    filled = {"color": "C0"} if complete else {"facecolors": "none", "edgecolors": "C0"}
    panel.scatter(values, [height] * len(values), s=22, alpha=0.8, **filled)
    if complete:
        panel.vlines(statistics.mean(values), height - 0.3, height + 0.3, color="C1", linewidth=2)
