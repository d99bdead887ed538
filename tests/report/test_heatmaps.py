import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from affectlens.emotions import MIKELS
from affectlens.errors import OutputError, PictureError
from affectlens.explain.text import doubts
from affectlens.report.heatmaps import AGAINST, FOR, draw, overlay, scale_of, shown, tinted, write
from heat import FAITHFUL, grey_picture, heatmap_of, with_patch


def texts(figure: Figure) -> str:
    return " ".join(found.get_text() for found in figure.findobj(Text))


# ----------------------------------------------------------------------------------------------- colours


def test_what_speaks_for_the_answer_is_orange_what_against_it_blue_and_the_rest_grey() -> None:
    laid = overlay(heatmap_of(with_patch()), grey_picture()).astype(int)
    red, green, blue = laid[12, 17]
    assert red > green + 40 > blue + 80
    red, green, blue = laid[47, 72]
    assert blue > green + 40 > red + 60
    assert np.ptp(laid[30, 5]) <= 1


def test_the_scale_is_symmetric_around_zero() -> None:
    strong, weak = heatmap_of(with_patch()), heatmap_of(with_patch().clamp(min=-0.001))
    one, other = overlay(strong, grey_picture())[47, 72], overlay(weak, grey_picture())[47, 72]
    assert one[2] > other[2]  # a tenth of what speaks for it is a tenth of the colour, not all of it
    assert np.ptp(other.astype(int)) < 0.4 * np.ptp(one.astype(int))


def test_light_and_dark_of_the_picture_stay_under_the_strongest_colour() -> None:
    strongest = tinted(np.array([[0.1, 0.5, 0.9]]), np.array([[1.0, 1.0, 1.0]]))[0]
    light = strongest @ np.array([0.299, 0.587, 0.114])
    assert light[0] + 0.1 < light[1] < light[2] - 0.1


def contrast(one: Any, other: Any, matrix: Any) -> float:
    """Distance of two colours as people with a colour deficiency see them, linear RGB in 0..1."""
    linear = [np.array(colour) ** 2.2 for colour in (one, other)]
    seen = [(np.array(matrix) @ colour).clip(0, 1) ** (1 / 2.2) for colour in linear]
    return float(np.abs(seen[0] - seen[1]).max())


# Machado et al., "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009, severity 1.
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_orange_and_blue_are_told_apart_with_any_colour_deficiency(deficiency: str) -> None:
    assert contrast(FOR, AGAINST, DEFICIENCIES[deficiency]) > 0.4
    grey = (0.5, 0.5, 0.5)
    assert (
        min(contrast(FOR, grey, DEFICIENCIES[deficiency]), contrast(AGAINST, grey, DEFICIENCIES[deficiency]))
        > 0.2
    )


def test_what_the_network_did_not_see_has_no_colour_but_lines() -> None:
    values = torch.full((60, 60), 0.01)
    laid = overlay(heatmap_of(values, (60, 120), fit="crop"), grey_picture(60, 120)).astype(int)
    unseen, seen = laid[:, :30], laid[:, 30:90]
    assert np.ptp(unseen, axis=2).max() <= 1
    assert len(np.unique(unseen[..., 0])) == 2
    assert np.ptp(seen, axis=2).min() > 40


def test_maps_shown_together_that_divide_up_log_odds_share_one_scale() -> None:
    strong, weak = heatmap_of(with_patch()), heatmap_of(with_patch() / 5, emotion="awe")
    scale = scale_of([strong, weak])
    assert scale.full == pytest.approx(scale_of([strong, strong]).full, rel=0.1)
    assert "log-odds" in scale.unit
    own = overlay(weak, grey_picture())[12, 17].astype(int)
    together = overlay(weak, grey_picture(), scale)[12, 17].astype(int)
    assert np.ptp(together) < 0.5 * np.ptp(own)


def test_a_map_in_a_unit_of_its_own_is_shown_by_its_own_strongest_place_beside_one_that_sums_up() -> None:
    exact, rough = heatmap_of(with_patch() * 40), heatmap_of(with_patch(), sums_up=False, emotion="awe")
    scale = scale_of([exact, rough])
    assert "relative" in scale.unit
    assert np.ptp(overlay(exact, grey_picture(), scale)[12, 17].astype(int)) > 80
    assert np.ptp(overlay(rough, grey_picture(), scale)[12, 17].astype(int)) > 80


# ------------------------------------------------------------------------------------------- what is said


def test_a_figure_says_how_its_map_was_made_and_how_far_to_trust_it() -> None:
    said = texts(draw([heatmap_of(with_patch(), details={"faithfulness": FAITHFUL})], grey_picture()))
    for words in (
        "night street.jpg: fear 50 %, sadness 20 %, awe 12 %",
        "fear (50 %)",
        "Model tiny.",
        "integrated gradients: 65 steps, compared with mean",
        "Completeness error 0.4 %",
        "0.71, in a random order to 0.45 (more is better)",
        "0.21 against 0.44 (less is better)",
        "in people on average",
        "log-odds per 1 % of the picture",
    ):
        assert words in " ".join(said.split())


def test_a_map_that_does_not_beat_random_ones_says_so_first() -> None:
    doubtful = {"faithfulness": FAITHFUL | {"beats_random": False}}
    alone = heatmap_of(with_patch(), details=doubtful)
    other = heatmap_of(with_patch(), emotion="awe", details={"faithfulness": FAITHFUL})
    unmeasured = heatmap_of(with_patch())
    assert "Do not rely on this map" in " ".join(texts(draw([alone], grey_picture())).split())
    assert doubts([alone, other]).endswith("random ones: fear (50 %).")
    assert doubts([other, unmeasured]) == ""


def test_nothing_is_said_of_what_was_not_measured() -> None:
    unmeasured = heatmap_of(with_patch(), sums_up=False, details={"completeness_error_relative": None})
    said = texts(draw([unmeasured], grey_picture()))
    assert "Faithfulness" not in said
    assert "Completeness" not in said
    assert "do not add up" in said


def test_a_sheet_of_all_emotions_names_each_with_its_probability() -> None:
    maps = [heatmap_of(with_patch(), emotion=word) for word in MIKELS.words]
    figure = draw(maps, grey_picture())
    said = texts(figure)
    assert all(f"{word} (" in said for word in MIKELS.words)
    assert len([axes for axes in figure.axes if axes.images]) == 10  # the picture, eight maps, the colour bar
    assert "at most 0.4 %" in said


def test_a_contrast_is_named_by_both_its_sides() -> None:
    said = texts(draw([heatmap_of(with_patch(), against="anger")], grey_picture()))
    assert "fear rather than anger" in said


def test_a_name_that_looks_like_a_formula_is_written_as_it_is() -> None:
    file = io.BytesIO()
    draw([heatmap_of(with_patch(), image="a $\\frac{ b$.jpg")], grey_picture()).savefig(file)
    assert file.getvalue().startswith(b"\x89PNG")


# ------------------------------------------------------------------------------------------------- files


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of 60 x 90, stored on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "night street.png"
    Image.new("RGB", (60, 90), (90, 120, 150)).save(file, exif=exif.tobytes())
    return file


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".pdf", ".svg"])
def test_the_same_maps_give_the_same_bytes(picture: Path, tmp_path: Path, suffix: str) -> None:
    for name in ("one", "two"):
        write(tmp_path / f"{name}{suffix}", [heatmap_of(with_patch())], picture)
    written = [(tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two")]
    assert len(written[0]) > 5000
    assert written[0] == written[1]


def test_another_suffix_is_an_error_and_writes_nothing(picture: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Use \.png"):
        write(tmp_path / "map.gif", [heatmap_of(with_patch())], picture)
    assert [path.name for path in tmp_path.iterdir()] == [picture.name]


def test_a_picture_that_is_gone_is_a_picture_error(tmp_path: Path) -> None:
    with pytest.raises(PictureError):
        write(tmp_path / "map.png", [heatmap_of(with_patch())], tmp_path / "gone.jpg")


@pytest.mark.parametrize(
    ("size", "expected"),
    [((60, 90), (320, 480)), ((600, 900), (600, 900)), ((3000, 4000), (1200, 1600)), ((10, 4000), (4, 1600))],
)
def test_pictures_are_shown_as_they_are_but_tiny_ones_larger_and_huge_ones_smaller(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert shown(np.zeros(size, dtype=np.uint8), size, 1600).shape[1:] == expected


@pytest.mark.parametrize("size", [(480, 36), (30, 480), (480, 480), (2, 480)])
@pytest.mark.parametrize("maps", [1, 3, 8])
def test_a_figure_of_a_picture_of_any_shape_has_all_panels_within_it(
    size: tuple[int, int], maps: int
) -> None:
    figure = draw(
        [heatmap_of(with_patch(), size, emotion=w) for w in MIKELS.words[:maps]], grey_picture(*size)
    )
    for axes in figure.axes:
        box = axes.get_position()
        assert -1e-9 <= box.x0 < box.x1 <= 1 + 1e-9 and -1e-9 <= box.y0 < box.y1 <= 1 + 1e-9
    width, height = figure.get_size_inches() * figure.dpi
    assert width < 4000 and height < 8000
