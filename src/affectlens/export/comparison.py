"""How an exported file's answers differ from those of the model that it was made of, on real pictures.

Letters: B pictures, h x w pixels of the network's input, H x W of a picture, E emotions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from affectlens.data.prefetch import batched, map_ahead
from affectlens.errors import PictureError, SettingsError
from affectlens.export.graph_file import PROBABILITIES
from affectlens.export.quantise import INT8
from affectlens.images import Pixels, read_pixels
from affectlens.inference.engine import CPU_BATCH, Engine
from affectlens.inference.inputs import Input, load_rows, opened, renamed
from affectlens.inference.predictions import Unreadable, require_readable
from affectlens.machine import usable_cores
from affectlens.model_folder import GRAPH_CLASS_MAPS
from affectlens.preprocess import Preprocessing

# How many of the pictures must have the same most likely emotion; rounding by whole numbers of eight bits
# moves more of those that lie between two.
LEAST_SAME, LEAST_SAME_INT8 = 0.995, 0.99


class Exported(Protocol):
    """An exported file, opened by the library that it is for."""

    takes_pixels: bool
    outputs: Sequence[str]

    def run(self, batch: NDArray[Any]) -> Mapping[str, NDArray[np.float32]]:
        """Answer normalised images, float32 (B, 3, h, w), or pixels, uint8 (B, H, W, 3): outputs by name."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What an exported file's answers have in common with the model's.

    Attributes:
        pictures: how many were compared
        same_emotion: the share whose most likely emotion is the same, 0 to 1
        largest, mean: the largest and the mean difference of a probability, 0 to 1
        class_maps: the largest difference of a cell of the class maps, as a share of the largest value; None
            where there are none
        unreadable: pictures that could not be compared
    """

    pictures: int
    same_emotion: float
    largest: float
    mean: float
    class_maps: float | None = None
    unreadable: tuple[PictureError, ...] = field(default=(), repr=False)

    def sentence(self) -> str:
        """Return it in words."""
        maps = "" if self.class_maps is None else f"; of class maps by at most {self.class_maps:.2%}"
        return (
            f"On {self.pictures:,} pictures the most likely emotion is the same for {self.same_emotion:.1%}; "
            f"probabilities differ by {self.mean:.4f} on average and {self.largest:.4f} at most{maps}."
        )

    def require(self, precision: str) -> None:
        """Raise `SettingsError` where fewer pictures have the same emotion than the precision lets expect."""
        least = LEAST_SAME_INT8 if precision == INT8 else LEAST_SAME
        if self.same_emotion < least:
            hint = (
                "Leave the precision at float16 or float32." if precision == INT8 else "Use the model itself."
            )
            raise SettingsError(
                f"The exported file answers otherwise than its model. {self.sentence()} At least "
                f"{least:.1%} are expected to be the same; nothing was written. {hint}"
            )


def compare_answers(
    engine: Engine,
    exported: Exported,
    pictures: Iterable[Input],
    progress: Callable[[int], None] = lambda done: None,
) -> Agreement:
    """Compare an exported file with the model's engine, picture by picture.

    A file that takes pixels gets each picture as it was decoded at full size, as a stranger's program would;
    the model gets it as always. `progress` is called with how many pictures each step compared. Raises
    `DatasetError` where not one picture could be read.
    """
    preprocessing = engine.card.preprocessing
    has_maps = GRAPH_CLASS_MAPS in engine.outputs and GRAPH_CLASS_MAPS in exported.outputs
    found: list[_Differences] = []
    unreadable: list[PictureError] = []

    def readable() -> Iterator[_Picture]:
        with closing(read_ahead_at_full_size(pictures, preprocessing, exported.takes_pixels)) as decoded:
            for each in decoded:
                if isinstance(each, PictureError):
                    unreadable.append(each)
                    progress(1)
                else:
                    yield each

    at_once = 1 if exported.takes_pixels else CPU_BATCH  # pictures of one size alone make a batch
    for batch in batched(readable(), at_once):
        images = preprocessing.normalise(np.stack([each.fitted for each in batch]))
        given = np.stack([each.pixels for each in batch]) if exported.takes_pixels else images
        found.append(_differences(engine, images, exported.run(given), has_maps))
        progress(len(batch))
    require_readable(len(found), [Unreadable(each.path, each) for each in unreadable])
    return _agreement(found, tuple(unreadable))


def read_fitted(pictures: Iterable[Input], preprocessing: Preprocessing) -> Iterator[Pixels | PictureError]:
    """Read pictures ahead as a network takes them, (h, w, 3), or the error of each that cannot be read."""
    with closing(read_ahead_at_full_size(pictures, preprocessing, False)) as decoded:
        for each in decoded:
            yield each if isinstance(each, PictureError) else each.fitted


@dataclass(frozen=True)
class _Picture:
    """A picture as the model's network takes it, (h, w, 3), and as it was decoded, (H, W, 3)."""

    fitted: Pixels
    pixels: Pixels


def read_ahead_at_full_size(pictures: Iterable[Input], preprocessing: Preprocessing, full_size: bool) -> Any:
    """Read pictures in threads; with `full_size` also at full size, else both are what the network takes."""

    def read(given: Any) -> _Picture | PictureError:
        if isinstance(given, PictureError):
            return given
        try:
            source = opened(given)
            fitted = preprocessing.fit_pixels(read_pixels(source, at_least=preprocessing.at_least))
            return _Picture(fitted, read_pixels(source) if full_size else fitted)
        except PictureError as error:
            return renamed(error, given)

    # Of pictures at full size as few as possible wait.
    return map_ahead(read, load_rows(pictures), ahead=usable_cores() + 1 if full_size else 2 * CPU_BATCH)


@dataclass(frozen=True)
class _Differences:
    same: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    class_maps: float | None


def _differences(
    engine: Engine, images: NDArray[np.float32], found: Mapping[str, NDArray[np.float32]], has_maps: bool
) -> _Differences:
    expected = engine.predict_images(images)
    probabilities = found[PROBABILITIES]
    same = expected.argmax(axis=1) == probabilities.argmax(axis=1)
    maps = None
    if has_maps:
        theirs = engine.output(images, GRAPH_CLASS_MAPS)
        maps = float(np.abs(theirs - found[GRAPH_CLASS_MAPS]).max() / max(np.abs(theirs).max(), 1e-12))
    return _Differences(same, np.abs(expected - probabilities), maps)


def _agreement(found: Sequence[_Differences], unreadable: tuple[PictureError, ...]) -> Agreement:
    same = np.concatenate([each.same for each in found])
    differences = np.concatenate([each.probabilities for each in found])
    maps = [each.class_maps for each in found if each.class_maps is not None]
    return Agreement(
        pictures=len(same),
        same_emotion=float(same.mean()),
        largest=float(differences.max()),
        mean=float(differences.mean()),
        class_maps=max(maps) if maps else None,
        unreadable=unreadable,
    )
