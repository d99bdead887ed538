import base64
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from affectlens.emotions import MIKELS, POLARITY
from affectlens.errors import PictureError
from affectlens.explain.core.heatmap import Heatmap
from affectlens.explain.explainer import Explanation
from affectlens.explain.page import render, write
from affectlens.explain.story.branches import Contributions, Part
from affectlens.explain.story.text import story
from heat import EMOTIONS, FAITHFUL, grey_picture, heatmap_of, influences_of, with_patch
from pages import Outline

EFFECTS = {"the top third": -1.5, "without its colours": -0.9, "the bottom right ninth": 0.6}


def explanation_of(*emotions: str, image: str = "photos/night street.jpg", **more: Any) -> Explanation:
    maps = [
        heatmap_of(with_patch(), emotion=word, image=image, details={"faithfulness": FAITHFUL})
        for word in emotions
    ]
    return Explanation(image, tuple(maps), tuple(influences_of(m.question, EFFECTS) for m in maps), **more)


def outline_of(*emotions: str, **more: Any) -> Outline:
    return Outline(render(explanation_of(*emotions, **more), grey_picture()))


def test_a_page_holds_all_it_shows() -> None:
    page = render(explanation_of("fear", "awe"), grey_picture())
    addresses = re.findall(r'(?:src|href)="?([^"\s>]{0,30})', page) + re.findall(r"url\(([^)]*)", page)
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert (
        "<script" not in page and "@import" not in page and "http" not in re.sub(r"base64,[^\"]*", "", page)
    )


def test_every_element_is_closed_and_every_image_has_a_text_in_its_place() -> None:
    found = outline_of("fear", "awe")
    assert found.open == []
    images = found.all("img")
    assert len(images) == 6  # for both emotions the picture and its map; two wheels
    assert all(len(image["alt"] or "") > 15 for image in images)
    assert all(each.get("aria-label") for each in found.all("input"))
    assert found.all("html")[0]["lang"] == "en"


def test_a_page_says_what_is_evoked_the_story_and_how_it_was_made() -> None:
    explanation = explanation_of("fear")
    said = Outline(render(explanation, grey_picture())).text
    for words in (
        "night street.jpg",
        "Most likely to evoke fear",
        "in people on average",
        "Why fear?",
        *story(explanation.influences[0]),
        "Completeness error 0.4 %",
        "0.71, in a random order to 0.45 (more is better)",
        "Model tiny.",
        "without its colours",
        "12 % of the answer has no place on this wheel.",
    ):
        assert words in said
    assert all(word in said for word in MIKELS.words)


def test_a_page_warns_of_a_map_that_does_not_beat_random_ones() -> None:
    doubtful = heatmap_of(with_patch(), details={"faithfulness": FAITHFUL | {"beats_random": False}})
    assert "Do not rely on this map" in Outline(render(Explanation("x", (doubtful,)), grey_picture())).text
    assert "Do not rely" not in outline_of("fear").text


def test_effects_within_noise_are_pale_and_others_are_not() -> None:
    rows = outline_of("fear").all("tr")
    pale = sum("noise" in (row.get("class") or "") for row in rows)
    assert pale == 12 - 2  # all looks, halves and thirds but the two that are told


def test_several_emotions_have_each_a_section_that_is_linked() -> None:
    found = outline_of("fear", "awe", "positive")
    links = [each["href"] for each in found.all("a")]
    assert links == ["#fear", "#awe", "#positive"]
    assert {f"#{each['id']}" for each in found.all("section") if "id" in each} == set(links)
    assert outline_of("fear").all("a") == []


def test_images_are_what_they_say_and_as_the_picture_is_shaped() -> None:
    page = render(explanation_of("fear"), grey_picture(60, 90))
    kinds = re.findall(r'src="data:image/([a-z+]+);base64,([^"]+)"', page)
    assert [kind for kind, _ in kinds] == ["jpeg", "jpeg", "svg+xml", "svg+xml"]
    for kind, data in kinds:
        content = base64.b64decode(data, validate=True)
        if kind == "jpeg":
            with Image.open(io.BytesIO(content)) as image:
                assert image.size == (90, 60)
        else:
            assert b"<svg" in content


def test_a_name_of_a_file_cannot_add_elements_or_steer_anything() -> None:
    name = 'photos/<b onload="x">"&\u202e\udce9\n.jpg'
    page = render(explanation_of("fear", image=name), grey_picture())
    page.encode()
    assert "<b " not in page
    assert "\u202e" not in page
    assert '&lt;b onload="x"&gt;' in page or "&lt;b onload=&quot;x&quot;&gt;" in page
    assert Outline(page).open == []


def test_parts_of_a_network_are_told_where_it_has_them() -> None:
    parts = Contributions("fear", 1.0, "mean", 0.2, (Part("style", "colour and texture", 0.6),
                                                     Part("deep", "meaning", 0.2)), 1e-6)  # fmt: skip
    said = outline_of("fear", parts=(parts,)).text
    assert "What the network's parts say" in said
    assert "colour and texture +0.60" in said
    assert "What the network's parts say" not in outline_of("fear").text


def test_a_map_without_influences_is_a_page_without_a_story() -> None:
    explanation = Explanation("a.jpg", (heatmap_of(with_patch()),))
    said = Outline(render(explanation, grey_picture())).text
    assert "Why fear?" in said
    assert "What moves the answer" not in said


def test_emotions_without_a_circle_have_no_wheel_but_bars() -> None:
    heatmap = heatmap_of(with_patch(), emotion="positive")
    other = Heatmap(**{**vars(heatmap), "emotions": POLARITY.distribution({"positive": 3, "negative": 1})})
    object.__setattr__(other, "question", type(heatmap.question)(POLARITY, ("positive",), ("negative",)))
    found = Outline(render(Explanation("a.jpg", (other,)), grey_picture()))
    assert len(found.all("img")) == 2
    assert "75 %" in found.text


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(PictureError):
        write(tmp_path / "a.html", explanation_of("fear"), tmp_path / "gone.jpg")
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "a.html", explanation_of("fear"), torch.full((3, 60, 90), 128, dtype=torch.uint8))
    assert (tmp_path / "a.html").read_text(encoding="utf-8").endswith("</html>\n")


def test_a_page_is_small_enough_to_be_mailed() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (3, 733, 1100), dtype=torch.uint8, generator=generator)
    page = render(explanation_of(*MIKELS.words), noise)  # noise takes more than any photograph
    assert len(page) < 12_000_000
    assert EMOTIONS.top in page
