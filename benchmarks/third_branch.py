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
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import result_page
from affectlens.data.catalog import open_data
from affectlens.data.records import Record, digest
from affectlens.machine import describe, keep_freed_memory
from affectlens.metrics import softmax
from affectlens.models import saved
from affectlens.models.join import branches_of
from affectlens.models.saved import Model
from averaged_answers import RATED, Array, compared, records_of, rows_of
from default_candidate import Rated
from default_recipe import predict

HERE = Path(__file__).parent
RESULT = HERE / "results" / "third_branch.json"
ROWS = {
    "the default model": ("transformer", "convolutional"),
    "its transformer branch": ("transformer",),
    "its convolutional branch": ("convolutional",),
    "the new network": ("new",),
    "the transformer branch and the new network": ("transformer", "new"),
    "all three": ("transformer", "convolutional", "new"),
}


def log_probabilities(model: Model, records: Sequence[Record]) -> tuple[Array, Array]:
    """Log-probabilities and targets of pictures, (N, E) both."""
    found = predict(model.network, records, model.card.preprocessing)
    return np.log(softmax(found.logits / model.card.temperature)), found.targets


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
        "rows": rows_of(logs, {"val": truth}, valence, ROWS),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


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
