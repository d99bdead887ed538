"""What the default model's branches are worth, alone and together, on the validation split of FI.

    python benchmarks/default_model.py --data fi:PATH --ratings FOLDER

`--ratings` holds `oasis-dev` and `emdt-dev`, photographs that people rated. Writes
benchmarks/results/default_model.json, and the page anew (default_page.py). Measured in float32, as
`affectlens evaluate` answers. The validation split chose the epoch of the trained branches and the
temperature, so these figures flatter the model somewhat; differences between rows are what they are for. Both
trained branches together are the default model of version 0.1. How the probability of a positive feeling
follows people's ratings of valence is of pictures that nothing was chosen on.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import default_page
from affectlens.data.catalog import open_data
from affectlens.data.records import Record, digest
from affectlens.evaluation.calibration import fit_temperature
from affectlens.evaluation.scores import Scores, score
from affectlens.machine import describe, keep_freed_memory
from affectlens.models import saved
from affectlens.models.ensemble import Ensemble
from affectlens.models.saved import Model
from averaged_answers import RATED, Array, records_of, rows_of
from default_candidate import Rated
from default_recipe import predict

HERE = Path(__file__).parent
PRECISION = "float32"
DEIT, MOBILENET, LEVELS = "deit_tiny_patch16_224", "mobilenetv2_100", "multilevel"
AS_SHIPPED = "as shipped: all three branches"
# The first is what others are compared with.
ROWS: Mapping[str, Sequence[str]] = {
    "the default model of 0.1: both trained branches": (DEIT, MOBILENET),
    AS_SHIPPED: (DEIT, MOBILENET, LEVELS),
    "DeiT-Tiny alone": (DEIT,),
    "MobileNetV2 alone": (MOBILENET,),
    "the frozen branch alone": (LEVELS,),
    "DeiT-Tiny and the frozen branch": (DEIT, LEVELS),
    "MobileNetV2 and the frozen branch": (MOBILENET, LEVELS),
}


class SideBySide(nn.Module):
    """The log-probabilities of all branches next to one another: (B, 3, H, W) -> (B, branches E)."""

    def __init__(self, network: Ensemble) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat(self.network.answers(images), dim=1)


def of_branches(model: Model, records: Sequence[Record]) -> tuple[dict[str, Array], Array]:
    """Return log-probabilities of each branch, (N, E) each, and targets."""
    assert isinstance(model.network, Ensemble)
    found = predict(SideBySide(model.network), records, model.card.preprocessing)
    names = list(model.network.members)
    parts = np.split(found.logits, len(names), axis=1)
    return dict(zip(names, parts, strict=True)), found.targets


def of_sets(
    model: Model, splits: Mapping[str, Sequence[Record]], rated: Mapping[str, Rated]
) -> tuple[dict[str, dict[str, Array]], dict[str, Array]]:
    """Return log-probabilities by branch and set, of rated photographs too, and targets by set."""
    sets = {**splits, **{name: records_of(each) for name, each in rated.items()}}
    found = {name: of_branches(model, each) for name, each in sets.items()}
    branches = next(iter(found.values()))[0]
    return (
        {branch: {name: each[0][branch] for name, each in found.items()} for branch in branches},
        {name: found[name][1] for name in splits},
    )


def scores_of(model: Model, logs: Mapping[str, Array], targets: Array) -> list[tuple[str, Scores]]:
    """Score every row, each with a temperature of its own; what ships has the card's, by which it answers."""
    rows = []
    for title, names in ROWS.items():
        mean = np.mean([logs[name] for name in names], axis=0)
        temperature = model.card.temperature if title == AS_SHIPPED else fit_temperature(mean, targets)
        rows.append((title, score(mean, targets, model.card.vocabulary, temperature=temperature)))
    return rows


def measure(model: Model, spec: str, ratings: Path) -> dict[str, Any]:
    """Predict all pictures by all branches at once, and return what follows."""
    source = open_data(spec)
    records = source.split("val")
    rated = {name: Rated.read(ratings / name) for name in RATED}
    by_branch, truth = of_sets(model, {"val": records}, rated)
    targets = truth["val"]
    valence = {name: each.valence for name, each in rated.items()}
    logs = {branch: each["val"] for branch, each in by_branch.items()}
    rows = scores_of(model, logs, targets)
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "weights": model.card.weights_hash,
        "precision": PRECISION,
        "data": {"name": source.name, "split": "val", "hash": digest(records), "pictures": len(records)},
        "rows": [{"variant": name, **scores.to_json()} for name, scores in rows],
        "compared": rows_of(by_branch, truth, valence, ROWS),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="fi:PATH, with the split that the card's hash names")
    parser.add_argument("--ratings", type=Path, required=True, help="folder of oasis-dev and emdt-dev")
    given = parser.parse_args()
    keep_freed_memory()
    result = measure(saved.load(), given.data, given.ratings)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "default_model.json").write_text(json.dumps(result, indent=2) + "\n")
    default_page.main()


if __name__ == "__main__":
    main()
