"""Predictions in the plane of valence and arousal."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from affectlens import Prediction, Predictor
from affectlens.errors import SettingsError
from affectlens.inference.circumplex import draw_predictions
from affectlens.inference.engine import ONNX_RUNTIME, load_engine
from affectlens.report.circumplex import NoCircumplex
from rated import RatedEngine


@pytest.fixture
def predicted(graph_model: Path, tmp_path: Path) -> list[Prediction]:
    """A usual picture, an unusual one, and one that cannot be read."""
    for name, level in (("grey", 120), ("white", 255)):
        Image.new("RGB", (96, 96), (level,) * 3).save(tmp_path / f"{name}.png")
    files = [tmp_path / f"{name}.png" for name in ("grey", "white", "missing")]
    return list(Predictor(RatedEngine(load_engine(str(graph_model), ONNX_RUNTIME))).predict_files(files))


def test_pictures_are_points_with_their_intervals_and_those_that_could_not_be_read_are_left_out(
    predicted: list[Prediction],
) -> None:
    figure = draw_predictions(predicted)
    (axes,) = figure.axes
    drawn = [tuple(np.asarray(ends, float).tolist() for ends in line.get_data()) for line in axes.lines]
    for each in predicted[:2]:
        assert each.valence is not None and each.arousal is not None
        assert ([each.valence.low, each.valence.high], [each.arousal.mean] * 2) in drawn
    names = {text.get_text() for text in figure.findobj(Text)}
    assert {"grey.png", "white.png (unusual)"} <= names and "missing.png" not in names
    assert axes.get_xlim() == axes.get_ylim() == (1, 9)


def test_one_picture_draws_itself(predicted: list[Prediction], graph_model: Path, tmp_path: Path) -> None:
    (axes,) = predicted[0].draw_circumplex().axes
    assert len(axes.lines) == 3 + 3  # the circle and two axes; a cross and its middle
    with pytest.raises(SettingsError, match="none could be read"):
        predicted[2].draw_circumplex()
    with pytest.raises(NoCircumplex, match="predicts no ratings"):
        Predictor.load(str(graph_model)).predict_file(tmp_path / "grey.png").draw_circumplex()
