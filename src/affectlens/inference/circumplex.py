"""Predictions in the plane of valence and arousal."""

from collections.abc import Iterable
from pathlib import Path

from affectlens.errors import SettingsError
from affectlens.inference.predictor import Prediction
from affectlens.report.circumplex import RATED_ON_AVERAGE, draw_circumplex, plane_of, point_of
from affectlens.report.figures import Figure
from affectlens.report.text import printable_in_files


def draw_predictions(predictions: Iterable[Prediction]) -> Figure:
    """Draw pictures of one model as points with their intervals, each with the name of its file.

    Pictures that could not be read are left out. Raises `SettingsError` where none is left, and
    `NoCircumplex` for a model that does not predict both ratings.
    """
    shown = [each for each in predictions if each.emotions is not None]
    if not shown:
        raise SettingsError("There is no picture to draw: none was given, or none could be read.")
    valence, arousal = plane_of(shown[0].scales)
    points = [
        point_of(each.ratings, unusual=each.unusual is True, name=printable_in_files(Path(each.image).name))
        for each in shown
    ]
    return draw_circumplex(points, valence=valence, arousal=arousal, title=RATED_ON_AVERAGE)
