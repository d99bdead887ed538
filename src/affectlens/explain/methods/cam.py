"""CAM: where a linear classifier's answer comes from, without loss.

Paper: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016. A network that
    averages its last map and reads it by a linear layer has logits that are sums over the cells of that
    map.

Log-odds are not sums of logits, but a difference of log-odds is one of differences of logits, weighted by
`core.logit_weights`; so the difference between the picture and a baseline is divided among the
cells, and the cells add up to it but for rounding.

What does not pass the last map of a convolutional network is not on the map of its cells. In `pair` and
`ensemble` that is what other branches contribute: exactly so, since the mean of log-probabilities is one of
logits but for a number that counts for nothing. Their contribution is spread over the picture by what they
read of each cell at first order (`models.map_readers`: a class token of each patch in its last attention, a
perceptron of maps of several depths), as far as that has the contribution's sign: its amount is exact, its
distribution over the picture is not. In MLM it is the contribution of the Gram branches; it is
left out, and `details` has its amount.

Ratings are read of earlier layers as well, so that of a rating the maps of these are divided, too
(`network_cam.divide_rating`): of a network in torch alone, for a graph does not return them.

Letters: B pictures, E emotions, C channels, h x w pixels of the network's input.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import Attribution, ExplainedModel, HasClassMaps, Map, network_of
from affectlens.explain.core.baselines import BaselineOptions
from affectlens.explain.core.logit_weights import logit_weights
from affectlens.explain.core.question import AnyQuestion, RatingQuestion
from affectlens.explain.core.upsampling import upsample_all
from affectlens.metrics import Doubles
from affectlens.preprocess import Images

EXACT = 1e-3  # of the difference that is divided: more than the error of rounding


@dataclass(frozen=True, kw_only=True)
class DividedAnswer:
    """The difference of two answers, divided; in the unit of the question.

    Attributes:
        cells: of each map that is read linearly, (rows, columns)
        by_gradient: of branches that are not linear, where their contribution is laid out by gradients
        elsewhere: what is on none of these
        layers: paths of the maps' layers, where they are known
        error: by which the sum of all is off the difference
    """

    cells: tuple[Map, ...]
    by_gradient: tuple[Map, ...] = ()
    elsewhere: float = 0.0
    layers: tuple[str, ...] = ()
    error: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Cam(BaselineOptions):
    """What the answer owes each cell of the last map, in log-odds, compared with a baseline; what a rating
    owes those of all maps that it is read of, in points.

    Raises `UnknownName` for an unknown baseline.
    """

    def __call__(self, model: ExplainedModel, image: Images, question: AnyQuestion) -> Attribution:
        """Explain one picture, (1, 3, h, w).

        Raises `SettingsError` for a network whose last map is not read linearly, for a graph without class
        maps, and for a question about a rating unless the model is a network in torch.
        """
        started = time.perf_counter()
        found = _divided(model, image, self.make_baseline(model, image), question)
        on_maps, by_gradient = (
            sum(float(each.sum()) for each in cells) for cells in (found.cells, found.by_gradient)
        )
        size = (
            sum(float(np.abs(each).sum()) for each in found.cells) + abs(by_gradient) + abs(found.elsewhere)
        )
        details = {
            "layers": list(found.layers),
            "baselines": [self.baseline],
            "on_maps": on_maps,
            "by_gradient": by_gradient,
            "elsewhere": found.elsewhere,
            "completeness_error": found.error,
            "seconds": time.perf_counter() - started,
        }
        values = upsample_all([*found.cells, *found.by_gradient], *image.shape[2:])
        sums_up = abs(found.elsewhere) <= EXACT * max(1.0, size)
        return Attribution(values, sums_up=sums_up, details=details)


def suits(model: ExplainedModel) -> bool:
    """Whether a model's graph has class maps, or its network reads its last maps linearly."""
    network = network_of(model)
    if network is None:
        return isinstance(model, HasClassMaps) and model.has_class_maps
    from affectlens.models.maps import reads_linearly

    return reads_linearly(network)


def suits_ratings(model: ExplainedModel) -> bool:
    """Whether a model is a network in torch, whose maps are at hand, that reads its last maps linearly."""
    return network_of(model) is not None and suits(model)


def _divided(model: ExplainedModel, image: Images, baseline: Images, question: AnyQuestion) -> DividedAnswer:
    if network_of(model) is not None:
        from affectlens.explain.methods import network_cam

        network_model: Any = model
        if isinstance(question, RatingQuestion):
            return network_cam.divide_rating(network_model, image, baseline, question)
        return network_cam.divide(network_model, image, baseline, question)
    if isinstance(question, RatingQuestion):
        raise SettingsError(
            f"The graph of {model.name} does not return the maps that {question.name} is read of. Use "
            "occlusion or rise, or the network in torch."
        )
    if not isinstance(model, HasClassMaps) or not model.has_class_maps:
        raise SettingsError("This model's graph has no class maps. Use rise, or the network in torch.")
    logits, maps, gradients = model.class_maps(np.concatenate([baseline, image]))
    before, after = logits.astype(np.float64)
    weights = logit_weights(question, before, after)
    cells = np.tensordot(weights, (maps[1] - maps[0]).astype(np.float64), axes=1)
    elsewhere = float(weights @ (after - before) - cells.sum())
    if gradients is None:
        return DividedAnswer(cells=(cells.astype(np.float32),), elsewhere=elsewhere)
    others = laid_out(elsewhere, weights, gradients[1].astype(np.float64))
    return DividedAnswer(cells=(cells.astype(np.float32),), by_gradient=(others,))


def laid_out(amount: float, weights: Doubles, gradients: Doubles) -> Map:
    """Lay an amount of the question out over cells: (E,), (E, rows, columns) -> (rows, columns).

    By what each adds at first order to the question, or takes from it where the amount is below 0.
    """
    speaks = np.maximum(np.sign(amount) * np.tensordot(weights, gradients, axes=1), 0)
    found: Map = (speaks / max(speaks.sum(), 1e-12) * amount).astype(np.float32)
    return found
