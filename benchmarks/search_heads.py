"""Small heads on frozen features, all members of a population in one batched product.

A head has one hidden layer: features -> ReLU -> dropout -> logits. It learns by AdamW with the warm-up and
the schedule of `training.schedule`. Its hyperparameters are those of `training.search_space` that mean
something without pictures: `lr`, `weight_decay`, `label_smoothing`, `mixup` (of features; as there, half of
the batches are mixed), dropout of the hidden layer for `drop_path`, and noise that is added to the features
for the augmentations. Gradients are written out: for so small a network autograd takes longer than they do.

A member's random numbers follow from its seed and the epoch, whichever others train with it: initial weights,
the order of the pictures, which batches are mixed. Noise and dropout follow from the epoch and the position
in it, alike for all seeds.

Letters: M members, B pictures of a batch, N pictures, D features, H hidden units, E emotions, S steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from affectlens.losses import class_weights
from affectlens.recipes.plain import settings as plain
from affectlens.training.batches import derived_seed
from affectlens.training.schedule import lr_at
from affectlens.training.search_space import HYPERPARAMETERS, Hyperparameter
from affectlens.training.search_space import SearchSpace as Space
from affectlens.training.settings import Settings
from search_features import Part, one_hot

HIDDEN, BATCH, EMOTIONS = 16, 100, 8
BETAS, EPSILON = (0.9, 0.999), 1e-8
DROPOUT, NOISE, CLASS_WEIGHT = "network_options.dropout", "augmentation.noise", "class_weight"

Values = Mapping[str, float]


def recipe(epochs: int, lr: float, constant: bool = False) -> Settings:
    """Plain fine-tuning's settings, with a learning rate for a head that begins at random.

    With `constant` the learning rate stays at its peak after the warm-up.
    """
    base = replace(plain(), lr=lr, epochs=float(epochs), batch_size=BATCH)
    return replace(base, schedule="steps", step_factor=1.0) if constant else base


def head_space(settings: Settings, class_weight: bool = False) -> Space:
    """The table of `tune` as far as it applies to heads, with stand-ins for what acts on pictures.

    `class_weight` is searched on request: `tune` does not search it.
    """
    known = {each.name: each for each in HYPERPARAMETERS}
    chosen = [known["lr"].around(settings.lr), known["weight_decay"]]
    chosen += [replace(known["network_options.drop_path"], name=DROPOUT)]
    chosen += [known["label_smoothing"], known["mixup"], Hyperparameter(NOISE, 0.0, 1.0, "linear", 0.1)]
    if class_weight:
        chosen.append(Hyperparameter(CLASS_WEIGHT, 0.0, 1.0, "linear", 0.1))
    return tuple(chosen)


class Heads(NamedTuple):
    """Members' weights and AdamW's moments: four tensors each, (M, D, H), (M, 1, H), (M, H, E), (M, 1, E)."""

    weights: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]

    def of(self, members: Sequence[int]) -> "Heads":
        """Copy some members, in this order; one may be named twice."""
        rows = torch.as_tensor(list(members))
        return Heads(*([tensor[rows] for tensor in part] for part in self))

    def put(self, members: Sequence[int], heads: "Heads") -> None:
        """Overwrite some members."""
        rows = torch.as_tensor(list(members))
        for part, others in zip(self, heads, strict=True):
            for tensor, other in zip(part, others, strict=True):
                tensor[rows] = other


def initial_heads(features: int, seeds: Sequence[int]) -> Heads:
    """Begin at random, each by its own seed, with the bounds of `torch.nn.Linear`."""
    shapes = ((features, HIDDEN), (1, HIDDEN), (HIDDEN, EMOTIONS), (1, EMOTIONS))
    bounds = [features**-0.5] * 2 + [HIDDEN**-0.5] * 2
    made: list[list[Tensor]] = [[], [], [], []]
    for seed in seeds:
        generator = torch.Generator().manual_seed(derived_seed("head", seed))
        for row, shape, bound in zip(made, shapes, bounds, strict=True):
            row.append((torch.rand(shape, generator=generator) * 2 - 1) * bound)
    weights = [torch.stack(row) for row in made]
    return Heads(weights, *([torch.zeros_like(w) for w in weights] for _ in range(2)))


def logits_of(heads: Heads, features: Tensor) -> Tensor:
    """Answer for pictures, all alike: (N, D) -> (M, N, E)."""
    into, hidden_bias, out, bias = heads.weights
    return (features @ into + hidden_bias).relu() @ out + bias


@dataclass(frozen=True)
class _Chance:
    """The random numbers of one epoch: (M, S * B) order, (M, S) twice, (S * B, D) and (S * B, H) for all.

    Where all members have one seed, there is one row of the first three, for all.
    """

    order: Tensor
    mixes: Tensor
    blend: Tensor
    noise: Tensor
    kept: Tensor


def _chance(pictures: int, features: int, seeds: Sequence[int], epoch: int) -> _Chance:
    steps = pictures // BATCH
    rows: dict[int, tuple[Tensor, Tensor]] = {}
    for seed in set(seeds):
        generator = torch.Generator().manual_seed(derived_seed("epoch", seed, epoch))
        order = torch.randperm(pictures, generator=generator)[: steps * BATCH]
        rows[seed] = (order, torch.rand((2, steps), generator=generator, dtype=torch.float64))
    each = list(rows) if len(rows) == 1 else seeds
    mixing = torch.stack([rows[seed][1] for seed in each])
    noise, kept = _shared_chance(steps * BATCH, features, epoch)
    return _Chance(
        order=torch.stack([rows[seed][0] for seed in each]),
        mixes=mixing[:, 0],
        blend=mixing[:, 1],
        noise=noise,
        kept=kept,
    )


@lru_cache(maxsize=64)
def _shared_chance(positions: int, features: int, epoch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(derived_seed("noise", epoch))
    return (
        torch.randn((positions, features), generator=generator),
        torch.rand((positions, HIDDEN), generator=generator),
    )


def _column(values: Sequence[Values], name: str) -> Tensor:
    """One setting of all members, (M, 1, 1)."""
    return torch.tensor([each.get(name, 0.0) for each in values], dtype=torch.float32)[:, None, None]


def _blends(values: Sequence[Values], chance: _Chance, probability: float) -> Tensor:
    """How much of itself each batch keeps, (M, S): 1 where it is not mixed, else of Beta(mixup, mixup)."""
    alpha = np.array([each.get("mixup", 0.0) for each in values])[:, None]
    kept = betaincinv(np.maximum(alpha, 1e-3), np.maximum(alpha, 1e-3), chance.blend.numpy())
    unmixed = (alpha == 0) | (chance.mixes.numpy() >= probability)
    return torch.from_numpy(np.where(unmixed, 1.0, kept)).float()


def train_epoch(
    heads: Heads, part: Part, settings: Settings, values: Sequence[Values], seeds: Sequence[int], epoch: int
) -> None:
    """Train members through one epoch, from 0, in place. `settings` decides what no member changes."""
    chance = _chance(len(part.labels), part.features.shape[1], seeds, epoch)
    blends = _blends(values, chance, settings.mix_prob)
    smoothing, weight = _column(values, "label_smoothing"), _emotion_weights(values, part.labels)
    noise, dropout = _column(values, NOISE), _column(values, DROPOUT)
    targets = one_hot(part.labels)
    steps = len(part.labels) // BATCH
    total = round(steps * settings.epochs)
    for step in range(steps):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        order, kept = chance.order[:, rows], blends[:, step, None, None]
        inputs = torch.addcmul(part.features[order], noise, chance.noise[rows])
        wanted = targets[order]
        if (kept < 1).any():
            inputs, wanted = (torch.lerp(each.flip(1), each, kept) for each in (inputs, wanted))
        wanted = (1 - smoothing) * wanted + smoothing / EMOTIONS
        mask = (chance.kept[rows] >= dropout) / (1 - dropout)
        gradients = _gradients(heads.weights, inputs, wanted * weight, mask)
        number = epoch * steps + step
        lr = _column(values, "lr") * lr_at(number, total, epoch, settings)
        _adamw(heads, gradients, lr, _column(values, "weight_decay"), number + 1)


def _emotion_weights(values: Sequence[Values], labels: Tensor) -> Tensor:
    """How much each emotion weighs in the loss, (M, 1, E)."""
    frequency = torch.bincount(labels, minlength=EMOTIONS) / len(labels)
    return torch.stack([class_weights(frequency, each.get(CLASS_WEIGHT, 0.0)) for each in values])[:, None]


def _gradients(weights: Sequence[Tensor], inputs: Tensor, targets: Tensor, mask: Tensor) -> list[Tensor]:
    """Gradients of the mean cross-entropy: inputs (M, B, D), weighted targets (M, B, E), mask (M, B, H)."""
    into, hidden_bias, out, bias = weights
    raw = torch.baddbmm(hidden_bias, inputs, into)
    hidden = raw.relu().mul_(mask)
    logits = torch.baddbmm(bias, hidden, out)
    of_logits = (logits.softmax(dim=2).mul_(targets.sum(dim=2, keepdim=True)).sub_(targets)) / inputs.shape[1]
    # Where ReLU or dropout gave 0, nothing comes back.
    of_hidden = (of_logits @ out.transpose(1, 2)).mul_(mask).mul_(raw > 0)
    return [
        inputs.transpose(1, 2) @ of_hidden,
        of_hidden.sum(dim=1, keepdim=True),
        hidden.transpose(1, 2) @ of_logits,
        of_logits.sum(dim=1, keepdim=True),
    ]


def _adamw(heads: Heads, gradients: Sequence[Tensor], lr: Tensor, decay: Tensor, step: int) -> None:
    """One step, from 1, of AdamW, whose weight decay leaves biases alone."""
    for weight, first, second, gradient in zip(*heads, gradients, strict=True):
        if weight.shape[1] > 1:
            weight.mul_(1 - lr * decay)
        first.lerp_(gradient, 1 - BETAS[0])
        second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        size = (second / (1 - BETAS[1] ** step)).sqrt_().add_(EPSILON)
        weight.sub_(lr / (1 - BETAS[0] ** step) * first / size)
