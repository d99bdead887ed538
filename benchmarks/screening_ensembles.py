"""Ensembles of the screening: what several rows answer together, on each fold that all were measured on.

The answer is the mean of the rows' log-probabilities, each at its own temperature, as `affectlens models
join` has it; a temperature more is fitted to the fold, which selects nothing but calibration.

Letters: N pictures, E emotions.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from affectlens.emotions import MIKELS, EmotionDistribution
from affectlens.evaluation.calibration import fit_temperature
from affectlens.evaluation.scores import score
from affectlens.machine import describe
from affectlens.metrics import Doubles, softmax
from screening import (
    ANSWERS,
    RATED,
    JoinedRows,
    append,
    figures,
    read_plan,
    read_ratings,
    read_results,
    valence,
)

Result = Mapping[str, Any]


def joined_logits(
    members: Sequence[Result], folder: Path, counts: Sequence[int] = ()
) -> tuple[Doubles, Doubles]:
    """Return what results answer together to their fold: logits and targets, (N, E) both.

    `counts` is how much each counts; all alike where it is empty.
    """
    logs, labels = [], []
    for member in members:
        with np.load(folder / f"{member['run']}.npz", allow_pickle=False) as stored:
            logits = stored["logits"].astype(np.float64)
            labels.append(stored["labels"])
        logs.append(np.log(softmax(logits / member["temperature"])))
    assert all((each == labels[0]).all() for each in labels), "one fold, one order"
    mean: Doubles = np.average(logs, axis=0, weights=counts or None)
    return mean, np.eye(mean.shape[1])[labels[0]]


def core_seconds(result: Result) -> float:
    """Seconds that a run took on one core: two side by side had one each, earlier ones both of a machine."""
    return float(result["seconds"] * result.get("threads", result["machine"]["cores"]))


def join(ratings: Path, file: Path) -> None:
    """Add a line for each ensemble of the plan on each fold that all its rows were measured on."""
    results = read_results(file)
    done = {result["run"] for result in results}
    for ensemble in read_plan().ensembles:
        for members in folds_of(ensemble, results):
            name = f"{ensemble.name}-fold{members[0]['fold']}-seed{members[0]['seed']}"
            if name not in done:
                measured = _measured(members, ensemble.counts, ratings, file)
                append({"run": name, "row": ensemble.name, **measured}, file)


def folds_of(ensemble: JoinedRows, results: Sequence[Result]) -> list[list[Result]]:
    """Return the results of an ensemble's rows, for each fold and seed that all have."""
    found = {(result["row"], result["fold"], result["seed"]): result for result in results}
    keys = sorted({key[1:] for key in found if key[0] == ensemble.rows[0]})
    every = [[found.get((row, *key)) for row in ensemble.rows] for key in keys]
    return [[each for each in members if each] for members in every if all(members)]


def _measured(members: Sequence[Result], counts: Sequence[int], ratings: Path, file: Path) -> dict[str, Any]:
    folder, first = file.parent / ANSWERS, members[0]
    logits, targets = joined_logits(members, folder, counts)
    temperature = fit_temperature(logits, targets)
    scores = score(logits, targets, MIKELS, temperature=temperature, resamples=0)
    sets = {name: ratings / f"{name}-dev" for name in RATED}
    return {
        "members": [member["run"] for member in members],
        "counts": list(counts or [1] * len(members)),
        **{name: first[name] for name in ("fold", "seed", "division", "pictures")},
        **figures(scores, temperature),
        "valence": {
            name: _valence(members, counts, rated, temperature, folder) for name, rated in sets.items()
        },
        "seconds": round(sum(map(core_seconds, members))),
        "threads": 1,
        "parameters": sum(member["parameters"] for member in members),
        "machine": describe(),
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def _valence(
    members: Sequence[Result], counts: Sequence[int], rated: Path, temperature: float, folder: Path
) -> dict[str, float]:
    logs, name = [], rated.name.removesuffix("-dev")
    for member in members:
        with np.load(folder / f"{member['run']}.npz", allow_pickle=False) as stored:
            logs.append(np.log(stored[name].astype(np.float64).clip(1e-12)))
    rows = softmax(np.average(logs, axis=0, weights=counts or None) / temperature).tolist()
    answers = [EmotionDistribution(MIKELS, tuple(row)) for row in rows]
    return valence(answers, read_ratings(rated)[1])
