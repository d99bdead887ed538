"""How exactly integrated gradients of the default model add up, and how many steps that takes.

    python benchmarks/completeness.py --data fi:PATH [--pictures 20]

Explains pictures of FI's validation split, equally far apart in its order, as any user would, and as well
with 64 equal steps from the same baseline. Writes benchmarks/results/completeness.json; a section of
docs/results/explanations.md is written from it by benchmarks/explanations.py.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from affectlens.data.catalog import open_data
from affectlens.explain.core.differentiable import DifferentiableModel
from affectlens.explain.core.question import make_question
from affectlens.explain.methods.integrated_gradients import IntegratedGradients
from affectlens.files import atomic_write
from affectlens.images import read_pixels
from affectlens.machine import describe
from affectlens.models import saved

RESULT = Path(__file__).parent / "results" / "completeness.json"
EQUAL_STEPS = 64
_KEPT = ("steps", "difference", "variation", "completeness_error", "completeness_error_relative",
         "completeness_error_of_pieces", "complete", "seconds")  # fmt: skip


def measure(model: DifferentiableModel, path: Path) -> dict[str, Any]:
    """Explain the prediction for a picture, by steps where they are needed and by equal ones."""
    fit = model.preprocessing
    image = fit.normalise(fit.fit_pixels(read_pixels(path, at_least=fit.at_least))[None])
    top = int(model.predict_images(image).argmax())
    question = make_question(model.vocabulary, model.vocabulary.words[top])
    adaptive = IntegratedGradients()(model, image, question).details
    equal = IntegratedGradients(min_steps=EQUAL_STEPS, max_steps=EQUAL_STEPS)(model, image, question).details
    return {
        "emotion": question.favour[0],
        **{key: adaptive[key] for key in _KEPT},
        "equal_steps_error_relative": equal["completeness_error_relative"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="fi:PATH")
    parser.add_argument("--pictures", type=int, default=20)
    given = parser.parse_args()
    model = DifferentiableModel.of(saved.load())
    records = open_data(given.data).splits["val"]
    rows = []
    for record in records[:: len(records) // given.pictures][: given.pictures]:
        rows.append({"picture": record.key, **measure(model, record.path)})
        print(json.dumps(rows[-1]), flush=True)
    document = {"machine": describe(), "data": given.data.partition(":")[0], "split": "val",
                "equal_steps": EQUAL_STEPS, "rows": rows}  # fmt: skip
    with atomic_write(RESULT, "w") as file:
        file.write(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
