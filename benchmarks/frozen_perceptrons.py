"""Perceptrons on frozen features: one for each network and seed, whose log-probabilities are averaged.

A perceptron of one hidden layer is better than a linear classifier (frozen_heads.py), and the mean of one for
each network is better than one that reads the features of all (docs/results/screening.md). One takes half a
minute of a core. Close to Evci et al., "Head2Toe: Utilizing Intermediate Representations for Better Transfer
Learning", ICML 2022, which selects features and reads them linearly.

Letters: N pictures, D features, E emotions.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from affectlens.emotions import MIKELS
from affectlens.models.multilevel import hidden_layer

HIDDEN, EPOCHS, BATCH = 512, 20, 256
INPUT_DROPOUT, DROPOUT = 0.3, 0.5
RATE, DECAY, WARMUP = 1e-3, 0.05, 100  # of AdamW; steps until the rate is reached
MIXUP = 0.4  # of features, Verma et al., "Manifold Mixup", ICML 2019
ADJUSTMENT = 0.3  # of logits by how frequent emotions are, as recipes have it
EMA_DECAY = 0.99  # of the weights
SEEDS = (0, 1)

Array = NDArray[np.float32]


class Standardised(NamedTuple):
    """A perceptron, and how its features are standardised; `columns` are those of its network."""

    columns: slice
    mean: Array
    spread: Array
    network: nn.Module

    def log_probabilities(self, features: Array) -> Tensor:
        inputs = torch.from_numpy((features[:, self.columns] - self.mean) / self.spread)
        with torch.inference_mode():
            found: Tensor = self.network(inputs).log_softmax(dim=1)
        return found


class Perceptrons:
    """The mean of several: features (N, D) -> log-probabilities (N, E)."""

    def __init__(self, members: Sequence[Standardised]) -> None:
        self.members = members

    def __call__(self, features: Array) -> Array:
        mean: Array = torch.stack([each.log_probabilities(features) for each in self.members]).mean(0).numpy()
        return mean

    @property
    def parameters(self) -> int:
        return sum(weight.numel() for each in self.members for weight in each.network.parameters())


def fit(
    features: Array, labels: NDArray[np.int64], widths: Sequence[int], seeds: Sequence[int] = SEEDS
) -> Perceptrons:
    """Fit perceptrons to features (N, D), of which each network has as many as `widths` states, in order."""
    members, ends = [], np.cumsum(widths).tolist()
    for begin, end in zip([0, *ends], ends, strict=False):
        columns = slice(begin, end)
        own = features[:, columns]
        mean, spread = own.mean(axis=0), own.std(axis=0) + 1e-4
        inputs = torch.from_numpy((own - mean) / spread)
        members += [Standardised(columns, mean, spread, _trained(inputs, labels, seed)) for seed in seeds]
    return Perceptrons(members)


def _trained(inputs: Tensor, labels: NDArray[np.int64], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(inputs.shape[1])
        averaged = torch.optim.swa_utils.AveragedModel(network, avg_fn=_average)
        optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
        targets = F.one_hot(torch.from_numpy(labels), len(MIKELS)).float()
        prior = targets.mean(dim=0).clamp_min(1e-6).log()
        batches = max(1, len(inputs) // BATCH)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: (
                min(1, (step + 1) / WARMUP) * (1 + math.cos(math.pi * step / (EPOCHS * batches))) / 2
            ),
        )
        mix = torch.distributions.Beta(MIXUP, MIXUP)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(inputs)).tensor_split(batches):
                others, share = rows[torch.randperm(len(rows))], mix.sample()
                mixed, wanted = (
                    share * values[rows] + (1 - share) * values[others] for values in (inputs, targets)
                )
                logits = network(mixed) + ADJUSTMENT * prior
                loss = -(wanted * logits.log_softmax(dim=1)).sum(dim=1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                averaged.update_parameters(network)
    return averaged.module.eval()


def _network(features: int) -> nn.Module:
    hidden = hidden_layer(features, HIDDEN, INPUT_DROPOUT, DROPOUT)
    return nn.Sequential(*hidden, nn.Linear(HIDDEN, len(MIKELS)))


def _average(averaged: Tensor, newest: Tensor, seen: Tensor | int) -> Tensor:
    """A moving average, which in its first steps forgets faster."""
    keep = min(EMA_DECAY, (1 + int(seen)) / (10 + int(seen)))
    return averaged.lerp(newest, 1 - keep)
