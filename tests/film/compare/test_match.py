"""Films compared: how they are aligned, and how far they differ."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from affectlens.emotions import EKMAN
from affectlens.errors import SettingsError
from affectlens.film.compare import match
from affectlens.film.compare.match import arc, compare, match_shots
from rated import SCALES, rated
from timelines import CUT_SCRIPT, film_of, shortened, timeline_of


def test_two_cuts_are_recognised_by_their_shots_and_shots_in_one_alone_are_found() -> None:
    complete = timeline_of(CUT_SCRIPT)
    cut = shortened(complete, 3, 6)
    found = compare(complete, cut)
    assert found.alignment == "shots"
    assert [shot.number for shot in found.only_one] == [3, 6]
    assert found.only_other == ()
    assert found.pairs == ((1, 1), (2, 2), (4, 3), (5, 4), (7, 5), (8, 6))
    assert found.mean_distance == pytest.approx(0, abs=1e-9)


def test_pairing_keeps_the_order_of_shots_and_covers_most_time() -> None:
    one = timeline_of([(9.0, "awe"), (1.0, "fear"), (1.0, "anger")])
    other = timeline_of([(1.0, "fear"), (1.0, "anger"), (9.0, "awe")])
    assert match_shots(one, other) == [(0, 2)]  # 9 s rather than twice 1 s


def test_films_that_share_little_are_compared_by_relative_position() -> None:
    one, other = timeline_of([(10.0, "awe"), (10.0, "fear")]), timeline_of([(30.0, "awe"), (30.0, "sadness")])
    found = compare(replace(one), other, "time")
    assert found.alignment == "time"
    assert found.spans[0].more == "sadness" and found.spans[0].less == "fear"
    assert found.spans[0].one[0] >= 10 and found.spans[0].other[0] == pytest.approx(3 * found.spans[0].one[0])
    assert arc(one).shape == (100, 8)
    unlike = compare(timeline_of([(10.0, "fear")]), timeline_of([(10.0, "awe")], every=3.0))
    assert unlike.alignment == "time"


def test_a_film_compared_with_itself_does_not_differ() -> None:
    found = compare(timeline_of(), timeline_of(), "time")
    assert found.mean_distance == 0
    assert all(first == second for _, first, second in found.means)
    assert not found.spans


def test_films_predicted_in_other_emotions_are_refused() -> None:
    with pytest.raises(SettingsError, match="Watch both with one model"):
        compare(timeline_of(), timeline_of(((2.0, "joy"),), vocabulary=EKMAN))
    with pytest.raises(SettingsError, match="no sampled frame"):
        compare(timeline_of(), replace(timeline_of(), shots=(), samples=()))


def test_more_shots_than_can_be_paired_are_compared_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    complete = timeline_of(CUT_SCRIPT)
    monkeypatch.setattr(match, "MAX_PAIRS", len(complete.shots) ** 2 - 1)
    assert compare(complete, complete).alignment == "time"
    with pytest.raises(SettingsError, match="too many to be paired"):
        compare(complete, complete, "shots")


def test_numbers_are_written_as_json(tmp_path: Path) -> None:
    complete = timeline_of(CUT_SCRIPT)
    compare(complete, shortened(complete, 3)).write(tmp_path / "c.json")
    plain = json.loads((tmp_path / "c.json").read_text())
    assert plain["only_in_first"] == [3]
    assert plain["pairs"] == [[1, 1], [2, 2], [4, 3], [5, 4], [6, 5], [7, 6], [8, 7]]
    assert plain["means"]["awe"][2] == pytest.approx(plain["means"]["awe"][1] - plain["means"]["awe"][0])
    other = compare(timeline_of([(10.0, "awe")]), timeline_of([(10.0, "fear")]), "time").to_json()
    assert other["places"][0].keys() == {"one", "other", "difference", "more", "less"}
    assert other["polarity"] == pytest.approx((0.6, -0.6))


def test_ratings_are_compared_over_time_and_over_shots_in_both(tmp_path: Path) -> None:
    complete = rated(timeline_of(CUT_SCRIPT))
    same_time = compare(complete, replace(complete, film=film_of(9.0)), "time")
    assert [(each.name, each.distance) for each in same_time.ratings] == [("valence", 0.0), ("arousal", 0.0)]
    cut = shortened(complete, 3, 6)
    higher = replace(cut, shots=tuple(replace(s, ratings=(s.ratings[0] + 1, 2.0)) for s in cut.shots))
    found = compare(complete, replace(higher, ratings=(6.0, 2.0)))
    assert found.alignment == "shots"
    valence, arousal = found.ratings
    assert (valence.one, valence.other, valence.distance) == pytest.approx((5.0, 6.0, 1.0))
    assert arousal.distance is not None and 2 < arousal.distance < 4
    found.write(tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text())["ratings"]["valence"]["difference"] == 1.0


def test_only_ratings_that_both_films_have_on_one_scale_are_compared(tmp_path: Path) -> None:
    one, plain = rated(timeline_of()), timeline_of()
    other = rated(timeline_of(), scales=(replace(SCALES[0], high=10.0), SCALES[1]))
    assert [each.name for each in compare(one, other, "time").ratings] == ["arousal"]
    for found in (compare(one, plain, "time"), compare(plain, plain), compare(one, plain, "shots")):
        assert found.ratings == ()
        assert "ratings" not in json.dumps(found.to_json())


def test_films_without_a_common_shot_have_means_of_ratings_and_no_difference() -> None:
    one, other = rated(timeline_of([(10.0, "awe")])), rated(timeline_of([(10.0, "anger")]))
    found = compare(one, other, "shots")
    assert [(each.one, each.other, each.distance) for each in found.ratings] == [(5.0, 5.0, None)] * 2


def test_what_shows_unusual_frames_is_in_no_difference_over_time() -> None:
    one = rated(timeline_of([(10.0, "awe"), (10.0, "fear")]))
    cards = rated(timeline_of([(10.0, "awe"), (10.0, "sadness")]), 2)
    apart = compare(one, rated(cards), "time")
    assert apart.mean_distance > 0.1 and apart.compared == 1
    found = compare(one, cards, "time")
    assert found.mean_distance == 0 and not found.spans and found.compared == pytest.approx(0.5, abs=0.02)
    assert found.to_json()["compared"] == found.compared
    assert {each.name: each.distance for each in found.ratings} == {"valence": 0, "arousal": 0}
    # Of a film that has no others they count.
    alone = compare(one, rated(timeline_of([(10.0, "awe"), (10.0, "sadness")]), 1, 2), "time")
    assert alone.mean_distance == apart.mean_distance and alone.compared == 1


def test_what_shows_unusual_frames_is_in_no_difference_over_shots() -> None:
    one = rated(timeline_of(CUT_SCRIPT), 2)
    assert one.shots[1].duration == 3
    changed = replace(one.shots[1], emotions=one.shots[0].emotions, ratings=(9.0, 9.0))
    other = replace(one, shots=(one.shots[0], changed, *one.shots[2:]))
    found = compare(one, other, "shots")
    assert len(found.pairs) == len(one.shots)  # both begin alike
    assert found.mean_distance == 0 and not found.spans and found.ratings[0].distance == 0
    assert found.compared == pytest.approx(1 - 3 / sum(shot.duration for shot in one.shots))
