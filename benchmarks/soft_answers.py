"""Soft answers that are kept as results, and the tables that `affectlens train --teachers` reads.

An `.npz` of soft_answers/ holds `keys` (N,), paths of pictures below the data set, `words` (E,), and
`log_probabilities`, float16 (N, E). What is measured on fold 2 learns from NAME-fold2.npz.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = "soft_answers"


def file_of(name: str, fold: int, results: Path) -> Path:
    """Return the file of soft answers, below the folder of results, for what is measured on that fold."""
    return results / FOLDER / f"{name}-fold{fold}.npz"


def store(file: Path, keys: Sequence[str], words: Sequence[str], probabilities: NDArray[np.floating]) -> None:
    """Write a file of soft answers, probabilities (N, E)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    logs = np.log(np.maximum(probabilities, 1e-6)).astype(np.float16)
    np.savez_compressed(file, keys=np.array(keys), words=np.array(words), log_probabilities=logs)


def as_table(file: Path, table: Path) -> Path:
    """Write the CSV file of stored soft answers, and return it."""
    with np.load(file, allow_pickle=False) as stored, table.open("w", newline="", encoding="utf-8") as out:
        powers = np.exp(stored["log_probabilities"].astype(np.float64))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        rows = csv.writer(out)
        rows.writerow(["image", *stored["words"]])
        for key, row in zip(stored["keys"], probabilities, strict=True):
            rows.writerow([key, *(f"{value:.6f}" for value in row)])
    return table
