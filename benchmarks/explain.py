"""What an explanation costs: seconds and peak memory of every method, compared with what others run.

The default model, one picture after another, float32. Our methods are compared with

- "transformers-interpret": what its `ImageClassificationExplainer` computes by default: captum's SmoothGrad
  noise tunnel of 10 copies (noise of standard deviation 1) over integrated gradients of 5 steps from zero,
  all 50 at once, for the logit of the predicted class;
- "captum, 50 steps at once": captum's integrated gradients as its tutorials run them.

The row without torch is what `affectlens explain` does as it comes, from the file of a picture to its answer
and its map, by the method and the engine that the model is explained by where torch is not installed.

Every contender has a process of its own, so that peak memory is its own too; they take turns within each
round, and the median of rounds counts. Loading and one first picture come before the clock starts; the memory
of the loaded network alone is reported too, and what a contender adds to it is the figure to compare.

    python benchmarks/explain.py [--pictures FOLDER] [--count 4] [--rounds 3] [--methods A,B,...]

Writes benchmarks/results/explain.json and docs/results/explanation_speed.md. Without a folder, pictures
of 1/f noise are made.
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
import torch
from PIL import Image

import result_page
from affectlens.explain.core.attribution import Attribution, Method
from affectlens.explain.core.differentiable import DifferentiableModel, to_map
from affectlens.explain.core.question import Question, make_question
from affectlens.explain.faithfulness.curves import Faithfulness, Removal
from affectlens.explain.methods.catalog import make, suitable_for
from affectlens.images import read_pixels
from affectlens.machine import describe
from affectlens.models import saved
from affectlens.preprocess import Images
from affectlens.report.text import markdown_table
from noise import photo_like, photographs
from peak_memory import peak_mebibytes

HERE = Path(__file__).parent
RESULT = HERE / "results" / "explain.json"
NOISY, PLAIN = "transformers-interpret: 10 noisy copies x 5 steps", "captum, 50 steps at once"
NOTHING = "the network loaded, one answer"
WITHOUT_TORCH = "without torch, from file to map"
PROGRAM = HERE / "explain_without_torch.py"


def as_transformers_interpret(model: DifferentiableModel, image: Images, question: Question) -> Attribution:
    from captum.attr import IntegratedGradients, NoiseTunnel

    tunnel, picture = NoiseTunnel(IntegratedGradients(model.network)), model.tensor(image)
    values = tunnel.attribute(
        picture,
        baselines=torch.zeros_like(picture),
        target=int(model.network(picture).argmax()),
        nt_type="smoothgrad",
        nt_samples=10,
        n_steps=5,
    )
    return Attribution(to_map(values.sum(dim=1)[0]))


def as_captum(model: DifferentiableModel, image: Images, question: Question) -> Attribution:
    from captum.attr import IntegratedGradients

    gradients, picture = (
        IntegratedGradients(lambda images: model.score(images, question)),
        model.tensor(image),
    )
    values = gradients.attribute(picture, baselines=torch.zeros_like(picture), n_steps=50)
    return Attribution(to_map(values.sum(dim=1)[0]))


def nothing(model: DifferentiableModel, image: Images, question: Question) -> Attribution:
    with torch.no_grad():
        model.score(model.tensor(image), question)
    return Attribution(np.zeros(image.shape[2:], np.float32))


OTHERS: dict[str, Method] = {NOTHING: nothing, NOISY: as_transformers_interpret, PLAIN: as_captum}


def measure(name: str, pictures: list[Path]) -> dict[str, float]:
    """Explain pictures with one contender in this process."""
    model = DifferentiableModel.of(saved.load())
    method = OTHERS.get(name) or make(name)
    fit = model.preprocessing
    images = [fit.normalise(fit.fit_pixels(read_pixels(path))[None]) for path in pictures]
    tops = [model.vocabulary.words[int(model.predict_images(image).argmax())] for image in images]
    questions = [make_question(model.vocabulary, top) for top in tops]
    method(model, images[0], questions[0])
    started = time.perf_counter()
    found = [method(model, image, question) for image, question in zip(images, questions, strict=True)]
    seconds = (time.perf_counter() - started) / len(images)
    peak = peak_mebibytes()
    result = {"seconds": seconds, "peak_mebibytes": peak}
    if name != NOTHING:  # after the clock and the peak: what the map is worth
        each = [gain(model, *one) for one in zip(images, questions, found, strict=True)]
        result["deletion_gain"], result["insertion_gain"] = (
            statistics.mean(g) for g in zip(*each, strict=True)
        )
    return result


def gain(
    model: DifferentiableModel, image: Images, question: Question, found: Attribution
) -> tuple[float, float]:
    """Gain over random maps, in deletion and insertion."""
    removal = Removal(model, image, question)
    one = Faithfulness(removal.curves(found.values), removal.random(), removal.options)
    return one.deletion_gain(), one.insertion_gain()


def compare(names: list[str], pictures: list[Path], rounds: int) -> dict[str, dict[str, float]]:
    """Let every contender explain all pictures once in every round, each time in a new process."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            program = [str(PROGRAM)] if name == WITHOUT_TORCH else [__file__, "--worker", name]
            command = [sys.executable, *program, *map(str, pictures)]
            ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[name].append(json.loads(ended.stdout.splitlines()[-1]))
            print(f"round {number + 1}: {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    return {
        f"{name} ({results[0]['method']})" if "method" in results[0] else name: {
            key: round(statistics.median(one[key] for one in results), 4)
            for key in results[0]
            if key != "method"
        }
        for name, results in found.items()
    }


def parts(document: dict[str, Any]) -> dict[str, str]:
    """Text of each slot of the template."""
    results, machine = document["results"], document["machine"]
    idle = results[NOTHING]["peak_mebibytes"]
    header = [
        "method",
        "seconds a picture",
        "peak MiB",
        "beyond the network",
        "gain in deletion",
        "in insertion",
    ]
    rows = []
    for name, r in results.items():
        gains = [f"{r[key]:.3f}" if key in r else "" for key in ("deletion_gain", "insertion_gain")]
        peak = r["peak_mebibytes"]
        beyond = "" if name.startswith(WITHOUT_TORCH) else f"{peak - idle:.0f}"
        rows.append([name, f"{r['seconds']:.3g}", f"{peak:.0f}", beyond, *gains])
    return {
        "MACHINE": machine["gpu"] or f"{machine['cores']} cores of {machine['cpu']}",
        "PICTURES": str(document["pictures"]),
        "ROUNDS": str(document["rounds"]),
        "TABLE": markdown_table(header, rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, help="folder of pictures, of which a few are taken")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", help="names with commas; by default all that suit the default model")
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        name, *paths = given.worker
        print(json.dumps(measure(name, [Path(path) for path in paths])))
        return
    ours = given.methods.split(",") if given.methods else suitable_for(DifferentiableModel.of(saved.load()))
    with tempfile.TemporaryDirectory() as folder:
        pictures = some_pictures(Path(folder), given.pictures, given.count)
        document = {
            "date": datetime.now(UTC).isoformat(timespec="minutes"),
            "machine": describe(),
            "pictures": len(pictures),
            "real pictures": bool(given.pictures),
            "rounds": given.rounds,
            "results": compare([WITHOUT_TORCH, *OTHERS, *ours], pictures, given.rounds),
        }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    result_page.write(result_page.RESULTS / "explanation_speed.md", "explain.template.md", parts(document))


def some_pictures(folder: Path, real: Path | None, count: int) -> list[Path]:
    """Take so many pictures evenly from a folder, or make them of noise."""
    if real:
        paths = photographs(real)
        return paths[:: max(1, len(paths) // count)][:count]
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(photo_like(224, 224, number)).save(path)
    return paths


if __name__ == "__main__":
    main()
