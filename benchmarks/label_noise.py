"""How many labels of FI are wrong, by answers that classifiers give to pictures they did not see.

    python benchmarks/label_noise.py --fi PATH --folds FOLDS.tsv [--features FEATURES.npz]

Reads results/soft_answers/frozen-fold0.npz (frozen_heads.py), an answer out of fold to every picture of the
folds, and writes results/label_noise.json and docs/results/label_noise.md. With the features of
frozen_heads.py also what it gives to train without the worst rows: classifiers are fitted to the other folds
without them, and measured on all pictures of a fold. Nothing of the split `test` is read.

Method: Northcutt, Jiang and Chuang, "Confident Learning", JAIR 2021.

Letters: N pictures, E emotions.
"""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import result_page
from affectlens.data.catalog import open_data
from affectlens.data.records import DataSource, Record
from affectlens.data.splits import digest_of_splits
from affectlens.emotions import MIKELS
from affectlens.machine import describe
from affectlens.metrics import balanced_accuracy, softmax
from affectlens.report.text import markdown_table
from frozen_heads import LINEAR, Stored, fit, folds_of, labels_of, out_of_fold
from screening import RESULTS
from soft_answers import file_of

Array = NDArray[np.floating]
Labels = NDArray[np.int64]
OUT = RESULTS.parent / "label_noise.json"
# An answer that is this sure, of a label that it holds for this unlikely.
SURE, UNLIKELY = (0.7, 0.8, 0.9), 0.05
DROPPED = (0.0, 0.02, 0.05, 0.1)
FOLDS = (1, 2)
NUM_PAIRS = 8
SCORES = ("accuracy", "balanced_accuracy")


def read_answers(keys: Sequence[str]) -> Array:
    """Return the stored answers to pictures, in their order: (N, E), rows sum to 1."""
    with np.load(file_of("frozen", 0, RESULTS.parent), allow_pickle=False) as stored:
        rows = {key: row for row, key in enumerate(stored["keys"].tolist())}
        powers = np.exp(stored["log_probabilities"].astype(np.float64))[[rows[key] for key in keys]]
    found: Array = powers / powers.sum(axis=1, keepdims=True)
    return found


def confident_joint(answers: Array, labels: Labels) -> Array:
    """Estimate how many pictures have a label (row) and another emotion in truth (column): (E, E).

    A picture counts as an emotion where its probability reaches the mean that pictures of that label have;
    of several, as the likeliest. Rows are scaled to the number of their label.
    """
    emotions = answers.shape[1]
    thresholds = np.array([answers[labels == emotion, emotion].mean() for emotion in range(emotions)])
    reached = np.where(answers >= thresholds, answers, 0.0)
    counted = reached.max(axis=1) > 0
    joint = np.zeros((emotions, emotions))
    np.add.at(joint, (labels[counted], reached[counted].argmax(axis=1)), 1)
    scale = np.bincount(labels, minlength=emotions) / np.maximum(joint.sum(axis=1), 1)
    scaled: Array = joint * scale[:, None]
    return scaled


def disagreements(answers: Array, labels: Labels) -> list[dict[str, float]]:
    """How often an answer is sure of another emotion, and how often such answers are right by the labels."""
    rows = []
    of_label, most = answers[np.arange(len(labels)), labels], answers.max(axis=1)
    for sure in SURE:
        chosen = most >= sure
        against = chosen & (of_label <= UNLIKELY)
        rows.append({
            "at_least": sure,
            "share": float(chosen.mean()),
            "mean_probability": float(most[chosen].mean()),
            "right": float((answers[chosen].argmax(axis=1) == labels[chosen]).mean()),
            "against_label": float(against.mean()),
        })  # fmt: skip
    return rows


def without_worst(stored: Stored, source: DataSource, fold: int) -> list[dict[str, float]]:
    """Fit classifiers without the rows whose labels were held for the least likely, by share left out."""
    parts = folds_of(source)
    own = parts.pop(f"fold {fold}")
    rest = [record for part in parts.values() for record in part]
    # Of classifiers that saw neither the picture nor the fold that is measured.
    of_labels = _probability_of_label(stored, parts)
    features, labels, targets = stored.of(rest), labels_of(rest), np.eye(len(MIKELS))[labels_of(own)]
    order = np.argsort(of_labels)
    rows = []
    for share in DROPPED:
        kept = np.sort(order[round(share * len(order)) :])
        logits = fit(features[kept], labels[kept])(stored.of(own))
        rows.append({
            "fold": fold,
            "dropped": share,
            "accuracy": float((logits.argmax(axis=1) == labels_of(own)).mean()),
            "balanced_accuracy": balanced_accuracy(logits, targets),
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def _probability_of_label(stored: Stored, parts: dict[str, Sequence[Record]]) -> Array:
    logits, temperature = out_of_fold(stored, parts, LINEAR)
    labels = np.concatenate([labels_of(part) for part in parts.values()])
    found: Array = softmax(logits / temperature)[np.arange(len(labels)), labels]
    return found


def measure(source: DataSource, features: Path | None) -> dict[str, Any]:
    """Return all that the page shows."""
    records = [record for part in folds_of(source).values() for record in part]
    labels, answers = labels_of(records), read_answers([record.key for record in records])
    joint = confident_joint(answers, labels)
    wrong = joint.copy()
    np.fill_diagonal(wrong, 0)
    most = np.unravel_index(np.argsort(-wrong, axis=None)[:NUM_PAIRS], wrong.shape)
    pairs = [
        {
            "label": MIKELS.words[row],
            "seems": MIKELS.words[column],
            "share_of_label": float(wrong[row, column] / joint[row].sum()),
        }
        for row, column in zip(*most, strict=True)
    ]
    stored = Stored(features) if features else None
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "division": digest_of_splits(source),
        "pictures": len(records),
        "accuracy": float((answers.argmax(axis=1) == labels).mean()),
        "disagreements": disagreements(answers, labels),
        "wrong": float(wrong.sum() / joint.sum()),
        "wrong_by_emotion": {
            word: float(wrong[row].sum() / joint[row].sum()) for row, word in enumerate(MIKELS.words)
        },
        "pairs": pairs,
        "without_worst": [row for fold in FOLDS for row in without_worst(stored, source, fold)]
        if stored
        else [],
    }


def page(found: dict[str, Any]) -> dict[str, str]:
    """Return the parts of the page."""
    shares = "at_least", "share", "mean_probability", "right", "against_label"
    dropped = [
        [
            f"{row['dropped']:.0%}",
            str(row["fold"]),
            *(f"{row[n]:.3f}" for n in ("accuracy", "balanced_accuracy")),
        ]
        for row in found["without_worst"]
    ]
    return {
        "PICTURES": f"{found['pictures']:,}",
        "ACCURACY": f"{found['accuracy']:.3f}",
        "DIVISION": f"`{found['division']}`",
        "SURE": markdown_table(
            ["answers at least", "share of pictures", "mean probability", "right by the label",
             f"label at most {UNLIKELY:.0%}"],
            [[f"{row[name]:.3f}" for name in shares] for row in found["disagreements"]],
        ),
        "WRONG": f"{found['wrong']:.1%}",
        "CEILING": f"{1 - found['wrong']:.1%}",
        "EMOTIONS": markdown_table(
            ["label", "estimated wrong"],
            [[word, f"{share:.1%}"] for word, share in found["wrong_by_emotion"].items()],
        ),
        "PAIRS": markdown_table(
            ["label", "seems to be", "of its pictures"],
            [[each["label"], each["seems"], f"{each['share_of_label']:.1%}"] for each in found["pairs"]],
        ),
        "DROPPED": markdown_table(["left out", "fold", "accuracy", "balanced accuracy"], dropped)
        if dropped
        else "Not measured yet.",
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fi", type=Path, required=True, help="folder of FI")
    parser.add_argument(
        "--folds", type=Path, required=True, help="table of folds, from `affectlens data split`"
    )
    parser.add_argument("--features", type=Path, help="what `frozen_heads.py features` wrote")
    given = parser.parse_args()
    found = measure(open_data(f"csv:{given.folds}@{given.fi}"), given.features)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    result_page.write(result_page.RESULTS / "label_noise.md", "label_noise.template.md", page(found))


if __name__ == "__main__":
    main()
