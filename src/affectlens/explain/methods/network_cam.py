"""CAM of a network in torch (`cam`): any whose last maps are read linearly, transformers by attention.

Letters: B pictures, E emotions, C channels, h x w pixels of the network's input.
"""

import torch
from torch import Tensor

from affectlens.errors import SettingsError
from affectlens.explain.core.differentiable import DifferentiableModel, to_map
from affectlens.explain.core.logit_weights import logit_weights
from affectlens.explain.core.question import Question
from affectlens.explain.methods.attention import relevance
from affectlens.explain.methods.cam import EXACT, DividedAnswer
from affectlens.models.maps import (
    MapLayer,
    as_cells,
    captured,
    frozen,
    linear_layers,
    merge_views,
    transformers,
)
from affectlens.preprocess import Images


def divide(model: DifferentiableModel, image: Images, baseline: Images, question: Question) -> DividedAnswer:
    """Divide the difference of two answers, to (1, 3, h, w) each, among the cells of all last maps.

    Raises `SettingsError` for a network whose last map is not read linearly.
    """
    with frozen(model.network):
        picture, against = model.tensor(image), model.tensor(baseline)
        layers = linear_layers(model.network, *image.shape[2:])
        cells, elsewhere, error = _divide(model, layers, picture, against, question)
    tolerance = EXACT * max(1.0, abs(elsewhere) + sum(float(each.abs().sum()) for each in cells))
    if abs(error) > tolerance:
        raise SettingsError("This network does not read its last map linearly. Use grad_cam.")
    attention = _attention(model, picture, question, elsewhere)
    # What is elsewhere is divided evenly among the transformers, and where each attends.
    share = elsewhere / max(1, len(attention))
    return DividedAnswer(
        cells=tuple(map(to_map, cells)),
        attended=tuple(to_map(each / each.sum().clamp_min(1e-12) * share) for each in attention.values()),
        elsewhere=0.0 if attention else elsewhere,
        layers=tuple(layer.path for layer in layers),
        error=error,
    )


def _attention(
    model: DifferentiableModel, image: Tensor, question: Question, elsewhere: float
) -> dict[str, Tensor]:
    """Cells that transformers, if any, attend to for the answer, or against it if `elsewhere` is below 0."""
    if not transformers(model.network):
        return {}
    if elsewhere < 0:
        question = Question(question.vocabulary, favour=question.against, against=question.favour)
    return relevance(model, image, question)


def _divide(
    model: DifferentiableModel, layers: list[MapLayer], image: Tensor, against: Tensor, question: Question
) -> tuple[list[Tensor], float, float]:
    """Cells of each map (rows, columns), what is not on them, and the error of both; in log-odds."""
    with torch.no_grad():
        with captured(model.network, layers) as before:
            begin = model.logits(against)
        weights = _weights(question, begin, model.logits(image))
    with torch.enable_grad(), captured(model.network, layers) as after:
        answer = model.logits(image)[0] @ weights
        gradients = torch.autograd.grad(answer, [after[layer] for layer in layers])
    with torch.no_grad(), captured(model.network, layers, instead=before):
        elsewhere = float(model.logits(image)[0] @ weights - begin[0] @ weights)
    cells = [
        merge_views(as_cells((after[layer] - before[layer]) * gradient, image).sum(dim=1), len(image))[0]
        for layer, gradient in zip(layers, gradients, strict=True)
    ]
    difference = float(answer.detach() - begin[0] @ weights)
    return cells, elsewhere, sum(float(each.sum()) for each in cells) + elsewhere - difference


def _weights(question: Question, begin: Tensor, end: Tensor) -> Tensor:
    ends = (each[0].double().cpu().numpy() for each in (begin, end))
    return torch.from_numpy(logit_weights(question, *ends)).to(end)
