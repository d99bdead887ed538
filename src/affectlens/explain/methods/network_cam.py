"""CAM of a network in torch (`cam`): any whose last maps are read linearly, transformers by attention.

A rating is linear in the embedding and in the mean and the standard deviation of each channel over the cells
of some layers' maps (`models.features`). So the difference between the ratings of a picture and of a baseline
is divided among cells without loss, but for what is on no map:

    means         a mean is a sum over cells: what each adds to it
    deviations    s1 - s0 = (s1^2 - s0^2) / (s1 + s0), and squares of deviations are means over cells: what
                  the square of each cell's distance from the mean of its channel adds to it
    embedding     that of a last map which is read linearly, as of emotions. What a
                  transformer keeps in its class token is on no map: its amount is exact, and it is laid out
                  by gradient-weighted attention

A label in percent is the logistic function of such a sum: each part has its share of the difference, as along
the straight path between both sums (Aumann and Shapley, "Values of Non-Atomic Games", 1974).

Cells of a deep layer have seen more of the picture than what lies below them, as those of any CAM.

Letters: B pictures, E emotions, C channels, D and F features, h x w pixels of the network's input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.explain.core.differentiable import DifferentiableModel, to_map
from affectlens.explain.core.logit_weights import logit_weights
from affectlens.explain.core.question import AnyQuestion, Question, RatingQuestion
from affectlens.explain.methods.attention import relevance
from affectlens.explain.methods.cam import EXACT, DividedAnswer, laid_out
from affectlens.metrics import Doubles
from affectlens.models.features import SMALLEST_VARIANCE, FeatureNetwork
from affectlens.models.map_readers import MapReader, find_readers, read_maps
from affectlens.models.maps import (
    Keeping,
    MapLayer,
    as_cells,
    captured,
    frozen,
    linear_layers,
    merge_views,
    transformers,
)
from affectlens.preprocess import Images
from affectlens.ratings import percent

_READERS: WeakKeyDictionary[nn.Module, dict[tuple[int, int], tuple[MapReader, ...]]] = WeakKeyDictionary()
_SAME = 1e-3  # log-odds that differ by less are taken for the same


def divide(model: DifferentiableModel, image: Images, baseline: Images, question: Question) -> DividedAnswer:
    """Divide the difference of two answers, to (1, 3, h, w) each, among the cells of all last maps.

    Raises `SettingsError` for a network whose last map is not read linearly.
    """
    with frozen(model.network):
        picture, against = model.tensor(image), model.tensor(baseline)
        layers = linear_layers(model.network, *image.shape[2:])
        cells, elsewhere, error, weights = _divide(model, layers, picture, against, question)
    tolerance = EXACT * max(1.0, abs(elsewhere) + sum(float(each.abs().sum()) for each in cells))
    if abs(error) > tolerance:
        raise SettingsError("This network does not read its last map linearly. Use grad_cam.")
    paths = [layer.path for layer in layers]
    gradients = _gradient_maps(model, picture)
    if gradients is not None:
        others = laid_out(elsewhere, weights, gradients)
        return DividedAnswer(
            cells=tuple(map(to_map, cells)), by_gradient=(others,), layers=tuple(paths), error=error
        )
    return _divided(cells, elsewhere, _attention(model, picture, question, elsewhere), paths, error)


def _gradient_maps(model: DifferentiableModel, image: Tensor) -> Doubles | None:
    """What cells add to calibrated logits in branches that are not linear: (E, h, w); None if not known."""
    readers = _readers_of(model.network, (image.shape[2], image.shape[3]))
    if not readers:
        return None
    keeping = [Keeping(model.network, reader.captured) for reader in readers]
    try:
        with frozen(model.network), torch.no_grad():
            model.network(image)
            maps = read_maps(model.network, readers, keeping, image) / model.temperature
    finally:
        for kept in keeping:
            kept.remove()
    found: Doubles = maps[0].double().cpu().numpy()
    return found


def _readers_of(network: nn.Module, size: tuple[int, int]) -> tuple[MapReader, ...]:
    """Find them once for each network: that takes longer than an explanation."""
    if size not in _READERS.setdefault(network, {}):
        _READERS[network][size] = find_readers(network, *size) or ()
    return _READERS[network][size]


def _divided(
    cells: Sequence[Tensor],
    elsewhere: float,
    attention: Mapping[str, Tensor],
    layers: Sequence[str],
    error: float,
) -> DividedAnswer:
    """Divide what is elsewhere evenly among the transformers, and where each attends."""
    share = elsewhere / max(1, len(attention))
    return DividedAnswer(
        cells=tuple(map(to_map, cells)),
        by_gradient=tuple(to_map(each / each.sum().clamp_min(1e-12) * share) for each in attention.values()),
        elsewhere=0.0 if attention else elsewhere,
        layers=tuple(layers),
        error=error,
    )


def _attention(
    model: DifferentiableModel, image: Tensor, question: AnyQuestion, elsewhere: float
) -> dict[str, Tensor]:
    """Cells that transformers, if any, attend to for the answer, or against it if `elsewhere` is below 0."""
    if not transformers(model.network):
        return {}
    return relevance(model, image, question, sign=1.0 if elsewhere >= 0 else -1.0)


def _divide(
    model: DifferentiableModel, layers: list[MapLayer], image: Tensor, against: Tensor, question: Question
) -> tuple[list[Tensor], float, float, Doubles]:
    """Cells of each map (rows, columns), what is not on them, and the error of both, in log-odds; and the
    weights of the logits, (E,).
    """
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
    error = sum(float(each.sum()) for each in cells) + elsewhere - difference
    return cells, elsewhere, error, weights.double().cpu().numpy()


def _weights(question: Question, begin: Tensor, end: Tensor) -> Tensor:
    ends = (each[0].double().cpu().numpy() for each in (begin, end))
    return torch.from_numpy(logit_weights(question, *ends)).to(end)


# ------------------------------------------------------------------------------------------------- ratings


class _Read(NamedTuple):
    """What a rating is read of, for one image: maps by their layers, and the embedding (1, D)."""

    maps: dict[MapLayer, Tensor]
    embedding: Tensor


def divide_rating(
    model: DifferentiableModel, image: Images, baseline: Images, question: RatingQuestion
) -> DividedAnswer:
    """Divide the difference of two ratings, of (1, 3, h, w) each, among cells; in points of the scale.

    Raises `SettingsError` for a rating that is not linear in maps and embedding, for a network whose last
    map is not read linearly, and for one that averages a picture with its mirror image.
    """
    with frozen(model.network):
        picture, against = model.tensor(image), model.tensor(baseline)
        last = linear_layers(model.network, *image.shape[2:])
        cells, elsewhere = _cells_of_rating(model, last, picture, against, question)
        begin, end = (_before_percent(model, each, question.index) for each in (baseline, image))
    error = sum(float(each.sum()) for each in cells) + elsewhere - (end - begin)
    if abs(error) > EXACT * max(1.0, abs(elsewhere) + sum(float(each.abs().sum()) for each in cells)):
        raise SettingsError(
            f"{question.name} of {model.name} is not linear in the maps that it is read of, so cam cannot "
            "divide it. Use occlusion or grad_cam."
        )
    if model.head is not None and model.head.is_percent(question.index):
        factor = _percents_each(begin, end)
        cells, elsewhere, error = [factor * each for each in cells], factor * elsewhere, factor * error
    attention = _attention(model, picture, question, elsewhere)
    layers = [*(each.path for each in last), *model.feature_layers]
    return _divided(cells, elsewhere, attention, layers, error)


def _before_percent(model: DifferentiableModel, image: Images, index: int) -> float:
    """A rating of one image; of a label in percent, the log-odds that are read."""
    if model.head is not None and model.head.is_percent(index):
        model = replace(model, head=replace(model.head, percents=None))
    return float(model.answer_images(image).ratings[0, index])


def _percents_each(begin: float, end: float) -> float:
    """Percents for each unit of log-odds between two of them."""
    if abs(end - begin) < _SAME:
        begin, end = begin - _SAME, begin + _SAME
    first, last = percent(np.array([begin, end])).tolist()
    return float((last - first) / (end - begin))


def _cells_of_rating(
    model: DifferentiableModel,
    last: Sequence[MapLayer],
    image: Tensor,
    against: Tensor,
    question: RatingQuestion,
) -> tuple[list[Tensor], float]:
    """Cells of the last maps and of the pooled layers, (rows, columns) each, and what is on no map."""
    assert model.head is not None, "a question about a rating has a model that reads it"
    weights = torch.from_numpy(model.head.weights[question.index]).to(image)  # (F,)
    pooled = [MapLayer(path) for path in model.feature_layers]
    before, after = (_read_of(model, [*last, *pooled], each) for each in (against, image))
    width = before.embedding.shape[1]
    own, rest = weights[:width], weights[width:]
    if len(before.embedding) != 1:
        raise SettingsError("This network averages a picture with its mirror image. Use occlusion.")
    with torch.enable_grad(), captured(model.network, last) as maps:
        answer = (_embedding(model, image) @ own).sum()
        gradients = torch.autograd.grad(answer, [maps[layer] for layer in last])
    with torch.no_grad(), captured(model.network, last, instead=before.maps):
        elsewhere = float((_embedding(model, image) - before.embedding)[0] @ own)
    found = [
        as_cells((after.maps[layer] - before.maps[layer]) * gradient, image).sum(dim=1)[0]
        for layer, gradient in zip(last, gradients, strict=True)
    ]
    for layer in pooled:
        ends = [as_cells(each.maps[layer], image)[0] for each in (before, after)]
        count = 2 * len(ends[0])
        found.append(_of_pooled(rest[:count], *ends))
        rest = rest[count:]
    return found, elsewhere


def _read_of(model: DifferentiableModel, layers: Sequence[MapLayer], image: Tensor) -> _Read:
    with torch.no_grad(), captured(model.network, list(dict.fromkeys(layers))) as maps:
        return _Read(maps, _embedding(model, image))


def _embedding(model: DifferentiableModel, image: Tensor) -> Tensor:
    """What enters the last linear layers: (1, 3, h, w) -> (1, D)."""
    reader = FeatureNetwork(model.network, model.readers)
    try:
        embedding: Tensor = reader(image).embedding
        return embedding.float()
    finally:
        reader.remove_hooks()


def _of_pooled(weights: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """What each cell adds to weighted means and deviations: weights (2 C,), maps (C, rows, columns) twice."""
    of_means, of_deviations = (each[:, None, None] for each in weights.chunk(2))
    first, second = ((maps - maps.mean(dim=(1, 2), keepdim=True)).square() for maps in (before, after))
    deviations = [
        (each.mean(dim=(1, 2), keepdim=True) + SMALLEST_VARIANCE).sqrt() for each in (first, second)
    ]
    spread = of_deviations * (second - first) / (deviations[0] + deviations[1])
    return (of_means * (after - before) + spread).sum(dim=0) / before[0].numel()
