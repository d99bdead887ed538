"""Fixtures that several tests use."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from affectlens.emotions import MIKELS
from affectlens.model_folder import Card
from affectlens.models import catalog
from affectlens.models.saved import add_graph, save_model
from affectlens.preprocess import Preprocessing
from nodes import ENVIRONMENT

os.environ.update(ENVIRONMENT)  # of Ray, which reads it once: when it is first imported


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pictures and films next to the repository; tests that use it skip without it."""
    folder = Path(os.environ.get("AFFECTLENS_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no folder of shared fixtures at {folder}; set AFFECTLENS_SHARED to it")
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small untrained model, named `tiny`, whose answers differ from picture to picture."""
    torch.manual_seed(0)
    network = catalog.build("test_efficientnet", len(MIKELS))
    with torch.no_grad():
        network.classifier.weight.mul_(100)  # type: ignore[operator, union-attr]
    card = Card(
        name="tiny",
        network="test_efficientnet",
        vocabulary=MIKELS,
        preprocessing=Preprocessing(height=96, width=96),
        temperature=1.5,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(folder, network, card, "A model for tests.\n")
    return folder


@pytest.fixture(scope="session")
def with_graph(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same model with a graph, which tests leave as it is."""
    folder = tmp_path_factory.mktemp("models") / "with graph"
    shutil.copytree(tiny_model, folder)
    add_graph(folder)
    return folder
