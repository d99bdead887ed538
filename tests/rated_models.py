"""A small model with valence and arousal, sets of emotions and a score of unusual pictures, by torch."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from affectlens import model_folder
from affectlens.emotions import MIKELS
from affectlens.inference.coverage import PredictionSets
from affectlens.inference.unusual import UsualPictures
from affectlens.model_folder import Card
from affectlens.models.saved import add_graph, save_model
from affectlens.preprocess import Preprocessing
from affectlens.ratings import RatingHead, RatingScale
from planted import small_member

SIDE = 96
LAYERS = ("transformer.blocks.0", "convolutional.blocks.1")
BRANCHES = {"transformer": "test_vit", "convolutional": "test_efficientnet"}
SCALES = tuple(
    RatingScale(name=name, coverages=(0.5, 0.9, 0.95), half_widths=(0.5, 1.0, 1.5))
    for name in ("valence", "arousal")
)


def write(folder: Path, threshold: float = 0.5, graph: bool = True) -> Path:
    """Write the folder; pictures whose score is above the threshold are unusual."""
    pair = small_member("pair", **BRANCHES)
    card = Card(
        name="rated", network="pair", network_options=BRANCHES, vocabulary=MIKELS,
        preprocessing=Preprocessing(height=SIDE, width=SIDE),
    )  # fmt: skip
    save_model(folder, pair, card, "A model for tests.\n")
    embedding = sum(getattr(pair, branch).get_classifier().in_features for branch in BRANCHES)
    pooled = 2 * (64 + 24)  # channels of the layers
    rng = np.random.default_rng(0)
    head = RatingHead(
        rng.normal(0, 0.05, (2, embedding + pooled)).astype(np.float32), np.array([5.0, 4.0], np.float32)
    )
    made = rng.normal(size=(3, 40, embedding)) + np.array([0.0, 1.0, 2.0])[:, None, None]
    usual = replace(UsualPictures.fit(made[0], list(made[1:])), threshold=threshold)
    probabilities = rng.dirichlet(np.ones(8), size=400)
    targets = np.eye(8)[[rng.choice(8, p=row) for row in probabilities]]
    card = replace(
        card, ratings=SCALES, feature_layers=LAYERS, unusual={"threshold": threshold},
        prediction_sets=PredictionSets.fit(probabilities, targets, MIKELS).to_json(),
    )  # fmt: skip
    _, weights, _ = model_folder.read_model(folder)
    model_folder.write_model(
        folder, card, weights, "A model for tests.\n", dtype="float32", for_others={},
        heads={**head.tensors(), **usual.tensors()},
    )  # fmt: skip
    if graph:
        add_graph(folder)
    return folder
