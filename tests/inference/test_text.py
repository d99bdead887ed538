"""Predictions in words."""

import pytest

from affectlens.emotions import EKMAN, MIKELS, EmotionDistribution
from affectlens.inference.predictor import Prediction
from affectlens.inference.text import polarity_text, title_text


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


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (dict.fromkeys(EKMAN.words, 1.0), "neither positive nor negative clearly"),
        ({**dict.fromkeys(EKMAN.words, 1.0), "joy": 1.3}, "neither positive nor negative clearly"),
        ({**dict.fromkeys(EKMAN.words, 1.0), "joy": 2.0}, "positive 33%, negative 67%"),
        ({**dict.fromkeys(EKMAN.words, 1.0), "fear": 9.0}, "positive 8%, negative 92%"),
    ],
)
def test_the_count_of_negative_words_alone_is_no_polarity(weights: dict[str, float], text: str) -> None:
    assert polarity_text(Prediction("a.jpg", EKMAN.distribution(weights), None)) == text
