"""The page of two films compared."""

import re

import pytest

from affectlens.emotions import Vocabulary
from affectlens.film.compare.match import compare
from affectlens.film.compare.page import MAX_SHOTS, render_page
from affectlens.film.compare.text import summary
from pages import Outline
from rated import rated
from timelines import CUT_SCRIPT, film_of, shortened, timeline_of


def test_two_cuts_have_a_page_with_links_between_shots_and_the_shots_in_one_alone() -> None:
    complete = timeline_of(CUT_SCRIPT)
    found = compare(complete, shortened(complete, 3, 6))
    outline = Outline(render_page(found))
    assert outline.open == []
    links = next(each for each in outline.all("path") if (each["d"] or "").count("Z") == len(found.pairs))
    assert (links["d"] or "").startswith("M0.0 0L")
    assert len(outline.all("section")) == 3
    assert "Only in night train.mp4, first" in outline.text
    assert "two cuts of one film" in " ".join(summary(found))
    assert "less than 4 % apart" in outline.text


def test_films_are_called_the_first_and_the_second_and_a_single_shot_is_no_plural() -> None:
    one, other = timeline_of([(10.0, "awe"), (10.0, "fear")]), timeline_of([(2.0, "awe")])
    assert summary(compare(one, other, "time"))[0] == (
        "The first has 20 s in 2 shots, the second 2.0 s in 1 shot."
    )


def test_a_shot_of_unusual_frames_in_one_film_alone_evokes_nothing_known() -> None:
    complete = rated(timeline_of(CUT_SCRIPT), 3)
    text = Outline(
        render_page(compare(complete, rated(shortened(timeline_of(CUT_SCRIPT), 3, 6)), "shots"))
    ).text
    alone = text[text.index("Only in") :]
    assert "unusual pictures" in alone and "contentment" not in alone
    assert "disgust" in alone  # that of the sixth, which is an ordinary one
    assert "without frames below a grey veil" in text


def test_other_films_have_a_page_with_the_stretches_that_differ_most() -> None:
    one, other = timeline_of([(10.0, "awe"), (10.0, "fear")]), timeline_of([(30.0, "awe"), (30.0, "sadness")])
    outline = Outline(render_page(compare(one, other, "time")))
    assert len(outline.all("section")) == 3
    assert "Where they differ most" in outline.text and "Total variation distance" in outline.text
    # Three pictures of charts a film: nothing is linked.
    assert len(outline.all("svg")) == 2


def test_a_page_shows_the_same_numbers_as_the_comparison() -> None:
    one, other = timeline_of([(10.0, "awe"), (10.0, "fear")]), timeline_of([(30.0, "awe"), (30.0, "sadness")])
    text = Outline(render_page(compare(one, other, "time"))).text
    assert "awe 35 % 35 % 0" in text
    assert "fear 35 % 5 % \N{MINUS SIGN}30" in text
    assert "sadness 5 % 35 % +30" in text


def test_a_film_compared_with_itself_has_no_table_of_differences_and_two_names() -> None:
    page = render_page(compare(timeline_of(), timeline_of(), "time"))
    assert len(Outline(page).all("section")) == 2
    assert "night train.mp4, second" in page
    # Its summary has the distance even so, and so it is explained.
    assert page.count("Total variation distance: the share of the probabilities") == 1


def test_only_the_longest_shots_in_one_alone_are_listed() -> None:
    many = timeline_of([(2.0, "awe" if number % 2 else "fear") for number in range(2 * MAX_SHOTS)])
    outline = Outline(render_page(compare(many, shortened(many, *range(5, 2 * MAX_SHOTS)), "shots")))
    assert f"The {MAX_SHOTS} longest of" in outline.text


def test_a_page_loads_nothing_and_runs_no_script() -> None:
    page = render_page(compare(timeline_of(), timeline_of(), "time"))
    assert "://" not in page and "url(" not in page and "<script" not in page
    policy = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style>")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_name_or_word_can_add_elements_or_attributes(hostile: str) -> None:
    def outline(word: str) -> Outline:
        words, film = Vocabulary("own", (word, "calm")), film_of(4.0, name=word)
        one, other = (
            timeline_of(script, vocabulary=words, polarity=None, film=film)
            for script in (((2.0, word), (2.0, "calm")), ((2.0, "calm"), (2.0, word)))
        )
        return Outline(render_page(compare(one, other, "time")))

    found, expected = outline(hostile), outline("harmless")
    assert found.open == []
    assert [(tag, list(attributes)) for tag, attributes in found.elements] == [
        (tag, list(attributes)) for tag, attributes in expected.elements
    ]
    assert found.text.count(hostile.split("/")[0]) >= 4


def test_ratings_and_unusual_frames_are_on_the_page_of_films_that_have_them() -> None:
    one, other = rated(timeline_of(), 2), timeline_of([(30.0, "awe"), (30.0, "sadness")])
    outline = Outline(render_page(compare(one, rated(other), "time")))
    assert outline.text.count(" 9 valence 1 ") == 2 and "Grey veil" in outline.text
    assert outline.open == []
    without = Outline(render_page(compare(other, other, "time"))).text
    assert "alence" not in without and "Grey veil" not in without
