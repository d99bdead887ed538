"""Films where torch is not installed: watched, exported and rendered by a model's graph."""

from pathlib import Path

import pytest

import without_torch
from affectlens.film.record import TIMELINE
from affectlens.film.timeline import Timeline
from affectlens.inference.torch_engine import TorchEngine
from watching import watched

WORDS = ("film", "--format", "html,csv,jsonl,edl,srt", "--render", "--every", "1")


def test_a_film_is_watched_exported_and_rendered_to_the_same_timeline(
    four_scenes: Path, with_graph: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = without_torch.run(without_torch.COMMAND, *WORDS, four_scenes, "--model", with_graph, "--out", out)
    assert ended.returncode == 0, ended.stderr
    found = Timeline.read(out / four_scenes.stem / TIMELINE)
    expected = watched(four_scenes, TorchEngine.load(with_graph, "cpu", "float32"), every=1.0)
    assert [each.second for each in found.samples] == [each.second for each in expected.samples]
    for one, other in zip(found.samples, expected.samples, strict=True):
        assert one.emotions == pytest.approx(other.emotions, abs=1e-4)


def test_peaks_are_explained_by_the_graph(four_scenes: Path, graph_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = (
        "film",
        four_scenes,
        "--model",
        graph_model,
        "--every",
        "0.5",
        "--explain",
        "peaks",
        "--out",
        out,
    )
    ended = without_torch.run(without_torch.COMMAND, *words)
    assert ended.returncode == 0, ended.stderr
    report = (out / four_scenes.stem / "report.html").read_text(encoding="utf-8")
    assert report.count("Heat map: what in this frame") >= 1
