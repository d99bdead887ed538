"""Questions about emotions and ratings, by name."""

import numpy as np
import pytest

from affectlens.emotions import MIKELS, Vocabulary
from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.core.question import (
    ImageAnswers,
    Question,
    RatingQuestion,
    emotions_only,
    make_question,
    question_about,
)
from affectlens.ratings import RatingScale
from graphs import SCALES

FEARFUL = (*SCALES, RatingScale(name="fear", low=0, high=4, coverages=(0.9,), half_widths=(1.0,)))


def test_a_name_is_that_of_an_emotion_a_polarity_or_a_rating() -> None:
    fear = question_about(MIKELS, SCALES, "fear", "anger")
    assert isinstance(fear, Question) and str(fear) == "fear rather than anger"
    assert str(question_about(MIKELS, SCALES, "negative")) == "negative"
    for name in ("arousal", "Arousal", " rating:arousal"):
        arousal = question_about(MIKELS, SCALES, name)
        assert isinstance(arousal, RatingQuestion)
        assert (str(arousal), arousal.index, arousal.unit) == ("arousal", 1, "points of 1 to 9")


def test_where_both_have_a_name_it_is_the_emotions_unless_the_rating_is_named_as_such() -> None:
    assert isinstance(question_about(MIKELS, FEARFUL, "fear"), Question)
    rating = question_about(MIKELS, FEARFUL, "rating:fear")
    assert isinstance(rating, RatingQuestion)
    assert (str(rating), rating.name, rating.range, rating.point) == ("rating:fear", "fear", "0 to 4", 0.5)


def test_a_rating_is_read_of_its_column_and_log_odds_of_the_others() -> None:
    answers = ImageAnswers(np.full((2, 8), 1 / 8), np.array([[4.0, 9.5], [5.0, 2.0]]))
    arousal = question_about(MIKELS, SCALES, "arousal")
    assert isinstance(arousal, RatingQuestion)
    assert arousal.read(answers).tolist() == [9.5, 2.0]
    assert [arousal.shown(each) for each in (9.5, 2.0, 0.5)] == [9.0, 2.0, 1.0]
    np.testing.assert_allclose(make_question(MIKELS, "fear").read(answers), -np.log(7))


@pytest.mark.parametrize("name", ["valense", "rating:valense"])
def test_a_misspelt_rating_is_an_error_with_what_there_is(name: str) -> None:
    with pytest.raises(UnknownName, match=r"Did you mean '(rating:)?valence'.*amusement.*positive"):
        question_about(MIKELS, SCALES, name)


@pytest.mark.parametrize("name", ["valence", "rating:valence"])
def test_a_rating_of_a_model_without_ratings_is_an_error_with_what_there_is(name: str) -> None:
    with pytest.raises(UnknownName, match=f"'{name}' is not.*Known: amusement,.*positive, negative"):
        question_about(MIKELS, (), name)


def test_a_rating_is_not_compared_with_an_emotion_nor_an_emotion_with_a_rating() -> None:
    with pytest.raises(SettingsError, match="valence is a rating, a number, which is not compared with fear"):
        question_about(MIKELS, SCALES, "valence", "fear")
    with pytest.raises(UnknownName, match="'valence' is not an emotion"):
        question_about(MIKELS, SCALES, "fear", "valence")


def test_a_vocabulary_without_polarity_may_have_ratings() -> None:
    words = Vocabulary("colours", ("warm", "cold"))
    assert str(question_about(words, SCALES, "valence")) == "valence"


def test_what_divides_log_odds_alone_refuses_a_rating() -> None:
    fear = make_question(MIKELS, "fear")
    assert emotions_only(fear, "cam") is fear
    with pytest.raises(SettingsError, match=r"cam .* valence it cannot.*occlusion and rise"):
        emotions_only(RatingQuestion(SCALES[0], 0), "cam")
