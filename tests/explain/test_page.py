"""The page of an explanation: complete, closed, and proof against hostile names."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from affectlens.emotions import MIKELS, POLARITY
from affectlens.errors import SettingsError
from affectlens.explain.core.baselines import BASELINES
from affectlens.explain.core.heatmap import Heatmap
from affectlens.explain.core.question import Question
from affectlens.explain.core.reference import USUAL
from affectlens.explain.explainer import Explanation
from affectlens.explain.page import render_page, write_page
from affectlens.explain.story.contributions import BranchPart, Contributions
from affectlens.explain.story.text import story
from affectlens.explain.text import BASELINES_IN_WORDS
from heat import EMOTIONS, FAITHFUL, effects_of, explanation_of, grey_picture, heatmap_of, with_patch
from pages import Outline

EFFECTS = {"the top third": -1.5, "without its colours": -0.9, "the bottom right ninth": 0.6}


def explained(*emotions: str, image: str = "photos/night street.jpg", **more: Any) -> Explanation:
    maps = [
        heatmap_of(with_patch(), emotion=word, image=image, details={"faithfulness": FAITHFUL})
        for word in emotions
    ]
    return explanation_of(*maps, effects=tuple(effects_of(m.question, EFFECTS) for m in maps), **more)


def outline_of(*emotions: str, **more: Any) -> Outline:
    return Outline(render_page(explained(*emotions, **more)))


def test_a_page_holds_all_it_shows() -> None:
    page = render_page(explained("fear", "awe"))
    addresses = re.findall(r'(?:src|href)="?([^"\s>]{0,30})', page) + re.findall(r"url\(([^)]*)", page)
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert "<script>" in page
    assert "@import" not in page and "http" not in re.sub(r'base64,[^"]*|http-equiv', "", page)
    assert "default-src 'none'" in page


def test_every_element_is_closed_and_every_image_has_an_alternative_text() -> None:
    found = outline_of("fear", "awe")
    assert found.open == []
    images = found.all("img")
    assert len(images) == 6  # for both emotions the picture and its map; two wheels
    assert all(len(image["alt"] or "") > 15 for image in images)
    assert all(each.get("aria-label") for each in found.all("input"))
    assert found.all("html")[0]["lang"] == "en"


def test_a_page_states_what_is_evoked_the_story_and_how_it_was_made() -> None:
    explanation = explained("fear")
    text = Outline(render_page(explanation)).text
    for words in (
        "night street.jpg",
        "Most likely to evoke fear",
        "in people on average",
        "Why fear?",
        *story(explanation.effects[0]),
        "Completeness error 0.4 %",
        "0.71, in a random order to 0.45 (more is better)",
        "Model tiny.",
        "without its colours",
        "12 % of the answer has no counterpart on this wheel.",
    ):
        assert words in text
    assert all(word in text for word in MIKELS.words)


def test_a_page_warns_of_a_map_that_does_not_beat_random_ones() -> None:
    doubtful = heatmap_of(with_patch(), details={"faithfulness": FAITHFUL | {"beats_random": False}})
    assert "Do not rely on this map" in Outline(render_page(explanation_of(doubtful))).text
    assert "Do not rely" not in outline_of("fear").text


def test_effects_within_noise_are_pale_and_others_are_not() -> None:
    rows = outline_of("fear").all("tr")
    pale = sum("noise" in (row.get("class") or "") for row in rows)
    assert pale == 12 - 2  # all appearances, halves and thirds but the two beyond noise


def test_several_emotions_have_each_a_section_that_is_linked() -> None:
    found = outline_of("fear", "awe", "positive")
    links = [each["href"] for each in found.all("a")]
    assert links == ["#fear", "#awe", "#positive"]
    assert {f"#{each['id']}" for each in found.all("section") if "id" in each} == set(links)
    assert outline_of("fear").all("a") == []


def test_images_are_of_their_type_and_shaped_as_the_picture() -> None:
    page = render_page(explained("fear", pixels=grey_picture(60, 90)))
    kinds = re.findall(r'src="data:image/([a-z+]+);base64,([^"]+)"', page)
    assert [kind for kind, _ in kinds] == ["jpeg", "jpeg", "svg+xml", "svg+xml"]
    for kind, data in kinds:
        content = base64.b64decode(data, validate=True)
        if kind == "jpeg":
            with Image.open(io.BytesIO(content)) as image:
                assert image.size == (480, 320)  # a tiny picture is enlarged
        else:
            assert b"<svg" in content


@pytest.mark.parametrize("where", ["image", "model", "method", "detail"])
def test_a_hostile_name_cannot_add_elements_or_steer_anything(where: str) -> None:
    name = "<b onload='x'>\"&{{ 7 * 7 }}<!--<script>\u202e\udce9\n.jpg"
    values = vars(heatmap_of(with_patch(), details={"faithfulness": FAITHFUL}))
    hostile: dict[str, dict[str, Any]] = {
        "image": {"image": f"photos/{name}"},
        "model": {"model": name},
        "method": {"method": name},
        "detail": {"details": {**values["details"], "baselines": [name], "note": name}},
    }
    heatmap = Heatmap(**{**values, **hostile[where]})
    plain = Outline(render_page(explanation_of(Heatmap(**values))))
    page = render_page(explanation_of(heatmap))
    page.encode()
    assert "<b " not in page and "\u202e" not in page
    found = Outline(page)
    assert found.open == []
    assert [tag for tag, _ in found.elements] == [tag for tag, _ in plain.elements]
    assert "<b onload='x'>\"&{{ 7 * 7 }}<!--<script>" in found.text


def test_parts_of_a_network_are_shown_where_it_has_them() -> None:
    parts = (BranchPart("style", "colour and texture", 0.6), BranchPart("deep", "meaning", 0.2))
    text = outline_of("fear", parts=(Contributions("fear", 1.0, "mean", 0.2, parts, 1e-6),)).text
    assert "What the network's parts add" in text
    assert "colour and texture +0.60" in text
    assert "What the network's parts add" not in outline_of("fear").text


def bars_of(page: str) -> list[tuple[str, float, float]]:
    """Colour, left and right end of each bar but those of emotions, in percent of its cell."""
    found = re.findall(r'<i class="(for|against|change)" style="left:([\d.]+)%;width:([\d.]+)%"', page)
    return [(side, float(left), float(left) + float(width)) for side, left, width in found]


@pytest.mark.parametrize("strongest", [0.9, 12.5])
def test_bars_follow_their_numbers_on_one_scale_that_holds_the_largest(strongest: float) -> None:
    question = heatmap_of(with_patch()).question
    effects = effects_of(question, {"without its colours": -0.6, "the top third": strongest}, noise=0.0)
    parts = (BranchPart("style", "colour and texture", 0.6), BranchPart("deep", "meaning", -strongest))
    page = render_page(
        explanation_of(
            heatmap_of(with_patch()),
            effects=(effects,),
            parts=(Contributions("fear", 1.0, "mean", 0.2, parts, 1e-6),),
        )
    )
    longest = max(3.0, strongest)
    small, large = (50 * value / longest for value in (0.6, strongest))
    shown = [bar for bar in bars_of(page) if bar[1] != bar[2]]
    # Changes of the answer speak for nothing: their bars have a direction and no colour of a side.
    expected = [
        ("change", 50 - small, 50), ("change", 50, 50 + large),
        ("for", 50, 50 + small), ("against", 50 - large, 50),
    ]  # fmt: skip
    assert [bar[0] for bar in shown] == [bar[0] for bar in expected]
    assert [bar[1:] for bar in shown] == [pytest.approx(bar[1:], abs=0.11) for bar in expected]
    assert f"+{longest:.3g}" in Outline(page).text


def test_a_ninth_has_the_colour_and_the_sign_of_what_it_adds() -> None:
    question = heatmap_of(with_patch()).question
    effects = effects_of(question, {"the top left ninth": -1.5, "the bottom right ninth": 0.75}, noise=0.0)
    page = render_page(explanation_of(heatmap_of(with_patch()), effects=(effects,)))
    ninths = dict(re.findall(r'rgb\(var\(--(?:for|against)\)[^>]*title="(.*?)">(.*?)</span>', page))
    assert (ninths["the top left ninth"], ninths["the bottom right ninth"]) == ("+1.50", "\N{MINUS SIGN}0.75")
    assert re.search(r'--for\)/0\.\d+\)" title="the top left ninth"', page)
    assert re.search(r'--against\)/0\.\d+\)" title="the bottom right ninth"', page)


def test_a_map_that_shows_the_opposite_of_the_measurement_is_contradicted_on_the_page() -> None:
    speaks_for = heatmap_of(with_patch())  # at the top left
    agreeing, contrary = (
        effects_of(speaks_for.question, {"the top left ninth": effect}, noise=0.1) for effect in (-1.5, 1.5)
    )
    pages = [render_page(explanation_of(speaks_for, effects=(each,))) for each in (agreeing, contrary)]
    assert ["The map disagrees" in Outline(page).text for page in pages] == [False, True]
    doubtful = heatmap_of(with_patch(), details={"faithfulness": FAITHFUL | {"beats_random": False}})
    contrary = effects_of(doubtful.question, {"the top left ninth": 1.5}, noise=0.1)
    assert "The map disagrees" not in render_page(explanation_of(doubtful, effects=(contrary,)))


def test_every_baseline_is_named_in_words() -> None:
    assert set(BASELINES_IN_WORDS) == {*BASELINES, USUAL}
    parts = (BranchPart("style", "colour and texture", 0.6),)
    page = render_page(explained("fear", parts=(Contributions("fear", 1.0, USUAL, 0.2, parts, 1e-6),)))
    assert "Baseline: the mean description of the training pictures." in Outline(page).text


def test_a_map_without_effects_is_a_page_without_a_story() -> None:
    text = Outline(render_page(explanation_of(heatmap_of(with_patch())))).text
    assert "Why fear?" in text
    assert "What moves the answer" not in text


def test_emotions_without_a_circle_have_no_wheel_but_bars() -> None:
    heatmap = heatmap_of(with_patch(), emotion="positive")
    other = Heatmap(**{**vars(heatmap), "emotions": POLARITY.distribution({"positive": 3, "negative": 1})})
    object.__setattr__(other, "question", Question(POLARITY, ("positive",), ("negative",)))
    found = Outline(render_page(explanation_of(other)))
    assert len(found.all("img")) == 2
    assert "75 %" in found.text


def test_a_page_is_written_complete_or_not_at_all(tmp_path: Path) -> None:
    kept_none = Explanation("a.jpg", (heatmap_of(with_patch()),))
    with pytest.raises(SettingsError, match="kept no pixels"):
        write_page(tmp_path / "a.html", kept_none)
    assert list(tmp_path.iterdir()) == []
    write_page(tmp_path / "a.html", explained("fear"))
    assert (tmp_path / "a.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_a_page_is_small_enough_to_be_mailed() -> None:
    # Noise takes more than any photograph.
    noise = np.random.default_rng(0).integers(0, 256, (733, 1100, 3), dtype=np.uint8)
    maps = [heatmap_of(with_patch(), (733, 1100), emotion=word) for word in MIKELS.words]
    effects = tuple(effects_of(each.question, EFFECTS) for each in maps)
    page = render_page(explanation_of(*maps, pixels=noise, effects=effects))
    assert len(page) < 12_000_000
    assert EMOTIONS.top in page
