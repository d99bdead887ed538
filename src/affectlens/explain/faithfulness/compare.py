"""Which explanation tells most truth about a network, and what it costs: all methods on the same pictures.

Every figure is of one method and one picture; `compare_results.py` says what they mean together.

Beside the methods stand maps that know nothing of the network: `random`, `centre`, which always points to the
middle, where photographers put what matters, and `edges`. A method that is no better than these explains
nothing, however good its map may look.

Letters: M methods, N pictures, h x w pixels of the network's input.
"""

import math
import random as chance
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from affectlens.data.records import Record
from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import Attribution, ExplainedModel, Method
from affectlens.explain.core.perturbations import BATCH_SIZE, require
from affectlens.explain.core.question import Question, make_question
from affectlens.explain.faithfulness.curves import (
    Losses,
    PerturbationCurves,
    Removal,
    RemovalOptions,
    sensitivity,
)
from affectlens.explain.faithfulness.sanity import Planted, plant, points_at, randomised, rank_correlation
from affectlens.images import read_pixels

RANDOM, CENTRE, EDGES = "random", "centre", "edges"
CONTROLS = frozenset({RANDOM, CENTRE, EDGES})  # maps that know nothing of the network
LEAST_MOVED = 1.0  # log-odds: a planted patch that moves the answer less is no cause to speak of
_DONORS = 8  # pictures tried as a patch


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """How methods are compared.

    Attributes:
        replacements: each is used for curves of its own
        cells, steps, random_maps: as for `RemovalOptions`
        rectangles: of infidelity, with the first replacement; 0 leaves it out
        checked: number of pictures, the first ones, on which methods are checked as well: by noise, shuffled
            weights and a planted patch. This runs every method five times more
        precision: of the measurements, not of the methods
    """

    replacements: tuple[str, ...] = ("blurred", "mean")
    cells: int = 14
    steps: int = 12
    random_maps: int = 4
    rectangles: int = 64
    checked: int = 0
    batch_size: int = BATCH_SIZE
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        require("replacements", self.replacements, len(self.replacements) > 0, "at least one")
        require("random_maps", self.random_maps, self.random_maps >= 1, "at least 1")

    def removing(self, replacement: str) -> RemovalOptions:
        """Return the options of one pair of curves."""
        return RemovalOptions(
            cells=self.cells,
            steps=self.steps,
            replacement=replacement,
            random_maps=self.random_maps,
            seed=self.seed,
            batch_size=self.batch_size,
            precision=self.precision,
        )


@dataclass(frozen=True)
class Row:
    """What was measured of one method on one picture.

    Attributes:
        figures: by name; what could not be measured is absent. `deletion blurred` is the area under the curve
            of probabilities when cells are replaced by their blurred selves, `deletion blurred normalised`
            that of normalised log-odds; `faithfulness` the mean of insertion less deletion over replacements
    """

    picture: str
    method: str
    question: str
    figures: Mapping[str, float] = field(hash=False)

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain data, figures to six digits."""
        return {**asdict(self), "figures": {name: round(value, 6) for name, value in self.figures.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Row":
        """Read what `to_json` gave."""
        return cls(data["picture"], data["method"], data["question"], data["figures"])


def choose(records: Sequence[Record], number: int, seed: int = 0) -> list[Record]:
    """Draw so many records, the same number of each emotion as far as there are any, in turns."""
    by_emotion: dict[str, list[Record]] = {}
    for record in records:
        by_emotion.setdefault(record.target.top, []).append(record)
    source = chance.Random(seed)
    piles = [source.sample(pile, len(pile)) for _, pile in sorted(by_emotion.items())]
    longest = max((len(pile) for pile in piles), default=0)
    return [pile[turn] for turn in range(longest) for pile in piles if turn < len(pile)][:number]


def open_pictures(subject: ExplainedModel, records: Sequence[Record]) -> list[tuple[str, Tensor]]:
    """Read pictures as the network sees them: (key, (1, 3, h, w)) each. Raises `PictureError`."""
    preprocessing = subject.preprocessing
    return [
        (
            r.key,
            subject.to_input(preprocessing.fit_pixels(read_pixels(r.path, at_least=preprocessing.at_least))),
        )
        for r in records
    ]


def compare(
    subject: ExplainedModel,
    pictures: Sequence[tuple[str, Tensor]],
    methods: Mapping[str, Method],
    options: ComparisonOptions | None = None,
    done: Container[str] = (),
) -> Iterator[Row]:
    """Measure all methods, and maps that know nothing, on all pictures: (name, (1, 3, h, w)) each.

    Yields a row for each method and picture, picture by picture, without pictures that are `done`. The
    question is always why the network says what it says: its first emotion, against all others.

    Raises `SettingsError` for a method by the name of a map that knows nothing, and what methods raise.
    """
    import captum.attr  # noqa: F401  # here, lest the seconds it takes count as the first method's

    options = options or ComparisonOptions()
    for name in CONTROLS:
        if name in methods:
            raise SettingsError(f"{name!r} is what methods are compared with; give the method another name.")
    contenders: dict[str, Method] = {CENTRE: centre, EDGES: edges, **methods}
    unlearnt = randomised(subject, seed=options.seed) if options.checked else None
    for place, (name, image) in enumerate(pictures):
        if name in done:
            continue
        bench = _Bench(subject, image, options)
        yield Row(name, RANDOM, bench.asked, bench.random())
        planted = None
        if unlearnt and place < options.checked:
            planted = bench.plant([other for _, other in (*pictures[place + 1 :], *pictures[:place])])
        for title, method in contenders.items():
            found = method(subject, image, bench.question)
            figures = bench.measure(found)
            if unlearnt and place < options.checked:
                figures |= bench.check(method, found, unlearnt, planted)
            yield Row(name, title, bench.asked, _measured(figures))


class _Bench:
    """One picture, ready for measuring any number of maps of it."""

    def __init__(self, subject: ExplainedModel, image: Tensor, options: ComparisonOptions) -> None:
        self.subject, self.image, self.options = subject, image, options
        with torch.no_grad():
            top = int(subject.logits(image).argmax())
        self.question = make_question(subject.vocabulary, subject.vocabulary.words[top])
        self.asked = str(self.question)
        self.removals = {
            name: Removal(subject, image, self.question, options.removing(name))
            for name in options.replacements
        }
        trials = self.removals[options.replacements[0]].trials
        self.losses = Losses(trials, rectangles=options.rectangles) if options.rectangles else None

    def random(self) -> dict[str, float]:
        """Mean figures of maps drawn by chance."""
        drawn = {name: removal.random() for name, removal in self.removals.items()}
        each = [
            _areas({n: curves[place] for n, curves in drawn.items()})
            for place in range(self.options.random_maps)
        ]
        return _measured({name: sum(areas[name] for areas in each) / len(each) for name in each[0]})

    def measure(self, found: Attribution) -> dict[str, float]:
        """PerturbationCurves, infidelity, completeness and seconds of one map."""
        figures = _areas({name: removal.curves(found.values) for name, removal in self.removals.items()})
        if self.losses:
            absolute, relative = self.losses.infidelity(found.values)
            figures["infidelity"] = relative
            if found.sums_up:
                figures["infidelity in log-odds squared"] = absolute
        for name in ("seconds", "completeness_error", "completeness_error_relative"):
            value = found.details.get(name)
            if isinstance(value, int | float):
                figures[name.replace("_", " ")] = abs(float(value))
        return figures

    def plant(self, donors: list[Tensor]) -> Planted | None:
        """Plant a patch of one of the first donors, if one moves the answer enough."""
        if not donors:
            return None
        planted = plant(self.subject, self.image, torch.cat(donors[:_DONORS]))
        return planted if planted and planted.moved >= LEAST_MOVED else None

    def check(
        self, method: Method, found: Attribution, unlearnt: ExplainedModel, planted: Planted | None
    ) -> dict[str, float]:
        """Run a method again on what it must, and must not, answer alike."""
        without = method(unlearnt, self.image, self.question).values
        figures = {
            "sensitivity": sensitivity(method, self.subject, self.image, self.question),
            "shuffled weights": rank_correlation(found.values, without),
        }
        if planted:
            pointing = points_at(method(self.subject, planted.image, planted.question).values, planted.box)
            figures |= {"points at the patch": float(pointing.hit), "mass on the patch": pointing.mass}
        return figures


def centre(subject: ExplainedModel, image: Tensor, question: Question) -> Attribution:
    """A map that knows only that what matters is often in the middle."""
    height, width = image.shape[2:]
    rows, columns = (torch.linspace(-1, 1, size) ** 2 for size in (height, width))
    return Attribution(torch.exp(-2 * (rows[:, None] + columns[None])))


def edges(subject: ExplainedModel, image: Tensor, question: Question) -> Attribution:
    """A map of how much levels change from pixel to pixel: it has seen the picture, but not the network."""
    grey = F.pad(image.mean(dim=1, keepdim=True).cpu(), (0, 1, 0, 1), mode="replicate")
    down, across = grey.diff(dim=2)[..., :-1], grey.diff(dim=3)[..., :-1, :]
    return Attribution((down**2 + across**2).sqrt()[0, 0])


def _areas(curves: Mapping[str, PerturbationCurves]) -> dict[str, float]:
    figures = {}
    for replacement, pair in curves.items():
        for kind, curve in zip(PerturbationCurves._fields, pair, strict=True):
            figures[f"{kind} {replacement}"] = curve.area()
            figures[f"{kind} {replacement} normalised"] = curve.area("normalised")
    better = [figures[f"insertion {name}"] - figures[f"deletion {name}"] for name in curves]
    return {**figures, "faithfulness": sum(better) / len(better)}


def _measured(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if math.isfinite(value)}
