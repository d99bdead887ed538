"""Two films compared, in plain text."""

from dataclasses import replace

from affectlens.film.compare.match import compare
from affectlens.film.compare.text import means_table, summary
from rated import rated
from timelines import timeline_of


def test_the_table_has_both_means_and_their_difference() -> None:
    one, other = timeline_of([(10.0, "awe"), (10.0, "fear")]), timeline_of([(30.0, "awe"), (30.0, "sadness")])
    found = compare(one, other, "time")
    rows = {line.split()[0]: line.split()[1:] for line in means_table(found)}
    assert list(rows) == [*(word for word, _, _ in found.means), "polarity"]
    assert rows["fear"] == ["35.0%", "5.0%", "\N{MINUS SIGN}30.0"]
    assert rows["sadness"] == ["5.0%", "35.0%", "+30.0"]
    assert len({len(line) for line in means_table(found)}) == 1


def test_what_predicted_the_films_is_named_and_two_models_are_no_difference_of_films() -> None:
    one = replace(timeline_of(), model="default", weights_hash="1" * 64, version="0.2.0")
    assert summary(compare(one, one))[-1] == (
        "Both are predicted by the model default (weights 111111111111, AffectLens 0.2.0)."
    )
    text = summary(compare(one, replace(one, weights_hash="2" * 64, version="")))[-1]
    assert "the second by the model default (weights 222222222222, AffectLens before 0.2)" in text
    assert "what differs may be of these" in text


def test_the_same_weights_with_another_calibration_are_two_models() -> None:
    one = replace(timeline_of(), model="default", weights_hash="1" * 64, answers_hash="a" * 64)
    other = replace(one, answers_hash="b" * 64)
    found = compare(one, other)
    text = summary(found)[-1]
    assert "with temperature, sets and ratings aaaaaaaaaaaa" in text and "bbbbbbbbbbbb" in text
    assert "what differs may be of these" in text
    assert [each["answers"] for each in found.to_json()["models"]] == ["a" * 64, "b" * 64]
    # Of an earlier timeline it is not known.
    assert summary(compare(one, replace(one, answers_hash="")))[-1].startswith("Both are predicted by")


def test_ratings_have_rows_and_a_sentence() -> None:
    found = compare(rated(timeline_of()), rated(timeline_of()), "time")
    rows = list(means_table(found))
    assert rows[-2].split() == ["valence", "5.0", "5.0", "0.0"] and len({len(row) for row in rows}) == 1
    assert "Mean absolute difference over the same: valence 0.0 and arousal 0.0." in summary(found)


def test_what_is_not_compared_is_stated_and_so_is_a_film_of_unusual_frames_alone() -> None:
    one, other = rated(timeline_of()), rated(timeline_of(), 1)
    assert not any("nusual" in line for line in summary(compare(one, one, "time")))
    lines = summary(compare(one, other, "time"))
    assert "Unusual frames and frames that a fade dims are left out: of the time, 82 % is compared." in lines
    lines = summary(compare(one, rated(timeline_of(), *range(1, 7)), "time"))
    assert "All sampled frames of the second are unusual or faded: do not rely on what differs." in lines
