"""The figure of a study shows every map and visualisation, and nothing in it overlaps."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from affectlens.errors import OutputError
from affectlens.explain.core.activations import Block
from affectlens.explain.features import figure as report
from affectlens.explain.features.visualisation import (
    ActivationMap,
    FeatureStudy,
    FeatureVisualisation,
    GradientAscent,
)
from affectlens.images import Pixels, read_pixels


def block(name: str, trunk: str = "") -> Block:
    return Block(f"{trunk}.{name}" if trunk else name, trunk, name, True, 64, 4.0, True)


def a_study(
    names: dict[str, list[str]], visualised: int = 3, channels: int = 9, height: int = 40, width: int = 60
) -> FeatureStudy:
    """A study of blocks by their network, with pictures of noise; the first are visualised."""
    generator = torch.Generator().manual_seed(0)
    levels = np.random.default_rng(0)

    def noise(rows: int, columns: int) -> Pixels:
        return levels.integers(0, 256, (rows, columns, 3), dtype=np.uint8)

    found = {trunk: [block(name, trunk) for name in inside] for trunk, inside in names.items()}
    maps = [
        ActivationMap(one, 26, 1.0, torch.rand(4, 6), torch.rand(height, width, generator=generator))
        for inside in found.values() for one in inside
    ]  # fmt: skip
    visualisations = [
        tuple(FeatureVisualisation(one, channel, noise(16, 16), (0.0, 1.0)) for channel in range(channels))
        for inside in found.values() for one in inside[:visualised]
    ]  # fmt: skip
    return FeatureStudy(
        noise(height, width), tuple(maps), tuple(visualisations), GradientAscent(), False, False
    )


FIVE = [f"blocks.{number}" for number in range(5)]
# Nine channels, as in real studies, in one of them: drawing takes long.
STUDIES = {
    "one network": a_study({"": FIVE}, channels=2),
    "two networks": a_study({"transformer": FIVE, "convolutional": FIVE}, channels=2),
    "one block": a_study({"": FIVE[:1]}, channels=1),
    "nine channels": a_study({"": FIVE[:1]}, channels=9),
    "more blocks than fit a row": a_study({"": [f"layer{n}" for n in range(12)]}, visualised=4, channels=1),
    "long names": a_study({"": ["features.denseblock1.denselayer16", *FIVE[:4]]}, channels=1),
    "a tall picture": a_study({"": FIVE}, channels=1, height=200, width=30),
    "a wide picture": a_study({"": FIVE}, channels=1, height=30, width=200),
}


def texts_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


@pytest.mark.parametrize("kind", STUDIES)
def test_nothing_in_the_figure_overlaps_or_is_cut_off(kind: str) -> None:
    figure = report.draw_figure(STUDIES[kind], "a model of tests")
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes: list[tuple[str, Bbox]] = [(t.get_text(), t.get_window_extent(renderer)) for t in figure.texts]
    boxes += [(f"image {number}", axes.get_window_extent()) for number, axes in enumerate(figure.axes)]
    for (first, one), (second, other) in itertools.combinations(boxes, 2):
        assert not one.padded(-0.5).overlaps(other), f"{first!r} lies on {second!r}"
    page = figure.bbox
    for name, box in boxes:
        assert page.x0 <= box.x0 and box.x1 <= page.x1, name
        assert page.y0 <= box.y0 and box.y1 <= page.y1, name


def test_every_map_and_visualisation_is_there_with_its_block_and_channel() -> None:
    figure = report.draw_figure(STUDIES["two networks"], "default")
    assert len(figure.axes) == 2 * (1 + 5 + 3 * 2)
    texts = texts_of(figure)
    assert texts.count("transformer") == texts.count("convolutional") == 1
    assert texts.count("channel 26") == 10
    assert [texts.count(f"blocks.{number}") for number in range(5)] == [4, 4, 4, 2, 2]


def test_a_shallow_a_middle_and_a_deep_block_are_titled_colour_texture_and_structure() -> None:
    texts = texts_of(report.draw_figure(STUDIES["one network"], "default"))
    assert [text for text in texts if text in report.LEVELS] == ["colour", "texture", "structure"]
    named = texts_of(report.draw_figure(replace(STUDIES["one network"], named_blocks=True), "default"))
    assert not set(report.LEVELS) & set(named)
    assert named.count("blocks.0") == 2


def test_the_caption_names_the_model_and_how_the_channels_were_chosen() -> None:
    chosen = " ".join(texts_of(report.draw_figure(STUDIES["one block"], "a $model$ of tests")))
    assert "Model a $model$ of tests." in chosen
    assert "exceeds its response to noise most" in chosen
    assert "(steps: 96, seed: 0)" in chosen
    named = replace(STUDIES["one block"], named_channels=True)
    caption = " ".join(texts_of(report.draw_figure(named, "default")))
    assert "where channel 26 of each block" in caption and "response to noise" not in caption


def test_a_map_is_bright_where_its_channel_is_active_and_leaves_the_rest_grey() -> None:
    upsampled = torch.zeros(20, 20)
    upsampled[:5, :5] = 2.0
    picture = np.full((20, 20, 3), (200, 40, 40), dtype=np.uint8)
    one = ActivationMap(block("a"), 0, 1.0, upsampled, upsampled)
    laid = report._laid_on(picture, one)
    assert laid.min() >= 0 and laid.max() <= 1
    assert np.ptp(laid[10, 10]) == pytest.approx(0, abs=1e-6)
    assert laid[0, 0].sum() > 2 * laid[10, 10].sum()
    assert np.ptp(laid[0, 0]) > 0.2


def test_a_map_of_an_inactive_channel_is_the_grey_picture() -> None:
    picture = np.full((4, 4, 3), (200, 40, 40), dtype=np.uint8)
    laid = report._laid_on(picture, ActivationMap(block("a"), 0, 0.0, torch.zeros(2, 2), torch.zeros(4, 4)))
    assert np.isfinite(laid).all()
    assert np.ptp(laid) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("suffix", "begins"),
    [(".png", b"\x89PNG"), (".JPG", b"\xff\xd8\xff"), (".pdf", b"%PDF"), (".svg", b"<?xml")],
)
def test_the_suffix_decides_the_format_and_the_same_study_gives_the_same_bytes(
    tmp_path: Path, suffix: str, begins: bytes
) -> None:
    files = [tmp_path / f"{name}{suffix}" for name in ("first", "second")]
    for file in files:
        report.write_figure(file, STUDIES["one block"], "default")
    first, second = (file.read_bytes() for file in files)
    assert first.startswith(begins)
    assert first == second
    assert sorted(tmp_path.iterdir()) == files


def test_it_is_as_large_as_a_page_at_a_resolution_for_print(tmp_path: Path) -> None:
    report.write_figure(tmp_path / "figure.png", STUDIES["one block"], "default")
    _, pixels, _ = read_pixels(tmp_path / "figure.png").shape
    assert pixels == 10 * report.DPI
    width, height = report.draw_figure(STUDIES["one network"], "default").get_size_inches()
    assert width == 10 and 0.4 * width < height < 0.8 * width


@pytest.mark.parametrize("name", ["figure.gif", "figure"])
def test_another_suffix_is_an_error_with_those_that_can_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"Use \.png, \.jpg, \.jpeg, \.pdf, \.svg\."):
        report.write_figure(tmp_path / name, STUDIES["one block"], "default")
    assert not list(tmp_path.iterdir())


def test_a_folder_instead_of_the_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "figure.png").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        report.check_file(tmp_path / "figure.png")
