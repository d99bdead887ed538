"""How often `affectlens calibrate` changes a part in planted worlds, whose right calibration is known.

    python benchmarks/calibration_worlds.py [--worlds 100]

Emotions: labels that are sampled by the model's own probabilities (right), by those of twice its temperature
(too sure), and in random order (noise), with sets calibrated on 40,000 pictures. Ratings: readings with the
errors that their intervals promise (right), an offset of 1, errors 1.6 times as large (narrow), and noise.
Writes benchmarks/results/calibration_worlds.json.

Letters: N pictures, E emotions.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from affectlens.adaptation.recalibration import (
    DividedPictures,
    EmotionAnswers,
    refit_emotions,
    refit_rating,
)
from affectlens.emotions import MIKELS
from affectlens.files import atomic_write
from affectlens.inference.coverage import PredictionSets
from affectlens.metrics import Doubles, softmax
from affectlens.ratings import VALENCE, RatingScale, conformal_half_widths

RESULT = Path(__file__).parent / "results" / "calibration_worlds.json"
COUNTS = (60, 200, 600)
CALIBRATION = 40_000
COVERAGES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
EMOTIONS = {"right": 1.0, "too sure": 2.0, "noise": 1.0}
# Offset, and error.
RATINGS = {"right": (0.0, 1.0), "offset": (1.0, 1.0), "narrow": (0.0, 1.6), "noise": (0.0, 1.0)}


def pictures(count: int, seed: int) -> DividedPictures:
    """Divide pictures that are alone into folds, as often as the command does."""
    rng = np.random.default_rng(seed)
    folds = np.stack([rng.permutation(count) % 5 for _ in range(5)])
    return DividedPictures(folds, [str(row) for row in range(count)], seed)


def labelled(count: int, seed: int, temperature: float) -> tuple[Doubles, Doubles]:
    """Logits, and labels that are sampled at a temperature: twice (N, E)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, len(MIKELS))) * 2
    chosen = [rng.choice(len(MIKELS), p=row) for row in softmax(logits / temperature)]
    return logits, np.eye(len(MIKELS))[chosen]


def changed_emotions(world: str, count: int, seed: int, sets: PredictionSets) -> dict[str, bool]:
    """Calibrate in one world: which parts were changed."""
    logits, targets = labelled(count, seed, EMOTIONS[world])
    if world == "noise":
        targets = np.random.default_rng(seed).permutation(targets)
    found = refit_emotions(EmotionAnswers(logits, targets, MIKELS), 1.0, sets, pictures(count, seed))
    return {part.name: part.changed for part in found.parts}


def changed_ratings(world: str, count: int, seed: int, scale: RatingScale) -> dict[str, bool]:
    """Calibrate a rating in one world: whether its line, and whether its intervals were changed."""
    rng, (offset, error) = np.random.default_rng(seed), RATINGS[world]
    read = rng.normal(5, 1.2, count)
    rated = np.clip(read + offset + rng.normal(0, error, count), 1, 9)
    if world == "noise":
        rated = rng.permutation(rated)
    found = refit_rating(scale, read, rated, pictures(count, seed))
    return {"line": (found.factor, found.offset) != (1.0, 0.0), "intervals": found.part.changed}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--worlds", type=int, default=100)
    worlds = parser.parse_args().worlds
    sets = PredictionSets.fit_logits(*labelled(CALIBRATION, 10**6, 1.0), MIKELS, 1.0)
    errors = np.random.default_rng(10**6).normal(size=CALIBRATION)
    scale = RatingScale(
        name=VALENCE, coverages=COVERAGES, half_widths=conformal_half_widths(errors, COVERAGES)
    )
    rows: list[dict[str, Any]] = []
    for count in COUNTS:
        for kind, names in (("emotions", EMOTIONS), ("ratings", RATINGS)):
            for world in names:
                found = [
                    changed_emotions(world, count, seed, sets)
                    if kind == "emotions"
                    else changed_ratings(world, count, seed, scale)
                    for seed in range(worlds)
                ]
                changed = {part: sum(each[part] for each in found) for part in found[0]}
                rows.append({"kind": kind, "world": world, "pictures": count, "of": worlds, **changed})
                print(rows[-1], flush=True)
    with atomic_write(RESULT, "w") as file:
        file.write(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
