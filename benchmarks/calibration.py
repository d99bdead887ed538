"""What `affectlens calibrate` changes and gains, measured on pictures that it did not see.

    python benchmarks/calibration.py --data fi:PATH --ratings FOLDER --work FOLDER [--only NAME]

`--ratings` holds `oasis-dev` and `emdt-dev`. Of each data set one half calibrates by the command's own
function, and the other half, of other groups, measures. What was refused is a row too:
    right         the model as it is, on FI, by which its temperature and sets were fitted
    too sure      the same at half its temperature
    other set     ratings that were learned from EMDT alone, on OASIS, themes whole on one side
    other line    the same, read too close to the middle (valence) and too high (arousal): `LINES`
Writes benchmarks/results/calibration.json; variants of the model and tables are written into `--work`.

Letters: N pictures, E emotions, F features, R ratings.
"""

import argparse
import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from affectlens import library, model_folder
from affectlens.adaptation.calibrate import (
    CalibrationRequest,
    NotCalibrated,
    changed_graph,
    changed_head,
    fit_calibration,
)
from affectlens.adaptation.classifier import number_format, open_classifier
from affectlens.adaptation.own_pictures import answer_own_pictures, open_own_pictures
from affectlens.adaptation.ridge import RatedFeatures, fit_rating_head, out_of_fold
from affectlens.data.catalog import open_data
from affectlens.data.groups import find_groups
from affectlens.data.splits import folds
from affectlens.files import atomic_write
from affectlens.images import read_pixels
from affectlens.inference.coverage import PredictionSets
from affectlens.inference.engine import load_engine
from affectlens.machine import describe
from affectlens.metrics import expected_calibration_error, negative_log_likelihood, softmax
from affectlens.model_folder import GRAPH, GRAPH_FEATURES, Card
from affectlens.ratings import (
    AROUSAL,
    COVERAGE,
    VALENCE,
    RatingHead,
    RatingScale,
    conformal_half_widths,
)

RESULT = Path(__file__).parent / "results" / "calibration.json"
OASIS, EMDT = "oasis-dev", "emdt-dev"
SCALES = {OASIS: ("1", "7"), EMDT: ("1", "9")}
# Features of the default model: embeddings of both branches, then four layers (benchmarks/ratings.py).
BLOCKS = (192, 1280, 384, 384, 192, 320)
# Factor and offset by which ratings are spoilt.
LINES = {VALENCE: (0.5, 2.5), AROUSAL: (1.0, 1.5)}
SEED = 0


def variant(folder: Path, out: Path, card: Card, head: RatingHead | None = None) -> Path:
    """Write a model again with another card, and other ratings where they are given."""
    _, weights, heads = model_folder.read_model(folder)
    graph = (folder / GRAPH).read_bytes()
    if head is not None:
        heads, graph = {**heads, **head.tensors()}, changed_graph(graph, head)
    model_folder.write_model(
        out, replace(card, name=out.name), weights, model_folder.read_readme(folder),
        dtype=number_format(weights), for_others=model_folder.for_others(folder), graph=graph, heads=heads,
    )  # fmt: skip
    return out


def fi_halves(data: str, work: Path) -> tuple[str, str]:
    """Divide FI's validation pictures into halves, near-duplicates on one side; write them as tables."""
    source = open_data(data)
    records = source.split("val")
    parts = folds(records, 2, SEED, groups=find_groups(records))
    return _tables(work, "fi", source.root, ["path", "label"], [
        [(record.key, record.target.top) for record in part] for part in parts.values()
    ])  # fmt: skip


def rated_rows(folder: Path, name: str) -> list[tuple[str, ...]]:
    """Read rated pictures: path, valence, arousal, and theme or scene."""
    with (folder / name / "ratings.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    groups = [row.get("scene") or re.sub(r" \d+\.jpg$", "", row["file"]) for row in rows]
    return [
        (row["file"], row["valence_mean"], row["arousal_mean"], group)
        for row, group in zip(rows, groups, strict=True)
    ]


def oasis_halves(folder: Path, work: Path) -> tuple[str, str]:
    """Divide OASIS into halves, themes on one side; write them as tables."""
    rows = rated_rows(folder, OASIS)
    names = sorted({row[3] for row in rows})
    first = set(np.random.RandomState(SEED).permutation(names)[: len(names) // 2].tolist())
    parts = [[row for row in rows if (row[3] in first) == wanted] for wanted in (True, False)]
    return _tables(work, "oasis", folder / OASIS, ["path", "valence", "arousal", "group"], parts)


def _tables(
    work: Path, name: str, root: Path, header: Sequence[str], parts: Sequence[Sequence[tuple[str, ...]]]
) -> tuple[str, str]:
    specs = []
    for number, rows in enumerate(parts):
        file = work / f"{name}-{number}.csv"
        with atomic_write(file, "w") as out:
            csv.writer(out).writerows([header, *rows])
        specs.append(f"csv:{file}@{root}")
    return specs[0], specs[1]


def head_of_emdt(folder: Path, model: str) -> tuple[RatingHead, tuple[RatingScale, ...]]:
    """Fit ratings to EMDT alone, by benchmarks/ratings.py's method; intervals with scenes left out whole."""
    engine = load_engine(model, "onnxruntime")
    size, rows = engine.card.preprocessing, rated_rows(folder, EMDT)
    features = []
    for row in rows:
        pixels = size.fit_pixels(read_pixels(folder / EMDT / row[0], at_least=size.at_least))
        features.append(engine.output(size.normalise(pixels[None]), GRAPH_FEATURES))
    data = RatedFeatures(
        features=np.concatenate(features),
        values=np.array([[float(row[1]), float(row[2])] for row in rows]),
        groups=np.array([row[3] for row in rows]),
        blocks=BLOCKS,
        directions=polarity_directions(model),
    )
    head, _ = fit_rating_head(data)
    errors = np.abs(out_of_fold(data, SEED) - data.values)
    scales = tuple(
        replace(scale, half_widths=conformal_half_widths(errors[:, index], scale.coverages))
        for index, scale in enumerate(engine.card.ratings)
    )
    return head, scales


def polarity_directions(model: str) -> Any:
    """What each branch's classifier reads for positive less negative words: (2, F)."""
    opened = open_classifier(library.find(model))
    signs = np.array([opened.card.vocabulary.signs[word] for word in opened.card.vocabulary.words])
    rows = opened.classifier.weights
    direction = rows[signs > 0].mean(axis=0) - rows[signs < 0].mean(axis=0)
    found, begin = np.zeros((len(opened.layers), sum(BLOCKS))), 0
    for index, layer in enumerate(opened.layers):
        found[index, begin : begin + layer.features] = direction[begin : begin + layer.features]
        begin += layer.features
    return found


def measured(model: Path, spec: str, scale: tuple[float, float]) -> dict[str, Any]:
    """Measure a model on pictures that did not calibrate it."""
    engine = load_engine(str(model), "onnxruntime")
    card = engine.card
    own = open_own_pictures(spec, card, scale=scale)
    answers = answer_own_pictures(engine, own.records)
    found: dict[str, Any] = {"pictures": len(own.records)}
    if own.has_emotions:
        targets = np.array([record.target.probabilities for record in own.records])
        logits = answers.logits / card.temperature
        marked = PredictionSets.from_json(card.prediction_sets, card.vocabulary).members(
            softmax(logits), COVERAGE
        )
        found |= {
            "temperature": card.temperature,
            "negative_log_likelihood": negative_log_likelihood(logits, targets),
            "expected_calibration_error": expected_calibration_error(softmax(logits), targets),
            "coverage": float((marked * targets).sum(axis=1).mean()),
            "worst_emotion": float(((marked * targets).sum(axis=0) / targets.sum(axis=0)).min()),
            "words": float(marked.sum(axis=1).mean()),
        }
    if own.has_ratings:
        for index, each in enumerate(card.ratings):
            errors = np.abs(answers.ratings[:, index] - own.ratings[:, index])
            clipped = np.abs(np.clip(answers.ratings[:, index], each.low, each.high) - own.ratings[:, index])
            half = each.half_width(COVERAGE)
            found[each.name] = {
                "error": float(clipped.mean()), "coverage": float((errors <= half).mean()), "width": 2 * half,
            }  # fmt: skip
    return found


def row_of(
    model: Path, halves: tuple[str, str], work: Path, scale: tuple[float, float] = (1.0, 9.0)
) -> dict[str, Any]:
    """Calibrate a model on one half, and measure it before and after on the other."""
    out = work / f"{model.name} calibrated on {Path(halves[0].partition(':')[2].partition('@')[0]).stem}"
    begin = perf_counter()
    request = CalibrationRequest(model=str(model), data=halves[0], out=out, scale=scale, name=out.name)
    row: dict[str, Any] = {"before": measured(model, halves[1], scale)}
    try:
        report = fit_calibration(request).report
    except NotCalibrated as error:
        report, row["refused"] = error.report, str(error)
    else:
        row["after"] = measured(out, halves[1], scale)
    seconds = perf_counter() - begin
    return {**row, "findings": report.findings(), "report": asdict(report), "seconds": round(seconds, 1)}


def cases(args: argparse.Namespace) -> Mapping[str, Any]:
    """What is measured, by name."""
    folder, work = library.find(args.model), args.work
    card = model_folder.load_card(folder)
    scale = (float(SCALES[OASIS][0]), float(SCALES[OASIS][1]))

    def too_sure() -> dict[str, Any]:
        model = variant(folder, work / "too sure", replace(card, temperature=card.temperature / 2))
        return row_of(model, fi_halves(args.data, work), work)

    def other_set() -> dict[str, Any]:
        head, scales = head_of_emdt(args.ratings, args.model)
        model = variant(folder, work / "of EMDT", of_emdt(card, scales), head)
        return row_of(model, oasis_halves(args.ratings, work), work, scale)

    def other_line() -> dict[str, Any]:
        head, scales = head_of_emdt(args.ratings, args.model)
        head = changed_head(head, card, LINES)
        model = variant(folder, work / "on other lines", of_emdt(card, scales), head)
        return row_of(model, oasis_halves(args.ratings, work), work, scale)

    return {
        "right": lambda: row_of(folder, fi_halves(args.data, work), work),
        "too sure": too_sure,
        "other set": other_set,
        "other line": other_line,
    }


def of_emdt(card: Card, scales: tuple[RatingScale, ...]) -> Card:
    """The card of a model whose ratings were learned from EMDT alone: it lists no pictures of OASIS."""
    training = {key: value for key, value in card.training.items() if key != "ratings"}
    return replace(card, ratings=scales, training=training)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--ratings", type=Path, required=True)
    parser.add_argument("--model", default=library.DEFAULT)
    parser.add_argument("--only", help="One of the cases; the others stay as they were.")
    parser.add_argument(
        "--work", type=Path, required=True, help="Folder for models and tables, which is new."
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    found = json.loads(RESULT.read_text(encoding="utf-8"))["cases"] if RESULT.is_file() else {}
    for name, measure in cases(args).items():
        if args.only in (None, name):
            found[name] = measure()
            print(name, *found[name]["findings"], sep="\n  ")
            plain = {"machine": describe(), "weights": library.card(args.model).weights_hash, "cases": found}
            with atomic_write(RESULT, "w") as file:
                file.write(json.dumps(plain, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
