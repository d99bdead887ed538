"""Fixtures that several tests use, and which tests run where the base alone is installed (`halves`)."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import graphs
import halves
from affectlens import machine
from affectlens.emotions import MIKELS
from affectlens.model_folder import Card
from affectlens.preprocess import Preprocessing
from nodes import ENVIRONMENT
from refusals import Refusals

os.environ.update(ENVIRONMENT)  # of Ray, which reads it once: when it is first imported
os.environ[machine.NO_REPORTS] = "1"  # for tests that import ONNX Runtime themselves


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without-base-tests", action="store_true",
        help="leave out tests that run where the base alone is installed (tests/halves.py)",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    # As plugins of their own: what a conftest.py ignores lies below it, and doctests do not.
    if halves.base_only():
        config.pluginmanager.register(WithTheBaseOnly(), "affectlens-base")
    if config.getoption("--without-base-tests"):
        config.pluginmanager.register(WithoutBaseTests(), "affectlens-without-base-tests")


def needs(item: pytest.Item) -> bool:
    """Whether a test needs more than the base."""
    return item.get_closest_marker("needs") is not None


class WithoutBaseTests:
    """Leaves out what runs where the base alone is installed: files, not even imported, and single tests."""

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        is_file = collection_path.suffix == ".py" and collection_path.is_file()
        return True if is_file and halves.left_whole_to_the_base(collection_path) else None

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        left = {each for each in items if halves.left_to_the_base(each.path) and not needs(each)}
        config.hook.pytest_deselected(items=list(left))
        items[:] = [each for each in items if each not in left]


class WithTheBaseOnly:
    """Leaves out what needs more than the base: files by the rule of `halves`, and tests that are marked."""

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        is_file = collection_path.suffix == ".py" and collection_path.is_file()
        return True if is_file and halves.lacking(collection_path) else None

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        needing = [item for item in items if needs(item)]
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if not needs(item)]

    def pytest_report_header(self) -> str:
        return "The base alone is installed: tests that need more are left out (tests/halves.py)."


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Refusals:
    """Folders that may not be listed."""
    return Refusals(monkeypatch)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pictures and films next to the repository; tests that use it skip without it."""
    folder = Path(os.environ.get("AFFECTLENS_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no folder of shared fixtures at {folder}; set AFFECTLENS_SHARED to it")
    return folder


@pytest.fixture(scope="session")
def graph_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model, named `tiny`, that answers by its graph alone and needs no torch."""
    return graphs.write(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small untrained network, named `tiny`, whose answers differ from picture to picture."""
    import torch

    from affectlens.models import catalog
    from affectlens.models.saved import save_model

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
    from affectlens.models.saved import add_graph

    folder = tmp_path_factory.mktemp("models") / "with graph"
    shutil.copytree(tiny_model, folder)
    add_graph(folder)
    return folder


@pytest.fixture(scope="session")
def rated_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `graph_model` with ratings: valence of the upper left quarter, arousal of another."""
    return graphs.write_rated(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def photographs() -> list[tuple[str, bytes]]:
    """Names and bytes of a dozen pictures that differ in size and colours."""
    from affectlens.images import encode_png, resize

    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in range(12)]
    sizes = [(60 + 13 * number, 90 + 7 * number) for number in range(12)]
    return [
        (f"{number}.png", encode_png(resize(each, *size)))
        for number, (each, size) in enumerate(zip(coarse, sizes, strict=True))
    ]
