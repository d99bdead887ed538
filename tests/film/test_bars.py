"""Black bars around a film are found, left out and reported."""

import re
from pathlib import Path

import numpy as np
import pytest

from affectlens.film.bars import Bars, bars_of, find_bars
from affectlens.inference.onnx_engine import OnnxEngine
from films import as_pictures, scene, write
from watching import watched


def letterboxed(path: Path, bar: int, start: int = 0) -> Path:
    """Scenes of 160 x 120 pixels, a second each, with bars at the top and bottom, and the first ones dark."""
    frames = []
    for number in range(60):
        frame = scene(number // 10, 120, 160).clip(60, 220).astype(np.float32)
        frame[:bar] = frame[120 - bar :] = 0
        frames.append(frame * np.float32(0.05 if number < start else 1))
    return write(path, as_pictures(iter(frames), noise=1), rate=10, options={"g": "5", "crf": "16"})


def test_bars_are_found_to_the_line_also_where_the_film_begins_in_the_dark(tmp_path: Path) -> None:
    found = find_bars(str(letterboxed(tmp_path / "a.mp4", 18, start=15)), 0.0, 6.0)
    assert (found.top, found.bottom) == pytest.approx((0.15, 0.15), abs=0.01)
    assert (found.left, found.right) == (0.0, 0.0)
    assert not any(find_bars(str(letterboxed(tmp_path / "b.mp4", 0)), 0.0, 6.0))


def test_what_is_dark_at_one_edge_or_in_some_frames_alone_does_not_count() -> None:
    picture = np.full((90, 160, 3), 120, np.uint8)
    night = picture.copy()
    night[:30] = 0
    assert not any(bars_of([night] * 9))
    boxed = picture.copy()
    boxed[:12] = boxed[-12:] = 0
    assert bars_of([boxed] * 9).top == pytest.approx(12 / 90)
    assert not any(bars_of([boxed] * 8 + [picture]))
    assert not any(bars_of([np.zeros_like(picture)] * 9))
    assert not any(bars_of([boxed] * 3))


def test_no_line_of_a_bar_is_left_at_any_size() -> None:
    bars = Bars(0.15, 0.15, 0.1, 0.1)
    for height, width in ((120, 160), (121, 163), (1080, 1920)):
        picture = np.full((height, width, 3), 120, np.uint8)
        edges = round(0.15 * height - 0.5), round(0.1 * width - 0.5)
        picture[: edges[0]] = picture[height - edges[0] :] = 0
        picture[:, : edges[1]] = picture[:, width - edges[1] :] = 0
        assert bars.cut(picture).min() == 120
        assert bars.cut(picture).shape[0] >= 0.68 * height


def test_a_film_with_bars_evokes_what_it_does_without_them(engine: OnnxEngine, tmp_path: Path) -> None:
    boxed = watched(letterboxed(tmp_path / "a.mp4", 18), engine, every=1.0)
    assert boxed.film.bars is not None
    assert any(re.match("Black bars: top and bottom, 1[45] %", note) for note in boxed.notes)
    assert watched(letterboxed(tmp_path / "b.mp4", 0), engine, every=1.0).film.bars is None
