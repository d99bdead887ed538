"""What changes an answer, measured by perturbing the picture and predicting again.

Nothing here relies on a heat map: a picture is perturbed everywhere (colour, brightness, detail) or in one
region (blurred until only its rough colour is left), goes the way that every picture goes to the network, and
the two answers are compared.

How much is much? The same picture cut by a few percent at one side or another looks the same to people, and
yet the answer changes. The largest such change is taken for noise: a smaller effect is reported as a number,
but never in words.

Letters: H x W pixels of the upright picture, E emotions.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from affectlens.colour import linear_to_srgb, srgb_to_linear
from affectlens.emotions import EmotionDistribution
from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import ExplainedModel, answer_questions
from affectlens.explain.core.heatmap import Heatmap
from affectlens.explain.core.question import AnyQuestion, ImageAnswers, RatingQuestion
from affectlens.images import Pixels, resize

# Top, left, bottom, right, in fractions of a picture's height and width.
Fractions: TypeAlias = NDArray[np.float32]
RegionBox: TypeAlias = tuple[float, float, float, float]
EffectKind = Literal["appearance", "region"]
# Files keep the words that they had from the first.
_KINDS_IN_FILES: Mapping[EffectKind, str] = {"appearance": "look", "region": "place"}

# Log-odds; less is a tenth of the odds, which no one would call an effect. Of a rating of 1 to 9, points.
LEAST_EFFECT = 0.1
SHIFT = 0.05  # of a side, cut away to see how much of an effect is noise
FINE_DETAIL = 1 / 32  # of the shorter side: what is smaller is gone without detail
ROUGH = 1 / 6  # of the shorter side: what is smaller is gone where a region is blurred
SOFT_EDGE = 1 / 40  # of the shorter side: standard deviation of the transition around a blurred region
DIGITS = 4
# Share of a picture: areas that differ by less are the same.
SAME_AREA = 0.02
_AT_ONCE = 16
_WORKING = 4  # times the size that the network needs: larger pictures are shrunk before they are perturbed

_HALF_SIDE = math.sqrt(0.5)  # of a rectangle with half the area of what it lies in
_MARGIN = (1 - _HALF_SIDE) / 2
_THIRDS = ((0.0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.0))


def _regions() -> dict[str, tuple[RegionBox, ...]]:
    """The regions that every picture has, each as boxes that do not overlap."""
    m = _MARGIN
    found: dict[str, tuple[RegionBox, ...]] = {
        INNER: ((m, m, 1 - m, 1 - m),),
        OUTER: ((0, 0, m, 1), (1 - m, 0, 1, 1), (m, 0, 1 - m, m), (m, 1 - m, 1 - m, 1)),
    }
    rows = ("the top third", "the middle row", "the bottom third")
    columns = ("the left third", "the middle column", "the right third")
    for name, (begin, end) in zip(rows, _THIRDS, strict=True):
        found[name] = ((begin, 0, end, 1),)
    for name, (begin, end) in zip(columns, _THIRDS, strict=True):
        found[name] = ((0, begin, 1, end),)
    for row, (top, bottom) in zip(("top", "middle", "bottom"), _THIRDS, strict=True):
        for column, (left, right) in zip(("left", "middle", "right"), _THIRDS, strict=True):
            name = row if row == column else f"{row} {column}"
            found[f"the {name} ninth"] = ((top, left, bottom, right),)
    return found


INNER, OUTER = "the inner half", "the outer half"  # of equal area, so that their effects can be compared
REGIONS: Mapping[str, Sequence[RegionBox]] = MappingProxyType(_regions())


@dataclass(frozen=True, kw_only=True)
class PerturbationEffect:
    """What one perturbation of the picture does to the answer.

    Attributes:
        name: what was done to the picture, or the region that was blurred
        kind: which of the two
        area: share of the picture that was perturbed, in 0..1
        effect: log-odds of the question, or its rating, after the perturbation less before
        emotions: what the perturbed picture evokes
    """

    name: str
    kind: EffectKind
    area: float
    effect: float
    emotions: EmotionDistribution


@dataclass(frozen=True, kw_only=True)
class PictureEffects:
    """What changes the answer for one picture.

    Attributes:
        answer: for the picture as it is: log-odds, or the rating before it is cut off at its scale's ends
        noise: the largest effect, in the unit of the answer, of cutting a few percent off it
        perturbations: with their effects, in the order of `APPEARANCES` and the regions
    """

    question: AnyQuestion
    model: str
    emotions: EmotionDistribution
    answer: float
    noise: float
    perturbations: tuple[PerturbationEffect, ...]

    @property
    def least(self) -> float:
        """The largest effect, in the unit of the answer, that is not reported in words."""
        point = self.question.point if isinstance(self.question, RatingQuestion) else 1.0
        return max(self.noise, LEAST_EFFECT * point)

    def exceeds_noise(self, perturbation: PerturbationEffect) -> bool:
        """Whether an effect is large enough to be reported in words."""
        return abs(perturbation.effect) > self.least

    def beyond_noise(self, kind: EffectKind) -> list[PerturbationEffect]:
        """Perturbations of one kind whose effect exceeds noise, greatest first."""
        found = [each for each in self.perturbations if each.kind == kind and self.exceeds_noise(each)]
        return sorted(found, key=lambda each: -abs(each.effect))

    def control(self, region: PerturbationEffect) -> float | None:
        """Return the mean effect of blurring the other regions of the same area; None where there are none.

        A larger region nearly always has a larger effect, and in a picture that is alike everywhere so has
        any region; only what exceeds its control belongs to what is in the region.
        """
        others = [
            each.effect
            for each in self.perturbations
            if each.kind == "region" and each is not region and abs(each.area - region.area) < SAME_AREA
        ]
        return math.fsum(others) / len(others) if others else None

    def exceeds_control(self, region: PerturbationEffect) -> bool:
        """Whether blurring a region does more than noise, and more by that than others of its area do."""
        beyond = math.copysign(1, region.effect) * (region.effect - (self.control(region) or 0.0))
        return self.exceeds_noise(region) and beyond > self.least

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "question": str(self.question),
            "model": self.model,
            "rating" if isinstance(self.question, RatingQuestion) else "log_odds": round(self.answer, DIGITS),
            "noise": round(self.noise, DIGITS),
            "emotions": _rounded(self.emotions),
            "changes": [
                {
                    "name": each.name,
                    "kind": _KINDS_IN_FILES[each.kind],
                    "area": round(each.area, DIGITS),
                    "effect": round(each.effect, DIGITS),
                    "told": self.exceeds_noise(each),
                    "control": _rounded_or_none(self.control(each)) if each.kind == "region" else None,
                    "emotions": _rounded(each.emotions),
                }
                for each in self.perturbations
            ],
        }


@dataclass(frozen=True, kw_only=True)
class RegionShare:
    """What a region has of a heat map.

    Attributes:
        area: its share of what the network saw
        favour, against: its shares of all that speaks for the answer, and of all that speaks against it
        net: what speaks for the answer in it less what speaks against it, of all that speaks at all: -1..1
    """

    region: str
    area: float
    favour: float
    against: float
    net: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        names = ("area", "favour", "against", "net")
        return {"place": self.region, **{name: round(getattr(self, name), DIGITS) for name in names}}


def measure_effects(
    model: ExplainedModel,
    pixels: Pixels,
    questions: Sequence[AnyQuestion],
    further: Mapping[str, Sequence[RegionBox]] = MappingProxyType({}),
) -> list[PictureEffects]:
    """Measure what changes the answers for a picture, uint8 (H, W, 3), as `read_pixels` gives it.

    Some thirty pictures go through the network, the same for all questions. `further` are regions in addition
    to `REGIONS`, by names that fit into a sentence, as `{"the faces": boxes}` from a detector. Raises
    `SettingsError` for what is not a box.
    """
    regions = {**REGIONS, **further}
    for name, boxes in regions.items():
        _check(name, boxes)
    pixels = _of_working_size(pixels, model)
    fitted = [model.preprocessing.fit_pixels(each) for each in _variants(pixels, regions)]
    parts = [np.stack(fitted[begin : begin + _AT_ONCE]) for begin in range(0, len(fitted), _AT_ONCE)]
    images = (model.preprocessing.normalise(part) for part in parts)
    answers = ImageAnswers.joined([answer_questions(model, each, questions) for each in images])
    return [_effects(model, answers, question, regions) for question in questions]


def divide_by_region(
    heatmap: Heatmap, further: Mapping[str, Sequence[RegionBox]] = MappingProxyType({})
) -> list[RegionShare]:
    """Divide a heat map, smoothed as it is shown, among regions; those that were not seen are left out.

    Raises `SettingsError` for what is not a box.
    """
    values = heatmap.seen()
    top, left, bottom, right = heatmap.view.seen
    found = []
    for name, boxes in {**REGIONS, **further}.items():
        _check(name, boxes)
        mask = _mask(boxes, _middles(values.shape[0], top, bottom), _middles(values.shape[1], left, right))
        sides = (np.maximum(values, 0), np.maximum(-values, 0))
        favour, against = (_share_of(side * mask, side) for side in sides)
        if mask.any():
            net = _share_of(values * mask, np.abs(values))
            area = float(mask.mean())
            found.append(RegionShare(region=name, area=area, favour=favour, against=against, net=net))
    return found


# ----------------------------------------------------------------------------------------- perturbed pictures


def _desaturated(pixels: Pixels) -> Pixels:
    """Every pixel in the grey of its luma (ITU-R BT.601, as Pillow's mode L)."""
    luma = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.repeat(luma.round().astype(np.uint8)[..., None], 3, axis=2)


def _exposed(pixels: Pixels, stops: int) -> Pixels:
    """As if exposed longer (stops above 0) or shorter; light doubles with each stop, in linear sRGB."""
    light = np.minimum(srgb_to_linear(np.arange(256) / 255) * 2.0**stops, 1)
    levels: Pixels = (linear_to_srgb(light) * 255).round().astype(np.uint8)
    return levels[pixels]


def _without_detail(pixels: Pixels, smallest: float) -> Pixels:
    """Blurred until nothing is left that is smaller than this share of the shorter side."""
    height, width, _ = pixels.shape
    cell = max(1.0, smallest * min(height, width))
    small = resize(pixels, max(1, round(height / cell)), max(1, round(width / cell)))
    return resize(small, height, width, "bicubic")


# Names fit into sentences: "without its colours, fear falls ...".
APPEARANCES: Mapping[str, Callable[[Pixels], Pixels]] = MappingProxyType({
    "without its colours": _desaturated,
    "without its fine detail": lambda pixels: _without_detail(pixels, FINE_DETAIL),
    "one stop brighter": lambda pixels: _exposed(pixels, 1),
    "one stop darker": lambda pixels: _exposed(pixels, -1),
})  # fmt: skip


def _of_working_size(pixels: Pixels, model: ExplainedModel) -> Pixels:
    """Shrink what is far larger than the network needs: a scan of 100 megapixels is changed thirty times."""
    height, width, _ = pixels.shape
    least_height, least_width = model.preprocessing.at_least
    shrink = _WORKING * max(least_height / height, least_width / width)
    if shrink >= 1:
        return pixels
    return resize(pixels, max(1, round(height * shrink)), max(1, round(width * shrink)))


def _variants(pixels: Pixels, regions: Mapping[str, Sequence[RegionBox]]) -> Iterator[Pixels]:
    """Yield the picture, cut, changed in appearance, and with each region blurred: (H', W', 3) each."""
    yield pixels
    yield from _cut(pixels)
    for change in APPEARANCES.values():
        yield change(pixels)
    height, width, _ = pixels.shape
    rough = _without_detail(pixels, ROUGH).astype(np.float32)
    soft = SOFT_EDGE * min(height, width)
    rows, columns = _middles(height), _middles(width)
    for boxes in regions.values():
        mask = _mask(boxes, rows, columns, soft / height, soft / width)[..., None]
        yield (rough * mask + pixels * (1 - mask)).round().astype(np.uint8)


def _cut(pixels: Pixels) -> Iterator[Pixels]:
    """Yield the picture less a strip at one side or at two; the way people would not notice."""
    height, width, _ = pixels.shape
    down, across = math.ceil(SHIFT * height), math.ceil(SHIFT * width)
    for top, bottom in ((0, height), (down, height), (0, height - down)):
        for left, right in ((0, width), (across, width), (0, width - across)):
            if (bottom - top, right - left) != (height, width) and bottom > top and right > left:
                yield pixels[top:bottom, left:right]


def _mask(
    boxes: Sequence[RegionBox],
    rows: Fractions,
    columns: Fractions,
    soft_down: float = 0,
    soft_across: float = 0,
) -> Fractions:
    """1 within the boxes and 0 outside, at rows and columns given in fractions: (y,), (x,) -> (y, x)."""
    inside = np.zeros((len(rows), len(columns)), dtype=np.float32)
    for top, left, bottom, right in boxes:
        down = _between(rows, top, bottom, soft_down)
        inside += down[:, None] * _between(columns, left, right, soft_across)
    return np.minimum(inside, 1)


def _between(positions: Fractions, begin: float, end: float, soft: float) -> Fractions:
    """1 between two positions, 0 elsewhere; soft at each that is not a side of the picture. (n,) -> (n,)"""
    if not soft:
        return ((positions >= begin) & (positions < end)).astype(np.float32)
    after_begin = _normal((positions - begin) / soft) if begin > 0 else np.ones_like(positions)
    after_end = _normal((positions - end) / soft) if end < 1 else np.zeros_like(positions)
    return after_begin - after_end


def _normal(positions: Fractions) -> Fractions:
    """The normal distribution's share below each position: (n,) -> (n,)."""
    below = [math.erfc(-each / math.sqrt(2)) / 2 for each in positions.tolist()]
    return np.array(below, dtype=np.float32)


def _middles(count: int, begin: float = 0, end: float = 1) -> Fractions:
    """Where the middles of pixels lie that fill a side from `begin` to `end`."""
    return (begin + (np.arange(count) + 0.5) / count * (end - begin)).astype(np.float32)


def _check(name: str, boxes: Sequence[RegionBox]) -> None:
    for top, left, bottom, right in boxes:
        if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
            raise SettingsError(
                f"{(top, left, bottom, right)} is not a box of {name}; expected top, left, bottom and right "
                "in 0..1, as fractions of the picture's height and width."
            )


# ------------------------------------------------------------------------------------------------- answers


def _effects(
    model: ExplainedModel,
    answered: ImageAnswers,
    question: AnyQuestion,
    regions: Mapping[str, Sequence[RegionBox]],
) -> PictureEffects:
    scores = question.read(answered)
    effects = (scores - scores[0]).tolist()
    answers = [EmotionDistribution(model.vocabulary, tuple(row)) for row in answered.probabilities.tolist()]
    # Before the first perturbation are the picture and what was cut from it.
    first = len(answers) - len(APPEARANCES) - len(regions)
    rows = columns = _middles(200)
    kinds: list[tuple[str, EffectKind, float]] = [(name, "appearance", 1.0) for name in APPEARANCES]
    kinds += [(name, "region", float(_mask(boxes, rows, columns).mean())) for name, boxes in regions.items()]
    return PictureEffects(
        question=question,
        model=model.name,
        emotions=answers[0],
        answer=float(scores[0]),
        noise=max(map(abs, effects[1:first]), default=0.0),
        perturbations=tuple(
            PerturbationEffect(name=name, kind=kind, area=area, effect=effect, emotions=emotions)
            for (name, kind, area), effect, emotions in zip(
                kinds, effects[first:], answers[first:], strict=True
            )
        ),
    )


def _share_of(part: Fractions, whole: Fractions) -> float:
    total = float(whole.sum())
    return float(part.sum()) / total if total else 0.0


def _rounded_or_none(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _rounded(emotions: EmotionDistribution) -> dict[str, float]:
    return {word: round(value, DIGITS) for word, value in emotions.weights.items()}
