"""Which explanation is most faithful to a network, and what it costs: all methods on the same pictures.

Every figure is of one method and one picture; `results.py` summarises them over pictures.

The methods are compared with maps that do not depend on the network: `random`, `centre`, which always points
to the middle, where photographers put what matters, and `edges`. A method that is not better than these
explains nothing, however good its map may seem.

Letters: M methods, N pictures, h x w pixels of the network's input.
"""

import math
import random as chance
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from affectlens.data.records import Record
from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import Attribution, ExplainedModel, Method, network_of
from affectlens.explain.core.perturbations import BATCH_SIZE, require
from affectlens.explain.core.question import AnyQuestion, make_question
from affectlens.explain.faithfulness.curves import PerturbationCurves, Removal, RemovalOptions
from affectlens.explain.faithfulness.infidelity import RectangleLosses, sensitivity
from affectlens.explain.faithfulness.measurements import CENTRE, CONTROLS, EDGES, RANDOM, Measurement
from affectlens.explain.faithfulness.sanity import (
    PlantedPatch,
    plant,
    points_at,
    rank_correlation,
)
from affectlens.images import read_pixels
from affectlens.preprocess import Images

LEAST_MOVED = 1.0  # log-odds: a planted patch that moves the answer less is not a clear cause
_DONORS = 8  # pictures tried as a patch


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """How methods are compared.

    Attributes:
        replacements: each has curves of its own
        cells, steps, random_maps: as for `RemovalOptions`
        rectangles: of infidelity, with the first replacement; 0 leaves it out
        checked: number of pictures, the first ones, on which methods are checked as well: by noise, a planted
            patch and, of a network in torch, shuffled weights. This runs every method five times more
    """

    replacements: tuple[str, ...] = ("blurred", "mean")
    cells: int = 14
    steps: int = 12
    random_maps: int = 4
    rectangles: int = 64
    checked: int = 0
    batch_size: int = BATCH_SIZE
    seed: int = 0

    def __post_init__(self) -> None:
        require("replacements", self.replacements, len(self.replacements) > 0, "at least one")
        require("random_maps", self.random_maps, self.random_maps >= 1, "at least 1")

    def removal(self, replacement: str) -> RemovalOptions:
        """Return the options of one pair of curves."""
        return RemovalOptions(
            cells=self.cells,
            steps=self.steps,
            replacement=replacement,
            random_maps=self.random_maps,
            seed=self.seed,
            batch_size=self.batch_size,
        )


def sample_records(records: Sequence[Record], number: int, seed: int = 0) -> list[Record]:
    """Sample so many records, the same number of each emotion as far as there are any, in turns."""
    by_emotion: dict[str, list[Record]] = {}
    for record in records:
        by_emotion.setdefault(record.target.top, []).append(record)
    source = chance.Random(seed)
    shuffled = [source.sample(group, len(group)) for _, group in sorted(by_emotion.items())]
    longest = max((len(group) for group in shuffled), default=0)
    return [group[turn] for turn in range(longest) for group in shuffled if turn < len(group)][:number]


def open_pictures(model: ExplainedModel, records: Sequence[Record]) -> list[tuple[str, Images]]:
    """Read pictures as inputs of the network: (key, (1, 3, h, w)) each. Raises `PictureError`."""
    fit = model.preprocessing
    return [
        (record.key, fit.normalise(fit.fit_pixels(read_pixels(record.path, at_least=fit.at_least))[None]))
        for record in records
    ]


def compare(
    model: ExplainedModel,
    pictures: Sequence[tuple[str, Images]],
    methods: Mapping[str, Method],
    options: ComparisonOptions | None = None,
    done: Container[str] = (),
) -> Iterator[Measurement]:
    """Measure all methods and controls on all pictures: (name, (1, 3, h, w)) each.

    Yields a measurement for each method and picture, picture by picture, without pictures that are `done`.
    The question is always why the network predicts what it does: its first emotion, against all others.

    Raises `SettingsError` for a method by the name of a control, and what methods raise.
    """
    options = options or ComparisonOptions()
    for name in CONTROLS:
        if name in methods:
            raise SettingsError(f"{name!r} is what methods are compared with; give the method another name.")
    contenders: dict[str, Method] = {CENTRE: centre, EDGES: edges, **methods}
    unlearnt = _unlearnt(model, options.seed) if options.checked else None
    for index, (name, image) in enumerate(pictures):
        if name in done:
            continue
        picture = _MeasuredPicture(model, image, options)
        question = str(picture.question)
        yield Measurement(name, RANDOM, question, picture.random())
        planted = None
        if index < options.checked:
            planted = picture.plant([other for _, other in (*pictures[index + 1 :], *pictures[:index])])
        for title, method in contenders.items():
            attribution = method(model, image, picture.question)
            figures = picture.measure(attribution)
            if index < options.checked:
                figures |= picture.check(method, attribution, unlearnt, planted)
            yield Measurement(name, title, question, _finite(figures))


def _unlearnt(model: ExplainedModel, seed: int) -> ExplainedModel | None:
    """A network with its weights shuffled; None for a model in another engine, whose weights are fixed."""
    if network_of(model) is None:
        return None
    from affectlens.explain.faithfulness.randomised import randomised

    network_model: Any = model
    return randomised(network_model, seed=seed)


class _MeasuredPicture:
    """One picture, on which any number of maps are measured."""

    def __init__(self, model: ExplainedModel, image: Images, options: ComparisonOptions) -> None:
        self.model, self.image, self.options = model, image, options
        top = int(model.predict_images(image).argmax())
        self.question = make_question(model.vocabulary, model.vocabulary.words[top])
        self.removals = {
            name: Removal(model, image, self.question, options.removal(name)) for name in options.replacements
        }
        first = self.removals[options.replacements[0]].perturbations
        self.losses = RectangleLosses(first, rectangles=options.rectangles) if options.rectangles else None

    def random(self) -> dict[str, float]:
        """Mean figures of random maps."""
        curves = {name: removal.random() for name, removal in self.removals.items()}
        each = [
            _areas({name: pairs[index] for name, pairs in curves.items()})
            for index in range(self.options.random_maps)
        ]
        return _finite({name: sum(areas[name] for areas in each) / len(each) for name in each[0]})

    def measure(self, attribution: Attribution) -> dict[str, float]:
        """Curves, infidelity, completeness and seconds of one map."""
        figures = _areas(
            {name: removal.curves(attribution.values) for name, removal in self.removals.items()}
        )
        if self.losses:
            absolute, relative = self.losses.infidelity(attribution.values)
            figures["infidelity"] = relative
            if attribution.sums_up:
                figures["infidelity in log-odds squared"] = absolute
        for name in ("seconds", "completeness_error", "completeness_error_relative"):
            value = attribution.details.get(name)
            if isinstance(value, int | float):
                figures[name.replace("_", " ")] = abs(float(value))
        return figures

    def plant(self, donors: list[Images]) -> PlantedPatch | None:
        """Plant a patch of one of the first donors, if one moves the answer enough."""
        if not donors:
            return None
        planted = plant(self.model, self.image, np.concatenate(donors[:_DONORS]))
        return planted if planted and planted.moved >= LEAST_MOVED else None

    def check(
        self,
        method: Method,
        attribution: Attribution,
        unlearnt: ExplainedModel | None,
        planted: PlantedPatch | None,
    ) -> dict[str, float]:
        """Run a method again on inputs for which its map must, and must not, stay the same."""
        figures = {"sensitivity": sensitivity(method, self.model, self.image, self.question)}
        if unlearnt:
            without = method(unlearnt, self.image, self.question).values
            figures["shuffled weights"] = rank_correlation(attribution.values, without)
        if planted:
            pointing = points_at(method(self.model, planted.image, planted.question).values, planted.box)
            figures |= {"points at the patch": float(pointing.hit), "mass on the patch": pointing.mass}
        return figures


def centre(model: ExplainedModel, image: Images, question: AnyQuestion) -> Attribution:
    """A map of the middle, where what matters often is."""
    height, width = image.shape[2:]
    rows, columns = (np.linspace(-1, 1, size, dtype=np.float32) ** 2 for size in (height, width))
    return Attribution(np.exp(-2 * (rows[:, None] + columns[None])))


def edges(model: ExplainedModel, image: Images, question: AnyQuestion) -> Attribution:
    """A map of how much levels change from pixel to pixel: of the picture, but not of the network."""
    grey = np.pad(image[0].mean(axis=0), (0, 1), mode="edge")
    return Attribution(np.hypot(np.diff(grey, axis=0)[:, :-1], np.diff(grey, axis=1)[:-1]))


def _areas(curves: Mapping[str, PerturbationCurves]) -> dict[str, float]:
    figures = {}
    for replacement, pair in curves.items():
        for kind, curve in zip(PerturbationCurves._fields, pair, strict=True):
            figures[f"{kind} {replacement}"] = curve.area()
            figures[f"{kind} {replacement} normalised"] = curve.area("normalised")
    better = [figures[f"insertion {name}"] - figures[f"deletion {name}"] for name in curves]
    return {**figures, "faithfulness": sum(better) / len(better)}


def _finite(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if math.isfinite(value)}
