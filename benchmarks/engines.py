"""How fast each engine answers for the default model, and how far their answers agree.

    python benchmarks/engines.py --pictures FOLDER [--count 500] [--rounds 3]

Every engine runs in a process of its own in every round, in turns: one picture at a time on all cores
(what a person waits for), batches of 32 by `Engine.map` (what a job gets), both of the network alone, and the
complete job from files to probabilities. The answers to all pictures are compared with those of torch in
float32; the first 160 are timed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import result_page
from noise import photographs

RESULT = Path(__file__).parent / "results" / "engines.json"
PAGE = result_page.RESULTS / "engines.md"
BATCH = 32
TIMED = 160
SINGLE = 40  # pictures that are answered for one at a time
REFERENCE = "torch float32"
ALL, NONE = "all", "none"  # answers that a process writes
CONTENDERS = {
    "ONNX Runtime float32": ("onnxruntime", "float32"),
    "OpenVINO float32": ("openvino", "float32"),
    "OpenVINO bfloat16": ("openvino", "bfloat16"),
    REFERENCE: ("torch", "float32"),
    "torch bfloat16": ("torch", "bfloat16"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, help="folder of pictures, evenly taken")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        engine, precision, listing, out, which = given.measure
        measure(engine, precision, Path(listing).read_text().splitlines(), Path(out), which == ALL)
        return
    if not given.pictures:
        parser.error("--pictures is missing")
    document = compare(given.pictures, given.count, given.rounds)
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    write_page(document)


def measure(name: str, precision: str, paths: list[str], out: Path, answers_all: bool) -> None:
    """Measure one engine in this process; write its figures, and its answers if they are wanted."""
    from affectlens.images import read_pixels
    from affectlens.inference.engine import load_engine
    from affectlens.inference.predictor import Predictor

    begun = time.perf_counter()
    engine = load_engine("default", name, "cpu", precision)
    loaded = time.perf_counter() - begun
    size = engine.card.preprocessing
    pixels = np.stack([size.fit_pixels(read_pixels(path, at_least=size.at_least)) for path in paths])
    engine(pixels[:1])
    begun = time.perf_counter()
    for picture in pixels[:SINGLE]:
        engine(picture[None])
    single = (time.perf_counter() - begun) / min(SINGLE, len(pixels))
    timed = min(TIMED, len(pixels))
    parts = [pixels[begin : begin + BATCH] for begin in range(0, timed, BATCH)]
    list(engine.map(engine, parts[:2]))
    begun = time.perf_counter()
    list(engine.map(engine, parts))
    many = timed / (time.perf_counter() - begun)
    predictor = Predictor(engine)
    begun = time.perf_counter()
    list(predictor.predict_files([Path(path) for path in paths[:timed]]))
    job = timed / (time.perf_counter() - begun)
    answers = engine(pixels) if answers_all else ()
    figures = {
        "load_seconds": loaded,
        "single_milliseconds": 1000 * single,
        "pictures_per_second": many,
        "job_pictures_per_second": job,
    }
    np.savez(out, answers=answers, figures=np.array(json.dumps(figures)))


def compare(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    """Let every engine do all once in every round."""
    from affectlens.machine import describe

    paths = photographs(folder)
    paths = paths[:: max(1, len(paths) // count)][:count]
    found: dict[str, list[dict[str, float]]] = {title: [] for title in CONTENDERS}
    answers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        listing, out = Path(temporary) / "paths", Path(temporary) / "found.npz"
        listing.write_text("\n".join(map(str, paths)))
        for number in range(rounds):
            which = NONE if number else ALL
            for title, (engine, precision) in CONTENDERS.items():
                words = [sys.executable, __file__, "--measure", engine, precision, str(listing), str(out)]
                words.append(which)
                subprocess.run(words, check=True)
                with np.load(out) as stored:
                    found[title].append(json.loads(str(stored["figures"])))
                    answers.setdefault(title, stored["answers"])
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "pictures": len(paths),
        "rounds": rounds,
        "results": {
            title: {
                **{key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]},
                **agreement(answers[title], answers[REFERENCE]),
            }
            for title, rows in found.items()
        },
    }


def agreement(answers: Any, reference: Any) -> dict[str, float]:
    """Compare probabilities, (N, E) both."""
    largest = np.abs(answers - reference).max(axis=1)
    return {
        "largest_difference": float(largest.max()),
        "difference_of_99_percent": float(np.quantile(largest, 0.99)),
        "same_first_emotion": float((answers.argmax(axis=1) == reference.argmax(axis=1)).mean()),
    }


def write_page(document: dict[str, Any]) -> None:
    machine = document["machine"]
    titles = ("ready, s", "one picture, ms", "batches, pictures/s", "job, pictures/s")
    keys = ("load_seconds", "single_milliseconds", "pictures_per_second", "job_pictures_per_second")
    header = (*titles, "largest difference of a probability", "99 %", "same first emotion")
    lines = [f"| | {' | '.join(header)} |", "| --- |" + " ---: |" * len(header)]
    for title, row in document["results"].items():
        cells = [f"{row[key]:.3g}" for key in keys]
        cells += [f"{row[key]:.1g}" for key in ("largest_difference", "difference_of_99_percent")]
        cells.append(f"{row['same_first_emotion']:.1%}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    parts = {
        "MACHINE": f"{machine['cores']} cores of {machine['cpu']}",
        "AMX": "with AMX" if machine["amx"] else "without AMX",
        "PICTURES": f"{document['pictures']:,}",
        "ROUNDS": str(document["rounds"]),
        "TABLE": "\n".join(lines).replace("%", " %").replace("  %", " %"),
    }
    result_page.write(PAGE, "engines.template.md", parts)


if __name__ == "__main__":
    main()
