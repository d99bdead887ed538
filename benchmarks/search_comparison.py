"""Population based training, random search, ASHA and the recipe's settings, at an equal budget, many times.

    python benchmarks/search_comparison.py features --data csv:FOLDS.tsv@FI --weights FOLDER --out FILE.npz
    python benchmarks/search_comparison.py run --data csv:FOLDS.tsv@FI --features FILE.npz
    python benchmarks/search_comparison.py report

`run` makes the searches that are missing, each of which becomes a row of results/search_comparison.jsonl;
call it again after any interruption. A network that is fine-tuned gives three repeats of six members in half
an hour (tuning.py). Here members are small heads on frozen features, of which a search trains hundreds in
seconds, so that populations may be large and repeats many. `report` writes docs/results/search.md.

What is compared with what is named in `MAIN` and `NEEDS`, and was before the first search was made. So was
the primary measure: the mean of accuracy and balanced accuracy on the outer pictures, by which, on the
validation pictures, each search selects.

search_features.py    features, and the pictures of each seed
search_heads.py       members, trained together
search_methods.py     the methods
search_report.py      results -> the page and its figure
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from affectlens.errors import AffectLensError
from affectlens.machine import describe
from screening import append, read_results
from search_features import PAIRS, SELECTED, Division, Divisions, make_features
from search_heads import BATCH, HIDDEN, initial_heads, recipe, train_epoch
from search_methods import Search, run_search, scores_of, validation_scores

RESULTS = Path(__file__).parent / "results" / "search_comparison.jsonl"
SEEDS = range(len(PAIRS))
EVERY = ("pbt", "random", "asha", "recipe")
POPULATIONS, EPOCHS = (8, 20, 80), 9
LEARNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2)

Result = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What the searches of some rows have in common, and by which methods they are made."""

    name: str
    title: str
    population: int = 20
    epochs: int = EPOCHS
    selected: int = SELECTED
    options: Mapping[str, Any] = field(default_factory=dict)
    methods: Sequence[str] = EVERY

    def search(self, method: str, seed: int, lr: float) -> Search:
        """Return one of its searches, around a recipe with this learning rate."""
        given = {"population": self.population, "epochs": self.epochs, **self.options}
        return Search(method=method, seed=seed, lr=lr, **given)


ONLY_PBT = ("pbt",)
CONDITIONS = (
    *(Condition(name=f"population {n}", title=f"{n} members", population=n) for n in POPULATIONS),
    Condition(name="single", title="one run", population=1, methods=("recipe",)),
    Condition(name="short", title="3 epochs a member", epochs=3),
    Condition(name="interval 3", title="rounds of 3 epochs", options={"interval": 3}, methods=ONLY_PBT),
    Condition(name="copies", title="copies, no perturbation", options={"perturbs": False}, methods=ONLY_PBT),
    Condition(
        name="perturbs", title="perturbation, no copies", options={"copies": False}, methods=ONLY_PBT
    ),
    Condition(
        name="constant", title="constant learning rate", options={"constant": True},
        methods=("pbt", "random", "recipe"),
    ),
    Condition(
        name="class weight", title="class weight searched too", options={"class_weight": True},
        methods=("pbt", "random"),
    ),
    Condition(
        name="validation 100", title="100 validation pictures", selected=100,
        methods=("pbt", "random", "recipe"),
    ),
    Condition(
        name="validation 800", title="800 validation pictures", selected=800,
        methods=("pbt", "random", "recipe"),
    ),
    Condition(name="long", title="27 epochs a member", epochs=27),
)  # fmt: skip

Side = tuple[str, str]  # condition and method


@dataclass(frozen=True)
class Comparison:
    """One side minus the other, seed by seed."""

    one: Side
    other: Side


def _within(condition: str, *pairs: tuple[str, str]) -> Iterator[Comparison]:
    for one, other in pairs:
        yield Comparison((condition, one), (condition, other))


ALL_PAIRS = (("pbt", "random"), ("pbt", "asha"), ("pbt", "recipe"), ("asha", "random"), ("random", "recipe"),
             ("asha", "recipe"))  # fmt: skip
# Each family's intervals are corrected for their number.
MAIN = tuple(each for n in POPULATIONS for each in _within(f"population {n}", *ALL_PAIRS))
USUAL = ("population 20", "pbt")
NEEDS = (
    *(Comparison((f"population {n}", "recipe"), ("single", "recipe")) for n in POPULATIONS),
    *(each for name in ("short", "long") for each in _within(name, *ALL_PAIRS[:3])),
    *(Comparison((name, "pbt"), USUAL) for name in ("interval 3", "copies", "perturbs")),
    *_within("constant", ("pbt", "random"), ("pbt", "recipe")),
    *_within("class weight", ("pbt", "random")),
    Comparison(("class weight", "pbt"), USUAL),
    *_within("validation 100", ("pbt", "random"), ("pbt", "recipe")),
    *_within("validation 800", ("pbt", "random"), ("pbt", "recipe")),
)


def key_of(row: Result) -> tuple[str, str, int]:
    """What a search is, of which there is one row."""
    return row["condition"], row["method"], row["seed"]


def search_row(search: Search, condition: str, division: Division) -> dict[str, Any]:
    """Search once, and measure the winner on the outer pictures."""
    began = time.monotonic()
    found = run_search(search, division)
    assert found.spent == search.budget, "each search spends its budget, no more and no less"
    assert found.winner is not None
    rounded = {name: round(value, 5) for name, value in scores_of(found.winner, division.outer).items()}
    return {
        "kind": "search",
        "condition": condition,
        "method": search.method,
        "seed": search.seed,
        "spent": found.spent,
        "members": found.members,
        "selected_by": round(found.score, 5),
        "outer": rounded,
        "settings": dict(found.values),
        "seconds": round(time.monotonic() - began, 2),
    }


def learning_rate_row(seed: int, division: Division) -> dict[str, Any]:
    """Validation scores of the recipe after its last epoch, by learning rate; the outer part is not read."""
    settings = recipe(EPOCHS, LEARNING_RATES[0])
    base = {name: getattr(settings, name) for name in ("weight_decay", "label_smoothing")}
    values, seeds = [{**base, "lr": lr} for lr in LEARNING_RATES], [seed] * len(LEARNING_RATES)
    heads = initial_heads(division.training.features.shape[1], seeds)
    for epoch in range(EPOCHS):
        train_epoch(heads, division.training, settings, values, seeds, epoch)
    scores = [round(score, 5) for score in validation_scores(heads, division.validation)]
    return {
        "kind": "learning rate",
        "seed": seed,
        "scores": dict(zip(map(str, LEARNING_RATES), scores, strict=True)),
    }


def best_learning_rate(rows: Sequence[Result]) -> float:
    """Return the recipe's: the best on average over the validation parts of all seeds."""
    scores = [row["scores"] for row in rows if row["kind"] == "learning rate"]
    return max(LEARNING_RATES, key=lambda lr: sum(each[str(lr)] for each in scores))


def about(divisions: Divisions) -> dict[str, Any]:
    """What all rows have in common."""
    return {
        "kind": "about",
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "division": divisions.digest,
        "hidden": HIDDEN,
        "batch": BATCH,
    }


def run(given: argparse.Namespace) -> None:
    """Make what is missing, condition by condition."""
    torch.set_num_threads(1)
    rows = read_results(given.results)
    divisions = Divisions(given.data, given.features)
    if not rows:
        append(about(divisions), given.results)
    made: dict[tuple[int, int], Division] = {}

    def division(seed: int, selected: int) -> Division:
        if (seed, selected) not in made:
            made[seed, selected] = divisions.of_seed(seed, selected)
        return made[seed, selected]

    known = {row["seed"] for row in rows if row["kind"] == "learning rate"}
    for seed in (seed for seed in SEEDS if seed not in known):
        append(learning_rate_row(seed, division(seed, SELECTED)), given.results)
    lr = best_learning_rate(read_results(given.results))
    there = {key_of(row) for row in rows if row["kind"] == "search"}
    for condition, method, seed in planned():
        if (condition.name, method, seed) not in there:
            search = condition.search(method, seed, lr)
            row = search_row(search, condition.name, division(seed, condition.selected))
            append(row, given.results)
            print(f"{condition.name}, {method}, seed {seed}: {row['outer']['score']:.4f}", flush=True)


def planned() -> Iterator[tuple[Condition, str, int]]:
    """Every search; all methods of a seed before the next seed."""
    for condition in CONDITIONS:
        for seed in SEEDS:
            for method in condition.methods:
                yield condition, method, seed


def features(given: argparse.Namespace) -> None:
    """Make the features."""
    torch.set_num_threads(1)
    make_features(given.data, given.weights, given.out)


def report(given: argparse.Namespace) -> None:
    """Write the page and its figure."""
    import search_report

    search_report.write(given.out, read_results(given.results))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = made.add_subparsers(required=True)
    one = commands.add_parser("features", help="store frozen features")
    one.set_defaults(do=features)
    one.add_argument("--data", required=True, help="data set with folds, as csv:FOLDS.tsv@PATH")
    one.add_argument("--weights", required=True, help="folder with mobilenetv2_100.safetensors")
    one.add_argument("--out", required=True, type=Path, help="file of the features, .npz")
    one = commands.add_parser("run", help="make the searches")
    one.set_defaults(do=run)
    one.add_argument("--data", required=True, help="as for the features")
    one.add_argument("--features", required=True, type=Path, help="what `features` wrote")
    one.add_argument("--results", type=Path, default=RESULTS)
    one = commands.add_parser("report", help="write the page")
    one.set_defaults(do=report)
    one.add_argument("--out", type=Path, default=RESULTS.parents[2] / "docs" / "results" / "search.md")
    one.add_argument("--results", type=Path, default=RESULTS)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    try:
        given.do(given)
    except AffectLensError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
