"""Colours of words: given ones, known ones, and ours, which no two words share."""

import pytest

from affectlens.emotions import MIKELS, VOCABULARIES, Vocabulary
from affectlens.report.emotion_colours import COLOURS, colours_of


def test_known_emotions_keep_their_colours() -> None:
    assert colours_of(MIKELS) == {word: COLOURS[word] for word in MIKELS.words}


@pytest.mark.parametrize("count", [2, 5, 12, 24])
def test_no_two_words_have_one_colour(count: int) -> None:
    words = Vocabulary("own", tuple(f"word {number}" for number in range(count)))
    assert len(set(colours_of(words).values())) == count


def test_nor_have_known_emotions_that_share_one_elsewhere() -> None:
    words = Vocabulary("own", ("joy", "amusement", "awe", "surprise", "cosy"))
    assert len(set(colours_of(words).values())) == 5
    assert all(len(set(colours_of(known).values())) == len(known) for known in VOCABULARIES.values())


def test_a_given_colour_is_kept_and_none_like_it_is_invented() -> None:
    words = Vocabulary("own", ("cosy", "odd", "bleak"), colours={"bleak": "#8accee"})
    found = colours_of(words)
    assert found["bleak"] == "#8accee" and "#88CCEE" not in found.values()


def test_more_words_than_shades_still_have_a_colour_each() -> None:
    assert len(colours_of(Vocabulary("own", tuple(f"word {number}" for number in range(60))))) == 60
