"""CAM: where a linear classifier's answer comes from, without loss.

Paper: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016. A network that
    averages its last map and reads it by a linear layer has logits that are sums over the cells of that
    map.

Log-odds are not sums of logits, but a difference of log-odds is one of differences of logits, weighted by
`aumann_shapley.logit_weights`; so the difference between the picture and a baseline is divided among the
cells, and the cells add up to it but for rounding.

What does not pass the last map of a convolutional network is not on the map of its cells. In `pair` that is
the transformer's half of the answer: exactly so, since the mean of log-probabilities is one of logits but for
a number that counts for nothing. That half is spread over the picture by gradient-weighted attention
(`attention`): its amount is exact, its distribution over the picture is not. In MLM it is the contribution of
the Gram branches; it is left out, and `details` has its amount.

Letters: B pictures, E emotions, C channels, h x w pixels of the network's input.
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.explain.core.activations import frozen, merge_views
from affectlens.explain.core.attribution import Attribution
from affectlens.explain.core.aumann_shapley import logit_weights
from affectlens.explain.core.baselines import BaselineOptions
from affectlens.explain.core.differentiable import DifferentiableModel, to_map
from affectlens.explain.core.question import Question
from affectlens.explain.core.upsampling import upsample_all
from affectlens.explain.methods.attention import relevance, transformers
from affectlens.explain.methods.grad_cam import MapLayer, as_cells, captured, last_map, trunks
from affectlens.models import backbones
from affectlens.preprocess import Images

_EXACT = 1e-3  # of the difference that is divided: more than the error of rounding
_SIDE = 224  # of the picture that a network is tested with, unless its configuration has a size


@dataclass(frozen=True, kw_only=True)
class Cam(BaselineOptions):
    """What the answer owes each cell of the last map, in log-odds, compared with a baseline.

    Raises `UnknownName` for an unknown baseline.
    """

    def __call__(self, model: DifferentiableModel, image: Images, question: Question) -> Attribution:
        """Explain one picture, (1, 3, h, w).

        Raises `SettingsError` for a network whose last map is not read linearly.
        """
        started = time.perf_counter()
        height, width = image.shape[2:]
        with frozen(model.network):
            picture, against = model.tensor(image), model.tensor(self.make_baseline(model, image))
            layers = _map_layers(model.network, height, width)
            cells, elsewhere, error = _divide(model, layers, picture, against, question)
        tolerance = _EXACT * max(1.0, abs(elsewhere) + sum(float(each.abs().sum()) for each in cells))
        if abs(error) > tolerance:
            raise SettingsError("This network does not read its last map linearly. Use grad_cam.")
        attention = _attention(model, picture, question, elsewhere)
        # What is elsewhere is divided evenly among the transformers, and where each attends.
        share = elsewhere / max(1, len(attention))
        spread = [each / each.sum().clamp_min(1e-12) * share for each in attention.values()]
        values = upsample_all(map(to_map, [*cells, *spread]), height, width)
        details = {
            "layers": [layer.path for layer in layers],
            "baselines": [self.baseline],
            "on_maps": sum(float(each.sum()) for each in cells),
            "by_attention": elsewhere if attention else 0.0,
            "elsewhere": 0.0 if attention else elsewhere,
            "completeness_error": error,
            "seconds": time.perf_counter() - started,
        }
        sums_up = bool(attention) or abs(elsewhere) <= tolerance
        return Attribution(values, sums_up=sums_up, details=details)


def reads_linearly(network: nn.Module) -> bool:
    """Whether logits, but for a number common to all, are linear in the last maps; tested on noise."""
    if not any(isinstance(module, nn.Conv2d) for module in network.modules()):
        return False
    size = backbones.input_size(network, default=(_SIDE, _SIDE))
    like = next(network.parameters())
    noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(like)
    try:
        with frozen(network), torch.no_grad():
            layers = _map_layers(network, *size)
            with captured(network, layers) as found:
                once = _centred(network(noise))
            zero, twice = (
                _centred(_with(network, noise, {layer: maps * factor for layer, maps in found.items()}))
                for factor in (0, 2)
            )
    except SettingsError:
        return False
    return torch.allclose(twice - once, once - zero, rtol=1e-3, atol=1e-3 * float((once - zero).abs().max()))


def _attention(
    model: DifferentiableModel, image: Tensor, question: Question, elsewhere: float
) -> dict[str, Tensor]:
    """Cells that transformers, if any, attend to for the answer, or against it if `elsewhere` is below 0."""
    if not transformers(model.network):
        return {}
    if elsewhere < 0:
        question = Question(question.vocabulary, favour=question.against, against=question.favour)
    return relevance(model, image, question)


def _map_layers(network: nn.Module, height: int, width: int) -> list[MapLayer]:
    """The last maps of all networks within that are not transformers. Raises `SettingsError` for none."""
    paths = [path for path in trunks(network) if path not in transformers(network)]
    if not paths:
        raise SettingsError("This network has no map that is read linearly. Use gradient_attention.")
    return [last_map(network, path, height, width) for path in paths]


def _divide(
    model: DifferentiableModel, layers: list[MapLayer], image: Tensor, against: Tensor, question: Question
) -> tuple[list[Tensor], float, float]:
    """Cells of each map (rows, columns), what is not on them, and the error of both; in log-odds."""
    with torch.no_grad():
        with captured(model.network, layers) as before:
            begin = model.logits(against)
        weights = logit_weights(question, begin, model.logits(image))
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


def _with(network: nn.Module, image: Tensor, maps: dict[MapLayer, Tensor]) -> Tensor:
    """Logits of an image with other maps instead of its own."""
    with captured(network, list(maps), instead=maps):
        logits: Tensor = network(image)
    return logits


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(dim=1, keepdim=True)
