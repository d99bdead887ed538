"""CAM: where a linear classifier's answer comes from, without loss.

Paper: Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016. A network that
    averages its last map and reads it by a linear layer has logits that are sums over the cells of that
    map.

Log-odds are no sums of logits, but a difference of log-odds is one of differences of logits, weighted as
`shares.logit_weights` says; so the difference between the picture and a baseline is divided among the cells,
and what comes out adds up to it but for rounding.

What does not go through the last map of a convolutional network has no place on it. In `pair` that is the
transformer's half of the answer: exactly so, since the mean of log-probabilities is one of logits but for a
number that counts for nothing. That half is spread over the picture as gradient-weighted attention has it
(`attention`): its amount is exact, its places are not. In MLM it is what the Gram branches say; it is left
out, and `details` tells how much it is.

Letters: B pictures, E emotions, C channels, h x w pixels of the network's input.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.explain.core.activations import frozen
from affectlens.explain.core.attribution import Attribution, ExplainedModel
from affectlens.explain.core.aumann_shapley import logit_weights
from affectlens.explain.core.baselines import baselines, check
from affectlens.explain.core.question import Question
from affectlens.explain.core.upsampling import merge_views, upsample
from affectlens.explain.methods.attention import relevance, transformers
from affectlens.explain.methods.grad_cam import Place, as_cells, caught, last_map, trunks

_EXACT = 1e-3  # of the difference that is divided: more than rounding is off
_SIDE = 224  # of the picture that a network is tried on, unless it says which it takes


@dataclass(frozen=True, kw_only=True)
class Cam:
    """What the answer owes each cell of the last map, in log-odds, compared with a baseline.

    Raises `UnknownName` for a baseline that is none.
    """

    baseline: str = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        check([self.baseline])

    def __call__(self, subject: ExplainedModel, image: Tensor, question: Question) -> Attribution:
        """Explain one picture, (1, 3, h, w).

        Raises `SettingsError` for a network whose last map is not read linearly.
        """
        started = time.perf_counter()
        height, width = image.shape[2:]
        with frozen(subject.network):
            against = baselines(subject, image, [self.baseline], self.seed)
            places = _places(subject.network, height, width)
            cells, beside, error = _divide(subject, places, image, against, question)
        slack = _EXACT * max(1.0, abs(beside) + sum(float(each.abs().sum()) for each in cells))
        if abs(error) > slack:
            raise SettingsError("This network does not read its last map linearly. Use grad_cam.")
        attending = _attending(subject, image, question, beside)
        maps = [upsample(each, height, width) for each in cells]
        maps += [
            upsample(each / each.sum().clamp_min(1e-12), height, width) * (beside / len(attending))
            for each in attending.values()
        ]
        details = {
            "layers": [place.layer for place in places],
            "baselines": [self.baseline],
            "on_maps": sum(float(each.sum()) for each in cells),
            "by_attention": beside if attending else 0.0,
            "elsewhere": 0.0 if attending else beside,
            "completeness_error": error,
            "seconds": time.perf_counter() - started,
        }
        sums_up = bool(attending) or abs(beside) <= slack
        return Attribution(torch.stack(maps).sum(dim=0).cpu(), sums_up=sums_up, details=details)


def reads_linearly(network: nn.Module) -> bool:
    """Whether logits, but for a number common to all, are linear in the last maps; tried out on noise."""
    if not any(isinstance(module, nn.Conv2d) for module in network.modules()):
        return False
    made_for: list[Any] = [getattr(module, "pretrained_cfg", None) for module in network.modules()]
    size = next((about["input_size"][1:] for about in made_for if about), (_SIDE, _SIDE))
    like = next(network.parameters())
    noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(like)
    try:
        with frozen(network), torch.no_grad():
            places = _places(network, *size)
            with caught(network, places) as found:
                once = _centred(network(noise))
            zero, twice = (
                _centred(_with(network, noise, {place: maps * times for place, maps in found.items()}))
                for times in (0, 2)
            )
    except SettingsError:
        return False
    return torch.allclose(twice - once, once - zero, rtol=1e-3, atol=1e-3 * float((once - zero).abs().max()))


def _attending(
    subject: ExplainedModel, image: Tensor, question: Question, beside: float
) -> dict[str, Tensor]:
    """Where the transformers, if any, look for what they say: for the answer, or against it."""
    if not transformers(subject.network):
        return {}
    if beside < 0:
        question = Question(question.vocabulary, favour=question.against, against=question.favour)
    return relevance(subject, image, question)


def _places(network: nn.Module, height: int, width: int) -> list[Place]:
    """The last maps of all networks within that are no transformers. Raises `SettingsError` for none."""
    paths = [path for path in trunks(network) if path not in transformers(network)]
    if not paths:
        raise SettingsError("This network has no map that is read linearly. Use gradient_attention.")
    return [last_map(network, path, height, width) for path in paths]


def _divide(
    subject: ExplainedModel, places: list[Place], image: Tensor, against: Tensor, question: Question
) -> tuple[list[Tensor], float, float]:
    """Cells of each place (rows, columns), what is not on them, and the error of both; in log-odds."""
    with torch.no_grad():
        with caught(subject.network, places) as before:
            begin = subject.logits(against)
        weights = logit_weights(question, begin, subject.logits(image))
    with torch.enable_grad(), caught(subject.network, places) as now:
        answer = subject.logits(image)[0] @ weights
        slopes = torch.autograd.grad(answer, [now[place] for place in places])
    with torch.no_grad(), caught(subject.network, places, instead=before):
        beside = float(subject.logits(image)[0] @ weights - begin[0] @ weights)
    cells = [
        merge_views(as_cells((now[place] - before[place]) * slope, image).sum(dim=1), len(image))[0]
        for place, slope in zip(places, slopes, strict=True)
    ]
    whole = float(answer.detach() - begin[0] @ weights)
    return cells, beside, sum(float(each.sum()) for each in cells) + beside - whole


def _with(network: nn.Module, image: Tensor, maps: dict[Place, Tensor]) -> Tensor:
    with caught(network, list(maps), instead=maps):
        answer: Tensor = network(image)
    return answer


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(dim=1, keepdim=True)
