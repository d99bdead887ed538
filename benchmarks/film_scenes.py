"""Films whose cuts, fades and dissolves are known to the frame, to score shot detectors by.

Scenes are pictures, larger than the frame, over which a camera pans, zooms and trembles; an object may move
through them. They follow one another by cuts, dissolves and fades; flashes, which are not cuts, light up
some.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noise import photo_like

Picture = NDArray[np.uint8]  # (H, W, 3)
MARGIN = 1.5  # of a scene's picture, by the frame


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a film is made.

    Attributes:
        scenes: how many
        motion: of the camera, in widths of the frame a second, at most
        noise: standard deviation of the grain, in levels
        flashes: share of scenes that are lit up once
        gradual: share of transitions that are dissolves or fades
        shortest, longest: seconds of a scene
    """

    scenes: int = 12
    height: int = 90
    width: int = 160
    frame_rate: int = 25
    motion: float = 0.15
    noise: float = 2.0
    flashes: float = 0.3
    gradual: float = 0.4
    shortest: float = 1.5
    longest: float = 4.0
    seed: int = 0


@dataclass(frozen=True)
class Change:
    """Where a shot begins: its second, how, and from when to when the transition lasts."""

    second: float
    begins: str
    start: float
    end: float


class Scene:
    """A picture with a camera path over it."""

    def __init__(self, picture: Picture, recipe: Recipe, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.picture, self.recipe = picture, recipe
        self.move = random.uniform(-1, 1, 2) * recipe.motion
        self.zoom = random.uniform(-0.1, 0.1) * min(1.0, recipe.motion * 5)
        self.tremble = random.uniform(0, 0.004) * min(1.0, recipe.motion * 10)
        self.ball = random.uniform(0, 255, 3) if random.random() < 0.5 else None
        self.speed = random.uniform(0.1, 0.4)
        self.seed = seed

    def at(self, second: float) -> NDArray[np.float32]:
        """The frame at a second of the scene: float32 (H, W, 3)."""
        height, width = self.recipe.height, self.recipe.width
        shake = np.random.default_rng([self.seed, round((second + 100) * 1000)]).normal(0, self.tremble, 2)
        scale = 1 + self.zoom * np.tanh(second / 3)
        # Back and forth, so that the camera never leaves the picture.
        offset = [
            (MARGIN - 1) / 2 * np.sin(v * second / ((MARGIN - 1) / 2)) + s
            for v, s in zip(self.move, shake, strict=True)
        ]
        lines, columns = self.picture.shape[:2]
        rows = ((np.arange(height) / height - 0.5) * scale + offset[0]) / MARGIN + 0.5
        cells = ((np.arange(width) / width - 0.5) * scale + offset[1]) / MARGIN + 0.5
        row_index = (rows * lines).astype(int).clip(0, lines - 1)
        column_index = (cells * columns).astype(int).clip(0, columns - 1)
        shown: NDArray[np.float32] = self.picture[row_index][:, column_index].astype(np.float32)
        if self.ball is not None:
            top, left = int(height * 0.4), int((second * self.speed) % 1 * width)
            shown[top : top + height // 4, left : left + width // 6] = self.ball
        return shown


def make(recipe: Recipe, pictures: Sequence[Picture] = ()) -> tuple[Iterator[Picture], list[Change]]:
    """Frames one after the other, and where shots begin. Scenes show `pictures` in turn, or 1/f noise."""
    random = np.random.default_rng(recipe.seed)
    size = (int(recipe.height * MARGIN), int(recipe.width * MARGIN))
    scenes = []
    for number in range(recipe.scenes):
        picture = pictures[number % len(pictures)] if pictures else _noise(size, recipe.seed * 1000 + number)
        scenes.append(Scene(picture, recipe, recipe.seed * 1000 + number))
    plan: list[tuple[str, int]] = []  # how a scene begins, and frames of that transition
    lengths = [round(random.uniform(recipe.shortest, recipe.longest) * recipe.frame_rate) for _ in scenes]
    for number in range(1, recipe.scenes):
        kind = "cut"
        if random.random() < recipe.gradual:
            kind = "dissolve" if random.random() < 0.5 else "fade"
        most = min(lengths[number - 1], lengths[number]) * 0.6 / recipe.frame_rate
        seconds = random.uniform(0.4, max(0.45, min(1.6, most)))
        plan.append((kind, 0 if kind == "cut" else max(4, round(seconds * recipe.frame_rate))))
    starts = np.cumsum([0, *lengths[:-1]])
    changes = []
    for (kind, frames), start in zip(plan, starts[1:], strict=True):
        half = frames / 2 / recipe.frame_rate
        second = start / recipe.frame_rate
        changes.append(Change(second, kind, second - half, second + half))
    flashes = {
        int(start + length // 2)
        for start, length in zip(starts, lengths, strict=True)
        if random.random() < recipe.flashes
    }
    return _frames(recipe, scenes, lengths, starts, plan, flashes), changes


def _frames(
    recipe: Recipe,
    scenes: Sequence[Scene],
    lengths: Sequence[int],
    starts: NDArray[np.int64],
    plan: Sequence[tuple[str, int]],
    flashes: set[int],
) -> Iterator[Picture]:
    random = np.random.default_rng(recipe.seed + 1)
    for frame in range(int(sum(lengths))):
        current = int(np.searchsorted(starts, frame, side="right")) - 1
        shown = scenes[current].at((frame - starts[current]) / recipe.frame_rate)
        for edge, other in ((current, current - 1), (current + 1, current + 1)):
            if not 1 <= edge < len(scenes):
                continue
            kind, frames = plan[edge - 1]
            share = (frame - starts[edge]) / frames + 0.5 if frames else -1.0
            if 0 < share < 1 and kind == "dissolve":
                mixed = scenes[other].at((frame - starts[other]) / recipe.frame_rate)
                weight = share if other < current else 1 - share
                shown = shown * weight + mixed * (1 - weight)
            elif 0 < share < 1 and kind == "fade":
                shown = shown * abs(2 * share - 1)
        if frame in flashes or frame - 1 in flashes:
            shown = shown * 0.3 + 255 * 0.7
        grain = random.normal(0, recipe.noise, shown.shape) if recipe.noise else 0.0
        yield (shown + grain).clip(0, 255).astype(np.uint8)


def _noise(size: tuple[int, int], seed: int) -> Picture:
    """1/f noise with a brightness and a colour of its own, as scenes have them."""
    random = np.random.default_rng(seed)
    tint, gain = random.uniform(-50, 50, 3), random.uniform(0.5, 1.2)
    values = (photo_like(*size, seed).astype(np.float32) - 128) * gain + 128 + tint
    picture: Picture = values.clip(0, 255).astype(np.uint8)
    return picture


def f1(found: Sequence[float], changes: Sequence[Change], tolerance: float = 0.1) -> tuple[int, int, int]:
    """Count (right, wrong, missed): found seconds that lie in a transition, or within a tolerance of it.

    Each transition is found once at most; a second that finds it again is wrong.
    """
    left = list(changes)
    right = 0
    for second in found:
        near = [c for c in left if c.start - tolerance <= second <= c.end + tolerance]
        if near:
            left.remove(min(near, key=lambda c: abs(c.second - second)))
            right += 1
    return right, len(found) - right, len(left)
