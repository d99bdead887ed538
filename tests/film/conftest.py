"""Films, and what predicts them, that several tests of films share."""

from pathlib import Path

import numpy as np
import pytest

from affectlens.inference.onnx_engine import OnnxEngine
from films import as_pictures, scene, write


@pytest.fixture(scope="session")
def engine(graph_model: Path) -> OnnxEngine:
    return OnnxEngine.load(graph_model)


@pytest.fixture(scope="session")
def four_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four grainy scenes of 2 s each, 25 frames a second, with a keyframe a second at least."""
    path = tmp_path_factory.mktemp("films") / "scenes.mp4"
    frames = (scene(number // 50) + 6 * np.sin(number / 9) for number in range(200))
    return write(path, as_pictures(frames, noise=3), options={"g": "25", "crf": "18"})


@pytest.fixture(scope="session")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of 40 s whose scenes last 3.3 s."""
    path = tmp_path_factory.mktemp("films") / "long.mp4"
    frames = (scene(number // 33) + 8 * np.sin(number / 5) for number in range(400))
    return write(path, as_pictures(frames, noise=2), rate=10, options={"g": "20", "crf": "20"})
