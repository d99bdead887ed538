"""Figures of heat maps: what they show, what they state, and how they are written."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from affectlens.emotions import MIKELS
from affectlens.errors import OutputError, SettingsError
from affectlens.explain.colour_scale import scale_of
from affectlens.explain.core.heatmap import Heatmap
from affectlens.explain.explainer import Explanation
from affectlens.explain.figures import displayed, draw_figure, laid_on, write_figure
from affectlens.explain.text import doubts
from heat import FAITHFUL, explanation_of, grey_picture, heatmap_of, with_patch


def text_of(*heatmaps: Heatmap, **more: Any) -> str:
    """All text of the figure of these maps."""
    figure = draw_figure(explanation_of(*heatmaps, **more))
    return " ".join(" ".join(found.get_text() for found in figure.findobj(Text)).split())


def span(picture: NDArray[np.uint8], row: int = 12, column: int = 17) -> int:
    """How colourful a pixel is."""
    return int(np.ptp(picture[row, column].astype(int)))


# ----------------------------------------------------------------------------------------------- scale


def test_a_map_is_laid_on_its_picture_where_it_belongs() -> None:
    laid = laid_on(heatmap_of(with_patch()), grey_picture())
    red, _, blue = laid[12, 17].astype(int)
    assert red > blue + 80
    red, _, blue = laid[47, 72].astype(int)
    assert blue > red + 80
    assert span(laid, 30, 5) <= 1


def test_the_scale_is_symmetric_around_zero() -> None:
    strong, weak = heatmap_of(with_patch()), heatmap_of(np.maximum(with_patch(), -0.001))
    one, other = laid_on(strong, grey_picture()), laid_on(weak, grey_picture())
    assert one[47, 72, 2] > other[47, 72, 2]
    # A tenth of what speaks for it is a tenth of the colour, not all of it.
    assert span(other, 47, 72) < 0.4 * span(one, 47, 72)


def test_what_the_network_did_not_see_has_no_colour_but_lines() -> None:
    values = np.full((60, 60), 0.01, dtype=np.float32)
    laid = laid_on(heatmap_of(values, (60, 120), fit="crop"), grey_picture(60, 120)).astype(int)
    unseen, seen = laid[:, :30], laid[:, 30:90]
    assert np.ptp(unseen, axis=2).max() <= 1
    assert len(np.unique(unseen[..., 0])) == 2
    assert np.ptp(seen, axis=2).min() > 40


def test_maps_shown_together_that_divide_up_log_odds_share_one_scale() -> None:
    strong, weak = heatmap_of(with_patch()), heatmap_of(with_patch() / np.float32(5), emotion="awe")
    scale = scale_of([strong, weak])
    assert scale.full == pytest.approx(scale_of([strong, strong]).full, rel=0.1)
    assert "log-odds" in scale.unit
    together = laid_on(weak, grey_picture(), scale)
    assert span(together) < 0.5 * span(laid_on(weak, grey_picture()))


def test_with_a_map_in_a_unit_of_its_own_each_is_shown_relative_to_its_maximum() -> None:
    exact, rough = heatmap_of(with_patch() * 40), heatmap_of(with_patch(), sums_up=False, emotion="awe")
    scale = scale_of([exact, rough])
    assert "relative" in scale.unit
    assert span(laid_on(exact, grey_picture(), scale)) > 80
    assert span(laid_on(rough, grey_picture(), scale)) > 80


# ------------------------------------------------------------------------------------------ what is stated


def test_a_figure_states_how_its_map_was_made_and_how_far_to_trust_it() -> None:
    text = text_of(heatmap_of(with_patch(), details={"faithfulness": FAITHFUL}))
    for words in (
        "night street.jpg: fear 50 %, sadness 20 %, awe 12 %",
        "fear (50 %)",
        "Model tiny.",
        "integrated gradients: 65 steps. Baseline: the mean colour of the training pictures.",
        "Completeness error 0.4 %",
        "0.71, in a random order to 0.45 (more is better)",
        "0.21 against 0.44 (less is better)",
        "in people on average",
        "log-odds per 1 % of the picture",
    ):
        assert words in text


def test_a_map_that_does_not_beat_random_ones_warns_first() -> None:
    doubtful = {"faithfulness": FAITHFUL | {"beats_random": False}}
    alone = heatmap_of(with_patch(), details=doubtful)
    other = heatmap_of(with_patch(), emotion="awe", details={"faithfulness": FAITHFUL})
    unmeasured = heatmap_of(with_patch())
    assert "Do not rely on this map" in text_of(alone)
    assert doubts([alone, other]).endswith("random ones: fear (50 %).")
    assert doubts([other, unmeasured]) == ""


def test_nothing_is_stated_of_what_was_not_measured() -> None:
    text = text_of(heatmap_of(with_patch(), sums_up=False, details={"completeness_error_relative": None}))
    assert "Faithfulness" not in text
    assert "Completeness" not in text
    assert "do not add up" in text


def test_what_was_measured_of_each_map_is_stated_of_all_with_sign_and_true_minus() -> None:
    measured = {"on_maps": -0.306, "by_gradient": 0.0, "fit": -0.0125, "samples": 50}
    one = heatmap_of(with_patch(), details=measured)
    other = heatmap_of(with_patch(), emotion="awe", details=measured | {"on_maps": 0.771})
    alone = "on maps \N{MINUS SIGN}0.31, by gradient 0.00, fit \N{MINUS SIGN}0.0125, samples 50."
    assert alone in text_of(one)
    assert alone.replace("0.31", "0.31 to +0.77") in text_of(one, other)


def test_a_sheet_of_all_emotions_names_each_with_its_probability() -> None:
    maps = [heatmap_of(with_patch(), emotion=word) for word in MIKELS.words]
    figure = draw_figure(explanation_of(*maps))
    # The picture, eight maps and the colour bar.
    assert len([axes for axes in figure.axes if axes.images]) == 10
    text = text_of(*maps)
    assert all(f"{word} (" in text for word in MIKELS.words)
    assert "at most 0.4 %" in text


def test_a_contrast_is_named_by_both_its_sides() -> None:
    assert "fear rather than anger" in text_of(heatmap_of(with_patch(), against="anger"))


def test_a_name_that_looks_like_a_formula_is_written_as_it_is() -> None:
    file = io.BytesIO()
    draw_figure(explanation_of(heatmap_of(with_patch(), image="a $\\frac{ b$.jpg"))).savefig(file)
    assert file.getvalue().startswith(b"\x89PNG")


# ------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".pdf", ".svg"])
def test_the_same_maps_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("one", "two"):
        write_figure(tmp_path / f"{name}{suffix}", explanation_of(heatmap_of(with_patch())))
    written = [(tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two")]
    assert len(written[0]) > 5000
    assert written[0] == written[1]


def test_another_suffix_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Use \.png"):
        write_figure(tmp_path / "map.gif", explanation_of(heatmap_of(with_patch())))
    assert list(tmp_path.iterdir()) == []


def test_an_explanation_that_kept_no_pixels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="kept no pixels"):
        write_figure(tmp_path / "map.png", Explanation("a.jpg", (heatmap_of(with_patch()),)))


@pytest.mark.parametrize(
    ("size", "kept", "expected"),
    [
        ((60, 90), (60, 90), (320, 480)),
        ((600, 900), (600, 900), (600, 900)),
        ((3000, 4000), (1200, 1600), (825, 1100)),
        ((10, 4000), (4, 1600), (3, 1100)),
    ],
)
def test_pictures_are_shown_as_they_are_but_tiny_ones_larger_and_huge_ones_smaller(
    size: tuple[int, int], kept: tuple[int, int], expected: tuple[int, int]
) -> None:
    explanation = explanation_of(heatmap_of(with_patch(), size), pixels=grey_picture(*kept))
    assert displayed(explanation, 1100).shape[:2] == expected


@pytest.mark.parametrize("size", [(480, 36), (30, 480), (480, 480), (2, 480)])
@pytest.mark.parametrize("maps", [1, 3, 8])
def test_a_figure_of_a_picture_of_any_shape_has_all_panels_within_it(
    size: tuple[int, int], maps: int
) -> None:
    heatmaps = [heatmap_of(with_patch(), size, emotion=word) for word in MIKELS.words[:maps]]
    figure: Figure = draw_figure(explanation_of(*heatmaps, pixels=grey_picture(*size)))
    for axes in figure.axes:
        box = axes.get_position()
        assert -1e-9 <= box.x0 < box.x1 <= 1 + 1e-9 and -1e-9 <= box.y0 < box.y1 <= 1 + 1e-9
    width, height = figure.get_size_inches() * figure.dpi
    assert width < 4000 and height < 8000
