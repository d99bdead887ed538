"""What averaged log-probabilities of several classifiers are worth, each row next to the first.

Letters: N pictures, E emotions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens.data.records import Record
from affectlens.emotions import MIKELS
from affectlens.evaluation.calibration import fit_temperature
from affectlens.evaluation.resampling import Measured, Resampled, times_sampled_by_groups
from affectlens.metrics import softmax
from affectlens.report.text import markdown_table, signed
from default_candidate import Rated

RESAMPLES = 2000
RATED = {"oasis-dev": "OASIS", "emdt-dev": "EMDT"}
Array = NDArray[np.floating]


def records_of(rated: Rated) -> list[Record]:
    """Photographs as records, whose labels mean nothing."""
    return [Record(file.name, file, MIKELS.only("awe")) for file in rated.files]


def rows_of(
    logs: Mapping[str, Mapping[str, Array]],
    targets: Mapping[str, Array],
    valence: Mapping[str, Array],
    members: Mapping[str, Sequence[str]],
    split: str = "val",
) -> dict[str, Any]:
    """Measure each row on a split, and its difference to the first.

    Args:
        logs: log-probabilities (N, E), by classifier, of the splits `val`, on which temperatures are fitted,
            and `split`, and of sets of rated photographs
        targets: (N, E), by split
        valence: ratings of photographs (N,), by set
        members: the classifiers of each row
    """
    times = times_sampled_by_groups([str(n) for n in range(len(targets[split]))], RESAMPLES, 0)
    rows: dict[str, Any] = {}
    first: Resampled | None = None
    for title, names in members.items():
        mean = {
            which: np.mean([logs[name][which] for name in names], axis=0)
            for which in ("val", split, *valence)
        }
        temperature = fit_temperature(mean["val"], targets["val"])
        found = Resampled(mean[split] / temperature, targets[split], times)
        first = first or found
        positive = {
            which: softmax(mean[which] / temperature) @ np.array([MIKELS.signs[w] > 0 for w in MIKELS.words])
            for which in valence
        }
        rows[title] = {
            "measures": {name: asdict(each) for name, each in found.estimates().items()},
            "more_than_default": {name: asdict(each) for name, each in found.differences(first).items()},
            "valence": {n: float(np.corrcoef(positive[n], valence[n])[0, 1]) for n in valence},
        }
    return rows


def compared(rows: Mapping[str, Any]) -> str:
    """Write what `rows_of` found."""
    cells = []
    for title, row in rows.items():
        measures = {name: Measured(**each) for name, each in row["measures"].items()}
        more = {name: Measured(**each) for name, each in row["more_than_default"].items()}
        cells.append(
            [
                title,
                *(_share(measures[name], more[name]) for name in ("accuracy", "balanced_accuracy")),
                _number(measures["negative_log_likelihood"], more["negative_log_likelihood"]),
                *(f"{row['valence'][name]:.2f}" for name in RATED),
            ]
        )
    header = ["answers averaged", "accuracy", "balanced accuracy", "negative log-likelihood"]
    header += [f"r with valence, {title}" for title in RATED.values()]
    return markdown_table(header, cells, left=len(header))


def _share(value: Measured, more: Measured) -> str:
    if not more.value and not more.high:
        return f"{100 * value.value:.1f}"
    return f"{100 * value.value:.1f}, {signed(100 * more.value, 1)} ({signed(100 * more.low, 1)} to " + (
        f"{signed(100 * more.high, 1)})"
    )


def _number(value: Measured, more: Measured) -> str:
    if not more.value and not more.high:
        return f"{value.value:.3f}"
    return f"{value.value:.3f}, {signed(more.value, 3)} ({signed(more.low, 3)} to {signed(more.high, 3)})"
