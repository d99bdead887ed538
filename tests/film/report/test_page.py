"""The page of a film: what it shows, and that nothing in a timeline can change its structure."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from affectlens.emotions import MIKELS, Vocabulary
from affectlens.film.report.drawing import assign_lanes, ink_on
from affectlens.film.report.page import (
    MAX_PEAKS,
    MAX_STRIP,
    FilmPictures,
    film_address,
    needed,
    render_page,
    write_page,
)
from affectlens.film.report.text import watched
from affectlens.film.timeline import Counts, Timeline
from affectlens.report import html
from pages import Outline
from rated import SCALES, rated
from timelines import film_of, timeline_of


def pictures_of(timeline: Timeline, height: int = 90, width: int = 160) -> FilmPictures:
    grey = np.full((height, width, 3), 128, dtype=np.uint8)
    return FilmPictures(dict.fromkeys(needed(timeline), grey))


def page_of(timeline: Timeline, film: str | None = "../a.mp4") -> str:
    return render_page(timeline, pictures_of(timeline), film)


def test_a_page_loads_nothing_but_the_film_and_its_policy_forbids_the_rest() -> None:
    page = page_of(timeline_of())
    outline = Outline(page)
    sources = [each["src"] or "" for _, each in outline.elements if "src" in each]
    assert [source for source in sources if not source.startswith("data:image/jpeg;base64,")] == ["../a.mp4"]
    assert {each["href"] for each in outline.all("a")} == {"#chart"}
    assert "://" not in re.sub(r"base64,[^\"]*", "", page)
    assert "url(" not in page and "@import" not in page and "fetch(" not in page
    policy = next(each for each in outline.all("meta") if "http-equiv" in each)
    assert "default-src 'none'" in (policy["content"] or "")


def test_every_element_is_closed_and_has_a_name_for_screen_readers() -> None:
    outline = Outline(page_of(timeline_of()))
    assert outline.open == []
    assert all("alt" in each for each in outline.all("img"))
    tiles = [each for each in outline.all("button") if each.get("aria-label")]
    assert len(tiles) == 6
    slider = next(each for _, each in outline.elements if each.get("role") == "slider")
    assert slider["tabindex"] == "0"
    assert (slider["aria-valuemin"], slider["aria-valuemax"]) == ("0.00", "22.00")
    assert slider["aria-label"] and slider["aria-valuetext"] and slider["aria-describedby"] == "keys"
    assert outline.all("video")[0]["aria-label"] == "night train.mp4"
    assert all(each.get("aria-hidden") for each in outline.all("svg"))


def test_a_page_repeats_in_text_what_it_draws() -> None:
    text = Outline(page_of(timeline_of())).text
    assert "22 s in 6 shots, most likely to evoke" in text
    assert "on average" in text and "still photographs" in text
    for emotion in MIKELS.words:
        assert emotion in text
    assert "fear 80 % at 0:09.5" in text
    assert "a frame every 0.5 s, and one where a shot starts" in text


@pytest.mark.parametrize(
    ("duration", "of"),
    [(22.0, "The whole film"), (30.0, "0:00\N{EN DASH}0:22 of the film"), (None, "What was watched")],
)
def test_the_table_of_a_part_of_a_film_names_the_part(duration: float | None, of: str) -> None:
    outline = Outline(page_of(timeline_of(film=replace(film_of(22.0), duration=duration))))
    assert f"{of}, on average" in outline.text
    slider = next(each for _, each in outline.elements if each.get("role") == "slider")
    assert (slider["aria-valuetext"] or "").startswith(f"{of}: ")
    assert (f"22 s ({of}) in 6 shots" in outline.text) == (duration == 30.0)


def test_a_part_that_begins_late_is_named_by_its_times() -> None:
    complete = timeline_of()
    shots = [replace(shot, start=shot.start + 2.5, end=shot.end + 2.5) for shot in complete.shots]
    late = replace(complete, shots=tuple(shots))
    assert watched(late) == "0:02.5\N{EN DASH}0:24.5 of the film"


def test_buttons_lead_to_the_second_that_they_name() -> None:
    timeline = timeline_of()
    page = page_of(timeline)
    for moment in timeline.of("mood"):
        assert f'data-second="{moment.start:.3f}"' in page
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])
    assert data["shots"] == [shot.start for shot in timeline.shots]
    assert len(data["seconds"]) == len(data["values"])
    assert all(abs(sum(row) - 1000) <= 4 for row in data["values"])


def test_no_second_that_the_page_leads_to_lies_in_the_frame_before_the_one_that_is_meant() -> None:
    frame = 1001 / 24000  # no start of a shot, and no sample, is at a full millisecond
    timeline = timeline_of([(frame * count, MIKELS.words[count % 5]) for count in (50, 71, 34, 92, 46)],
                           every=frame * 7)  # fmt: skip
    page = page_of(timeline)
    data = json.loads(re.findall(r'id="data">(.*?)</script>', page)[0])
    buttons = [float(second) for second in re.findall(r'data-second="(.*?)"', page)]
    exact = {sample.second for sample in timeline.samples}
    exact |= {second for shot in timeline.shots for second in (shot.start, shot.end)}
    exact |= {second for moment in timeline.moments for second in (moment.second, moment.start)}
    for found in (*buttons, *data["shots"], *data["seconds"]):
        nearest = min(exact, key=lambda second: abs(second - found))
        assert nearest - 1e-6 <= found < nearest + 0.001
    for shot in timeline.shots:  # in the strip, and in the table
        assert sum(shot.start - 1e-6 <= found < shot.start + 0.001 for found in buttons) >= 2


def test_only_existing_pictures_are_shown_and_heat_maps_with_their_peak() -> None:
    timeline = timeline_of()
    peak = timeline.of("peak")[0]
    some = FilmPictures(
        {peak.second: np.zeros((90, 160, 3), dtype=np.uint8)},
        {(peak.second, peak.emotion): np.zeros((90, 160, 3), dtype=np.uint8)},
    )
    images = Outline(render_page(timeline, some)).all("img")
    assert sum("Heat map" in (each["alt"] or "") for each in images) == 1
    source = next(each["src"] or "" for each in images if "Heat map" in (each["alt"] or ""))
    with Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) as image:
        assert image.size == (160, 90)


def test_a_missing_film_is_requested_from_the_reader() -> None:
    with_film, without = (Outline(page_of(timeline_of(), film)) for film in ("a.mp4", None))
    assert "hidden" in next(each for _, each in with_film.elements if each.get("id") == "missing")
    assert "hidden" not in next(each for _, each in without.elements if each.get("id") == "missing")
    assert "src" not in without.all("video")[0]
    assert without.all("input")[0]["type"] == "file"


def test_a_film_is_named_by_a_relative_path_with_odd_letters_escaped(tmp_path: Path) -> None:
    assert (
        film_address(tmp_path / 'a "b" #1 é.mp4', tmp_path / "out" / "x")
        == "../../a%20%22b%22%20%231%20%C3%A9.mp4"
    )
    write_page(tmp_path / "report.html", timeline_of(), FilmPictures(), tmp_path / "a b.mp4")
    assert 'src="a%20b.mp4"' in (tmp_path / "report.html").read_text()


def hostile_timeline(hostile: str) -> Timeline:
    """A timeline with the same text as every word, name, note and setting that a crafted file may hold."""
    words = Vocabulary(hostile, (hostile, "calm"))
    made = timeline_of(((2.0, hostile), (2.0, "calm")), vocabulary=words, polarity=None)
    return replace(
        made,
        film=film_of(4.0, name=f"films/{hostile}", codec=hostile),
        model=hostile,
        weights_hash=hostile,
        version=hostile,
        settings={"sampling": "time", "every": 1.0, hostile: hostile},
        shots=tuple(replace(shot, begins=cast(Any, hostile)) for shot in made.shots),
        notes=(hostile,),
        counts=Counts(decoded=100, predicted=8, broken=1, dropped=1),
    )


HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><b>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;script&gt;",
)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_of_a_timeline_can_add_elements_attributes_or_scripts(hostile: str) -> None:
    timeline, harmless = hostile_timeline(hostile), hostile_timeline("harmless")
    grey = np.full((9, 16, 3), 128, dtype=np.uint8)

    def outline(each: Timeline) -> Outline:
        peaks = {(peak.second, peak.emotion): np.zeros((9, 16, 3), np.uint8) for peak in each.of("peak")}
        return Outline(render_page(each, FilmPictures(dict.fromkeys(needed(each), grey), peaks), "a.mp4"))

    found, expected = outline(timeline), outline(harmless)
    assert found.open == []
    assert [(tag, list(attributes)) for tag, attributes in found.elements] == [
        (tag, list(attributes)) for tag, attributes in expected.elements
    ]
    # It is still there, as text.
    assert f"Most likely to evoke {hostile}" in found.text
    assert f"Model {hostile} ({hostile[:12]})" in found.text
    data = json.loads(found.scripts[0])
    assert data["words"] == [hostile, "calm"]
    assert found.scripts[1:] == expected.scripts[1:] and len(found.scripts) == 2


def test_a_film_name_is_shown_without_control_characters() -> None:
    page = page_of(timeline_of(film=film_of(22.0, name='x/<b onload="x">&\u202e\udce9.mp4')))
    page.encode()
    assert "<b onload" not in page and "\u202e" not in page


def test_a_film_of_three_hours_has_a_page_of_bounded_size_that_lists_what_it_leaves_out() -> None:
    script = [(4.5, MIKELS.words[number % 8]) for number in range(2400)]
    timeline = timeline_of(script)
    assert timeline.film.duration == 10_800
    noise = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    page = render_page(timeline, FilmPictures(dict.fromkeys(needed(timeline), noise)), "a.mp4")
    assert len(page) < 4_500_000  # noise takes more than any film
    text = Outline(page).text
    assert f"{2400 - MAX_STRIP:,} of 2,400 shots are not shown" in text
    assert f"{2400 - MAX_PEAKS:,} less prominent peaks" in text
    assert "each point is the mean over 12 s" in text
    assert len(needed(timeline)) <= MAX_STRIP + MAX_PEAKS + 16


def test_what_was_not_predicted_is_covered_on_the_chart_and_the_page_states_it() -> None:
    timeline = timeline_of()
    assert 'class="gap"' not in page_of(timeline)
    end = timeline.shots[-1].end
    page = page_of(replace(timeline, gaps=((end / 4, end / 2),)))
    assert re.findall(r'class="gap" style="left:([\d.]+)%;width:([\d.]+)%"', page) == [("25.00", "25.00")]
    assert "nothing was predicted there" in Outline(page).text


def test_a_film_with_ratings_shows_their_curves_their_interval_and_the_plane() -> None:
    page = page_of(rated(timeline_of()))
    outline = Outline(page)
    assert "9 valence" in outline.text and "9 arousal" in outline.text
    assert "\u00b12.0 for valence (1 to 9) and \u00b11.5 for arousal (1 to 9)" in outline.text
    assert "smoothing does not narrow it" in outline.text
    assert any((each["src"] or "").startswith("data:image/svg+xml") for each in outline.all("img"))
    assert outline.open == []
    data = json.loads(outline.scripts[0])
    assert len(data["ratings"]) == len(data["seconds"]) and "unusual" not in data
    plain = page_of(timeline_of())
    assert all(word not in Outline(plain).text.lower() for word in ("valence", "arousal", "unusual"))
    assert "ratings" not in json.loads(Outline(plain).scripts[0])


def test_unusual_frames_are_veiled_with_a_legend_and_their_shots_greyed() -> None:
    page = page_of(rated(timeline_of(), 3, 5))
    outline = Outline(page)
    veils = [each for each in outline.all("span") if each.get("class") == "veil"]
    assert len(veils) == 2 and "Grey veil: unusual frames" in outline.text
    assert "wider where frames are unusual" in outline.text
    assert "wider where" not in Outline(page_of(rated(timeline_of()))).text
    tiles = [each for each in outline.all("button") if each.get("class") == "unusual"]
    assert len(tiles) == 2 and all("unusual" in (each["aria-label"] or "") for each in tiles)
    assert "10 of 10" in outline.text, "of the table of shots"
    assert set(json.loads(outline.scripts[0])["unusual"]) == {0, 1}


def test_faded_frames_are_veiled_named_and_counted_next_to_unusual_ones() -> None:
    timeline = rated(timeline_of(), 3)
    samples = tuple(replace(each, faded=each.shot == 5) for each in timeline.samples)
    outline = Outline(page_of(replace(timeline, samples=samples)))
    assert len([each for each in outline.all("span") if each.get("class") == "veil"]) == 2
    assert "as title cards; frames that a fade dims." in outline.text and "12 of 12" in outline.text
    tiles = [each for each in outline.all("button") if each.get("class") == "unusual"]
    assert ["unusual" in (tiles[0]["aria-label"] or ""), "faded" in (tiles[1]["aria-label"] or "")] == [
        True
    ] * 2
    data = json.loads(outline.scripts[0])
    assert set(data["faded"]) == set(data["unusual"]) == {0, 1}


def test_a_film_of_unusual_frames_alone_does_not_claim_that_they_are_left_out() -> None:
    text = Outline(page_of(rated(timeline_of(), *range(1, 7)))).text
    assert (
        "how far that is off is not known of unusual frames" in text and "nine of ten photographs" not in text
    )
    assert "here it is all that there is" in text and "left out of means" not in text


def test_ratings_of_any_name_are_shown_and_cannot_change_the_page() -> None:
    hostile = "</script><b>&'\"$x_1$"
    scales = (replace(SCALES[0], name=hostile, low=0.0, high=100.0),)
    page = page_of(rated(timeline_of(), scales=scales))
    assert "<b>&" not in page and hostile in Outline(page).text
    assert Outline(page).open == []


def test_a_film_with_one_sampled_frame_and_no_moments_has_a_page() -> None:
    timeline = timeline_of(((0.4, "awe"),), every=1.0)
    text = Outline(page_of(replace(timeline, moments=()))).text
    assert "No peaks" in text


def test_words_have_contrast_on_every_colour_and_marks_do_not_overlap() -> None:
    assert (ink_on("#000000"), ink_on("#ffffff")) == ("#fff", "#111")
    assert assign_lanes([0.5, 0.52, 0.54, 0.9], 0.075, 2) == [0, 1, None, 0]


@pytest.mark.parametrize("dark", [False, True])
def test_words_have_enough_contrast(dark: bool) -> None:
    style = (Path(html.__file__).parent / "templates" / "tokens.css").read_text()
    part = style.split("prefers-color-scheme: dark")[1] if dark else style
    found = dict(re.findall(r"--(page|ink|pale|accent|focus): (#[0-9a-f]{3,6})", part)[:5])

    def light(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(letter * 2 for letter in colour[1:])
        levels = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for name in ("ink", "pale", "accent", "focus"):
        one, other = sorted((light(found["page"]), light(found[name])))
        assert (other + 0.05) / (one + 0.05) >= 4.5, name
