"""Pictures per second of training and of prediction: one process, and 1 and 2 workers on Ray.

    python benchmarks/scaling.py [--rounds 3] [--pictures 900] [--steps 12] [--out FILE]

Every measurement has a process of its own; within a round all take turns, so that what else the machine does
falls on all. Ratios to the plain command are of each round, and their median counts. What is counted is the
work: from the third training step, or from when the first picture is begun, to the last. Loading, Ray's start
(measured by itself, as `seconds_to_start`) and the end of a run are left out, for they do not grow with the
number of pictures.

Training: DeiT-Tiny, and MobileNetV2 with its batch norms, whose statistics are exchanged too; without
pretrained weights, at 224 pixels from a cache, batches of 32. Prediction: the default model, JPEGs of
500 x 375 pixels of 1/f noise in batches of 32. On one machine more workers cannot be faster than its cores
allow, and the plain command uses all of them: what this measures is what Ray and the exchange cost.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from affectlens import library
from affectlens.cluster.connection import Cluster, connected
from affectlens.data import folder
from affectlens.inference.inputs import count, pictures
from affectlens.inference.predictor import Predictor
from affectlens.machine import describe
from affectlens.training.loop import Step
from affectlens.training.run import fit
from affectlens.training.run_folder import TrainingRequest
from affectlens.training.settings import Settings
from noise import photo_like

RESULT = Path(__file__).parent / "results" / "scaling.json"
NETWORKS = ("deit_tiny", "mobilenetv2_100")
JOBS = (*NETWORKS, "predict")
WORKERS = (0, 1, 2)  # 0 is the plain command
EMOTIONS = ("awe", "anger", "sadness", "fear")
DISTINCT = 40  # pictures of prediction; the rest are copies
WARM = 2  # steps of training before the clock starts
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=900, help="number of pictures for prediction")
    parser.add_argument("--steps", type=int, default=12, help="number of steps of training")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--one", nargs=3, metavar=("JOB", "WORKERS", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        job, workers, pictures_folder = arguments.one
        if job in NETWORKS:
            found = measure_training(job, int(workers), Path(pictures_folder), arguments.steps)
        else:
            found = measure_prediction(int(workers), Path(pictures_folder))
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_pictures(root, arguments.pictures)
        rounds = [
            {(job, workers): one(job, workers, root, arguments.steps) for job in JOBS for workers in WORKERS}
            for _ in range(arguments.rounds)
        ]
    document: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe(),
        "settings": {"rounds": arguments.rounds, "pictures": arguments.pictures, "steps": arguments.steps},
        "driver": measure_driver(),
        "rows": [summed_up(job, workers, rounds) for job in JOBS for workers in WORKERS],
    }
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=2) + "\n")
    for row in document["rows"]:
        print(f"{row['row']:<28}{row['pictures_per_second']:>8.1f} pictures/s  x {row['ratio']:.2f}")


def title(workers: int) -> str:
    return f"{workers} worker{'s' * (workers > 1)}" if workers else "plain"


def summed_up(
    job: str, workers: int, rounds: list[dict[tuple[str, int], dict[str, float]]]
) -> dict[str, Any]:
    """One row of the result: medians over the rounds, and of the ratios to the plain command."""
    speeds = [each[job, workers]["pictures_per_second"] for each in rounds]
    plain = [each[job, 0]["pictures_per_second"] for each in rounds]
    starts = [each[job, workers]["seconds_to_start"] for each in rounds]
    return {
        "row": f"{job}, {title(workers)}",
        "pictures_per_second": round(statistics.median(speeds), 1),
        "range": [round(min(speeds), 1), round(max(speeds), 1)],
        "ratio": round(statistics.median(s / p for s, p in zip(speeds, plain, strict=True)), 3),
        "seconds_to_start": round(statistics.median(starts), 1),
    }


def one(job: str, workers: int, root: Path, steps: int) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--steps", str(steps), "--one", job, str(workers), str(root)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    print(f"{job}, {title(workers)}: {found['pictures_per_second']:.1f} pictures/s", file=sys.stderr)
    return found


def write_pictures(root: Path, count: int) -> None:
    """Pictures with emotions for training, and others for prediction."""
    for emotion in EMOTIONS:
        (root / "labelled" / emotion).mkdir(parents=True)
        for number in range(30):
            picture = Image.fromarray(photo_like(160, 160, seed=number))
            picture.save(root / "labelled" / emotion / f"{number}.jpg")
    (root / "photos").mkdir()
    for number in range(count):
        path = root / "photos" / f"{number:06}.jpg"
        if number < DISTINCT:
            Image.fromarray(photo_like(375, 500, seed=number)).save(path, quality=90)
        else:
            path.write_bytes((root / "photos" / f"{number % DISTINCT:06}.jpg").read_bytes())


def measure_training(network: str, workers: int, root: Path, steps: int) -> dict[str, float]:
    """Pictures per second from the step after the warm ones to the last."""
    source = folder.read(root / "labelled")
    settings = Settings(
        network=network, weights="none", batch_size=BATCH, num_workers=0, cache_side=240, val_fraction=0.1
    )
    settings = replace(settings, epochs=(steps + 1) * BATCH / len(source.split("all")))
    with tempfile.TemporaryDirectory(dir=root) as out:
        request = TrainingRequest(
            name="bench", data="folder", source=source, settings=settings, out=Path(out) / "run", graph=False
        )
        began = time.perf_counter()
        times = [time.perf_counter() for _ in islice(steps_of(request, workers), steps)]
    return {
        "pictures_per_second": (steps - WARM) * BATCH / (times[-1] - times[WARM - 1]),
        "seconds_to_start": times[0] - began,
    }


def steps_of(request: TrainingRequest, workers: int) -> Iterator[Step]:
    """Train, in this process or on Ray."""
    from affectlens.cluster.train import fit_on_ray

    events = fit_on_ray(request, workers, Cluster(address="none")) if workers else fit(request)
    return (event for event in events if isinstance(event, Step))


def measure_prediction(workers: int, root: Path) -> dict[str, float]:
    """Pictures per second from when the first is begun to the last answer."""
    from affectlens.cluster.predict import PictureListing, PredictionOptions, predict_on_ray

    words = [str(root / "photos")]
    start = time.time()
    if not workers:
        predictor = Predictor.load()
        began = time.time()
        done = sum(1 for _ in predictor.predict_files(pictures(words, sys.stdin.buffer), BATCH))
        ended = time.time()
    else:
        with connected(Cluster(address="none")):
            options = PredictionOptions(model=library.DEFAULT, batch_size=BATCH)
            parts = list(predict_on_ray(options, PictureListing(tuple(words)), workers, count(words)))
        began, ended = min(part.began for part in parts), max(part.ended for part in parts)
        done = sum(part.count for part in parts)
    return {"pictures_per_second": done / (ended - began), "seconds_to_start": began - start}


def measure_driver(rows: int = 200_000) -> dict[str, float]:
    """What one core does for all workers of a prediction: pictures per second of its own time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from affectlens import library
    from affectlens.cluster.predict import PictureListing, parts_of
    from affectlens.emotions import MIKELS
    from affectlens.inference.output.json_lines import JsonLines
    from affectlens.inference.output.rows import RowSchema
    from affectlens.inference.output.writer import open_output

    with tempfile.TemporaryDirectory() as name:
        table, file = Path(name) / "list.parquet", Path(name) / "rows.jsonl"
        pq.write_table(pa.table({"path": [f"photos/{n // 1000:06}/{n:09}.jpg" for n in range(rows)]}), table)
        listing = PictureListing((str(table),))
        began = time.process_time()
        for _ in parts_of(listing, 512):
            pass
        listed = time.process_time()
        row: dict[str, Any] = {"top": "awe", "emotions": dict.fromkeys(MIKELS.words, 0.123456)}
        row |= {"polarity": {"positive": 0.123456, "negative": 0.876544}, "model": "default", "error": None}
        card = library.card()
        row |= {"weights": card.weights_id, "version": card.version}
        schema = RowSchema(MIKELS)
        with file.open("wb") as out:
            out.writelines(JsonLines(schema).encode({"image": path, **row}) for path in listing)
        before = time.process_time()
        open_output(file, card, iter(listing), resume=True, batch_size=BATCH, schema=schema)
        after = time.process_time()
        size = file.stat().st_size
    return {
        "listed_per_second": round(rows / (listed - began)),
        "compared_per_second_on_resume": round(rows / (after - before)),
        "bytes_of_a_row": round(size / rows),
    }


if __name__ == "__main__":
    main()
