"""Write the default model with what is read of its features besides emotions, from what other scripts fitted.

    python benchmarks/default_heads.py --ratings FILE.npz --sets FILE.json --unusual FILE.npz --out FOLDER

FILE.npz of the ratings is of benchmarks/ratings.py, FILE.json of benchmarks/coverage.py, FILE.npz of unusual
pictures of benchmarks/unusual.py, all by their `fit`. The network's weights stay as they are, and its graph
is made anew, with the ratings among its outputs.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from affectlens import library, model_folder
from affectlens.inference.coverage import PredictionSets
from affectlens.inference.unusual import UsualPictures
from affectlens.library.text import heads_text
from affectlens.model_folder import Card
from affectlens.models.saved import add_graph
from affectlens.ratings import RatingHead, RatingScale
from conformal_methods import SHIPPED

RESULTS = Path(__file__).parent / "results"
OF_EMOTIONS = ("code", "weights", "data")  # licences that the model had before
RATING_LICENCES = {
    "ratings of OASIS": "research use (Kurdi, Lozano and Banaji, 2017); stated elsewhere as CC BY-NC-SA 4.0",
    "ratings of EMDT": "CC0-1.0 by its repository, CC BY 4.0 by its citation file",
}


def with_heads(card: Card, ratings: Any, sets: dict[str, Any]) -> Card:
    """Complete a card by scales, layers, thresholds, and what was measured of them."""
    facts = json.loads(str(ratings["facts"]))
    unusual = json.loads((RESULTS / "unusual.json").read_text(encoding="utf-8"))
    measured = json.loads((RESULTS / "ratings.json").read_text(encoding="utf-8"))
    PredictionSets.from_json(sets, card.vocabulary)  # which it has to be
    return replace(
        card,
        ratings=tuple(map(RatingScale.from_json, facts["scales"])),
        feature_layers=tuple(facts["layers"]),
        prediction_sets=sets,
        unusual=unusual_facts(unusual),
        training={**card.training, "ratings": rating_facts(measured, facts), "sets": sets_facts()},
        licences={**{name: card.licences[name] for name in OF_EMOTIONS}, **RATING_LICENCES},
    )


def rating_facts(measured: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """What the card states of how valence and arousal were learned and measured, themes left out whole."""
    return {
        "data": "parts of OASIS (274 photographs) and of EMDT (240 photographs), 1 to 9",
        "penalties": facts["penalties"],
        "pictures": facts["pictures"],
        "left_out": "themes and scenes, whole",
        "figures": measured["figures"],
        "siblings_alone": measured["siblings"],
    }


def sets_facts() -> dict[str, Any]:
    """What the card states of sets of emotions and of abstaining: measured on folds that were held out."""
    found = json.loads((RESULTS / "coverage.json").read_text(encoding="utf-8"))
    kept = ("coverage", "coverage_spread", "worst_emotion", "worst_coverage", "size", "by_emotion")
    return {
        "data": found["data"],
        "held_out": {
            level: {name: methods[SHIPPED][name] for name in kept}
            for level, methods in found["sets"]["5"].items()
        },
        "abstaining": found["abstaining"],
        "polarity": found["polarity"],
    }


def unusual_facts(result: dict[str, Any]) -> dict[str, Any]:
    """What the card states of the score of unusual pictures."""
    chosen = result["chosen"]
    kept = ("threshold", "cross_fitted", "recall", "recall_of_unseen_kind", "found")
    row = result["rows"][chosen["title"]]
    return {"score": chosen["title"], **{name: chosen[name] for name in kept}, "auroc": row["auroc"]}


def main() -> None:
    """Parse the command line, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default=library.DEFAULT)
    parser.add_argument("--ratings", type=Path, required=True)
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--unusual", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    folder = library.find(given.model)
    with np.load(given.ratings) as stored:
        ratings = dict(stored)
    with np.load(given.unusual) as stored:
        usual = UsualPictures.from_tensors(dict(stored))
    card, weights, _ = model_folder.read_model(folder)
    head = RatingHead.from_tensors(ratings)
    sets = json.loads(given.sets.read_text(encoding="utf-8"))
    card = with_heads(card, ratings, sets)
    readme = heads_text(model_folder.read_readme(folder), card)
    model_folder.write_model(
        given.out, card, weights, readme, dtype="float16", for_others=model_folder.for_others(folder),
        heads={**head.tensors(), **usual.tensors()},
    )  # fmt: skip
    print(f"The graph differs from the network by {add_graph(given.out):.2g} at most.")


if __name__ == "__main__":
    main()
