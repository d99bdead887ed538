"""Predictions in words."""

import pytest

from affectlens.emotions import EKMAN, MIKELS, EmotionDistribution, Vocabulary
from affectlens.inference.predictor import Prediction
from affectlens.inference.text import emotion_rows, polarity_text, title_text


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


def test_numbers_of_wide_letters_stand_below_those_of_others() -> None:
    """Letters of East Asia fill two columns of a terminal each, marks on other letters none."""
    words = ("cosy", "\u4e0d\u6c17\u5473", "a\u030angest")
    emotions = EmotionDistribution(Vocabulary("own-3", words), (0.5, 0.3, 0.2))
    rows = emotion_rows(Prediction("a.jpg", emotions, None))
    assert [text for text, _, _ in rows] == ["cosy  ", words[1], words[2]]
