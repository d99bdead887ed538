"""The three sentences of a story, and when they are silent."""

from dataclasses import replace
from typing import Any

import pytest

from affectlens.emotions import EKMAN, MIKELS, EmotionDistribution, own_vocabulary
from affectlens.explain.core.question import Question, make_question
from affectlens.explain.story.effects import (
    APPEARANCES,
    REGIONS,
    PerturbationEffect,
    PictureEffects,
    RegionShare,
)
from affectlens.explain.story.text import disagreement, story
from affectlens.report.text import percent

FEARFUL = MIKELS.distribution({"fear": 60, "awe": 25, "sadness": 15})
NO_REGION = (
    "No single region carries {}: blurring any of them moves the answer no more than cutting 5 % off its "
    "sides does."
)
NO_APPEARANCE = (
    "Changing its colours, its fine detail or its brightness moves the answer no more than cutting 5 % off "
    "its sides does."
)


def story_of(effects: dict[str, float], *further: Any, **named: Any) -> list[str]:
    return story(effects_of(effects, *further, **named))


def effects_of(
    effects: dict[str, float],
    question: Question | None = None,
    emotions: EmotionDistribution = FEARFUL,
    log_odds: float = 0.405,
    noise: float = 0.3,
) -> PictureEffects:
    """A picture on which all but these perturbations had half the effect of noise."""
    areas = {"half": 1 / 2, "ninth": 1 / 9}
    perturbations = [
        PerturbationEffect(
            name=name,
            kind="appearance" if name in APPEARANCES else "region",
            area=next((area for word, area in areas.items() if word in name), 1 / 3),
            effect=effects.get(name, noise / 2),
            emotions=emotions,
        )
        for name in (*APPEARANCES, *REGIONS)
    ]
    return PictureEffects(
        question=question or make_question(MIKELS, "fear"),
        model="m",
        emotions=emotions,
        answer=log_odds,
        noise=noise,
        perturbations=tuple(perturbations),
    )


def test_there_are_three_sentences_whatever_was_found() -> None:
    assert story_of({}) == [
        "On average this picture is most likely to evoke fear (60 %), then awe (25 %).",
        NO_REGION.format("fear"),
        NO_APPEARANCE,
    ]


def test_effects_within_noise_are_not_reported() -> None:
    assert story_of({"the top third": -0.3, "without its colours": 0.29}) == story_of({})
    assert story_of({"the top third": -0.31})[1] != story_of({})[1]
    assert story_of({"without its colours": 0.31})[2] != story_of({})[2]


def test_the_region_that_carries_the_answer_and_the_one_against_it_are_named_with_numbers() -> None:
    assert story_of({"the top third": -1.5, "the bottom right ninth": 0.9})[1] == (
        "What speaks most for fear is the top third: with that blurred, it falls to 25 %; the bottom right "
        "ninth speaks against it: with that blurred, it rises to 79 %."
    )
    assert story_of({"the top third": 1.5})[1] == (
        "No single region carries fear; the top third speaks against it: with that blurred, it rises to 87 %."
    )


def test_of_regions_with_nearly_the_same_effect_the_smallest_is_named() -> None:
    effects = {
        "the outer half": -3.0,
        "the top third": -2.4,
        "the top left ninth": -1.9,
        "the left third": -2.5,
    }
    assert (
        "the left third" in story_of(effects)[1]
    )  # of the two thirds the stronger; a ninth has too little of it
    assert "the top left ninth" in story_of({**effects, "the top left ninth": -2.1})[1]


def test_of_regions_whose_sizes_differ_by_a_pixel_the_strongest_is_named() -> None:
    found = effects_of({"the bottom third": -1.2, "the middle column": -0.9}, noise=0.1)
    pixels = {"the bottom third": 75 / 224, "the middle column": 74 / 224}
    regions = [replace(each, area=pixels.get(each.name, each.area)) for each in found.perturbations]
    sentence = story(replace(found, perturbations=tuple(regions)))[1]
    assert sentence.startswith("What speaks most for fear is the bottom third")


def test_a_region_that_does_no_more_than_others_of_its_size_is_not_named() -> None:
    alike = {name: -1.5 for name in REGIONS if "ninth" not in name}
    assert story_of(alike)[1] == (
        "No single region carries fear: blurring others of the same size moves the answer as much."
    )
    assert "the left third" in story_of({**alike, "the left third": -1.9})[1]
    # .3 more than the others is no more than noise; that others of the size do the opposite is no reason
    # to name one that does nothing.
    assert story_of({**alike, "the left third": -1.79})[1] == story_of(alike)[1]
    opposite = {name: 1.5 for name in REGIONS if "ninth" in name} | {"the middle ninth": 0.2}
    assert "the middle ninth" not in story_of(opposite)[1]


def share_of(region: str, net: float, against: float = 0.2) -> RegionShare:
    return RegionShare(region=region, area=1 / 9, favour=0.3, against=against, net=net)


def test_a_map_that_shows_the_opposite_is_contradicted_with_both_measurements() -> None:
    found = effects_of({"the top left ninth": -1.5, "the middle ninth": 0.9})
    assert disagreement(found, [share_of("the top left ninth", -0.1), share_of("the middle ninth", 0.2)]) == (
        "The map disagrees: the top left ninth speaks against fear in it, and for it when measured by "
        "blurring; the middle ninth speaks for fear in it, and against it when measured by blurring. Rely on "
        "neither there."
    )


@pytest.mark.parametrize(
    "parts",
    [
        [share_of("the top left ninth", 0.1), share_of("the middle ninth", -0.1)],
        [share_of("the top left ninth", -0.01), share_of("the middle ninth", 0.01)],  # next to nothing
        [share_of("the top right ninth", -0.3)],  # not named
        [share_of("the middle ninth", 0.3, against=0.0)],  # a map that has one side only
        [],
    ],
)
def test_a_map_that_does_not_show_the_opposite_is_not_contradicted(parts: list[RegionShare]) -> None:
    found = effects_of({"the top left ninth": -1.5, "the middle ninth": 0.9})
    assert disagreement(found, parts) == ""


def test_appearances_are_named_greatest_first_with_each_verb_once() -> None:
    effects = {
        "without its colours": -1.0,
        "without its fine detail": -2.0,
        "one stop darker": 0.8,
    }
    assert story_of(effects)[2] == (
        "Fear falls to 17 % without its fine detail, to 36 % without its colours and rises to 77 % one stop "
        "darker; it hardly moves one stop brighter."
    )


def test_an_emotion_that_is_not_the_most_likely_is_named_after_it() -> None:
    first, where, how = story_of({"without its colours": -1}, make_question(MIKELS, "awe"), log_odds=-1.0986)
    assert first == "On average this picture is most likely to evoke fear (60 %); awe has 25 %."
    assert where == NO_REGION.format("awe")
    assert how.startswith("Awe falls to 11 % without its colours;")


def test_a_polarity_is_called_a_feeling() -> None:
    first, _, how = story_of({"without its colours": 1}, make_question(MIKELS, "positive"), log_odds=-1.0986)
    assert (
        first == "On average this picture is most likely to evoke fear (60 %); a positive feeling has 25 %."
    )
    assert how.startswith("A positive feeling rises to 48 % without its colours;")


def test_the_only_word_of_a_side_is_called_by_itself() -> None:
    joy = make_question(EKMAN, "joy")
    assert str(joy) == str(make_question(EKMAN, "positive")) == "joy"
    assert str(make_question(EKMAN, "fear", "positive")) == "fear rather than joy"
    evoked = EKMAN.distribution({"fear": 60, "joy": 40})
    first, where, _ = story_of({}, joy, emotions=evoked)
    assert first == "On average this picture is most likely to evoke fear (60 %); joy has 40 %."
    assert where == NO_REGION.format("joy")
    # `positive` is another word here.
    words = own_vocabulary(["good", "positive", "bad"], polarity={"good": "positive"})
    assert [str(make_question(words, word)) for word in words.words] == list(words.words)


def test_a_contrast_is_given_in_times_as_likely() -> None:
    first, where, _ = story_of({"the top third": -2.0}, make_question(MIKELS, "fear", "awe"), log_odds=0.8755)
    assert first == (
        "On average this picture is most likely to evoke fear (60 %); fear (60 %) is 2.4 times as likely as "
        "awe (25 %)."
    )
    assert where.endswith("with that blurred, it becomes 0.32 times as likely as awe.")


def test_near_certainty_odds_are_given_where_percents_would_not_move() -> None:
    sure = MIKELS.distribution({"fear": 1e6, "awe": 1})
    how = story_of({"without its colours": -2}, emotions=sure, log_odds=13.8)[2]
    assert how.startswith("Fear falls 7.4-fold in its odds without its colours")


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "under 0.1 %"), (0.004, "0.4 %"), (0.01, "1 %"), (0.5, "50 %"), (0.99, "99 %"), (0.997, "99.7 %"),
     (1, "over 99.9 %")],
)  # fmt: skip
def test_percents_are_never_rounded_to_certainty(share: float, words: str) -> None:
    assert percent(share) == words
