"""The page of `screening.py`: every run, and each row against the first on the same folds and seeds.

Letters: N pictures, E emotions, R resamples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

import result_page
from affectlens.evaluation.calibration import fit_temperature
from affectlens.metrics import (
    Doubles,
    RowSampler,
    adaptive_calibration_error,
    bootstrap_interval,
    confusion_matrix,
    mean_recall,
    softmax,
)
from affectlens.report.figures import INK, LINE, PALE, STYLE, new_figure, save_figure
from affectlens.report.text import markdown_table, signed
from screening import ANSWERS, RESULTS, Plan, Row
from screening_ensembles import core_seconds, joined_logits

RESAMPLES = 2000
LEVEL = 0.05  # of all comparisons together
MISSING = "not yet"
# From a name to its row.
_LEADER = {"arrowstyle": "-", "color": LINE, "linewidth": 0.7, "zorder": 0, "relpos": (0, 0.5)}

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Answers:
    """Logits (N, E) of a run for the pictures of its fold, and their labels (N,)."""

    logits: Doubles
    labels: NDArray[np.int64]

    @property
    def targets(self) -> Doubles:
        return np.eye(self.logits.shape[1])[self.labels]


def write(
    planned: Plan, results: Sequence[Result], out: Path | None = None, folder: Path | None = None
) -> None:
    """Write the page, and next to it its figure as SVG."""
    out = out or result_page.RESULTS / "screening.md"
    stored = folder or RESULTS.parent / ANSWERS
    answers = read_answers(results, stored)
    figure = out.with_suffix(".svg")
    draw(results, figure)
    trained = [result for result in results if "members" not in result]
    hours = sum(map(core_hours, trained))
    parts = {
        "STATE": f"{_counted(len(trained), 'run')} of {_counted(len({r['row'] for r in trained}), 'row')}: "
        f"{hours:.1f} hours of one core.",
        "DIVISION": planned.division,
        "PLAN": plan(planned.rows),
        "RUNS": runs(trained, answers),
        "ENSEMBLES": ensembles(planned, results, answers),
        "COMPARED": compared(planned, results, answers),
        "MACHINES": machines(trained),
        "FIGURE": figure.name,
    }
    result_page.write(out, "screening.template.md", parts)


def read_answers(results: Sequence[Result], folder: Path) -> dict[str, Answers]:
    """Read what `screening.measure` stored of runs, and join those of ensembles; by the name of the run."""
    by_run = {result["run"]: result for result in results}
    found: dict[str, Answers] = {}
    for result in results:
        if "members" in result:
            logits, targets = joined_logits(
                [by_run[name] for name in result["members"]], folder, result.get("counts", ())
            )
            found[result["run"]] = Answers(logits, targets.argmax(axis=1))
            continue
        with np.load(folder / f"{result['run']}.npz", allow_pickle=False) as stored:
            logits, labels = stored["logits"].astype(np.float64), stored["labels"].astype(np.int64)
        found[result["run"]] = Answers(logits, labels)
    return found


def core_hours(result: Result) -> float:
    """Hours that a run took on one core."""
    return core_seconds(result) / 3600


def plan(rows: Sequence[Row]) -> str:
    """Write the rows and what was expected of each."""
    cells = [[f"`{row.name}`", f"`{row.recipe}`", row.expects] for row in rows]
    return markdown_table(["row", "recipe", "expected before training"], cells, left=3)


def runs(results: Sequence[Result], answers: Mapping[str, Answers]) -> str:
    """Write a line for each run."""
    header = ["row", "fold", "seed", "accuracy", "balanced", "macro F1", "NLL", "calibration error"]
    header += ["valence, OASIS", "valence, EMDT", "core hours"]
    cells = [
        [
            f"`{result['row']}`",
            str(result["fold"]),
            str(result["seed"]),
            *(f"{100 * result[name]:.1f}" for name in ("accuracy", "balanced_accuracy", "macro_f1")),
            f"{result['negative_log_likelihood']:.3f}",
            _calibration(result, results, answers),
            *(f"{result['valence'][name]['pearson']:.2f}" for name in ("oasis", "emdt")),
            f"{core_hours(result):.1f}",
        ]
        for result in results
    ]
    return markdown_table(header, cells, left=1)


def _calibration(result: Result, results: Sequence[Result], answers: Mapping[str, Answers]) -> str:
    """Calibration error of a run at the temperature that the row's other folds have; only where there are."""
    others = [
        answers[other["run"]]
        for other in results
        if other["row"] == result["row"] and other["fold"] != result["fold"]
    ]
    if not others:
        return MISSING
    logits = np.concatenate([each.logits for each in others])
    temperature = fit_temperature(logits, np.concatenate([each.targets for each in others]))
    own = answers[result["run"]]
    return f"{adaptive_calibration_error(softmax(own.logits / temperature), own.targets):.3f}"


def ensembles(planned: Plan, results: Sequence[Result], answers: Mapping[str, Answers]) -> str:
    """Write which rows each ensemble has, and what it was expected and measured to be."""
    expected = {each.name: each for each in planned.ensembles}
    lines = [
        f"- `{each.name}`: {', '.join(f'`{row}`' for row in each.rows)}. Expected: {each.expects}."
        for each in planned.ensembles
    ]
    table = runs([each for each in results if each["row"] in expected], answers)
    return "\n".join([*lines, "", table])


def compared(planned: Plan, results: Sequence[Result], answers: Mapping[str, Answers]) -> str:
    """Write how each row and ensemble differs from the first row, over the folds and seeds that both have."""
    # Classifiers on frozen networks are not rows of the plan.
    names = list(dict.fromkeys([*planned.expectations, *(result["row"] for result in results)]))
    by_row = {name: {(r["fold"], r["seed"]): r for r in results if r["row"] == name} for name in names}
    first, others = by_row[names[0]], names[1:]
    measured = [name for name in others if set(by_row[name]) & set(first)]
    cells = []
    for name in measured:
        ours = by_row[name]
        both = sorted(set(ours) & set(first))
        pairs = [(answers[ours[key]["run"]], answers[first[key]["run"]]) for key in both]
        tail = LEVEL / len(measured) / 2
        hours, base = (sum(core_hours(each[key]) for key in both) for each in (ours, first))
        cells.append(
            [
                f"`{name}`",
                str(len(both)),
                *(_difference(pairs, measure, tail) for measure in (_accuracy, _balanced)),
                *(_gain(ours, first, both, rated) for rated in ("oasis", "emdt")),
                f"{hours / base:.2f}",
            ]
        )
    header = ["row", "runs", "accuracy, points", "balanced, points", "r, OASIS", "r, EMDT", "time"]
    return markdown_table(header, cells, left=1) if cells else f"Comparisons: {MISSING}."


def _difference(
    pairs: Sequence[tuple[Answers, Answers]], measure: Callable[[Doubles, Doubles], float], tail: float
) -> str:
    """Mean difference over runs, in points, with an interval over resampled pictures of each fold."""
    sampler = RowSampler(0)
    means, resampled = [], []
    for ours, theirs in pairs:
        count = len(ours.labels)
        samples = sampler.rows(count, (RESAMPLES, count))
        means.append(measure(ours.logits, ours.targets) - measure(theirs.logits, theirs.targets))
        one, other = (_resampled(each, samples, measure is _balanced) for each in (ours, theirs))
        resampled.append(one - other)
    low, high = bootstrap_interval(np.mean(resampled, axis=0), (tail, 1 - tail))
    return f"{signed(100 * sum(means) / len(means), 1)} ({signed(100 * low, 1)} to {signed(100 * high, 1)})"


def _resampled(answers: Answers, samples: NDArray[np.integer], balanced: bool) -> Doubles:
    """Accuracy of resampled pictures, or mean recall of the emotions among them: rows (R, N) -> (R,)."""
    right, drawn = (answers.logits.argmax(axis=1) == answers.labels)[samples], answers.labels[samples]
    if not balanced:
        accuracy: Doubles = right.mean(axis=1)
        return accuracy
    recalls = []
    for emotion in np.unique(answers.labels):
        own = drawn == emotion
        counts = own.sum(axis=1)
        recalls.append(np.where(counts, (right & own).sum(axis=1) / np.maximum(counts, 1), np.nan))
    mean: Doubles = np.nanmean(recalls, axis=0)
    return mean


def _accuracy(logits: Doubles, targets: Doubles) -> float:
    return float((logits.argmax(axis=1) == targets.argmax(axis=1)).mean())


def _balanced(logits: Doubles, targets: Doubles) -> float:
    return float(mean_recall(confusion_matrix(logits, targets)))


def _gain(ours: Mapping[Any, Result], theirs: Mapping[Any, Result], both: Sequence[Any], name: str) -> str:
    gains = [ours[k]["valence"][name]["pearson"] - theirs[k]["valence"][name]["pearson"] for k in both]
    return signed(sum(gains) / len(gains))


def machines(results: Sequence[Result]) -> str:
    """Write which machine each run was made on."""
    found: dict[str, list[str]] = {}
    for result in results:
        machine = result["machine"]
        extra = (
            "AMX" if machine["amx"] else "AVX-512 BF16" if machine["avx512_bf16"] else "neither AMX nor BF16"
        )
        name = f"{machine['cpu']}, {machine['cores']} cores, {extra}, torch {machine['versions']['torch']}"
        found.setdefault(name, []).append(result["run"])
    return "; ".join(f"{name} ({_counted(len(names), 'run')})" for name, names in found.items()) or MISSING


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def draw(results: Sequence[Result], file: Path) -> None:
    """Plot each row's mean accuracy and balanced accuracy against the hours of a run, on one core.

    Names stand in a column in the order of accuracy, each with a line to its row: rows cost much the same.
    """
    with matplotlib.rc_context(STYLE):
        figure = new_figure(9, 5.5, layout="constrained")
        axes = figure.add_subplot()
        tops: dict[str, tuple[float, float]] = {}
        for name in dict.fromkeys(result["row"] for result in results):
            own = [result for result in results if result["row"] == name]
            hours = sum(map(core_hours, own)) / len(own)
            for key, mark, colour in (("accuracy", "o", INK), ("balanced_accuracy", "s", PALE)):
                points = [100 * result[key] for result in own]
                axes.plot([hours] * len(own), points, mark, color=colour, markersize=4)
            tops[name] = hours, 100 * max(result["accuracy"] for result in own)
        names = sorted(tops, key=lambda name: tops[name][1])
        for name, height in zip(names, np.linspace(0.02, 0.98, len(names)), strict=True):
            axes.annotate(
                name, tops[name], (1.04, height), textcoords="axes fraction", va="center", fontsize=8,
                color=INK, arrowprops=_LEADER,
            )  # fmt: skip
        axes.set_xlabel("hours of a run, on one core")
        axes.set_ylabel("accuracy (round), balanced (square), %")
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(file, figure)
