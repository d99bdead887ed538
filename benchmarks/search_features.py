"""Frozen features for the comparison of searches, and which pictures each of its seeds trains on.

MobileNetV2 as it comes from ImageNet, at 128 pixels: its pooled features, 1,280 of each picture. A sample of
800 pictures of each fold, each emotion in the fold's proportion. Seeds are the 20 ordered pairs of two of
the five folds: the first to select by, the second, outer one to report on, and of the other three a sample
to train on. Near-duplicates share a fold, so none is on both sides. The split `test` is never read.

Letters: N pictures, C channels of the network, D features after the projection.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from affectlens.data.catalog import open_data
from affectlens.data.prefetch import batched
from affectlens.data.records import DataSource, Record
from affectlens.data.splits import digest_of_splits
from affectlens.emotions import MIKELS
from affectlens.images import read_pixels
from affectlens.models.backbones import Pyramid, statistics, suit_cpu
from affectlens.models.network_input import normalise, to_tensor
from affectlens.preprocess import Preprocessing
from frozen_heads import Stored, described, labels_of

NETWORK, SIDE, BATCH = "mobilenetv2_100", 128, 16
NUM_FOLDS, OF_FOLD, TRAINED, SELECTED = 5, 800, 1000, 300
NUM_FEATURES = 64  # after the projection
PAIRS = tuple(permutations(range(1, NUM_FOLDS + 1), 2))


@dataclass(frozen=True)
class Part:
    """Features (N, D) and indices of emotions (N,)."""

    features: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Division:
    """What is trained on, what a search selects by, and what is only reported on."""

    training: Part
    validation: Part
    outer: Part


def sample(records: Iterable[Record], count: int, seed: str) -> list[Record]:
    """Sample pictures, each emotion in its proportion: `count`, but for rounding."""
    by_emotion: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda each: each.key):
        by_emotion.setdefault(record.target.top, []).append(record)
    total = sum(map(len, by_emotion.values()))
    generator = random.Random(seed)
    found = []
    for part in by_emotion.values():
        found += generator.sample(part, min(len(part), round(count * len(part) / total)))
    return found


def fold_samples(source: DataSource) -> list[list[Record]]:
    """Return the pictures of each fold that have features."""
    return [sample(source.split(f"fold {fold}"), OF_FOLD, f"fold {fold}") for fold in range(1, NUM_FOLDS + 1)]


def make_features(data: str, weights: str, out: Path) -> None:
    """Run the frozen network over the sampled pictures, in float32, and store what it pools."""
    records = [record for part in fold_samples(open_data(data)) for record in part]
    network = Pyramid(NETWORK, weights=weights).eval()
    expected = statistics(NETWORK)
    suit_cpu(network)
    fitted = Preprocessing(height=SIDE, width=SIDE, mean=expected.mean, std=expected.std)
    found: list[NDArray[np.float16]] = []
    with torch.inference_mode():
        for batch in batched(records, BATCH):
            pixels = np.stack([fitted.fit_pixels(read_pixels(record.path)) for record in batch])
            rows = described(network, normalise(to_tensor(pixels), fitted), ())
            found.append(rows.half().numpy())
            print(f"{len(found) * BATCH} of {len(records)}", flush=True)
    np.savez(out, keys=np.array([record.key for record in records]), fi=np.concatenate(found))


def projection(features: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return the mean (C,) and directions (C, D) of most variance, of training pictures alone.

    Scaled so that a projected feature has a variance of 1 on average.
    """
    spread = features.std(dim=0) + 1e-4
    mean = features.mean(dim=0)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _, values, directions = torch.pca_lowrank((features - mean) / spread, q=NUM_FEATURES, center=False)
    scale = (values.square().mean() / len(features)).sqrt()
    return mean, directions / spread[:, None] / scale


class Divisions:
    """Makes the division of a seed."""

    def __init__(self, data: str, features: Path) -> None:
        self._source, self._stored = open_data(data), Stored(features)
        self._folds = fold_samples(self._source)
        self.digest = digest_of_splits(self._source)

    def of_seed(self, seed: int, selected: int = SELECTED) -> Division:
        """Return the division of a seed, which selects by so many pictures."""
        first, second = PAIRS[seed]
        rest = [
            record
            for fold, part in enumerate(self._folds, start=1)
            if fold not in (first, second)
            for record in part
        ]
        parts = (
            sample(rest, TRAINED, f"training {seed}"),
            sample(self._folds[first - 1], selected, f"validation {seed}"),
            self._folds[second - 1],
        )
        return self._projected(parts, seed)

    def _projected(self, parts: Sequence[Sequence[Record]], seed: int) -> Division:
        rows = [torch.from_numpy(self._stored.of(part)) for part in parts]
        mean, directions = projection(rows[0], seed)
        made = [
            Part((each - mean) @ directions, torch.from_numpy(labels_of(part)))
            for each, part in zip(rows, parts, strict=True)
        ]
        return Division(*made)


def one_hot(labels: Tensor) -> Tensor:
    """Indices (N,) to targets (N, E)."""
    return torch.eye(len(MIKELS))[labels]
