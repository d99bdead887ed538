import json
from dataclasses import replace

import pytest

from affectlens.emotions import EKMAN
from affectlens.errors import SettingsError
from affectlens.film.compare.match import arc, compare, match
from affectlens.film.compare.page import render, sentences
from affectlens.film.timeline import Sample, Shot, Timeline
from timelines import SCRIPT, timeline_of


def without(timeline: Timeline, *numbers: int) -> Timeline:
    """Another cut: some shots taken out, and the rest moved together."""
    kept = [shot for shot in timeline.shots if shot.number not in numbers]
    samples: list[Sample] = []
    shots: list[Shot] = []
    start = 0.0
    for number, shot in enumerate(kept, start=1):
        first, moved = len(samples), start - shot.start
        samples += [replace(s, second=s.second + moved, shot=number) for s in timeline.samples_of(shot)]
        shots.append(replace(shot, number=number, start=start, end=start + shot.duration, first=first,
                             key_second=shot.key_second + moved))  # fmt: skip
        start += shot.duration
    polarity = (0.0,) * len(samples)
    return replace(timeline, samples=tuple(samples), shots=tuple(shots), moments=(), polarity=polarity)


# Each shot evokes something of its own, as shots of a film do.
VARIED = [(2.0 + place % 3, timeline_of().vocabulary.words[place % 8]) for place in range(8)]


def test_two_cuts_are_known_by_their_shots_and_what_is_in_one_alone_is_found() -> None:
    whole = timeline_of(VARIED)
    cut = without(whole, 3, 6)
    found = compare(whole, cut)
    assert found.alignment == "shots"
    assert [shot.number for shot in found.only_one] == [3, 6]
    assert found.only_other == ()
    assert found.pairs == ((1, 1), (2, 2), (4, 3), (5, 4), (7, 5), (8, 6))
    assert found.arc == pytest.approx(0, abs=1e-9)
    assert "two cuts of one film" in " ".join(sentences(found))


def test_pairing_keeps_the_order_of_shots_and_covers_most_time() -> None:
    one = timeline_of([(9.0, "awe"), (1.0, "fear"), (1.0, "anger")])
    other = timeline_of([(1.0, "fear"), (1.0, "anger"), (9.0, "awe")])
    assert match(one, other) == [(0, 2)]  # 9 s rather than twice 1 s


def test_films_that_share_little_are_compared_by_share_of_their_time() -> None:
    one, other = timeline_of([(10.0, "awe"), (10.0, "fear")]), timeline_of([(30.0, "awe"), (30.0, "sadness")])
    found = compare(replace(one), other, "time")
    assert found.alignment == "time"
    assert found.places[0].more == "sadness" and found.places[0].less == "fear"
    assert "Where they differ most" in render(found)
    assert found.places[0].one[0] >= 10 and found.places[0].other[0] == pytest.approx(
        3 * found.places[0].one[0]
    )
    assert arc(one).shape == (100, 8)
    unlike = compare(timeline_of([(10.0, "fear")]), timeline_of([(10.0, "awe")], every=3.0))
    assert unlike.alignment == "time"


def test_a_film_beside_itself_does_not_differ() -> None:
    found = compare(timeline_of(), timeline_of(), "time")
    assert found.arc == 0
    assert all(first == second for _, first, second in found.means)
    assert not found.places
    page = render(found)
    assert "differ most" not in page and "night train.mp4, second" in page


def test_films_judged_in_other_emotions_are_refused() -> None:
    with pytest.raises(SettingsError, match="Watch both with one model"):
        compare(timeline_of(), timeline_of(((2.0, "joy"),), vocabulary=EKMAN))
    with pytest.raises(SettingsError, match="nothing that was judged"):
        compare(timeline_of(), replace(timeline_of(), shots=(), samples=()))


def test_a_page_and_numbers_say_the_same() -> None:
    whole = timeline_of(VARIED)
    found = compare(whole, without(whole, 3))
    page = render(found)
    assert page.count("<section>") == 3  # over time, on the whole, only in the first
    assert "Only in night train.mp4, first" in page
    assert "://" not in page
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["only_in_first"] == [3]
    assert plain["means"]["awe"][2] == pytest.approx(plain["means"]["awe"][1] - plain["means"]["awe"][0])
    assert len(SCRIPT) == 6
