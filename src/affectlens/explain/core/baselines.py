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

import numpy as np
from numpy.typing import NDArray

from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.attribution import ExplainedModel
from affectlens.preprocess import Images

BLUR = 1 / 16  # standard deviation of the blur, as a share of the shorter side


def black(model: ExplainedModel, image: Images, generator: np.random.Generator) -> Images:
    """Every pixel black."""
    return _normalised(model, np.zeros_like(image))


def mean(model: ExplainedModel, image: Images, generator: np.random.Generator) -> Images:
    """Every pixel of the mean colour of the pictures that the network learnt from."""
    return np.zeros_like(image)


def blurred(model: ExplainedModel, image: Images, generator: np.random.Generator) -> Images:
    """The picture itself, of which only colours and rough shapes are left."""
    height, width = image.shape[2:]
    sigma = BLUR * min(height, width)
    # Reflected at the border, so not wider than the picture.
    reach = min(round(3 * sigma), min(height, width) - 1)
    rows, columns = (_blur_of_a_line(side, sigma, reach) for side in (height, width))
    return np.asarray(rows @ image @ columns.T, dtype=np.float32)


def uniform(model: ExplainedModel, image: Images, generator: np.random.Generator) -> Images:
    """Noise: every level of every pixel equally likely, sampled anew from the generator."""
    return _normalised(model, generator.random(image.shape, dtype=np.float32))


BASELINES: Mapping[str, Callable[[ExplainedModel, Images, np.random.Generator], Images]] = MappingProxyType(
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

    def make_baseline(self, model: ExplainedModel, image: Images) -> Images:
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


def baselines(model: ExplainedModel, image: Images, names: Sequence[str], seed: int = 0) -> Images:
    """Make the baselines of a picture, (1, 3, h, w) -> (number of names, 3, h, w), normalised as it is.

    A name may be repeated: each `uniform` is another noise. Raises as `check_names` does.
    """
    check_names(names)
    generator = np.random.default_rng(seed)
    return np.concatenate([BASELINES[name](model, image, generator) for name in names])


def _blur_of_a_line(side: int, sigma: float, reach: int) -> NDArray[np.float32]:
    """Gaussian blur of a line of pixels, reflected at its ends without repeating them: (side, side)."""
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    source = np.abs(np.arange(side)[:, None] + offsets)
    source = np.where(source >= side, 2 * (side - 1) - source, source)
    matrix = np.zeros((side, side))
    np.add.at(matrix, (np.arange(side)[:, None], source), weights)
    return matrix.astype(np.float32)


def _normalised(model: ExplainedModel, levels: Images) -> Images:
    """Levels in 0..1 as the network sees them: what `Preprocessing.normalise` makes of uint8 pixels."""
    mean, std = (
        np.array(values, np.float32).reshape(3, 1, 1)
        for values in (model.preprocessing.mean, model.preprocessing.std)
    )
    return np.asarray((levels - mean) / std, dtype=np.float32)
