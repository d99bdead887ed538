"""A small untrained network with valence and arousal, read of its embedding and pooled layers, for tests."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from affectlens.emotions import MIKELS
from affectlens.model_folder import Card, read_model, write_model
from affectlens.preprocess import Preprocessing
from affectlens.ratings import RatingHead
from graphs import SCALES

LAYERS = ("blocks.1", "blocks.3")
SIDE = 64


def write(folder: Path, layers: Sequence[str] = LAYERS, *, graph: bool = False, network: str = "") -> Path:
    """Write its folder, named `rated`, with a graph where one is wanted; return it. Needs torch."""
    import torch

    from affectlens.models import catalog
    from affectlens.models.features import FeatureNetwork
    from affectlens.models.graph_outputs import last_layers
    from affectlens.models.saved import add_graph, save_model

    torch.manual_seed(0)
    name = network or "test_efficientnet"
    made = catalog.build(name, len(MIKELS)).eval()
    for parameter in made.parameters():  # beyond the classifier's almost zero beginning
        if parameter.ndim == 2 and parameter.shape[0] == len(MIKELS):
            torch.nn.init.normal_(parameter, std=1.0)
    reader = FeatureNetwork(made, last_layers(made, SIDE, SIDE, len(MIKELS)), layers)
    with torch.no_grad():
        features = reader(torch.randn(4, 3, SIDE, SIDE)).features.numpy()
    reader.remove_hooks()
    weights = np.random.default_rng(0).standard_normal((len(SCALES), features.shape[1]), dtype=np.float32)
    weights /= np.abs(features @ weights.T).max(axis=0)[:, None]  # so that ratings differ by about a point
    card = Card(
        name="rated", network=name, vocabulary=MIKELS, temperature=1.5, ratings=SCALES,
        preprocessing=Preprocessing(height=SIDE, width=SIDE), feature_layers=tuple(layers),
    )  # fmt: skip
    head = RatingHead(weights, np.array([5, 4], np.float32))
    save_model(folder, made, replace(card, ratings=(), feature_layers=()), "A model for tests.\n")
    stored = read_model(folder).weights
    write_model(
        folder, card, stored, "A model for tests.\n", dtype="float32", for_others={}, heads=head.tensors()
    )
    if graph:
        add_graph(folder)
    return folder
