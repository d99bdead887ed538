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
from affectlens.model_folder import GRAPH, HEADS, WEIGHTS
from default_model import AS_SHIPPED

RESULT = Path(__file__).parent / "results" / "default_model.json"
LISTED = Path(library.__file__).parent / "default_models.json"


def hashes(folder: Path) -> list[str]:
    """Hash what answers."""
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (WEIGHTS, GRAPH, HEADS)]


def with_scores(readme: str, former: Scores, new: Scores) -> str:
    """Replace a card's tables of scores."""
    begin = readme.index(summary(former))
    end = readme.index("\n## ", begin)
    return f"{readme[:begin]}{markdown(new)}{readme[end:]}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=library.DEFAULT)
    folder = library.find(parser.parse_args().model)
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    card, weights, heads = model_folder.read_model(folder)
    row = next(row for row in result["rows"] if row["variant"] == AS_SHIPPED[0])
    scores = Scores.from_json(row)
    if result["weights"] != card.weights_hash or scores.temperature != card.temperature:
        raise SystemExit(f"{RESULT} is of other weights or of another temperature: measure it anew.")
    plain = {**card.scores, **scores.to_json()}  # which has the split as well
    before, answers = hashes(folder), card.answers_hash
    readme = with_scores(model_folder.read_readme(folder), Scores.from_json(card.scores), scores)
    model_folder.write_model(
        folder, replace(card, scores=plain), weights, readme, dtype="float16",
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
