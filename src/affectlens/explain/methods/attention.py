"""What a vision transformer's class token attends to, through all blocks.

Rollout: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, eq. 1: with A the
    weights of a block, averaged over its heads, R <- (A + I) / 2 R. It does not depend on the question: all
    emotions have the same map.
Gradient-weighted: Chefer, Gur and Wolf, "Generic Attention-Model Explainability for Interpreting Bi-Modal
    and Encoder-Decoder Transformers", ICCV 2021, eq. 5 and 6: R <- R + mean over heads of (grad A * A)+ R.
    Only what speaks for the answer is kept.

Both begin with R = I and are read in the row of the class token. A network that averages its tokens has no
such row; there the mean over the rows of patches is read. Both show where tokens flow, not what the layers
between make of them; and of a network that contains more than its transformers, as `pair`, they show those
alone. captum has neither.

Weights are read at the dropout that follows the softmax, which fused attention skips: while they are read,
attention is computed in steps. Only timm's transformers are supported; windows (Swin and its like) are not,
since their weights do not reach across the picture.

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
from affectlens.explain.core.attribution import Attribution
from affectlens.explain.core.differentiable import DifferentiableModel, to_map
from affectlens.explain.core.question import AnyQuestion
from affectlens.explain.core.upsampling import upsample_all
from affectlens.models import backbones
from affectlens.models.backbones import attention_modules
from affectlens.models.maps import as_maps, frozen, merge_views, reads_token, transformers
from affectlens.preprocess import Images


@dataclass(frozen=True, kw_only=True)
class AttentionRollout:
    """Where the class token's information may come from, whatever the question. Never negative.

    Raises `SettingsError` for a network without a transformer whose attention reaches across the picture.
    """

    def __call__(self, model: DifferentiableModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        started = time.perf_counter()
        return _attribution(
            relevance(model, model.tensor(image), None), image, started, depends_on_question=False
        )


@dataclass(frozen=True, kw_only=True)
class GradientAttention:
    """Where the class token's information comes from that speaks for the answer. Never negative.

    Raises `SettingsError` for a network without a transformer whose attention reaches across the picture.
    """

    def __call__(self, model: DifferentiableModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w)."""
        started = time.perf_counter()
        return _attribution(
            relevance(model, model.tensor(image), question), image, started, depends_on_question=True
        )


def relevance(
    model: DifferentiableModel, image: Tensor, question: AnyQuestion | None, sign: float = 1.0
) -> dict[str, Tensor]:
    """Cells that each transformer's answer comes from, by its path: float32 (rows, columns), never negative.

    Gradient-weighted for a question, plain rollout for None; with a `sign` of -1 what speaks against it.
    Raises `SettingsError` where there is none.
    """
    paths = transformers(model.network)
    if not paths:
        raise SettingsError("This network has no transformer whose attention reaches across the picture.")
    with frozen(model.network), attention_weights(model.network, paths) as captured:
        if question is None:
            with torch.no_grad():
                model.logits(image)
            layers = {path: [_rollout(weights) for weights in captured[path]] for path in paths}
        else:
            with torch.enable_grad():
                score = sign * model.score(image, question).sum()
                layers = {path: _weighted(captured[path], score) for path in paths}
    return {path: _cells(model.network.get_submodule(path), layers[path], image) for path in paths}


@contextmanager
def attention_weights(network: nn.Module, paths: list[str]) -> Iterator[Mapping[str, list[Tensor]]]:
    """Capture the weights of each transformer's attention as the network runs: by path, (B, K, N, N) each.

    Gradients can be taken by them. Afterwards the network computes its attention as before.
    """
    captured = _CapturedWeights()
    modules = {path: attention_modules(network.get_submodule(path)) for path in paths}
    fused = [(module, module.fused_attn) for found in modules.values() for module in found]
    hooks: list[torch.utils.hooks.RemovableHandle] = []
    try:
        for path, found in modules.items():
            for module in found:
                module.fused_attn = False
                hooks.append(module.attn_drop.register_forward_hook(captured.hook(path)))
        yield captured.weights
    finally:
        for hook in hooks:
            hook.remove()
        for module, was in fused:
            module.fused_attn = was


@dataclass
class _CapturedWeights:
    """The weights of each block, by the path of its transformer, in the order of execution."""

    weights: dict[str, list[Tensor]] = field(default_factory=dict)

    def hook(self, path: str) -> Any:
        """Capture the weights, those of the first block as a leaf that all later ones depend on."""

        def capture(_module: nn.Module, _inputs: Any, weights: Tensor) -> Tensor:
            if torch.is_grad_enabled() and not weights.requires_grad:
                weights = weights.detach().requires_grad_()
            self.weights.setdefault(path, []).append(weights)
            return weights

        return capture


def _rollout(weights: Tensor) -> Tensor:
    """A block of the rollout: (B, K, N, N) -> (B, N, N), half attention, half the residual connection."""
    own = torch.eye(weights.shape[-1], device=weights.device)
    return (weights.detach().float().mean(dim=1) + own) / 2


def _weighted(captured: list[Tensor], score: Tensor) -> list[Tensor]:
    """Blocks of the gradient-weighted rule, residual connection included: (B, K, N, N) -> (B, N, N) each."""
    gradients = torch.autograd.grad(score, captured, retain_graph=True)
    own = torch.eye(captured[0].shape[-1], device=score.device)
    pairs = zip(captured, gradients, strict=True)
    return [own + (weights.detach() * grad).float().clamp_min(0).mean(dim=1) for weights, grad in pairs]


def _cells(trunk: nn.Module, layers: list[Tensor], image: Tensor) -> Tensor:
    """Multiply the blocks, from the first to the last, and arrange the row of the class token as a map."""
    product = layers[0]
    for layer in layers[1:]:
        product = layer @ product  # (B, N, N)
    prefix = backbones.num_prefix_tokens(trunk) or 0
    row = product[:, 0] if reads_token(trunk) else product[:, prefix:].mean(dim=1)
    maps = as_maps(row[:, prefix:, None], image.shape[2], image.shape[3])
    if maps is None:
        raise SettingsError("The tokens of this transformer cannot be arranged as a map of the picture.")
    return merge_views(maps[:, 0], len(image))[0]


def _attribution(
    cells: Mapping[str, Tensor], image: Images, started: float, *, depends_on_question: bool
) -> Attribution:
    """Upsample the cells of all transformers to the picture; each transformer has the same weight."""
    height, width = image.shape[2:]
    divided = [to_map(each / each.sum().clamp_min(1e-12)) / len(cells) for each in cells.values()]
    details = {
        "explains": list(cells),
        "cells": [list(each.shape) for each in cells.values()],
        "depends_on_question": depends_on_question,
        "seconds": time.perf_counter() - started,
    }
    return Attribution(upsample_all(divided, height, width), details=details)
