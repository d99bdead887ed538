"""What `affectlens train finetune` learns of photographs that people rated: words, ratings, several labels.

    python benchmarks/own_model.py --ratings FOLDER --work FOLDER [CASE ...]

`--ratings` holds `oasis-dev`: 274 photographs of OASIS (Kurdi, Lozano and Banaji, "Introducing the Open
Affective Standardized Image Set (OASIS)", Behavior Research Methods 2017) with mean ratings of valence and
arousal, and in a second table of beauty, from 1 to 7. Their names name themes ("Beach 1"), which are groups.
Each CASE of `CASES`, all by default, is one run in `--work`, embeddings included. What it reported, its
scores and its time, by the clock and of processors alone (which other work on the machine lengthens less),
go to benchmarks/results/own_model.json, which docs/own_model.md quotes
(tests/benchmarks/test_own_model.py).
"""

import argparse
import csv
import json
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from affectlens.adaptation.depths import ALL_LAYERS, HEAD, LAST_BLOCK
from affectlens.adaptation.job import finetune
from affectlens.adaptation.report import Report
from affectlens.machine import describe

OUT = Path(__file__).parent / "results" / "own_model.json"
SCALE = (1.0, 7.0)
MOODS = ("gloomy", "plain", "sunny")  # thirds of valence
# Labels, each from a mean rating on: none, one or several of a picture.
LABELS = {"pleasant": ("valence", 4.5), "stirring": ("arousal", 4.0), "beautiful": ("beauty", 5.0)}
FEW = 100
Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A run: columns of its table, ratings that it learns, how many pictures, 0 for all, its depth and
    settings of training.
    """

    columns: Callable[[Sequence[Row]], list[dict[str, Any]]]
    ratings: tuple[str, ...] = ()
    pictures: int = 0
    depth: str = HEAD
    assignments: tuple[str, ...] = ()


def rated_rows(folder: Path) -> list[dict[str, Any]]:
    """Read file, theme and mean ratings of each picture."""
    with (folder / "beauty.tsv").open(encoding="utf-8", newline="") as file:
        beauty = {row["file"]: row["beauty_mean"] for row in csv.DictReader(file, delimiter="\t")}
    with (folder / "ratings.tsv").open(encoding="utf-8", newline="") as file:
        return [
            {
                "path": row["file"],
                "group": re.sub(r" \d+\.jpg$", "", row["file"]),
                "valence": float(row["valence_mean"]),
                "arousal": float(row["arousal_mean"]),
                "beauty": float(beauty[row["file"]]),
            }
            for row in csv.DictReader(file, delimiter="\t")
        ]


def moods(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Name each picture's third of valence."""
    ends = np.quantile([row["valence"] for row in rows], (1 / 3, 2 / 3))
    return [{"label": MOODS[int(np.searchsorted(ends, row["valence"]))]} for row in rows]


def ratings(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the mean ratings."""
    return [{name: row[name] for name in ("valence", "arousal", "beauty")} for row in rows]


def labels(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the labels of each picture in one cell."""
    return [
        {"labels": "; ".join(word for word, (name, least) in LABELS.items() if row[name] >= least)}
        for row in rows
    ]


CASES: Mapping[str, Case] = {
    "words": Case(moods),
    "words of 100": Case(moods, pictures=FEW),
    "ratings": Case(ratings, ("beauty", "valence", "arousal")),
    "ratings of 100": Case(ratings, ("beauty",), FEW),
    "labels": Case(labels),
    "words at depth last": Case(moods, depth=LAST_BLOCK),
    "words at depth all": Case(moods, depth=ALL_LAYERS, assignments=("epochs=3",)),
}


def run(case: Case, folder: Path, work: Path) -> dict[str, Any]:
    """Learn one case in a new folder, and return what was found."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    rows = rated_rows(folder)
    if case.pictures:
        chosen = np.random.default_rng(0).permutation(len(rows))[: case.pictures]
        rows = [rows[row] for row in sorted(chosen.tolist())]
    table = work / "table.csv"
    columns = case.columns(rows)
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["path", *columns[0], "group"])
        writer.writeheader()
        for row, own in zip(rows, columns, strict=True):
            writer.writerow({"path": row["path"], **own, "group": row["group"]})
    begun, busy = time.perf_counter(), time.process_time()
    scales = dict.fromkeys(case.ratings, SCALE)
    device = "auto" if case.depth == HEAD else "cpu"  # the last layer alone has no use for one
    report = finetune(
        f"csv:{table}@{folder}", work / "run", ratings=scales, depth=case.depth, name="mine", device=device,
        assignments=case.assignments,
    ).report  # fmt: skip
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - busy
    scores = report.scores.to_json() if isinstance(report, Report) else _short(report.to_json())
    taken = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1)}
    return {**taken, "findings": report.findings(), "scores": scores}


def _short(plain: dict[str, Any]) -> dict[str, Any]:
    """Leave out names of pictures, which are not ours to list."""
    if isinstance(plain.get("ratings"), Sequence):
        plain["ratings"] = [{k: v for k, v in each.items() if k != "suspects"} for each in plain["ratings"]]
    return {key: value for key, value in plain.items() if key != "suspects"}


def main() -> None:
    """Run every case, one after the other, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ratings", type=Path, required=True, help="Folder that holds oasis-dev.")
    parser.add_argument("--work", type=Path, required=True, help="Folder for runs, which are replaced.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"Of: {', '.join(CASES)}.")
    args = parser.parse_args()
    for name in args.cases or CASES:
        made = run(CASES[name], args.ratings / "oasis-dev", args.work / name.replace(" ", "-"))
        print(name, made["seconds"], "s", flush=True)
        found = json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else {}
        found[name] = {"measured": datetime.now(UTC).date().isoformat(), "machine": describe(), **made}
        OUT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
