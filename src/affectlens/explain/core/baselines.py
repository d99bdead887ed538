"""What a picture is compared with: pictures that show nothing, or less.

A map that divides up an answer divides the difference between two answers, and so depends on what the
picture is compared with. Against black, black pixels can never matter; against its blurred self, colour and
rough shape never do. None is right (Sturmfels et al., "Visualizing the Impact of Feature Attribution
Baselines", Distill 2020); averaging over several lessens what each of them cannot see.

Letters: B pictures, h x w pixels of the network's input.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.attribution import ExplainedModel

BLUR = 1 / 16  # standard deviation of the blur, as a share of the shorter side


def black(model: ExplainedModel, image: Tensor, generator: torch.Generator) -> Tensor:
    """Every pixel black."""
    return _normalised(model, torch.zeros_like(image))


def mean(model: ExplainedModel, image: Tensor, generator: torch.Generator) -> Tensor:
    """Every pixel of the mean colour of the pictures that the network learnt from."""
    return torch.zeros_like(image)


def blurred(model: ExplainedModel, image: Tensor, generator: torch.Generator) -> Tensor:
    """The picture itself, of which only colours and rough shapes are left."""
    sigma = BLUR * min(image.shape[2:])
    # Reflected at the border, so not wider than the picture.
    side = 2 * min(round(3 * sigma), min(image.shape[2:]) - 1) + 1
    softened: Tensor = gaussian_blur(image, [side, side], [sigma, sigma])
    return softened


def uniform(model: ExplainedModel, image: Tensor, generator: torch.Generator) -> Tensor:
    """Noise: every level of every pixel equally likely, sampled anew from the generator."""
    noise = torch.rand(image.shape, generator=generator)  # on the CPU, where it is the same everywhere
    return _normalised(model, noise.to(image))


BASELINES: Mapping[str, Callable[[ExplainedModel, Tensor, torch.Generator], Tensor]] = MappingProxyType(
    {"black": black, "mean": mean, "blurred": blurred, "uniform": uniform}
)


@dataclass(frozen=True, kw_only=True)
class BaselineOptions:
    """Options of the methods that compare a picture with one baseline; they inherit them.

    Attributes:
        baseline: a name of `BASELINES`
        seed: of a random baseline

    Raises `UnknownName` for an unknown baseline.
    """

    baseline: str = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        check_names([self.baseline])

    def make_baseline(self, model: ExplainedModel, image: Tensor) -> Tensor:
        """Make the baseline of a picture, (1, 3, h, w) -> (1, 3, h, w), normalised as it is."""
        return baselines(model, image, [self.baseline], self.seed)


def check_names(names: Sequence[str]) -> None:
    """Raise `UnknownName` for an unknown baseline, `SettingsError` where none is named."""
    # A string is a sequence too, of letters.
    if isinstance(names, str):
        raise SettingsError(f"Baselines must be several names, as ({names!r},), not one.")
    for name in names:
        if name not in BASELINES:
            raise UnknownName("baseline", name, BASELINES, "the explanations")
    if not names:
        raise SettingsError(f"At least one baseline is needed. Known: {', '.join(BASELINES)}.")


def baselines(model: ExplainedModel, image: Tensor, names: Sequence[str], seed: int = 0) -> Tensor:
    """Make the baselines of a picture, (1, 3, h, w) -> (number of names, 3, h, w), normalised as it is.

    A name may be repeated: each `uniform` is another noise. Raises as `check_names` does.
    """
    check_names(names)
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([BASELINES[name](model, image, generator) for name in names])


def _normalised(model: ExplainedModel, levels: Tensor) -> Tensor:
    """Levels in 0..1 as the network sees them: what `Preprocessing.normalise` makes of uint8 pixels."""
    mean, std = (
        torch.tensor(values, device=levels.device, dtype=levels.dtype).view(1, 3, 1, 1)
        for values in (model.preprocessing.mean, model.preprocessing.std)
    )
    return (levels - mean) / std
