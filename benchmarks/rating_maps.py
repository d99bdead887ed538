"""Which explanation of the default model's ratings is faithful, on pictures of the validation split of FI.

    python benchmarks/rating_maps.py --data fi:PATH [--pictures 8] [--only METHOD]
    python benchmarks/rating_maps.py

With --data it makes maps of each rating by some methods and measures deletion and insertion, compared with
random maps of the same picture; parts are replaced by the mean colour, by which no method replaces them.
Pictures are equally far apart in the order of the split. Writes benchmarks/results/rating_maps.json; in any
case it then writes docs/results/rating_maps.md from that file.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import result_page
from affectlens.data.catalog import open_data
from affectlens.explain.core.attribution import ExplainsTogether, Method
from affectlens.explain.core.differentiable import DifferentiableModel
from affectlens.explain.core.engine_model import EngineModel
from affectlens.explain.core.question import AnyQuestion, question_about
from affectlens.explain.faithfulness.curves import Faithfulness, Removal, RemovalOptions
from affectlens.explain.methods.attention import GradientAttention
from affectlens.explain.methods.cam import Cam
from affectlens.explain.methods.grad_cam import GradCam
from affectlens.explain.methods.occlusion import Occlusion
from affectlens.explain.methods.rise import Rise
from affectlens.files import atomic_write
from affectlens.images import read_pixels
from affectlens.inference.engine import load_engine
from affectlens.machine import describe
from affectlens.metrics import RowSampler, bootstrap_interval
from affectlens.models import saved
from affectlens.preprocess import Images
from affectlens.report.text import markdown_table, signed

RESULT = Path(__file__).parent / "results" / "rating_maps.json"
REMOVAL = RemovalOptions(steps=8, replacement="mean")
MASKS = 300  # of RISE, whose default is 1000
TOGETHER: dict[str, ExplainsTogether] = {"occlusion": Occlusion(), "rise": Rise(masks=MASKS)}
BY_GRADIENTS: dict[str, Method] = {
    "cam": Cam(), "grad_cam": GradCam(), "gradient_attention": GradientAttention()
}  # fmt: skip
RESAMPLES = 2000


def measure(
    network: DifferentiableModel,
    answers: EngineModel,
    image: Images,
    questions: list[AnyQuestion],
    only: str | None,
) -> list[dict[str, Any]]:
    """Make the maps of one picture, (1, 3, h, w), and measure each; or those of one method."""
    maps = {
        name: method.explain_all(answers, image, questions)
        for name, method in TOGETHER.items()
        if only in (None, name)
    }
    maps |= {
        name: [method(network, image, question) for question in questions]
        for name, method in BY_GRADIENTS.items()
        if only in (None, name)
    }
    rows = []
    for index, question in enumerate(questions):
        removal = Removal(answers, image, question, REMOVAL)
        random = removal.random()
        for name, found in maps.items():
            measured = Faithfulness(removal.curves(found[index].values), random, REMOVAL)
            rows.append({
                "rating": str(question),
                "method": name,
                "answer": removal.whole,
                "deletion_gain": measured.deletion_gain(),
                "insertion_gain": measured.insertion_gain(),
                "beats_random": measured.beats_random,
                "seconds": found[index].details["seconds"],
            })  # fmt: skip
    return rows


def run(data: str, pictures: int, only: str | None) -> None:
    network = DifferentiableModel.of(saved.load(), "cpu")
    answers = EngineModel(load_engine(engine="onnxruntime", device="cpu", precision="float32"))
    fit = network.preprocessing
    questions = [question_about(network.vocabulary, network.ratings, each.name) for each in network.ratings]
    records = open_data(data).splits["val"]
    rows: list[dict[str, Any]] = []
    if only:  # the rows of other methods stay, of the same pictures
        former = json.loads(RESULT.read_text(encoding="utf-8"))["rows"]
        rows = [row for row in former if row["method"] != only]
    chosen = records[:: len(records) // pictures][:pictures]
    for record in chosen:
        image = fit.normalise(fit.fit_pixels(read_pixels(record.path, at_least=fit.at_least))[None])
        rows += [{"picture": record.key, **row} for row in measure(network, answers, image, questions, only)]
        print(record.key, flush=True)
        document = {"machine": describe(), "data": data.partition(":")[0], "split": "val", "masks": MASKS,
                    "random_maps": REMOVAL.random_maps, "steps": REMOVAL.steps, "rows": rows}  # fmt: skip
        with atomic_write(RESULT, "w") as file:
            file.write(json.dumps(document, indent=1) + "\n")


def parts(document: dict[str, Any]) -> dict[str, str]:
    """Text of each slot of the template."""
    rows = document["rows"]
    order = [*TOGETHER, *BY_GRADIENTS]
    ratings = dict.fromkeys(row["rating"] for row in rows)
    known = {(row["rating"], row["method"]) for row in rows}
    names = [(rating, method) for rating in ratings for method in order if (rating, method) in known]
    cells = []
    for rating, method in names:
        own = [row for row in rows if (row["rating"], row["method"]) == (rating, method)]
        beaten = sum(row["beats_random"] for row in own)
        gains = (_gain([row[key] for row in own]) for key in ("deletion_gain", "insertion_gain"))
        seconds = f"{np.mean([row['seconds'] for row in own]):.2g}"
        cells.append([rating, method, *gains, f"{beaten} of {len(own)}", seconds])
    return {
        "PICTURES": str(len({row["picture"] for row in rows})),
        "DATA": f"{document['data']}, split `{document['split']}`",
        "RANDOM": str(document["random_maps"]),
        "MASKS": str(document["masks"]),
        "TABLE": markdown_table(
            ["rating", "method", "gain in deletion", "gain in insertion", "better than all random maps",
             "seconds"], cells, left=2,
        ),
        "MACHINE": f"{document['machine']['cores']} cores of {document['machine']['cpu']}",
    }  # fmt: skip


def _gain(values: list[float]) -> str:
    """Write the mean of gains, with a 95 % interval over pictures."""
    column = np.array(values)
    sampled = RowSampler(0).rows(len(column), (RESAMPLES, len(column)))
    low, high = bootstrap_interval(column[sampled].mean(axis=1))
    return f"{signed(float(column.mean()))} ({signed(low)} to {signed(high)})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="fi:PATH; without it the page is written from the last result")
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--only", choices=[*TOGETHER, *BY_GRADIENTS], help="one method; others stay")
    given = parser.parse_args()
    if given.data:
        run(given.data, given.pictures, given.only)
    document = json.loads(RESULT.read_text(encoding="utf-8"))
    result_page.write(result_page.RESULTS / "rating_maps.md", "rating_maps.template.md", parts(document))


if __name__ == "__main__":
    main()
