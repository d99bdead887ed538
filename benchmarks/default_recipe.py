"""Make a candidate for the default model from FI, by the plan of default_recipe.toml.

    python benchmarks/default_recipe.py --fi PATH --weights FOLDER --out FOLDER

Start it again after any interruption: what is there is not made again, and a training run goes on. In FOLDER:

    folds.tsv                   five folds, and `test`, a tenth of FI that nothing learns from or is chosen on
    data.tsv                    the same for training: `val`, a fourth of fold 1, only fits temperatures
    features.npz, teacher.csv   where members are taught: frozen networks' features; answers of classifiers
                                that did not see the picture
    levels.npz                  features of the frozen member (frozen_levels.py)
    MEMBER                      a run for each member of the plan, with its model
    model                       all as one, with its scores on `test`

`--plan default_recipe_taught.toml` makes a candidate that did not become the default model, whose members
also learn from frozen networks' answers; `default_recipe_large.toml` is that for a GPU and networks some
hundred times larger.
"""

import argparse
import csv
import os
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
from torch import nn

import frozen_levels
from affectlens.cli.main import main as affectlens
from affectlens.data.catalog import open_data
from affectlens.data.records import ALL, FOLD, DataSource, Record
from affectlens.evaluation.calibration import fit_temperature
from affectlens.evaluation.scores import Scores, score
from affectlens.evaluation.tables import markdown
from affectlens.files import atomic_write
from affectlens.inference.labelled import predict_labelled
from affectlens.inference.labelled_batches import EvaluationSet, evaluation_batches, file_reader
from affectlens.inference.predictions import Predictions
from affectlens.library.licences import licences
from affectlens.library.text import limits
from affectlens.machine import keep_freed_memory, pick_device
from affectlens.metrics import softmax
from affectlens.models import saved
from affectlens.models.join import join, joined_readme
from affectlens.preprocess import Preprocessing
from affectlens.training.finish import IN_USE
from affectlens.training.run_folder import MODEL, SETTINGS
from frozen_heads import PERCEPTRONS, SIDE, Stored, features_of, folds_of, out_of_fold, write_features
from frozen_levels import data_facts

PLAN = Path(__file__).with_name("default_recipe.toml")
FOLDS, TEST_SHARE = 5, 0.1
QUARTERS = 4  # of fold 1, of which the first is `val`
FROZEN_LEVELS, LEVELS, TEACHER = "frozen_levels", "levels.npz", "teacher.csv"
COMMAND = "python benchmarks/default_recipe.py --fi PATH --weights FOLDER --out FOLDER"


Stage: TypeAlias = tuple[str, Callable[[Path], None]]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the models that are joined: a recipe, or a network, and settings on top of it.

    The recipe `frozen_levels` is that of the script of this name, and has no settings.
    """

    recipe: str
    set: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained, in the order of joining, and by which networks' frozen maps it is taught, if any."""

    members: Mapping[str, Member]
    frozen: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path = PLAN) -> "Plan":
        """Read a plan from TOML."""
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), cls)


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Where things are.

    Attributes:
        fi: the data set, which need not be FI: a specification as `fi:PATH`
        weights: as in `training.settings`
        out: folder of all that is made
    """

    fi: str
    weights: str
    out: Path

    @property
    def root(self) -> Path:
        return open_data(self.fi).root

    def table(self, name: str) -> DataSource:
        """Read the data set as a table in `out` divides it."""
        return open_data(self.spec(name))

    def spec(self, name: str) -> str:
        return f"csv:{self.out / name}@{self.root}"


def make(plan: Plan, paths: Paths, name: str = "default") -> Path:
    """Go through all stages that are not done, and return the folder of the model."""
    paths.out.mkdir(parents=True, exist_ok=True)
    for what, stage in stages(plan, paths, name):
        out = paths.out / what
        if not out.exists():
            began = time.monotonic()
            stage(out)
            print(f"{what}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    return paths.out / MODEL


def stages(plan: Plan, paths: Paths, name: str) -> Sequence[Stage]:
    """What is made, in this order: its name in the folder, and what makes it there."""
    return (
        ("folds.tsv", lambda out: _divide(paths.fi, out, "--test", str(TEST_SHARE), folds=FOLDS)),
        ("data.tsv", lambda out: _set_validation_apart(paths, out)),
        *(_teaching(plan, paths) if plan.frozen else ()),
        *(stage for run, member in plan.members.items() for stage in _training(plan, run, member, paths)),
        (MODEL, lambda out: _join(plan, paths, out, name)),
    )


def _teaching(plan: Plan, paths: Paths) -> Sequence[Stage]:
    return (
        ("features.npz", lambda out: _write_features(plan, paths, out)),
        (TEACHER, lambda out: _teach(paths, out)),
    )


def _training(plan: Plan, run: str, member: Member, paths: Paths) -> Sequence[Stage]:
    if member.recipe != FROZEN_LEVELS:
        return ((f"{run}/{MODEL}", lambda out: _train(member, paths, out, taught=bool(plan.frozen))),)
    return (
        (LEVELS, lambda out: _write_levels(paths, out)),
        (f"{run}/{MODEL}", lambda out: _fit_levels(paths, out)),
    )


def _write_levels(paths: Paths, out: Path) -> None:
    records = paths.table("folds.tsv").split(ALL)
    frozen_levels.write_features(records, {}, paths.weights, out, os.cpu_count() or 1)


def _fit_levels(paths: Paths, out: Path) -> None:
    frozen_levels.fit(paths.out / LEVELS, paths.table("data.tsv"), paths.weights, out)


def _affectlens(*words: str) -> None:
    """Run a command; one that fails ends this program with its message and its status."""
    try:
        affectlens(words)
    except SystemExit as ended:
        if ended.code:
            raise


def _divide(spec: str, out: Path, *options: str, folds: int) -> None:
    _affectlens("data", "split", spec, "--out", str(out), "--folds", str(folds), *options)


def _set_validation_apart(paths: Paths, out: Path) -> None:
    """Divide fold 1 further; near-duplicates stay together in this too."""
    source = paths.table("folds.tsv")
    first, quarters = paths.out / "fold1.tsv", paths.out / "quarters.tsv"
    parts: dict[str, list[Record]] = {"train": [], "val": [], "test": []}
    _write_table(first, {"train": source.split("fold 1")})
    if not quarters.exists():
        _divide(paths.spec(first.name), quarters, folds=QUARTERS)
    held = {record.key for record in paths.table(quarters.name).split("fold 1")}
    for name, part in source.splits.items():
        for record in part:
            split = "val" if record.key in held else "train" if FOLD.fullmatch(name) else "test"
            parts[split].append(record)
    _write_table(out, parts)


def _write_table(out: Path, parts: Mapping[str, Sequence[Record]]) -> None:
    with atomic_write(out, "w") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["path", "label", "split"])
        for name, part in parts.items():
            table.writerows([record.key, record.target.top, name] for record in part)


def _write_features(plan: Plan, paths: Paths, out: Path) -> None:
    records = paths.table("folds.tsv").split(ALL)
    found = features_of([record.path for record in records], paths.weights, plan.frozen, SIDE)
    features = np.concatenate(list(found.values()), axis=1)
    write_features(out, records, [part.shape[1] for part in found.values()], {"fi": features})


def _teach(paths: Paths, out: Path) -> None:
    """Write an answer to each picture of the folds, by a classifier of the other folds."""
    source = paths.table("folds.tsv")
    parts = folds_of(source)
    logits, temperature = out_of_fold(Stored(paths.out / "features.npz"), parts, PERCEPTRONS)
    keys = [record.key for part in parts.values() for record in part]
    with atomic_write(out, "w") as file:
        rows = csv.writer(file)
        rows.writerow(["image", *source.vocabulary.words])
        for key, row in zip(keys, softmax(logits / temperature), strict=True):
            rows.writerow([key, *(f"{value:.6f}" for value in row)])


def _train(member: Member, paths: Paths, model: Path, *, taught: bool) -> None:
    run = model.parent
    words = ["train", member.recipe, "--name", run.name, "--out", str(run), "--no-graph"]
    words += ["--data", paths.spec("data.tsv")]
    words += ["--teachers", str(paths.out / TEACHER)] if taught else []
    words += ["--cache", str(paths.out / "cache")]
    if (run / SETTINGS).is_file():
        words.append("--resume")
    else:
        for assignment in (*member.set, "select_by=last", f"weights={paths.weights}"):
            words += ["--set", assignment]
    _affectlens(*words)


def _join(plan: Plan, paths: Paths, out: Path, name: str) -> None:
    models = [saved.load(str(paths.out / run / MODEL)) for run in plan.members]
    joined = Joined(name=name, split="test", data=paths.fi.partition(":")[0], command=COMMAND)
    write_joined(joined, models, paths.table("data.tsv"), out)


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What is stated of a joined model: its name, the split of its scores, its data, and what made it."""

    name: str
    split: str
    data: str
    command: str


def write_joined(about: Joined, models: Sequence[saved.Model], source: DataSource, out: Path) -> None:
    """Join models, fit the temperature on `val`, score a split, once, and write all with its graph."""
    joined = join(models, about.name)
    saved.round_weights(joined.network, "float16")
    network, shape = joined.network, joined.card.preprocessing
    fitted = predict(network, source.split("val"), shape)
    temperature = fit_temperature(fitted.logits, fitted.targets)
    scores = _score(predict(network, source.split(about.split), shape), source, temperature)
    card = replace(
        joined.card,
        temperature=temperature,
        training={"command": about.command, "data": data_facts(source, about.data), **joined.card.training},
        scores={"split": about.split, **scores.to_json()},
        licences=licences(about.data),
        limits=limits(about.data),
    )
    saved.save_model(out, joined.network, card, joined_readme(card, markdown(scores)), "float16")
    saved.add_graph(out)


def predict(network: nn.Module, records: Sequence[Record], shape: Preprocessing) -> Predictions:
    """Answer as a model does in use: in float32, from the pictures' files."""
    device = pick_device()
    batches = evaluation_batches(EvaluationSet(records, shape, file_reader(shape)), 64, 0)
    return predict_labelled(network.to(device), batches, shape, device, IN_USE)


def _score(found: Predictions, source: DataSource, temperature: float) -> Scores:
    return score(found.logits, found.targets, source.vocabulary, temperature=temperature)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fi", type=Path, required=True, help="folder of FI")
    parser.add_argument(
        "--weights", default="hub", help="folder with the backbones' weights; default: the hub's"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--plan", type=Path, default=PLAN, help="TOML file of what is trained")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    keep_freed_memory()
    paths = Paths(fi=f"fi:{given.fi}", weights=given.weights, out=given.out)
    print(f"The model: {make(Plan.read(given.plan), paths)}")


if __name__ == "__main__":
    main()
