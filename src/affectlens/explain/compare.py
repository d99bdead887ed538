"""Which explanation tells most truth about a network, and what it costs: all methods on the same pictures.

Every figure is of one method and one picture; `summarise` gives means and 95 % intervals, percentiles of a
bootstrap over pictures (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13). Methods
see the same resamples, so that differences between two are of pairs.

Beside the methods stand maps that know nothing of the network: `random`, `centre`, which always points to the
middle, where photographers put what matters, and `edges`. A method that is no better than these explains
nothing, however good its map may look.

Letters: M methods, N pictures, R resamples, h x w pixels of the network's input.
"""

import math
import random as chance
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from affectlens.checkpoint import Model
from affectlens.data.records import DataSource, Record, digest
from affectlens.errors import SettingsError
from affectlens.explain.faithfulness import Curves, Losses, Removal, Removing, sensitivity
from affectlens.explain.question import Question, ask
from affectlens.explain.sanity import Planted, plant, points_at, randomised, rank_correlation
from affectlens.explain.subject import Attribution, Method, Subject
from affectlens.explain.trials import BATCH_SIZE, require
from affectlens.images import read_pixels
from affectlens.machine import describe as describe_machine

RANDOM, CENTRE, EDGES = "random", "centre", "edges"
GRADIENT = "gradient"  # the plain one, which a method has to beat as well
LEAST_MOVED = 1.0  # log-odds: a planted patch that moves the answer less is no cause to speak of
_DONORS = 8  # pictures tried as a patch


@dataclass(frozen=True, kw_only=True)
class Comparing:
    """How methods are compared.

    Attributes:
        replacements: each is used for curves of its own
        cells, steps, random_maps: as for `Removing`
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

    def removing(self, replacement: str) -> Removing:
        """Return the options of one pair of curves."""
        return Removing(
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


def open_pictures(subject: Subject, records: Sequence[Record]) -> list[tuple[str, Tensor]]:
    """Read pictures as the network sees them: (key, (1, 3, h, w)) each. Raises `PictureError`."""
    preprocessing = subject.preprocessing
    return [
        (r.key, subject.see(preprocessing.fit_pixels(read_pixels(r.path, at_least=preprocessing.at_least))))
        for r in records
    ]


def compare(
    subject: Subject,
    pictures: Sequence[tuple[str, Tensor]],
    methods: Mapping[str, Method],
    options: Comparing | None = None,
) -> Iterator[Row]:
    """Measure all methods, and maps that know nothing, on all pictures: (name, (1, 3, h, w)) each.

    Yields a row for each method and picture, picture by picture. The question is always why the network
    says what it says: its first emotion, against all others.

    Raises `SettingsError` for a method by the name of a map that knows nothing, and what methods raise.
    """
    import captum.attr  # noqa: F401  # here, lest the seconds it takes count as the first method's

    options = options or Comparing()
    for name in (RANDOM, CENTRE, EDGES):
        if name in methods:
            raise SettingsError(f"{name!r} is what methods are compared with; give the method another name.")
    contenders: dict[str, Method] = {CENTRE: centre, EDGES: edges, **methods}
    unlearnt = randomised(subject, seed=options.seed) if options.checked else None
    for place, (name, image) in enumerate(pictures):
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

    def __init__(self, subject: Subject, image: Tensor, options: Comparing) -> None:
        self.subject, self.image, self.options = subject, image, options
        with torch.no_grad():
            top = int(subject.logits(image).argmax())
        self.question = ask(subject.vocabulary, subject.vocabulary.words[top])
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
        """Curves, infidelity, completeness and seconds of one map."""
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
        self, method: Method, found: Attribution, unlearnt: Subject, planted: Planted | None
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


def centre(subject: Subject, image: Tensor, question: Question) -> Attribution:
    """A map that knows only that what matters is often in the middle."""
    height, width = image.shape[2:]
    rows, columns = (torch.linspace(-1, 1, size) ** 2 for size in (height, width))
    return Attribution(torch.exp(-2 * (rows[:, None] + columns[None])))


def edges(subject: Subject, image: Tensor, question: Question) -> Attribution:
    """A map of how much levels change from pixel to pixel: it has seen the picture, but not the network."""
    grey = F.pad(image.mean(dim=1, keepdim=True).cpu(), (0, 1, 0, 1), mode="replicate")
    down, across = grey.diff(dim=2)[..., :-1], grey.diff(dim=3)[..., :-1, :]
    return Attribution((down**2 + across**2).sqrt()[0, 0])


def _areas(curves: Mapping[str, Curves]) -> dict[str, float]:
    figures = {}
    for replacement, pair in curves.items():
        for kind, curve in zip(Curves._fields, pair, strict=True):
            figures[f"{kind} {replacement}"] = curve.area()
            figures[f"{kind} {replacement} normalised"] = curve.area("normalised")
    better = [figures[f"insertion {name}"] - figures[f"deletion {name}"] for name in curves]
    return {**figures, "faithfulness": sum(better) / len(better)}


def _measured(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if math.isfinite(value)}


# ---------------------------------------------------------------------------------------------- summary


@dataclass(frozen=True)
class Estimate:
    """A mean over pictures, its interval, and of how many pictures it is."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Summary:
    """Figures of all methods, and how they differ.

    Attributes:
        pictures: how many
        methods: estimate by method and figure
        rows: what they are of
    """

    pictures: int
    methods: Mapping[str, Mapping[str, Estimate]]
    rows: tuple[Row, ...] = field(repr=False)
    resamples: int = 2000
    seed: int = 0

    def difference(self, figure: str, method: str, other: str) -> Estimate:
        """Estimate a method's figure less another's, over pictures that have both."""
        first, second = (_column(self.rows, name, figure) for name in (method, other))
        both = [picture for picture in first if picture in second]
        return _estimate([first[p] - second[p] for p in both], self.resamples, self.seed)

    def replacements(self) -> list[str]:
        """Names of what took the place of cells, in order."""
        figures = next(iter(self.methods.values()))
        return [name.removeprefix("deletion ") for name in figures
                if name.startswith("deletion ") and not name.endswith(" normalised")]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return estimates and rows as plain data."""
        return {
            "pictures": self.pictures,
            "resamples": self.resamples,
            "methods": {m: {f: asdict(e) for f, e in figures.items()} for m, figures in self.methods.items()},
            "rows": [row.to_json() for row in self.rows],
        }


def summarise(rows: Sequence[Row], *, resamples: int = 2000, seed: int = 0) -> Summary:
    """Take means and intervals over pictures. Raises `SettingsError` for no rows."""
    if not rows:
        raise SettingsError("There is nothing to summarise: no picture was explained.")
    names = list(dict.fromkeys(row.method for row in rows))
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    methods = {
        method: {
            figure: _estimate(list(column.values()), resamples, seed)
            for figure in figures
            if (column := _column(rows, method, figure))
        }
        for method in names
    }
    pictures = len({row.picture for row in rows})
    return Summary(pictures, MappingProxyType(methods), tuple(rows), resamples, seed)


def describe(
    model: Model,
    source: DataSource,
    split: str,
    rows: Sequence[Row],
    methods: Mapping[str, Method],
    options: Comparing,
) -> dict[str, Any]:
    """Put a comparison and all that it depends on into one document that can be written as JSON."""
    of_methods = {name: asdict(cast(Any, method)) for name, method in methods.items() if is_dataclass(method)}
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe_machine(),
        "model": {"name": model.card.name, "weights": model.card.weights_hash},
        "data": {"name": source.name, "split": split, "hash": digest(source.split(split))},
        "options": asdict(options),
        "options_of_methods": of_methods,
        **summarise(rows).to_json(),
    }


@dataclass(frozen=True)
class Verdict:
    """Which method the figures support.

    Attributes:
        chosen: the quickest of `best` and `equal`; None where no method beats both random and gradient
        best: that beats both, with the greatest faithfulness
        equal: others that beat both and cannot be told from the best: the interval of the difference in
            faithfulness has 0 in it
        behind: that beat both, but are less faithful than the best
        failed: methods, and in which figures they do not beat which of the two
    """

    chosen: str | None
    best: str | None
    equal: tuple[str, ...]
    behind: tuple[str, ...]
    failed: Mapping[str, tuple[str, ...]]


def judge(summary: Summary, *, scale: str = "") -> Verdict:
    """Judge methods by figures whose intervals do not overlap those of random maps and the plain gradient.

    A method has to beat both in deletion and insertion, with every replacement. `scale` is "" for
    probabilities, "normalised" for normalised log-odds.
    """
    controls = [name for name in (RANDOM, GRADIENT) if name in summary.methods]
    failed: dict[str, tuple[str, ...]] = {}
    for name in summary.methods:
        if name not in (RANDOM, CENTRE, EDGES, GRADIENT):
            failed[name] = tuple(_not_beaten(summary, name, controls, scale))
    sound = [name for name, reasons in failed.items() if not reasons]
    if not sound:
        return Verdict(None, None, (), (), failed)
    best = max(sound, key=lambda name: summary.methods[name]["faithfulness"].mean)
    rest = [name for name in sound if name != best]
    equal = tuple(n for n in rest if not summary.difference("faithfulness", best, n).excludes_zero)
    behind = tuple(name for name in rest if name not in equal)
    chosen = min((best, *equal), key=lambda name: summary.methods[name]["seconds"].mean)
    return Verdict(chosen, best, equal, behind, {n: reasons for n, reasons in failed.items() if reasons})


def _not_beaten(summary: Summary, name: str, controls: Sequence[str], scale: str) -> Iterator[str]:
    for control in controls:
        for replacement in summary.replacements():
            deletion, insertion = (f"{kind} {replacement} {scale}".strip() for kind in Curves._fields)
            own, theirs = summary.methods[name], summary.methods[control]
            # What could not be measured is not beaten.
            if deletion not in own or not own[deletion].high < theirs[deletion].low:
                yield f"{deletion} against {control}"
            if insertion not in own or not own[insertion].low > theirs[insertion].high:
                yield f"{insertion} against {control}"


def _column(rows: Sequence[Row], method: str, figure: str) -> dict[str, float]:
    """One figure of one method by picture, of those that have it."""
    return {r.picture: r.figures[figure] for r in rows if r.method == method and figure in r.figures}


def _estimate(values: Sequence[float], resamples: int, seed: int) -> Estimate:
    """Mean and percentiles of resampled means; the same draws whenever as many values come."""
    if not values:
        return Estimate(math.nan, math.nan, math.nan, 0)
    column = torch.tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(column), (resamples, len(column)), generator=generator)
    ends = column[drawn].mean(dim=1).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return Estimate(float(column.mean()), float(ends[0]), float(ends[1]), len(column))
