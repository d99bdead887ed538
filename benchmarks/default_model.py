"""What the default model's parts and choices are worth, on the validation split of FI.

    python benchmarks/default_model.py --data fi:PATH [--oasis FOLDER]

Writes benchmarks/results/default_model.json, and the page anew (default_page.py). Measured in float32, as
`affectlens evaluate` answers. The validation split chose the epoch and the temperature, so these figures
flatter the model somewhat; differences between rows are what they are for. With --oasis also how the
probability of a positive feeling follows the valence ratings of OASIS (Kurdi, Lozano and Banaji, 2017),
pictures that nothing was chosen on.
"""

import argparse
import csv
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import default_page
from affectlens.data.catalog import open_data
from affectlens.data.records import digest
from affectlens.evaluation.calibration import fit_temperature
from affectlens.evaluation.scores import Scores, score
from affectlens.inference.labelled import predict_labelled
from affectlens.inference.labelled_batches import EvaluationSet, evaluation_batches, file_reader
from affectlens.inference.predictor import Predictor
from affectlens.machine import describe, keep_freed_memory, pick_device, pick_precision
from affectlens.metrics import bootstrap_interval
from affectlens.models import catalog, saved
from affectlens.models.capabilities import HasBranches
from affectlens.models.saved import Model

HERE = Path(__file__).parent
Variant = tuple[str, nn.Module, int]
PRECISION = "float32"
AS_SHIPPED = ("as shipped: both branches, 224 pixels", "as shipped, but 256 pixels")


def variants(model: Model, whole: str, larger: str) -> list[Variant]:
    """Name, network and side of each row; `whole` and `larger` name that of both branches at 224 and 256."""
    card, network = model.card, model.network
    mirrored = catalog.build(
        card.network, len(card.vocabulary), **{**card.network_options, "mirror": True}
    ).eval()
    mirrored.load_state_dict(network.state_dict())
    assert isinstance(network, HasBranches)
    return [
        (whole, network, 224),
        *((f"the {name} branch alone", branch, 224) for name, branch in network.branch_networks().items()),
        ("picture and mirror image averaged", mirrored, 224),
        (larger, network, 256),
    ]


def measure(model: Model, spec: str) -> tuple[list[tuple[str, Scores]], dict[str, Any]]:
    """Score every variant on the validation split, each with a temperature of its own.

    What ships has the card's, by which it answers.
    """
    source = open_data(spec)
    records = source.split("val")
    card, device = model.card, pick_device()
    rows = []
    for name, variant, side in variants(model, *AS_SHIPPED):
        size = replace(card.preprocessing, height=side, width=side)
        batches = evaluation_batches(EvaluationSet(records, size, file_reader(size)), 64, 0)
        predicted = predict_labelled(variant, batches, size, device, pick_precision(PRECISION, device))
        is_shipped = name == AS_SHIPPED[0]
        temperature = card.temperature if is_shipped else fit_temperature(predicted.logits, predicted.targets)
        rows.append(
            (name, score(predicted.logits, predicted.targets, card.vocabulary, temperature=temperature))
        )
        print(name, f"{rows[-1][1].accuracy:.4f} {rows[-1][1].balanced_accuracy:.4f}", flush=True)
    return rows, {"name": source.name, "split": "val", "hash": digest(records), "pictures": len(records)}


def valence(folder: Path) -> dict[str, Any]:
    """Correlate the probability of a positive feeling with mean valence ratings, with an interval."""
    with (folder / "ratings.tsv").open(encoding="utf-8") as file:
        rated = {row["file"]: float(row["valence_mean"]) for row in csv.DictReader(file, delimiter="\t")}
    predictor = Predictor.load()
    answers = [p for p in predictor.predict_files([folder / name for name in rated]) if p.emotions]
    positive = np.array([p.emotions.polarity["positive"] for p in answers if p.emotions])
    ratings = np.array([rated[Path(p.image).name] for p in answers])
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(ratings), len(ratings)) for _ in range(2000)]
    resampled = [float(np.corrcoef(positive[d], ratings[d])[0, 1]) for d in drawn]
    low, high = bootstrap_interval(resampled)
    return {
        "pictures": len(ratings),
        "pearson": float(np.corrcoef(positive, ratings)[0, 1]),
        "interval": [low, high],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="fi:PATH, with the split that the card's hash names")
    parser.add_argument("--oasis", type=Path, help="a folder with ratings.tsv and the pictures it names")
    given = parser.parse_args()
    keep_freed_memory()
    model = saved.load()
    rows, data = measure(model, given.data)
    followed = valence(given.oasis) if given.oasis else None
    result = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "weights": model.card.weights_hash,
        "precision": PRECISION,
        "data": data,
        "rows": [{"variant": name, **scores.to_json()} for name, scores in rows],
        "valence": followed,
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "default_model.json").write_text(json.dumps(result, indent=2) + "\n")
    default_page.main()


if __name__ == "__main__":
    main()
