"""Bring the scores of the default model's card to those that default_model.py measured.

    python benchmarks/default_card.py [--model FOLDER]

Reads benchmarks/results/default_model.json, row "as shipped", and writes the folder's config.json and
README.md, and the row of these weights in library/default_models.json. Weights, graph and heads stay as they
are, byte for byte, and so does all else that decides answers.
"""

import argparse
import hashlib
import json
from dataclasses import replace
from pathlib import Path

from affectlens import library, model_folder
from affectlens.evaluation.scores import Scores
from affectlens.evaluation.tables import markdown, summary
from affectlens.files import atomic_write
from affectlens.library.text import readme_beginning
from affectlens.model_folder import GRAPH, HEADS, WEIGHTS, Card
from default_model import AS_SHIPPED

RESULT = Path(__file__).parent / "results" / "default_model.json"
LIMITS = "## Limits\n"
LISTED = Path(library.__file__).parent / "default_models.json"


def hashes(folder: Path) -> list[str]:
    """Hash what answers."""
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (WEIGHTS, GRAPH, HEADS)]


def with_scores(readme: str, former: Scores, card: Card) -> str:
    """Replace a README's beginning, whose header has scores too, and its tables of scores."""
    begin = readme.index(summary(former))
    end = readme.index("\n## ", begin)
    kept = readme[readme.index(LIMITS) : begin]
    return f"{readme_beginning(card)}\n{kept}{markdown(Scores.from_json(card.scores))}{readme[end:]}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=library.DEFAULT)
    folder = library.find(parser.parse_args().model)
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    card, weights, heads = model_folder.read_model(folder)
    row = next(row for row in result["rows"] if row["variant"] == AS_SHIPPED)
    scores = Scores.from_json(row)
    if result["weights"] != card.weights_hash or scores.temperature != card.temperature:
        raise SystemExit(f"{RESULT} is of other weights or of another temperature: measure it anew.")
    changed = replace(card, scores={**card.scores, **scores.to_json()})  # which has the split as well
    before, answers = hashes(folder), card.answers_hash
    readme = with_scores(model_folder.read_readme(folder), Scores.from_json(card.scores), changed)
    model_folder.write_model(
        folder, changed, weights, readme, dtype="float16",
        for_others=model_folder.for_others(folder), graph=(folder / GRAPH).read_bytes(), heads=heads,
    )  # fmt: skip
    assert (hashes(folder), model_folder.load_card(folder).answers_hash) == (before, answers)
    listed = json.loads(LISTED.read_text(encoding="utf-8"))
    for model in listed["models"]:
        if model["weights"] == card.weights_id:
            model["scores"] = {name: getattr(scores, name) for name in model["scores"]}
    with atomic_write(LISTED, "w") as file:
        file.write(json.dumps(listed, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
