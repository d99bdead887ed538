"""How fast are predictions, compared with `transformers.pipeline("image-classification")`?

Both load the same model folder, a DeiT-Tiny with eight classes; ours also the default model, where it is
installed. Two jobs: twelve-megapixel photographs, as cameras write them, and small pictures, as data sets
have them. Every measurement has a process of its own, so that peak memory is its own too; contenders take
turns within each round, so that what else the machine does falls on all; ratios are of each round, and
their median counts. Loading and one first picture come before the clock starts.

The pipeline is measured as it comes (one picture at a time), and as one can set it at best: batches, and
bfloat16 where ours uses it.

    python benchmarks/predict.py [--pictures FOLDER] [--small FOLDER] [--weights FOLDER]
                                 [--large-count 200] [--small-count 2000] [--rounds 3]

Without folders, pictures of 1/f noise are made. With `--pictures`, real pictures are enlarged to twelve
megapixels and given the grain of a sensor, without which they would be easier to unpack than photographs.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from affectlens import library
from affectlens.emotions import MIKELS
from affectlens.errors import ModelNotFound
from affectlens.images import read_pixels
from affectlens.inference.predictor import BATCH_SIZE, Predictor
from affectlens.machine import describe, pick_device, pick_precision
from affectlens.model_folder import Card
from affectlens.models import catalog
from affectlens.models.saved import save_model
from affectlens.preprocess import Preprocessing
from noise import photo_like, photographs

RESULT = Path(__file__).parent / "results" / "predict.json"
DISTINCT = 4  # large pictures; the rest are copies
MEGAPIXELS_12 = (4000, 3000)

OURS, OURS_DEFAULT = "affectlens, same network", "affectlens, default model"
CONTENDERS: dict[str, dict[str, Any]] = {
    OURS: {"program": "affectlens"},
    "pipeline, as it comes": {"program": "pipeline"},
    "pipeline, batches of 8, bfloat16": {"program": "pipeline", "batch_size": 8, "fast": True},
    "pipeline, batches of 32, bfloat16, 2 workers": {
        "program": "pipeline", "batch_size": 32, "fast": True, "num_workers": 2,
    },
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, help="real pictures to enlarge")
    parser.add_argument("--small", type=Path, help="small pictures, taken as they are")
    parser.add_argument("--weights", type=Path, help="a folder with the network's weights; else random ones")
    parser.add_argument("--large-count", type=int, default=200)
    parser.add_argument("--small-count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)  # what a measuring process is to do
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(measure(arguments.worker)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = save_network(folder / "model", arguments.weights)
        contenders = {title: {**settings, "model": str(model)} for title, settings in CONTENDERS.items()}
        if has_default():
            contenders[OURS_DEFAULT] = {"program": "affectlens", "model": library.DEFAULT}
        jobs = {
            "12 megapixels": large_pictures(folder / "large", arguments.pictures, arguments.large_count),
            "small": small_pictures(folder / "small", arguments.small, arguments.small_count),
        }
        document = {
            "date": date.today().isoformat(),
            "machine": describe(),
            "settings": {
                "rounds": arguments.rounds,
                "real pictures": {"12 megapixels": bool(arguments.pictures), "small": bool(arguments.small)},
                "contenders": {title: without_paths(settings) for title, settings in contenders.items()},
            },
            "jobs": {title: compare(paths, contenders, arguments.rounds) for title, paths in jobs.items()},
            "seconds_of_one_picture": startup(jobs["small"][0], model),
        }
    show(document)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(document, indent=2) + "\n")


# ----------------------------------------------------------------------------------------- what is predicted


def large_pictures(folder: Path, real: Path | None, count: int) -> list[Path]:
    """Write `count` JPEGs of twelve megapixels, of which `DISTINCT` differ."""
    folder.mkdir()
    width, height = MEGAPIXELS_12
    grain = np.random.default_rng(0).normal(0, 4, (height, width, 1)).astype(np.float32)
    sources = [path for path, _ in zip(photographs(real), range(DISTINCT), strict=False)] if real else []
    paths: list[Path] = []
    for number in range(count):
        path = folder / f"{number:04}.jpg"
        if number >= DISTINCT:
            shutil.copy(paths[number % DISTINCT], path)
        elif sources:
            pixels = Image.fromarray(read_pixels(sources[number % len(sources)]))
            enlarged = np.asarray(pixels.resize(MEGAPIXELS_12, Image.Resampling.BICUBIC), dtype=np.float32)
            Image.fromarray((enlarged + grain).clip(0, 255).astype(np.uint8)).save(path, quality=90)
        else:
            Image.fromarray(photo_like(height, width, number)).save(path, quality=90)
        paths.append(path)
    return paths


def small_pictures(folder: Path, real: Path | None, count: int) -> list[Path]:
    """The first `count` pictures of a folder, each class alike, or as many made of noise."""
    if real:
        paths = photographs(real)
        return paths[:: max(1, len(paths) // count)][:count]
    folder.mkdir()
    paths = [folder / f"{number:04}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        if number < 50:
            Image.fromarray(photo_like(224, 224, number)).save(path, quality=90)
        else:
            shutil.copy(paths[number % 50], path)
    return paths


def save_network(folder: Path, weights: Path | None) -> Path:
    """Save the network that all contenders load."""
    torch.manual_seed(0)
    network = catalog.build("deit_tiny", len(MIKELS), weights=str(weights) if weights else "none")
    card = Card(name="deit_tiny", network="deit_tiny", vocabulary=MIKELS, preprocessing=Preprocessing())
    save_model(folder, network, card, "A network for measurements; it knows nothing of emotions.\n")
    return folder


def has_default() -> bool:
    try:
        library.find(library.DEFAULT)
    except ModelNotFound:
        return False
    return True


# ------------------------------------------------------------------------------------- measuring processes


def compare(paths: Sequence[Path], contenders: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Let every contender do the job once in every round."""
    found: dict[str, list[dict[str, float]]] = {title: [] for title in contenders}
    for number in range(rounds):
        for title, settings in contenders.items():
            found[title].append(in_own_process({**settings, "paths": [str(path) for path in paths]}))
            speed = found[title][-1]["pictures_per_second"]
            print(f"round {number + 1}: {title}: {speed:.1f} pictures/s", file=sys.stderr, flush=True)
    ours = [result["pictures_per_second"] for result in found[OURS]]
    results = {}
    for title, results_of in found.items():
        middle = {key: statistics.median(result[key] for result in results_of) for key in results_of[0]}
        speeds = [result["pictures_per_second"] for result in results_of]
        middle["times_as_fast_is_ours"] = statistics.median(a / b for a, b in zip(ours, speeds, strict=True))
        results[title] = {key: round(value, 4) for key, value in middle.items()}
    sizes = [path.stat().st_size for path in paths]
    return {"pictures": len(paths), "mean_kilobytes": round(statistics.mean(sizes) / 1e3), "results": results}


def in_own_process(job: dict[str, Any]) -> dict[str, float]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:  # too many paths for arguments
        file.write(json.dumps(job))
        file.flush()
        command = [sys.executable, __file__, "--worker", file.name]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return result


def measure(job: Path) -> dict[str, float]:
    """Do a job in this process: its speed, its peak memory, and what the time went into."""
    settings = json.loads(job.read_text())
    paths: list[str] = settings["paths"]
    predict = affectlens_of(settings) if settings["program"] == "affectlens" else pipeline_of(settings)
    predict(paths[:1])
    start = time.perf_counter()
    assert predict(paths) == len(paths)
    seconds = time.perf_counter() - start
    peak = peak_mebibytes()
    shares = shares_of(settings["model"], paths[:64]) if settings["program"] == "affectlens" else {}
    return {
        "pictures_per_second": len(paths) / seconds,
        "peak_mebibytes": peak,
        **shares,
    }


def peak_mebibytes() -> float:
    """Peak memory of this process, without its workers; `getrusage` includes the parent's."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    kibibytes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kibibytes[0]) / 1024 if kibibytes else float("nan")


def affectlens_of(settings: dict[str, Any]) -> Callable[[list[str]], int]:
    predictor = Predictor.load(settings["model"])
    return lambda paths: sum(prediction.error is None for prediction in predictor.predict_files(paths))


def pipeline_of(settings: dict[str, Any]) -> Callable[[list[str]], int]:
    import transformers

    options: dict[str, Any] = {}
    if settings.get("fast"):
        options["dtype"] = pick_precision("auto", pick_device())
    classify: Any = transformers.pipeline("image-classification", settings["model"], **options)
    given = {key: settings[key] for key in ("batch_size", "num_workers") if key in settings}
    return lambda paths: len(classify(paths, top_k=8, **given))


def shares_of(model: str, paths: list[str]) -> dict[str, float]:
    """Milliseconds a picture of each part alone: decoding on one core, the network on all."""
    predictor = Predictor.load(model)
    preprocessing = predictor.card.preprocessing
    start = time.perf_counter()
    fitted = [preprocessing.fit_pixels(read_pixels(p, at_least=preprocessing.at_least)) for p in paths]
    decoded = time.perf_counter()
    for begin in range(0, len(fitted), BATCH_SIZE):
        predictor._engine(np.stack(fitted[begin : begin + BATCH_SIZE]))
    predicted = time.perf_counter()
    return {
        "decode_milliseconds": 1000 * (decoded - start) / len(paths),
        "network_milliseconds": 1000 * (predicted - decoded) / len(paths),
    }


def startup(picture: Path, model: Path) -> dict[str, float]:
    """Seconds from the shell to the answer about one picture; the best of three, in turns."""
    theirs = (
        "import sys, transformers\n"
        "print(transformers.pipeline('image-classification', sys.argv[1])(sys.argv[2]))"
    )
    commands = {
        "affectlens predict": ["-m", "affectlens", "predict", str(picture), "--model", str(model)],
        "pipeline": ["-c", theirs, str(model), str(picture)],
        "affectlens --help": ["-m", "affectlens", "--help"],
    }
    taken: dict[str, list[float]] = {title: [] for title in commands}
    for _ in range(3):
        for title, words in commands.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *words], capture_output=True, check=True)
            taken[title].append(time.perf_counter() - start)
    return {title: round(min(seconds), 2) for title, seconds in taken.items()}


# ------------------------------------------------------------------------------------------------ results


def without_paths(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "model"}


def show(document: dict[str, Any]) -> None:
    """Print a table for each job, and what bounds ours."""
    cores = document["machine"]["cores"]
    for title, job in document["jobs"].items():
        print(f"\n{job['pictures']} pictures, {title}, {job['mean_kilobytes']} kB each")
        print(f"{'':46}{'pictures/s':>12}{'peak MiB':>10}{'ours is':>9}")
        for name, result in job["results"].items():
            ratio = f"{result['times_as_fast_is_ours']:.2f} x"
            speed, peak = result["pictures_per_second"], result["peak_mebibytes"]
            print(f"{name:46}{speed:12.1f}{peak:10.0f}{ratio:>9}")
        for name in (OURS, OURS_DEFAULT):
            if name in job["results"]:
                print(f"{name}: {bound(job['results'][name], cores)}")
    print("\nSeconds from the shell to one answer:", document["seconds_of_one_picture"])


def bound(result: dict[str, float], cores: int) -> str:
    """What the time goes into, compared with parts that take turns and each use all cores without loss."""
    decode, network = result["decode_milliseconds"] / cores, result["network_milliseconds"]
    turns = decode + network
    return (
        f"decoding {decode:.1f} ms a picture on {cores} cores, network {network:.1f} ms: "
        f"{decode / turns:.0%} decoding; {result['pictures_per_second'] * turns / 1000:.0%} of the speed of "
        "both in turns on all cores"
    )


if __name__ == "__main__":
    main()
