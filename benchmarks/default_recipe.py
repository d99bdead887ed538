"""Make a candidate for the default model from FI, by the plan of default_recipe.toml.

    python benchmarks/default_recipe.py --fi PATH --weights FOLDER --out FOLDER

Start it again after any interruption: what is there is not made again, and a training run goes on. In FOLDER:

    folds.tsv                   five folds, and `test`, a tenth of FI that nothing learns from or is chosen on
    data.tsv                    the same for training: `val`, a fourth of fold 1, only fits temperatures
    features.npz, teacher.csv   frozen networks' features; answers of classifiers that did not see the picture
    MEMBER                      a run for each member of the plan, with its model
    model                       all as one, with its scores on `test`

`--plan default_recipe_large.toml` is the same for a GPU and networks some hundred times larger.
"""

import argparse
import csv
import os
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from torch import nn

from affectlens.cli.main import main as affectlens
from affectlens.data.catalog import open_data
from affectlens.data.records import ALL, FOLD, DataSource, Record, digest
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
from frozen_heads import PERCEPTRONS, SIDE, Stored, features_of, out_of_fold

PLAN = Path(__file__).with_name("default_recipe.toml")
FOLDS, TEST_SHARE = 5, 0.1
QUARTERS = 4  # of fold 1, of which the first is `val`
COMMAND = "python benchmarks/default_recipe.py --fi PATH --weights FOLDER --out FOLDER"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the models that are joined: a recipe, or a network, and settings on top of it."""

    recipe: str
    set: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained, in the order of joining, and by which networks' frozen maps it is taught."""

    frozen: Mapping[str, tuple[int, ...]]
    members: Mapping[str, Member]

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
    stages: Sequence[tuple[str, Callable[[Path], None]]] = (
        ("folds.tsv", lambda out: _divide(paths.fi, out, "--test", str(TEST_SHARE), folds=FOLDS)),
        ("data.tsv", lambda out: _set_validation_apart(paths, out)),
        ("features.npz", lambda out: _write_features(plan, paths, out)),
        ("teacher.csv", lambda out: _teach(paths, out)),
        *((f"{run}/{MODEL}", partial(_train, member, paths)) for run, member in plan.members.items()),
        (MODEL, lambda out: _join(plan, paths, out, name)),
    )
    paths.out.mkdir(parents=True, exist_ok=True)
    for what, stage in stages:
        out = paths.out / what
        if not out.exists():
            began = time.monotonic()
            stage(out)
            print(f"{what}: {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    return paths.out / MODEL


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
    with atomic_write(out) as file:
        keys = np.array([record.key for record in records])
        widths = np.array([part.shape[1] for part in found.values()])
        np.savez(file, keys=keys, widths=widths, fi=np.concatenate(list(found.values()), axis=1))


def _teach(paths: Paths, out: Path) -> None:
    """Write an answer to each picture of the folds, by a classifier of the other folds."""
    source = paths.table("folds.tsv")
    parts = {name: part for name, part in source.splits.items() if FOLD.fullmatch(name)}
    logits, temperature = out_of_fold(Stored(paths.out / "features.npz"), parts, PERCEPTRONS)
    keys = [record.key for part in parts.values() for record in part]
    with atomic_write(out, "w") as file:
        rows = csv.writer(file)
        rows.writerow(["image", *source.vocabulary.words])
        for key, row in zip(keys, softmax(logits / temperature), strict=True):
            rows.writerow([key, *(f"{value:.6f}" for value in row)])


def _train(member: Member, paths: Paths, model: Path) -> None:
    run = model.parent
    words = ["train", member.recipe, "--name", run.name, "--out", str(run), "--no-graph"]
    words += ["--data", paths.spec("data.tsv"), "--teachers", str(paths.out / "teacher.csv")]
    words += ["--cache", str(paths.out / "cache")]
    if (run / SETTINGS).is_file():
        words.append("--resume")
    else:
        for assignment in (*member.set, "select_by=last", f"weights={paths.weights}"):
            words += ["--set", assignment]
    _affectlens(*words)


def _join(plan: Plan, paths: Paths, out: Path, name: str) -> None:
    """Join all models, fit the temperature on `val`, and score `test`, once."""
    joined = join([saved.load(str(paths.out / run / MODEL)) for run in plan.members], name)
    source = paths.table("data.tsv")
    saved.round_weights(joined.network, "float16")
    network, shape = joined.network, joined.card.preprocessing
    fitted = predict(network, source.split("val"), shape)
    temperature = fit_temperature(fitted.logits, fitted.targets)
    scores = _score(predict(network, source.split("test"), shape), source, temperature)
    original = paths.fi.partition(":")[0]
    card = replace(
        joined.card,
        temperature=temperature,
        training={"command": COMMAND, "data": _about(source, original), **joined.card.training},
        scores={"split": "test", **scores.to_json()},
        licences=licences(original),
        limits=limits(original),
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


def _about(source: DataSource, original: str) -> dict[str, Any]:
    words = source.vocabulary.words
    tops = {name: [record.target.top for record in part] for name, part in source.splits.items()}
    return {
        "spec": original,
        "hashes": {name: digest(part) for name, part in source.splits.items()},
        "counts": {name: {word: found.count(word) for word in words} for name, found in tops.items()},
        "notes": [],
    }


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
