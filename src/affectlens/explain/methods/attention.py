"""What a vision transformer's class token attends to, through all blocks.

Rollout: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, eq. 1: with A the
    weights of a block, averaged over its heads, R <- (A + I) / 2 R. It knows nothing of what is asked: it
    gives one map for every emotion.
Gradient-weighted: Chefer, Gur and Wolf, "Generic Attention-Model Explainability for Interpreting Bi-Modal
    and Encoder-Decoder Transformers", ICCV 2021, eq. 5 and 6: R <- R + mean over heads of (grad A * A)+ R.
    Only what speaks for the answer is kept.

Both begin with R = I and are read in the row of the class token. A network that averages its tokens has no
such row; there the mean over the rows of patches is read. Both see where tokens flow, not what the layers
between make of them; and of a network that holds more than its transformers, as `pair`, they show those
alone.

Weights are read at the dropout that follows the softmax, which fused attention passes by: while they are
read, attention is computed in steps. timm's transformers are known; windows (Swin and its like) are not,
for their weights do not reach across the picture.

Letters: B pictures, N tokens, K heads, h x w pixels of the network's input.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.explain.core.activations import as_maps, frozen
from affectlens.explain.core.attribution import Attribution, ExplainedModel
from affectlens.explain.core.question import Question
from affectlens.explain.core.upsampling import merge_views, upsample
from affectlens.models import backbones


@dataclass(frozen=True, kw_only=True)
class AttentionRollout:
    """Where the class token's information may come from, whatever the question. Never negative.

    Raises `SettingsError` for a network without a transformer whose attention reaches across the picture.
    """

    def __call__(self, subject: ExplainedModel, image: Tensor, question: Question) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        started = time.perf_counter()
        return _attribution(relevance(subject, image, None), image, started, asks=False)


@dataclass(frozen=True, kw_only=True)
class GradientAttention:
    """Where the class token's information comes from that speaks for the answer. Never negative.

    Raises `SettingsError` for a network without a transformer whose attention reaches across the picture.
    """

    def __call__(self, subject: ExplainedModel, image: Tensor, question: Question) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        started = time.perf_counter()
        return _attribution(relevance(subject, image, question), image, started, asks=True)


def transformers(network: nn.Module) -> list[str]:
    """Paths of the transformers in a network whose attention reaches across the picture, "" for itself."""
    return [
        trunk.path
        for trunk in backbones.trunks(network)
        if hasattr(network.get_submodule(trunk.path), "num_prefix_tokens")
        and attentions(network.get_submodule(trunk.path))
    ]


def reads_token(trunk: nn.Module) -> bool:
    """Whether a network is a transformer that answers from its class token, and not from the mean of all."""
    prefix = int(getattr(trunk, "num_prefix_tokens", 0))
    return prefix > 0 and getattr(trunk, "global_pool", "token") in ("token", "") and bool(attentions(trunk))


def relevance(subject: ExplainedModel, image: Tensor, question: Question | None) -> dict[str, Tensor]:
    """Cells that each transformer's answer comes from, by its path: float32 (rows, columns), never negative.

    Gradient-weighted for a question, plain rollout for None. Raises `SettingsError` where there is none.
    """
    paths = transformers(subject.network)
    if not paths:
        raise SettingsError("This network has no transformer whose attention reaches across the picture.")
    with frozen(subject.network), read_weights(subject.network, paths) as caught:
        if question is None:
            with torch.no_grad():
                subject.logits(image)
            layers = {path: [_halfway(weights) for weights in caught[path]] for path in paths}
        else:
            with torch.enable_grad():
                score = subject.score(image, question).sum()
                layers = {path: _weighted(caught[path], score) for path in paths}
    return {path: _cells(subject.network.get_submodule(path), layers[path], image) for path in paths}


@contextmanager
def read_weights(network: nn.Module, paths: list[str]) -> Iterator[Mapping[str, list[Tensor]]]:
    """Gather the weights of each transformer's attention as the network runs: by its path, (B, K, N, N) each.

    They can be differentiated by. Afterwards the network computes its attention as before.
    """
    caught = _Caught()
    modules = {path: attentions(network.get_submodule(path)) for path in paths}
    fused = [(module, module.fused_attn) for found in modules.values() for module in found]
    hooks: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for path, found in modules.items():
            for module in found:
                module.fused_attn = False
                hooks.append(module.attn_drop.register_forward_hook(caught.hook(path)))
        yield caught.weights
    finally:
        for hook in hooks:
            hook.remove()
        for module, was in fused:
            module.fused_attn = was


@dataclass
class _Caught:
    """The weights of each block, by the path of its transformer, in the order of running."""

    weights: dict[str, list[Tensor]] = field(default_factory=dict)

    def hook(self, path: str) -> Any:
        """Gather the first block's weights as the leaf that all later ones hang from."""

        def catch(_module: nn.Module, _inputs: Any, weights: Tensor) -> Tensor:
            if torch.is_grad_enabled() and not weights.requires_grad:
                weights = weights.detach().requires_grad_()
            self.weights.setdefault(path, []).append(weights)
            return weights

        return catch


def attentions(trunk: nn.Module) -> list[Any]:
    """Modules of a network that compute attention as timm's do: softmax, then a dropout; in order."""
    return [
        module
        for module in trunk.modules()
        if isinstance(getattr(module, "fused_attn", None), bool)
        and isinstance(getattr(module, "attn_drop", None), nn.Module)
        and isinstance(getattr(module, "num_heads", None), int)
    ]


def _halfway(weights: Tensor) -> Tensor:
    """A block of the rollout: (B, K, N, N) -> (B, N, N), half attention, half what passes beside it."""
    own = torch.eye(weights.shape[-1], device=weights.device)
    return (weights.detach().float().mean(dim=1) + own) / 2


def _weighted(caught: list[Tensor], score: Tensor) -> list[Tensor]:
    """Blocks of the gradient-weighted rule, what passes beside included: (B, K, N, N) -> (B, N, N) each."""
    gradients = torch.autograd.grad(score, caught, retain_graph=True)
    own = torch.eye(caught[0].shape[-1], device=score.device)
    pairs = zip(caught, gradients, strict=True)
    return [own + (weights.detach() * slopes).float().clamp_min(0).mean(dim=1) for weights, slopes in pairs]


def _cells(trunk: Any, layers: list[Tensor], image: Tensor) -> Tensor:
    """Multiply the blocks, from the first to the last, and lay out the row of the class token."""
    through = layers[0]
    for layer in layers[1:]:
        through = layer @ through  # (B, N, N)
    prefix = trunk.num_prefix_tokens
    row = through[:, 0] if reads_token(trunk) else through[:, prefix:].mean(dim=1)
    maps = as_maps(row[:, prefix:, None], image.shape[2], image.shape[3])
    if maps is None:
        raise SettingsError("The tokens of this transformer cannot be laid out as a map of the picture.")
    return merge_views(maps[:, 0], len(image))[0]


def _attribution(cells: Mapping[str, Tensor], image: Tensor, started: float, *, asks: bool) -> Attribution:
    """Spread the cells of all transformers, each as heavy as the other, over the picture."""
    height, width = image.shape[2:]
    maps = [upsample(each / each.sum().clamp_min(1e-12), height, width) for each in cells.values()]
    details = {
        "explains": list(cells),
        "cells": [list(each.shape) for each in cells.values()],
        "depends_on_question": asks,
        "seconds": time.perf_counter() - started,
    }
    return Attribution(torch.stack(maps).mean(dim=0).cpu(), details=details)
