"""Predictions in words."""

import pytest

from affectlens.emotions import MIKELS, EmotionDistribution
from affectlens.inference.predictor import Prediction
from affectlens.inference.text import title_text


@pytest.mark.parametrize(
    ("awe", "title"),
    [
        (0.3, "a.jpg is most likely to evoke awe in people who look at it"),
        (0.2, "a.jpg evokes no emotion clearly in people who look at it; the likeliest is awe"),
    ],
)
def test_a_first_emotion_that_hardly_stands_out_is_not_called_what_a_picture_evokes(
    awe: float, title: str
) -> None:
    rest = (1 - awe) / 7
    emotions = EmotionDistribution(MIKELS, tuple(awe if w == "awe" else rest for w in MIKELS.words))
    assert title_text(Prediction("a.jpg", emotions, None)) == title
