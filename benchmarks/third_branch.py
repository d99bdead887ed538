"""Whether a network that was trained by itself makes the default model better: as a branch, or as a third.

    python benchmarks/third_branch.py measure --run RUN --data fi:PATH --ratings FOLDER
    python benchmarks/third_branch.py report

RUN is a finished run of a plain convolutional network on FI, whose validation split chose nothing
(`select_by=last`) but a temperature. `--ratings` holds `oasis-dev` and `emdt-dev`, photographs that people
rated. Answers are averaged as log-probabilities, each at its own temperature, and their mean gets one more.
Writes benchmarks/results/third_branch.json and docs/results/third_branch.md.
"""

import argparse
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import result_page
from affectlens.data.catalog import open_data
from affectlens.data.records import Record, digest
from affectlens.emotions import MIKELS
from affectlens.evaluation.calibration import fit_temperature
from affectlens.evaluation.resampling import Measured, Resampled, times_sampled_by_groups
from affectlens.machine import describe, keep_freed_memory
from affectlens.metrics import softmax
from affectlens.models import saved
from affectlens.models.join import branches_of
from affectlens.models.saved import Model
from affectlens.report.text import markdown_table, signed
from default_candidate import Rated
from default_recipe import predict

HERE = Path(__file__).parent
RESULT = HERE / "results" / "third_branch.json"
RESAMPLES = 2000
ROWS = {
    "the default model": ("transformer", "convolutional"),
    "its transformer branch": ("transformer",),
    "its convolutional branch": ("convolutional",),
    "the new network": ("new",),
    "the transformer branch and the new network": ("transformer", "new"),
    "all three": ("transformer", "convolutional", "new"),
}
RATED = {"oasis-dev": "OASIS", "emdt-dev": "EMDT"}
Array = NDArray[np.floating]


def log_probabilities(model: Model, records: Sequence[Record]) -> tuple[Array, Array]:
    """Log-probabilities and targets of pictures, (N, E) both."""
    found = predict(model.network, records, model.card.preprocessing)
    return np.log(softmax(found.logits / model.card.temperature)), found.targets


def records_of(rated: Rated) -> list[Record]:
    """Photographs as records, whose labels mean nothing."""
    return [Record(file.name, file, MIKELS.only("awe")) for file in rated.files]


def measure(pair: Path, run: Path, data: str, ratings: Path) -> None:
    """Predict all pictures by all three networks, and write what follows."""
    keep_freed_memory()
    default, new = saved.load(str(pair)), saved.load(str(run))
    branches = dict(zip(("transformer", "convolutional"), branches_of(default), strict=True))
    models = branches | {"new": new}
    records = open_data(data).split("val")
    rated = {name: Rated.read(ratings / name) for name in RATED}
    sets = {"val": records, **{name: records_of(each) for name, each in rated.items()}}
    logs: dict[str, dict[str, Array]] = {}
    for name, model in models.items():
        logs[name] = {}
        for which, pictures in sets.items():
            logs[name][which], targets = log_probabilities(model, pictures)
            if which == "val":
                truth = targets
        print(name, flush=True)
    valence = {name: each.valence for name, each in rated.items()}
    result = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "weights": {"default": default.card.weights_hash, "new": new.card.weights_hash},
        "network": new.card.network,
        "size": new.card.preprocessing.height,
        "command": new.card.training["command"],
        "data": {
            "name": data.partition(":")[0],
            "split": "val",
            "hash": digest(records),
            "pictures": len(records),
        },
        "rows": rows_of(logs, truth, valence),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


def rows_of(
    logs: Mapping[str, Mapping[str, Array]],
    targets: Array,
    valence: Mapping[str, Array],
    members: Mapping[str, Sequence[str]] = MappingProxyType(ROWS),
) -> dict[str, Any]:
    """Measure each row, and its difference to the first; `members` are the branches of each."""
    times = times_sampled_by_groups([str(n) for n in range(len(targets))], RESAMPLES, 0)
    rows: dict[str, Any] = {}
    first: Resampled | None = None
    for title, names in members.items():
        mean = {which: np.mean([logs[name][which] for name in names], axis=0) for which in ("val", *valence)}
        temperature = fit_temperature(mean["val"], targets)
        found = Resampled(mean["val"] / temperature, targets, times)
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


def report() -> None:
    """Write the page from the stored result."""
    result = json.loads(RESULT.read_text())
    parts = {
        "TABLE": compared(result["rows"]),
        "COMMAND": " \\\n        ".join(textwrap.wrap(result["command"], 90, break_on_hyphens=False)),
        "NETWORK": result["network"],
        "SIZE": str(result["size"]),
        "MACHINE": f"{result['machine']['cpu']}, {result['date'][:10]}",
        "WEIGHTS": result["weights"]["default"][:12],
    }
    result_page.write(result_page.RESULTS / "third_branch.md", "third_branch.template.md", parts)


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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("--pair", type=Path, required=True, help="the default model of 0.1")
    measuring.add_argument("--run", type=Path, required=True)
    measuring.add_argument("--data", required=True)
    measuring.add_argument("--ratings", type=Path, required=True)
    commands.add_parser("report")
    given = parser.parse_args(arguments)
    if given.command == "measure":
        measure(given.pair, given.run, given.data, given.ratings)
    report()


if __name__ == "__main__":
    main()
