"""Whether a model that default_recipe.py made is better than the default model.

    python benchmarks/default_candidate.py measure --model FOLDER --data csv:DATA.tsv@FI --fi FI \\
        --ratings FOLDER --hours WORDS
    python benchmarks/default_candidate.py report

DATA.tsv is that of default_recipe.py: nothing learned from its `test`, and its `val` only fits temperatures.
The default model was trained on FI's own split `train`; of pictures that neither learned from there are those
of `test` that FI has in `val`. `--ratings` holds `oasis-dev` and `emdt-dev`, photographs that people rated.
Writes benchmarks/results/default_candidate.json and docs/results/default_candidate.md.
"""

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

import result_page
from affectlens.data.catalog import open_data
from affectlens.data.records import Record, digest
from affectlens.emotions import Vocabulary
from affectlens.evaluation.calibration import fit_temperature
from affectlens.evaluation.scores import Scores, score
from affectlens.inference.predictor import Predictor
from affectlens.machine import describe, keep_freed_memory
from affectlens.metrics import adaptive_calibration_error, bootstrap_interval, softmax
from affectlens.models import catalog, saved
from affectlens.models.capabilities import HasBranches
from affectlens.models.saved import Model
from affectlens.report.text import markdown_table
from default_recipe import predict
from default_scores import table

HERE = Path(__file__).parent
RESULT = HERE / "results" / "default_candidate.json"
COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "polarity_accuracy", "negative_log_likelihood")
SETS = {"oasis": "OASIS", "emdt": "EMDT"}
# Of ratings from 1 to 7 or 9 that are brought to 0..1: what people found clearly unpleasant, or pleasant.
UNPLEASANT, PLEASANT = 1 / 3, 2 / 3
RESAMPLES = 2000
# Columns of absurd_answers.json, of the photographs that the default model's emotions are wrong on.
BEYOND = {
    "valence_right": "valence on the right side",
    "interval_holds": "its interval holds people's",
    "set_right": "set has the right side",
}
Array = NDArray[np.floating]
Variant = tuple[str, nn.Module, int]


@dataclass(frozen=True)
class Calibration:
    """Calibration error of bins of equal mass, and of samples of a model that is calibrated perfectly."""

    measured: float
    of_perfect: float
    interval: tuple[float, float]

    @classmethod
    def of(cls, logits: Array, targets: Array, temperature: float) -> "Calibration":
        """Measure it; the perfect model answers the same, and labels are drawn from its answers."""
        answers = softmax(logits / temperature)
        rng, every = np.random.default_rng(0), np.eye(answers.shape[1])
        drawn = [
            adaptive_calibration_error(answers, every[(answers.cumsum(axis=1) > u[:, None]).argmax(axis=1)])
            for u in rng.uniform(0, answers.sum(axis=1), (200, len(answers)))
        ]
        low, high = np.quantile(drawn, (0.05, 0.95)).tolist()
        measured = adaptive_calibration_error(answers, targets)
        return cls(measured, float(np.mean(drawn)), (low, high))


def variants(model: Model, whole: str, larger: str) -> list[Variant]:
    """Name, network and side of each row; `whole` and `larger` name that of both branches at 224 and 256."""
    card, network = model.card, model.network
    mirrored = catalog.build(
        card.network, len(card.vocabulary), **{**card.network_options, "mirror": True}
    ).eval()
    mirrored.load_state_dict(network.state_dict())
    assert isinstance(network, HasBranches)
    return [
        (whole, network, 224),
        *((f"the {name} branch alone", branch, 224) for name, branch in network.branch_networks().items()),
        ("picture and mirror image averaged", mirrored, 224),
        (larger, network, 256),
    ]


def measure(model: Model, spec: str) -> tuple[list[tuple[str, Scores]], Calibration, dict[str, Any]]:
    """Score every variant on `test`, each with a temperature that was fitted on `val`.

    Calibration is that of the first, with the temperature that it ships with.
    """
    source, rows, calibration = open_data(spec), [], None
    for name, variant, side in variants(model, "both branches", "both branches, 256 pixels"):
        shape = replace(model.card.preprocessing, height=side, width=side)
        fitted = predict(variant, source.split("val"), shape)
        found = predict(variant, source.split("test"), shape)
        temperature = fit_temperature(fitted.logits, fitted.targets)
        calibration = calibration or Calibration.of(found.logits, found.targets, model.card.temperature)
        rows.append((name, score(found.logits, found.targets, source.vocabulary, temperature=temperature)))
        print(name, f"{rows[-1][1].accuracy:.4f} {rows[-1][1].balanced_accuracy:.4f}", flush=True)
    records = source.split("test")
    assert calibration is not None
    return (
        rows,
        calibration,
        {"name": "fi", "split": "test", "hash": digest(records), "pictures": len(records)},
    )


def untouched(spec: str, fi: Path) -> list[Record]:
    """Return the pictures of `test` that FI has in its own `val`."""
    own = {record.key for record in open_data(f"fi:{fi}").split("val")}
    return [record for record in open_data(spec).split("test") if record.key in own]


def compare(models: Mapping[str, Model], records: Sequence[Record], words: Vocabulary) -> dict[str, Any]:
    """Score both models on the same pictures, and what their accuracy differs by, with its interval."""
    scores, right = {}, {}
    for name, model in models.items():
        found = predict(model.network, records, model.card.preprocessing)
        scores[name] = score(found.logits, found.targets, words, temperature=model.card.temperature)
        right[name] = found.logits.argmax(axis=1) == found.targets.argmax(axis=1)
    gained = right["now"].astype(float) - right["before"]
    drawn = np.random.default_rng(0).integers(0, len(gained), (RESAMPLES, len(gained)))
    low, high = bootstrap_interval(gained[drawn].mean(axis=1).tolist())
    return {
        "pictures": len(records),
        "hash": digest(records),
        "gain": {"accuracy": float(gained.mean()), "interval": [low, high]},
        **{name: {each: getattr(found, each) for each in COMPARED} for name, found in scores.items()},
    }


@dataclass(frozen=True)
class Rated:
    """Photographs that people rated.

    Attributes:
        files: their paths
        units: theme or scene of each; pictures of one are alike
        valence: mean rating, brought to 0..1
    """

    files: list[Path]
    units: list[str]
    valence: Array

    @classmethod
    def read(cls, folder: Path) -> "Rated":
        """Read `ratings.tsv`; scenes where it has them, else themes, which are names without their number."""
        with (folder / "ratings.tsv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        units = [row.get("scene") or Path(row["file"]).stem.rstrip("0123456789 ") for row in rows]
        largest = 9 if "scene" in rows[0] else 7
        valence = np.array([float(row["valence_mean"]) - 1 for row in rows]) / (largest - 1)
        return cls([folder / row["file"] for row in rows], units, valence)


def positive_of(folder: str, rated: Rated) -> Array:
    """Return a model's probability of a positive feeling for each photograph."""
    answers = list(Predictor.load(folder).predict_files(rated.files))
    found = [each.emotions.polarity["positive"] for each in answers if each.emotions]
    if len(found) < len(rated.files):
        raise ValueError(f"{len(rated.files) - len(found)} photographs cannot be read.")
    return np.array(found)


def follow(positive: Mapping[str, Array], rated: Rated) -> dict[str, Any]:
    """Correlate both models' answers with the ratings; intervals by bootstrap over units."""
    names = sorted(set(rated.units))
    members = [np.flatnonzero(np.array(rated.units) == name) for name in names]
    rng = np.random.default_rng(0)
    drawn = [
        np.concatenate([members[unit] for unit in rng.integers(0, len(names), len(names))])
        for _ in range(RESAMPLES)
    ]

    def r(answers: Array, rows: Any) -> float:
        return float(np.corrcoef(answers[rows], rated.valence[rows])[0, 1])

    every = np.arange(len(rated.files))
    found: dict[str, Any] = {"pictures": len(rated.files), "units": len(names)}
    for name, answers in positive.items():
        interval = bootstrap_interval([r(answers, rows) for rows in drawn])
        found[name] = {"pearson": r(answers, every), "interval": list(interval)}
    gains = [r(positive["now"], rows) - r(positive["before"], rows) for rows in drawn]
    found["gain"] = list(bootstrap_interval(gains))
    return found


def wrong_side(positive: Mapping[str, Array], rated: Rated, least: int = 4) -> list[dict[str, Any]]:
    """How many answers lean to the other side than people's ratings, by theme; the last row is of all."""
    clear = (rated.valence <= UNPLEASANT) | (rated.valence >= PLEASANT)
    pleasant, themes = rated.valence >= PLEASANT, np.array(rated.units)

    def row(name: str, chosen: NDArray[np.bool_]) -> dict[str, Any]:
        wrong = {n: int(((each >= 0.5) != pleasant)[chosen].sum()) for n, each in positive.items()}
        mean = float(rated.valence[chosen].mean()) if chosen.any() else None
        return {"theme": name, "pictures": int(chosen.sum()), "valence": mean, **wrong}

    by_theme = [row(name, clear & (themes == name)) for name in sorted(set(rated.units))]
    several = [each for each in by_theme if each["pictures"] >= least]
    return [*sorted(several, key=lambda each: -each["before"]), row("all", clear)]


def page(result: Mapping[str, Any]) -> dict[str, str]:
    """Return the parts of the page."""
    rows = [(row["variant"], Scores.from_json(row)) for row in result["rows"]]
    compared, rated = result["compared"], result["rated"]
    low, high = compared["gain"]["interval"]
    logs = result["logs"]
    return {
        "TABLE": table(rows),
        "HOURS": result["hours"],
        "CALIBRATION": _calibration(result["calibration"]),
        "PICTURES": f"{result['data']['pictures']:,}",
        "BOTH": str(compared["pictures"]),
        "COMPARED": markdown_table(
            ["measure", "default", "candidate"],
            [
                [n.replace("_", " "), *(f"{compared[which][n]:.3f}" for which in ("before", "now"))]
                for n in COMPARED
            ],
        ),
        "GAIN": f"{compared['gain']['accuracy']:+.3f} ({low:+.3f} to {high:+.3f})",
        "RATED": markdown_table(
            ["photographs", "default", "candidate", "difference"],
            [
                [f"{SETS[n]} ({each['pictures']}, in {each['units']} themes or scenes)", _r(each["before"]),
                 _r(each["now"]), "{:+.2f} to {:+.2f}".format(*each["gain"])]
                for n, each in rated.items()
            ],
        ),
        "WRONG": markdown_table(
            ["theme", "photographs", "default", "candidate", *BEYOND.values()],
            [
                [str(each[k]) for k in ("theme", "pictures", "before", "now")] + _beyond(each["theme"])
                for each in result["wrong_side"]
            ],
        ),
        "LOG": markdown_table(
            ["epoch", *(f"{branch}: accuracy, balanced" for branch in logs)],
            [
                [str(epoch + 1), *(_logged(log, epoch) for log in logs.values())]
                for epoch in range(max(map(len, logs.values())))
            ],
        ),
    }  # fmt: skip


def _beyond(theme: str) -> list[str]:
    """What else the default model answers for the photographs of a theme that its emotions are wrong on."""
    rows = json.loads((HERE / "results" / "absurd_answers.json").read_text(encoding="utf-8"))["rows"]
    own = next(row for row in rows if row["theme"] == theme)
    return [str(own[name]) for name in BEYOND]


def _r(found: Mapping[str, Any]) -> str:
    return "{:.2f} ({:.2f} to {:.2f})".format(found["pearson"], *found["interval"])


def _calibration(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return (
        f"{found['measured']:.3f}; a perfectly calibrated model would measure {found['of_perfect']:.3f} on "
        f"average on so few pictures ({low:.3f} to {high:.3f} in nine of ten samples)"
    )


def _logged(log: Sequence[Mapping[str, Any]], epoch: int) -> str:
    if epoch >= len(log):
        return ""
    scores = log[epoch]["scores"]
    return f"{scores['accuracy']:.3f}, {scores['balanced_accuracy']:.3f}"


def write_page(result: Mapping[str, Any]) -> None:
    """Write the page of what was measured."""
    name = "default_candidate"
    result_page.write(result_page.RESULTS / f"{name}.md", f"{name}.template.md", page(result))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, dest="command")
    one = commands.add_parser("measure", help="measure a candidate, and write the page")
    one.add_argument("--model", type=Path, required=True, help="folder of the candidate")
    one.add_argument("--data", required=True, help="csv:DATA.tsv@FI, what default_recipe.py divided")
    one.add_argument("--fi", type=Path, required=True, help="folder of FI")
    one.add_argument("--ratings", type=Path, required=True, help="folder of oasis-dev and emdt-dev")
    one.add_argument("--hours", required=True, help="what default_recipe.py took, in words")
    commands.add_parser("report", help="write the page again")
    given = vars(parser.parse_args())
    if given.pop("command") == "measure":
        keep_freed_memory()
        RESULT.write_text(json.dumps(measure_all(**given), indent=2) + "\n")
    write_page(json.loads(RESULT.read_text(encoding="utf-8")))


def measure_all(model: Path, data: str, fi: Path, ratings: Path, hours: str) -> dict[str, Any]:
    """Measure a candidate, and the default model on what neither learned from."""
    models = {"before": saved.load(), "now": saved.load(str(model))}
    candidate = models["now"]
    rows, calibration, about = measure(candidate, data)
    sets = {name: Rated.read(ratings / f"{name}-dev") for name in SETS}
    folders = {"before": "default", "now": str(model)}
    positive = {
        name: {which: positive_of(folder, rated) for which, folder in folders.items()}
        for name, rated in sets.items()
    }
    joined = candidate.card.training["joined"]
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "weights": candidate.card.weights_hash,
        "hours": hours,
        "data": about,
        "calibration": asdict(calibration),
        "rows": [{"variant": name, **scores.to_json()} for name, scores in rows],
        "compared": compare(models, untouched(data, fi), candidate.card.vocabulary),
        "rated": {name: follow(positive[name], rated) for name, rated in sets.items()},
        "wrong_side": wrong_side(positive["oasis"], sets["oasis"]),
        "logs": {branch: origin["training"]["log"] for branch, origin in joined.items()},
    }


if __name__ == "__main__":
    main()
