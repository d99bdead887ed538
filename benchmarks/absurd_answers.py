"""What valence and sets of emotions give where the default model takes a clear picture for its opposite.

    python benchmarks/absurd_answers.py --ratings FOLDER

`--ratings` holds `oasis-dev`. The photographs are those of default_candidate.py's `wrong_side`: rated clearly
unpleasant or pleasant. Of those whose emotions lean to the other side it counts how often valence is on the
right one, by a fit that saw no picture of the theme (`scatter` of ratings.json), how often its interval of
0.9 holds people's mean, and how often the set of 0.9 has a word of the right side. Writes
benchmarks/results/absurd_answers.json; default_candidate.py puts it on its page.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectlens import library
from affectlens.files import atomic_write
from affectlens.inference.predictor import Predictor
from affectlens.machine import describe
from affectlens.ratings import HIGHEST, LOWEST, VALENCE
from default_candidate import PLEASANT, UNPLEASANT, Rated

RESULTS = Path(__file__).parent / "results"
COVERAGE = 0.9
MIDDLE = (LOWEST + HIGHEST) / 2


def valence_of_others(rated: Rated) -> tuple[NDArray[np.float64], float]:
    """Return predicted valence, 1 to 9, by fits without each picture's theme, and half of its interval."""
    found = json.loads((RESULTS / "ratings.json").read_text(encoding="utf-8"))
    scatter = found["scatter"]
    own = [row for row, source in enumerate(scatter["source"]) if source == "oasis"]
    truth, predicted = (np.array(scatter[name])[own, 0] for name in ("truth", "predicted"))
    if len(own) != len(rated.files) or np.abs(truth - (LOWEST + 8 * rated.valence)).max() > 0.001:
        raise SystemExit("ratings.json is of other photographs: measure it anew by benchmarks/ratings.py.")
    return predicted, float(found["errors"]["half_width"])


def measure(folder: Path) -> list[dict[str, Any]]:
    """Count by theme; the last row is of all."""
    rated = Rated.read(folder / "oasis-dev")
    valence, half_width = valence_of_others(rated)
    predictor = Predictor.load(engine="onnxruntime", precision="float32")
    answers = list(predictor.predict_files(rated.files, coverage=COVERAGE))
    signs = predictor.vocabulary.signs
    pleasant = rated.valence >= PLEASANT
    clear = pleasant | (rated.valence <= UNPLEASANT)
    leans = np.array([each.emotions.polarity["positive"] >= 0.5 for each in answers if each.emotions])
    wrong = clear & (leans != pleasant)
    right_word = np.array([
        any((signs[word] > 0) == is_pleasant for word in answer.set(COVERAGE))
        for answer, is_pleasant in zip(answers, pleasant, strict=True)
    ])  # fmt: skip
    right_valence = (valence >= MIDDLE) == pleasant
    within = np.abs(valence - (LOWEST + 8 * rated.valence)) <= half_width
    themes = np.array(rated.units)

    def row(theme: str, chosen: NDArray[np.bool_]) -> dict[str, Any]:
        own = wrong & chosen
        return {
            "theme": theme,
            "pictures": int((clear & chosen).sum()),
            "wrong": int(own.sum()),
            "valence_right": int((own & right_valence).sum()),
            "interval_holds": int((own & within).sum()),
            "set_right": int((own & right_word).sum()),
        }

    rows = [row(theme, themes == theme) for theme in sorted(set(rated.units))]
    return [*rows, row("all", np.ones_like(clear))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ratings", type=Path, required=True)
    rows = measure(parser.parse_args().ratings)
    card = library.card(library.DEFAULT)
    document = {
        "machine": describe(), "weights": card.weights_hash, "rating": VALENCE, "coverage": COVERAGE,
        "rows": rows,
    }  # fmt: skip
    with atomic_write(RESULTS / "absurd_answers.json", "w") as out:
        out.write(json.dumps(document, indent=1) + "\n")
    print(rows[-1])


if __name__ == "__main__":
    main()
