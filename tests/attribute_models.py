"""A small untrained network that names attributes and predicts emotions from them, for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from affectlens.attributes import Attribute
from affectlens.emotions import MIKELS
from affectlens.model_folder import Card
from affectlens.preprocess import Preprocessing


def write(folder: Path, attributes: Sequence[Attribute], *, graph: bool = False) -> Path:
    """Write its folder, named `namer`, with a graph where one is wanted; return it. Needs torch."""
    import torch

    from affectlens.models import catalog
    from affectlens.models.saved import add_graph, save_model

    torch.manual_seed(0)
    words = {each.name: {"words": len(each), "several": each.several} for each in attributes}
    options: dict[str, Any] = {"backbone": "test_vit", "attributes": words}
    network = catalog.build("vit_attributes", len(MIKELS), **options)
    with torch.no_grad():
        for name in ("attributes", "residual"):
            network.get_submodule(name).weight.normal_()  # type: ignore[operator]
        network.emotions.scaled.normal_(std=0.1)  # type: ignore[union-attr, operator]
        network.usual_residual.normal_()  # type: ignore[operator]
    card = Card(
        name="namer", network="vit_attributes", network_options=options, vocabulary=MIKELS,
        attributes=tuple(attributes), preprocessing=Preprocessing(height=32, width=32), temperature=1.5,
    )  # fmt: skip
    save_model(folder, network, card, "A model for tests.\n")
    if graph:
        add_graph(folder)
    return folder
