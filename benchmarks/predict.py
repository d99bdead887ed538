"""How fast are predictions, compared with what one would use instead?

All load the same model folder, a DeiT-Tiny with eight classes: `transformers.pipeline` as it comes and as one
can set it at best, a loop as that of timm's own inference script, and ours; ours also the default model.
Two jobs: twelve-megapixel photographs, as cameras write them, and small pictures, as data sets have them.
Every measurement has a process of its own, so that peak memory is its own too; contenders take turns within
each round, so that what else the machine does falls on all; ratios are of each round, and their median
counts. Loading and one first picture come before the clock starts.

The pipeline's own preprocessing for networks of timm exists for Pillow alone, which is what its remark
"Requested torchvision backend is not available" means, whether or not torchvision is installed. So it is also
measured with the processor of ViT, which has torchvision's backend and is given the same size, mean and
standard deviation.

    python benchmarks/predict.py [--pictures FOLDER] [--small FOLDER] [--weights FOLDER]
                                 [--large-count 200] [--small-count 2000] [--rounds 3]
    python benchmarks/predict.py --report

Without folders, pictures of 1/f noise are made. With `--pictures`, real pictures are enlarged to twelve
megapixels and given the grain of a sensor, without which they would be easier to unpack than photographs.
Writes benchmarks/results/predict.json, and with `--report` docs/performance.md from it.
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

import result_page
from affectlens import library
from affectlens.emotions import MIKELS
from affectlens.errors import ModelNotFound
from affectlens.images import read_pixels
from affectlens.inference.predictor import Predictor
from affectlens.inference.stages import STAGES, measure_stages
from affectlens.machine import cpu_multiplies_bfloat16, describe, pick_device, pick_precision
from affectlens.model_folder import Card
from affectlens.models import catalog
from affectlens.models.saved import add_graph, save_model
from affectlens.preprocess import Preprocessing
from affectlens.report.text import markdown_table
from noise import photo_like, photographs
from peak_memory import peak_mebibytes

RESULT = Path(__file__).parent / "results" / "predict.json"
STAGES_OF = 64  # pictures that each stage is measured on
DISTINCT = 4  # large pictures; the rest are copies
MEGAPIXELS_12 = (4000, 3000)

OURS, OURS_FAST = "affectlens, float32", "affectlens, bfloat16"
OURS_DEFAULT = "affectlens, default model"
FAST_PRECISION = "bfloat16"
# What states how many times as fast each of ours is.
RATIOS = {OURS: "times_as_fast_is_ours", OURS_FAST: "times_as_fast_is_ours_at_best"}
BEST = {"program": "pipeline", "fast": True}
CONTENDERS: dict[str, dict[str, Any]] = {
    OURS: {"program": "affectlens"},
    OURS_FAST: {"program": "affectlens", "precision": FAST_PRECISION},
    "pipeline, as it comes": {"program": "pipeline"},
    "pipeline, batches of 8": {**BEST, "batch_size": 8},
    "pipeline, batches of 8, torchvision": {**BEST, "batch_size": 8, "torchvision": True},
    "pipeline, batches of 32, torchvision, 2 workers": {
        **BEST, "batch_size": 32, "num_workers": 2, "torchvision": True,
    },
    "timm's loop, batches of 64, 2 workers": {"program": "timm", "batch_size": 64, "num_workers": 2},
}  # fmt: skip
AS_IT_COMES = "pipeline, as it comes"


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
    parser.add_argument("--report", action="store_true", help="write the page from the last result")
    arguments = parser.parse_args()
    if arguments.report:
        document = json.loads(RESULT.read_text(encoding="utf-8"))
        result_page.write(
            result_page.RESULTS.parent / "performance.md", "performance.template.md", parts(document)
        )
        return
    if arguments.worker:
        print(json.dumps(measure(arguments.worker)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = save_network(folder / "model", arguments.weights)
        contenders = {title: {**settings, "model": str(model)} for title, settings in CONTENDERS.items()}
        if has_default():
            contenders[OURS_DEFAULT] = {"program": "affectlens", "model": library.DEFAULT}
        if not cpu_multiplies_bfloat16():
            del contenders[OURS_FAST]
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
    add_graph(folder)
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
    first = {title: [result.pop("first") for result in results_of] for title, results_of in found.items()}
    speeds_of = {title: [each["pictures_per_second"] for each in found[title]] for title in contenders}
    results: dict[str, Any] = {}
    for title, results_of in found.items():
        middle = {key: statistics.median(result[key] for result in results_of) for key in results_of[0]}
        for base, key in RATIOS.items():
            if base in found:
                ratios = [ours / speed for ours, speed in zip(speeds_of[base], speeds_of[title], strict=True)]
                middle[key] = statistics.median(ratios)
        results[title] = {key: round(value, 4) for key, value in middle.items()}
        results[title]["speeds"] = [round(speed, 2) for speed in speeds_of[title]]
        if title != OURS_DEFAULT:
            equal = np.equal(first[title][0], first[AS_IT_COMES][0])
            results[title]["same_first_emotion"] = round(float(equal.mean()), 4)
    sizes = [path.stat().st_size for path in paths]
    return {"pictures": len(paths), "mean_kilobytes": round(statistics.mean(sizes) / 1e3), "results": results}


def in_own_process(job: dict[str, Any]) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:  # too many paths for arguments
        file.write(json.dumps(job))
        file.flush()
        command = [sys.executable, __file__, "--worker", file.name]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return result


def measure(job: Path) -> dict[str, Any]:
    """Do a job in this process: its speed, its peak memory, and what the time went into."""
    settings = json.loads(job.read_text())
    paths: list[str] = settings["paths"]
    predict = PROGRAMS[settings["program"]](settings)
    predict(paths[:1])
    start = time.perf_counter()
    first = predict(paths)
    seconds = time.perf_counter() - start
    assert len(first) == len(paths)
    found: dict[str, Any] = {"pictures_per_second": len(paths) / seconds, "peak_mebibytes": peak_mebibytes()}
    found["first"] = first
    if settings["program"] == "affectlens":
        predictor = loaded(settings)
        stages = measure_stages(predictor, iter(paths[:STAGES_OF]), STAGES_OF)
        found |= {f"{stage} milliseconds": taken for stage, taken in stages.milliseconds.items()}
        found |= {"limit": stages.limit}
    return found


# What measures a program: the likeliest emotion of each of some pictures.
Predict = Callable[[list[str]], list[str]]


def loaded(settings: dict[str, Any]) -> Predictor:
    return Predictor.load(settings["model"], precision=settings.get("precision", "auto"), many=True)


def affectlens_of(settings: dict[str, Any]) -> Predict:
    predictor = loaded(settings)
    return lambda paths: [
        prediction.emotions.top for prediction in predictor.predict_files(paths) if prediction.emotions
    ]


def pipeline_of(settings: dict[str, Any]) -> Predict:
    import transformers

    options: dict[str, Any] = {}
    if settings.get("fast"):
        options["dtype"] = pick_precision("auto", pick_device())
    if settings.get("torchvision"):
        options["image_processor"] = processor_of(library.card(settings["model"]).preprocessing)
    classify: Any = transformers.pipeline("image-classification", settings["model"], **options)
    given = {key: settings[key] for key in ("batch_size", "num_workers") if key in settings}
    return lambda paths: [answers[0]["label"] for answers in classify(paths, top_k=8, **given)]


def processor_of(preprocessing: Preprocessing) -> Any:
    """Return the processor of transformers that resizes by torchvision, for a network that squashes."""
    from transformers import ViTImageProcessor

    return ViTImageProcessor(
        size={"height": preprocessing.height, "width": preprocessing.width},
        resample={"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[
            preprocessing.interpolation
        ],
        image_mean=list(preprocessing.mean),
        image_std=list(preprocessing.std),
    )


def timm_loop_of(settings: dict[str, Any]) -> Predict:
    """As timm's inference script does it: its transforms, a loader with workers, batches, one network."""
    import timm
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform
    from torch.utils.data import DataLoader, Dataset

    device = pick_device()
    network = timm.create_model(f"local-dir:{settings['model']}", pretrained=True)
    network = network.eval().to(device, pick_precision("auto", device))
    resolve: Any = resolve_data_config
    transform: Any = create_transform(**resolve({}, model=network))

    class Files(Dataset[torch.Tensor]):
        def __init__(self, paths: list[str]) -> None:
            self.paths = paths

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, index: int) -> torch.Tensor:
            found: torch.Tensor = transform(Image.open(self.paths[index]).convert("RGB"))
            return found

    words = library.card(settings["model"]).vocabulary.words

    def predict(paths: list[str]) -> list[str]:
        first: list[int] = []
        loader = DataLoader(
            Files(paths), batch_size=settings["batch_size"], num_workers=settings["num_workers"]
        )
        with torch.inference_mode():
            for batch in loader:
                found = network(batch.to(device, next(network.parameters()).dtype)).softmax(dim=1)
                first.extend(found.argmax(dim=1).tolist())
        return [words[index] for index in first]

    return predict


PROGRAMS = {"affectlens": affectlens_of, "pipeline": pipeline_of, "timm": timm_loop_of}


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
    for title, job in document["jobs"].items():
        print(f"\n{job['pictures']} pictures, {title}, {job['mean_kilobytes']} kB each")
        print(f"{'':46}{'pictures/s':>12}{'peak MiB':>10}{'ours is':>9}")
        for name, result in job["results"].items():
            ratio = f"{result['times_as_fast_is_ours']:.2f} x"
            speed, peak = result["pictures_per_second"], result["peak_mebibytes"]
            print(f"{name:46}{speed:12.1f}{peak:10.0f}{ratio:>9}")
        for name in (OURS, OURS_DEFAULT):
            if name in job["results"]:
                print(f"{name}: {bound(job['results'][name])}")
    print("\nSeconds from the shell to one answer:", document["seconds_of_one_picture"])


def bound(result: dict[str, Any]) -> str:
    """What the time goes into, and how near a job is to what its stages allow together."""
    stages = ", ".join(f"{name} {result[f'{name} milliseconds']:.1f}" for name in STAGES)
    share = result["pictures_per_second"] / result["limit"]
    return f"milliseconds of a core for a picture: {stages}; {share:.0%} of what these allow together"


def parts(document: dict[str, Any]) -> dict[str, str]:
    """Text of each slot of the page."""
    machine, settings = document["machine"], document["settings"]
    amx = "with" if machine["amx"] else "without"
    given = {
        "MACHINE": f"{machine['cpu']}, {machine['cores']} cores, {amx} AMX",
        "DATE": document["date"],
        "ROUNDS": str(settings["rounds"]),
        "VERSIONS": ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
    }
    for slot, title in (("LARGE", "12 megapixels"), ("SMALL", "small")):
        job = document["jobs"][title]
        given[f"{slot}_TEXT"] = job_text(job)
        given[f"{slot}_TABLE"] = job_table(job["results"])
        given[f"{slot}_STAGES"] = stage_table(job["results"])
    taken = document["seconds_of_one_picture"]
    given["ONE"] = markdown_table(
        ["", "seconds"], [[name, f"{each:.2f}"] for name, each in taken.items()], left=1
    )
    return given


def job_text(job: dict[str, Any]) -> str:
    """State how many times as fast ours is as the pipeline, in each precision that was measured."""
    results = job["results"]
    found = []
    for ours, key in RATIOS.items():
        if ours in results:
            best = min(result[key] for name, result in results.items() if name.startswith("pipeline"))
            found.append(
                f"`{ours}` is {results[AS_IT_COMES][key]:.1f} times as fast as the pipeline as it comes, and "
                f"{best:.1f} times as fast as the pipeline at its best"
            )
    return f"{job['pictures']:,} JPEG files of {job['mean_kilobytes']:,} kB. {'; '.join(found)}."


def job_table(results: dict[str, Any]) -> str:
    """Return the speed and the memory of each contender, and how many times as fast ours is."""
    ratios = {ours: key for ours, key in RATIOS.items() if ours in results}
    titles = [f"{ours.rpartition(', ')[2]} is times as fast" for ours in ratios]
    rows = []
    for name, result in results.items():
        speeds = result["speeds"]
        same = result.get("same_first_emotion")
        rows.append([
            name, f"{statistics.median(speeds):.1f} ({min(speeds):.1f} to {max(speeds):.1f})",
            *(f"{result[key]:.2f}" for key in ratios.values()),
            "" if same is None else f"{same:.1%}", f"{result['peak_mebibytes']:,.0f}",
        ])  # fmt: skip
    return markdown_table(
        ["", "pictures/s", *titles, "first emotion is the pipeline's", "peak memory, MiB"], rows, left=1
    )


def stage_table(results: dict[str, Any]) -> str:
    """Return what each stage of ours takes, and how near to what all allow together a job comes."""
    rows = [
        [name, *(f"{result[f'{stage} milliseconds']:.2f}" for stage in STAGES),
         f"{result['limit']:.1f}", f"{result['pictures_per_second'] / result['limit']:.0%}"]
        for name, result in results.items() if "limit" in result
    ]  # fmt: skip
    return markdown_table(["", *STAGES, "allow together, pictures/s", "reached"], rows, left=1)


if __name__ == "__main__":
    main()
