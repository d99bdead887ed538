"""Which prediction sets hold their coverage, for each emotion too, and how large they are; and abstaining.

    python benchmarks/coverage.py measure --data fi:PATH --ratings FOLDER [--model default] [--answers FILE]
    python benchmarks/coverage.py report
    python benchmarks/coverage.py fit --data fi:PATH [--model default] [--answers FILE] --out FILE

A model's answers to the validation split are divided at random, stratified by emotion and with
near-duplicates in one fold: sets are calibrated on all folds but one and measured on that one (methods and
papers are in conformal_methods.py). `--answers` keeps the answers for the next time. `fit` calibrates on the
complete split, as for a model that ships. Writes benchmarks/results/coverage.json.

The validation split chose the model's epoch and temperature, and is kinder than other pictures of FI, which
no division of it can undo. So two things are measured outside it:
    frozen heads    sets calibrated on answers of linear classifiers of frozen features to the validation
                    split, measured on their answers to the training split, both out of fold
                    (results/soft_answers, by frozen_heads.py)
    photographs     the model's sets for photographs that are not of FI (`oasis-dev` and `emdt-dev` in
                    `--ratings`), where people rated their valence clearly: how many sets are of words of the
                    opposite polarity alone

Letters: N pictures, E emotions.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import soft_answers
from affectlens.data.catalog import open_data
from affectlens.data.groups import Groups, find_groups
from affectlens.data.records import Record, digest
from affectlens.data.splits import folds
from affectlens.emotions import Vocabulary, vocabulary
from affectlens.evaluation.resampling import Measured
from affectlens.files import atomic_write
from affectlens.inference.coverage import PredictionSets, risk_coverage
from affectlens.inference.engine import load_engine
from affectlens.inference.predictions import predict_records
from affectlens.machine import describe
from affectlens.metrics import Doubles, RowSampler, accuracy, bootstrap_interval, softmax
from affectlens.report.text import markdown_table
from conformal_methods import METHODS, SHIPPED, Calibration, Labels, Marked, Method

RESULT = Path(__file__).parent / "results" / "coverage.json"
COVERAGES = (0.8, 0.9, 0.95)
# For photographs that are not of FI, of which `unusual` ones get the set of a higher level.
STRICTER = (*COVERAGES, 0.98)
CONFIDENCES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
REPETITIONS = 10
FOLDS = (5, 2)
RESAMPLES = 2000
SPLIT = "val"
# What a method must hold at .9: coverage overall, and of the worst emotion.
OVERALL, WORST = (0.89, 0.91), 0.87
FROZEN = soft_answers.file_of("frozen", 0, RESULT.parent)
RATED = {"oasis-dev": "OASIS", "emdt-dev": "EMDT"}
# Of valence, brought to 0..1: what lies between is neither clearly unpleasant nor clearly pleasant.
UNPLEASANT, PLEASANT = 0.4, 0.6


# ----------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class Answers:
    """A model's answers to the pictures of a split, and which of these belong together.

    Attributes:
        logits, targets: (N, E)
        temperature: the model's
        weights, data: hashes of the model's weights and of the split
        words: of the vocabulary `vocabulary`
        leaders: `Groups.leaders`
    """

    logits: Doubles
    targets: Doubles
    temperature: float
    weights: str
    data: str
    vocabulary: Vocabulary
    leaders: Mapping[str, str]

    @property
    def probabilities(self) -> Doubles:
        """(N, E)."""
        return softmax(self.logits / self.temperature)

    def fitted(self) -> PredictionSets:
        """Sets that are calibrated on all of these: what ships with the model."""
        return PredictionSets.fit_logits(self.logits, self.targets, self.vocabulary, self.temperature)

    @property
    def signs(self) -> Labels:
        """1 for each word that is a positive feeling, -1 for a negative one, 0 for neither: (E,)."""
        return np.array([self.vocabulary.signs[word] for word in self.vocabulary.words])

    def write(self, file: Path) -> None:
        """Keep them in an .npz file, which `read` reads."""
        np.savez(
            file, logits=self.logits, targets=self.targets, temperature=self.temperature,
            weights=self.weights, data=self.data, vocabulary=self.vocabulary.name,
            leaders=json.dumps(dict(self.leaders)),
        )  # fmt: skip

    @classmethod
    def read(cls, file: Path) -> "Answers":
        """Read what `write` wrote."""
        with np.load(file) as kept:
            return cls(
                logits=kept["logits"],
                targets=kept["targets"],
                temperature=float(kept["temperature"]),
                weights=str(kept["weights"]),
                data=str(kept["data"]),
                vocabulary=vocabulary(str(kept["vocabulary"])),
                leaders=json.loads(str(kept["leaders"])),
            )


def answers_of(records: Sequence[Record], model: str, file: Path | None) -> Answers:
    """Predict all pictures by ONNX Runtime, or read the answers of these weights to them from a file."""
    engine = load_engine(model, engine="onnxruntime")
    card, data = engine.card, digest(records)
    if file and file.is_file():
        kept = Answers.read(file)
        if (kept.weights, kept.data) == (card.weights_hash, data):
            return kept
    found = predict_records(engine, records).complete()
    answers = Answers(
        logits=found.logits.astype(np.float64),
        targets=found.targets.astype(np.float64),
        temperature=card.temperature,
        weights=card.weights_hash,
        data=data,
        vocabulary=card.vocabulary,
        leaders=find_groups(records).leaders,
    )
    if file:
        answers.write(file)
    return answers


# ------------------------------------------------------------------------------------------- measurement


def divisions(records: Sequence[Record], count: int, groups: Groups) -> list[list[Labels]]:
    """Indices of the pictures of each fold, for each repetition."""
    index = {record.key: number for number, record in enumerate(records)}
    return [
        [
            np.array([index[r.key] for r in part])
            for part in folds(records, count, seed, groups=groups).values()
        ]
        for seed in range(REPETITIONS)
    ]


def sets_of(method: Method, answers: Answers, divided: list[list[Labels]], level: float) -> Marked:
    """Sets of every picture, each calibrated without its fold, for each repetition: (repetitions, N, E)."""
    probabilities, labels = answers.probabilities, answers.targets.argmax(axis=1)
    marked = np.zeros((len(divided), *probabilities.shape), dtype=bool)
    for repetition, parts in enumerate(divided):
        rng = np.random.default_rng(repetition)
        for part in parts:
            rest = np.setdiff1d(np.arange(len(labels)), part)
            given = Calibration(probabilities[rest], labels[rest], level, rng)
            marked[repetition, part] = method(given, probabilities[part])
    return marked


def estimate(by_picture: Doubles) -> dict[str, float]:
    """Mean over pictures, with its 95 % interval by bootstrap over them: (N,) -> value, low, high."""
    rows = RowSampler(0).rows(len(by_picture), (RESAMPLES, len(by_picture)))
    return asdict(Measured(float(by_picture.mean()), *bootstrap_interval(by_picture[rows].mean(axis=1))))


def figures(marked: Marked, answers: Answers, divided: list[list[Labels]]) -> dict[str, Any]:
    """What sets are worth, (repetitions, N, E), with the most probable word in each unless stated."""
    words, labels = answers.vocabulary.words, answers.targets.argmax(axis=1)
    pictures = np.arange(len(labels))
    kept = marked.copy()
    kept[:, pictures, answers.probabilities.argmax(axis=1)] = True
    held, sizes = kept[:, pictures, labels], kept.sum(axis=2)  # both (repetitions, N)
    by_part = [
        (held[r, part], labels[part], sizes[r, part]) for r, parts in enumerate(divided) for part in parts
    ]
    by_emotion = {word: estimate(held[:, labels == n].mean(axis=0)) for n, word in enumerate(words)}
    worst = min(words, key=lambda word: by_emotion[word]["value"])
    lowest = [min(own[label == n].mean() for n in range(len(words))) for own, label, _ in by_part]
    return {
        "coverage": estimate(held.mean(axis=0)),
        "coverage_spread": float(np.std([own.mean() for own, _, _ in by_part])),
        "coverage_before_rule": float(marked[:, pictures, labels].mean()),
        "size_before_rule": float(marked.sum(axis=2).mean()),
        "worst_emotion": worst,
        "worst_coverage": by_emotion[worst]["value"],
        "lowest_in_a_part": float(np.mean(lowest)),
        "size": estimate(sizes.mean(axis=0)),
        "size_spread": float(np.std([size.mean() for _, _, size in by_part])),
        "singles": float((sizes == 1).mean()),
        "empty_before_rule": float((~marked.any(axis=2)).mean()),
        "without_top_before_rule": float((kept & ~marked).any(axis=2).mean()),
        "by_emotion": by_emotion,
        "size_by_emotion": {word: float(sizes[:, labels == n].mean()) for n, word in enumerate(words)},
        "by_size": by_size(held, sizes, len(words)),
        "sides": sides(kept, answers.signs[labels], answers.signs),
    }


def by_size(held: Marked, sizes: Labels, most: int) -> list[dict[str, Any]]:
    """Share of sets of each size, and how many hold the picture's emotion; None where there are none."""
    rows = []
    for size in range(1, most + 1):
        own = sizes == size
        coverage = float(held[own].mean()) if own.any() else None
        rows.append({"size": size, "share": float(own.mean()), "coverage": coverage})
    return rows


def sides(kept: Marked, truth: Labels, signs: Labels) -> dict[str, float]:
    """Shares of sets whose words with polarity are all of the wrong one, all of the right one, or of both.

    Takes sets (repetitions, N, E), and 1 or -1 for each picture, (N,), and each word, (E,); 0 is neither.
    """
    positive, negative = kept[:, :, signs > 0].any(axis=2), kept[:, :, signs < 0].any(axis=2)
    right, wrong = np.where(truth > 0, positive, negative), np.where(truth > 0, negative, positive)
    return {
        "wrong": float((wrong & ~right).mean()),
        "right": float((right & ~wrong).mean()),
        "both": float((wrong & right).mean()),
    }


def crossing(answers: Answers) -> dict[str, Any]:
    """Errors of the most probable word, and those of them whose words have opposite polarity."""
    words, own = answers.vocabulary.words, answers.signs
    predicted, labels = answers.probabilities.argmax(axis=1), answers.targets.argmax(axis=1)
    wrong = predicted != labels
    crosses = own[predicted] * own[labels] < 0
    return {
        "errors": estimate(wrong.astype(np.float64)),
        "crossing": estimate(crosses.astype(np.float64)),
        "crossing_among_errors": estimate(crosses[wrong].astype(np.float64)),
        "by_emotion": {
            word: {
                "pictures": int((labels == n).sum()),
                "errors": float(wrong[labels == n].mean()),
                "crossing": float(crosses[labels == n].mean()),
            }
            for n, word in enumerate(words)
        },
    }


def abstaining(answers: Answers) -> dict[str, Any]:
    """The curve's figures at `CONFIDENCES`, with intervals by bootstrap over pictures, and its area."""
    probabilities, targets = answers.probabilities, answers.targets
    curve = risk_coverage(probabilities, targets)
    confidence = probabilities.max(axis=1)
    wrong = (probabilities.argmax(axis=1) != targets.argmax(axis=1)).astype(np.float64)
    signs = answers.signs
    crosses = signs[probabilities.argmax(axis=1)] * signs[targets.argmax(axis=1)] < 0
    rows = []
    for bound in (0.0, *CONFIDENCES):
        kept, at = confidence >= bound, curve.at(bound)
        rows.append(
            {
                "min_confidence": bound,
                "answered": at.answered,
                "pictures": int(kept.sum()),
                "errors": estimate(wrong[kept]) if kept.any() else None,
                "crossing": float(crosses[kept].mean()) if kept.any() else None,
            }
        )
        assert at.errors is None or abs(at.errors - wrong[kept].mean()) < 1e-9
    best = np.sort(wrong).cumsum() / np.arange(1, len(wrong) + 1)
    return {
        "area": curve.area,
        "area_of_random_order": float(wrong.mean()),
        "area_of_best_order": float(best.mean()),
        "rows": rows,
    }


def rounded(found: Any, digits: int = 5) -> Any:
    """The same plain data with its numbers rounded, so that a file of many can be read."""
    if isinstance(found, dict):
        return {key: rounded(value, digits) for key, value in found.items()}
    if isinstance(found, list):
        return [rounded(value, digits) for value in found]
    return round(found, digits) if isinstance(found, float) else found


def holding(sets: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Methods that hold `OVERALL` and `WORST` at .9 by each division, those with the smallest sets first."""
    low, high = OVERALL
    tables_of_levels = list(sets.values())

    def holds(name: str) -> bool:
        rows = [levels["0.9"][name] for levels in tables_of_levels]
        return all(low <= r["coverage"]["value"] <= high and r["worst_coverage"] >= WORST for r in rows)

    found = [name for name in tables_of_levels[0]["0.9"] if holds(name)]
    return sorted(found, key=lambda name: tables_of_levels[0]["0.9"][name]["size"]["value"])


def of_frozen_heads(data: str) -> dict[str, Any]:
    """Coverage on the training split of sets calibrated on the validation split, of answers out of fold."""
    source = open_data(data)
    with np.load(FROZEN) as stored:
        powers = np.exp(stored["log_probabilities"].astype(np.float64))
        rows = dict(zip(stored["keys"].tolist(), powers / powers.sum(axis=1, keepdims=True), strict=True))
        assert tuple(stored["words"]) == source.vocabulary.words
    answers = {}
    for name in (SPLIT, "train"):
        own = [record for record in source.split(name) if record.key in rows]
        targets = np.array([record.target.probabilities for record in own])
        answers[name] = np.array([rows[record.key] for record in own]), targets
    sets = PredictionSets.fit(*answers[SPLIT], source.vocabulary)
    probabilities, targets = answers["train"]
    levels = {}
    for level in COVERAGES:
        within = sets.members(probabilities, level)
        held = (within * targets).sum(axis=1)
        levels[f"{level:g}"] = {
            "coverage": estimate(held),
            "size": float(within.sum(axis=1).mean()),
            "by_emotion": {
                word: estimate(held[targets[:, n] == 1]) for n, word in enumerate(source.vocabulary.words)
            },
        }
    return {
        "pictures": {name: len(found) for name, (found, _) in answers.items()},
        "accuracy": {name: accuracy(*each) for name, each in answers.items()},
        "levels": levels,
    }


def of_photographs(ratings: Path, model: str, sets: PredictionSets) -> dict[str, Any]:
    """Sets for photographs that are not of FI and that people rated as clearly pleasant or unpleasant."""
    from default_candidate import Rated  # here, as it needs torch, which nothing else here does

    signs = np.array([sets.vocabulary.signs[word] for word in sets.vocabulary.words])
    engine = load_engine(model, engine="onnxruntime")
    found: dict[str, Any] = {}
    for name, title in RATED.items():
        rated = Rated.read(ratings / name)
        # Labels are none that anyone gave: what is of use are the answers alone.
        records = [Record(f.name, f, sets.vocabulary.only(sets.vocabulary.words[0])) for f in rated.files]
        logits = predict_records(engine, records).complete().logits
        probabilities = softmax(logits.astype(np.float64) / engine.card.temperature)
        truth = np.where(rated.valence >= PLEASANT, 1, np.where(rated.valence <= UNPLEASANT, -1, 0))
        clear = truth != 0
        top = signs[probabilities.argmax(axis=1)] * truth < 0
        found[title] = {
            "photographs": len(truth),
            "clear": int(clear.sum()),
            "top_wrong": float(top[clear].mean()),
            "levels": {
                f"{level:g}": {
                    "size": float(within[clear].sum(axis=1).mean()),
                    **sides(within[None, clear], truth[clear], signs),
                }
                for level in STRICTER
                for within in [sets.members(probabilities, level)]
            },
        }
    return found


def measure(data: str, ratings: Path, model: str, file: Path | None) -> dict[str, Any]:
    """Measure everything, and return what is written as JSON."""
    records = open_data(data).split(SPLIT)
    answers = answers_of(records, model, file)
    groups = Groups(answers.leaders)
    sets: dict[str, Any] = {}
    for count in FOLDS:
        divided = divisions(records, count, groups)
        for level in COVERAGES:
            rows = sets.setdefault(str(count), {}).setdefault(f"{level:g}", {})
            for name, method in METHODS.items():
                rows[name] = figures(sets_of(method, answers, divided, level), answers, divided)
            print(
                count, level, {name: round(row["size"]["value"], 3) for name, row in rows.items()}, flush=True
            )
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "model": model,
        "weights": answers.weights,
        "temperature": answers.temperature,
        "data": {
            "name": data.partition(":")[0], "split": SPLIT, "hash": answers.data, "pictures": len(records),
            "in_groups": len(answers.leaders),
        },
        "repetitions": REPETITIONS,
        "accuracy": accuracy(answers.logits, answers.targets),
        "pictures": dict(zip(answers.vocabulary.words, answers.targets.sum(axis=0).tolist(), strict=True)),
        "sets": sets,
        "holding": holding(sets),
        "abstaining": abstaining(answers),
        "polarity": crossing(answers),
        "frozen_heads": of_frozen_heads(data),
        "photographs": of_photographs(ratings, model, answers.fitted()),
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ tables


LEVEL_NAMES = {"0.8": "EIGHTY", "0.9": "NINETY", "0.95": "NINETY_FIVE"}


def tables(result: Mapping[str, Any]) -> dict[str, str]:
    """Write what was measured as Markdown tables, by the name of a page's slot.

    EIGHTY, NINETY, NINETY_FIVE: all methods at that coverage, calibrated on four fifths; with HALF_ before,
    on half. EMOTIONS and SIZES: the shipped method by emotion and by size of set. ABSTAINING, POLARITY,
    FROZEN_HEADS and PHOTOGRAPHS.
    """
    most, half = map(str, FOLDS)
    return {
        **{name: _methods_table(result["sets"][most][level]) for level, name in LEVEL_NAMES.items()},
        **{
            f"HALF_{name}": _methods_table(result["sets"][half][level]) for level, name in LEVEL_NAMES.items()
        },
        "EMOTIONS": _emotions_table(result),
        "SIZES": _sizes_table(result["sets"][most]["0.9"]),
        "ABSTAINING": _abstaining_table(result["abstaining"]["rows"]),
        "POLARITY": _polarity_table(result["polarity"]),
        "FROZEN_HEADS": _frozen_heads_table(result["frozen_heads"]),
        "PHOTOGRAPHS": _photographs_table(result["photographs"]),
    }


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _with_interval(found: Mapping[str, float] | None) -> str:
    if found is None:
        return ""
    return f"{_percent(found['value'])} ({_percent(found['low'])} to {_percent(found['high'])})"


def _methods_table(methods: Mapping[str, Any]) -> str:
    header = ["method", "coverage, %", "worst emotion, %", "words in a set", "sets of one word, %"]
    header += ["empty before the rule, %", "coverage before the rule, %", "all of the wrong polarity, %"]
    rows = [
        [
            name,
            f"{_percent(row['coverage']['value'])} ± {_percent(row['coverage_spread'])}",
            f"{_percent(row['worst_coverage'])} ({row['worst_emotion']})",
            f"{row['size']['value']:.2f} ± {row['size_spread']:.2f}",
            _percent(row["singles"]),
            _percent(row["empty_before_rule"]),
            _percent(row["coverage_before_rule"]),
            _percent(row["sides"]["wrong"]),
        ]
        for name, row in methods.items()
    ]
    return markdown_table(header, rows)


def _emotions_table(result: Mapping[str, Any]) -> str:
    sets = result["sets"][str(FOLDS[0])]
    header = ["emotion", "pictures", *(f"coverage at {100 * float(level):g} %, %" for level in sets)]
    header += ["words in a set at 90 %", "coverage at 90 % by LAC with one threshold, %"]
    rows = [
        [
            word,
            f"{count:g}",
            *(_with_interval(rows[SHIPPED]["by_emotion"][word]) for rows in sets.values()),
            f"{sets['0.9'][SHIPPED]['size_by_emotion'][word]:.2f}",
            _with_interval(sets["0.9"]["LAC"]["by_emotion"][word]),
        ]
        for word, count in result["pictures"].items()
    ]
    return markdown_table(header, rows)


def _sizes_table(methods: Mapping[str, Any]) -> str:
    names = (SHIPPED, "LAC", "APS, by emotion", "RAPS, by emotion")
    header = ["words in a set", *(f"{name}: {what}, %" for name in names for what in ("sets", "coverage"))]
    rows = []
    for number, row in enumerate(methods[SHIPPED]["by_size"]):
        own = [methods[name]["by_size"][number] for name in names]
        rows.append(
            [str(row["size"]), *(_percent(each[key]) for each in own for key in ("share", "coverage"))]
        )
    return markdown_table(header, rows)


def _abstaining_table(found: Sequence[Mapping[str, Any]]) -> str:
    header = [
        "least confidence",
        "answered, %",
        "pictures",
        "errors among these, %",
        "of opposite polarity, %",
    ]
    rows = [
        [
            f"{row['min_confidence']:g}",
            _percent(row["answered"]),
            f"{row['pictures']:,}",
            _with_interval(row["errors"]),
            _percent(row["crossing"]),
        ]
        for row in found
    ]
    return markdown_table(header, rows)


def _polarity_table(found: Mapping[str, Any]) -> str:
    header = ["emotion", "pictures", "errors, %", "predicted with the opposite polarity, %"]
    rows = [
        [word, f"{row['pictures']:,}", _percent(row["errors"]), _percent(row["crossing"])]
        for word, row in found["by_emotion"].items()
    ]
    count = sum(row["pictures"] for row in found["by_emotion"].values())
    rows.append(["all", f"{count:,}", _with_interval(found["errors"]), _with_interval(found["crossing"])])
    return markdown_table(header, rows)


def _frozen_heads_table(found: Mapping[str, Any]) -> str:
    levels = found["levels"]
    header = ["emotion", *(f"coverage at {100 * float(level):g} %, %" for level in levels)]
    words = list(levels["0.9"]["by_emotion"])
    rows = [[word, *(_with_interval(row["by_emotion"][word]) for row in levels.values())] for word in words]
    rows.append(["all", *(_with_interval(row["coverage"]) for row in levels.values())])
    rows.append(["words in a set", *(f"{row['size']:.2f}" for row in levels.values())])
    return markdown_table(header, rows)


def _photographs_table(found: Mapping[str, Any]) -> str:
    header = ["photographs", "clear in valence", "wanted on FI, %", "words in a set"]
    header += ["all of the wrong polarity, %", "all of the right one, %", "of both, %"]
    rows = [
        [
            title,
            str(each["clear"]),
            f"{100 * float(level):g}",
            f"{row['size']:.2f}",
            *(_percent(row[side]) for side in ("wrong", "right", "both")),
        ]
        for title, each in found.items()
        for level, row in each["levels"].items()
    ]
    return markdown_table(header, rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    measuring, fitting = commands.add_parser("measure"), commands.add_parser("fit")
    commands.add_parser("report")
    for each in (measuring, fitting):
        each.add_argument("--data", required=True, help="fi:PATH")
        each.add_argument("--model", default="default")
        each.add_argument("--answers", type=Path, help=".npz that keeps the model's answers")
    measuring.add_argument("--ratings", type=Path, required=True, help="folder of oasis-dev and emdt-dev")
    fitting.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    if given.command == "fit":
        answers = answers_of(open_data(given.data).split(SPLIT), given.model, given.answers)
        with atomic_write(given.out, "w") as out:
            out.write(json.dumps(answers.fitted().to_json(), indent=2) + "\n")
        return
    if given.command == "measure":
        result = measure(given.data, given.ratings, given.model, given.answers)
        RESULT.write_text(json.dumps(rounded(result), indent=1) + "\n")
    for name, table in tables(json.loads(RESULT.read_text())).items():
        print(f"{name}\n\n{table}\n")


if __name__ == "__main__":
    main()
