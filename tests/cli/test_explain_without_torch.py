"""`affectlens explain` where torch is not installed: explained by a model's graph."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import without_torch
from affectlens import Explainer
from affectlens.emotions import MIKELS
from pictures import colour_set


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.effect_noise((90, 120), 90).convert("RGB").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def explain(*words: object) -> "subprocess.CompletedProcess[str]":
    return without_torch.run(without_torch.COMMAND, "explain", *words)


def test_a_picture_gets_its_story_its_figure_its_page_and_its_data(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = explain(photo, "--story", "--format", "png,html,json", "--method", "rise", "--set", "masks=50",
                    "--emotion", "fear", "--out", out)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    first, ratings, *sentences, png, html, data = ended.stdout.splitlines()
    assert re.fullmatch(rf"{re.escape(str(photo))}: (\w+ [\d.]+ %(, |$)){{3}}", first)
    assert re.fullmatch(r"  valence \d\.\d \(\d\.\d to \d\.\d\), arousal \d\.\d \(.*\)", ratings)
    assert len(sentences) in (3, 4) and " On average this picture is most likely to evoke " in ended.stdout
    assert [Path(line.strip()).name for line in (png, html, data)] == [
        "photo.fear.png", "photo.fear.html", "photo.fear.json",
    ]  # fmt: skip
    with Image.open(out / "photo.fear.png") as figure:
        assert figure.width > 600
    assert "</html>" in (out / "photo.fear.html").read_text(encoding="utf-8")
    (answer,) = json.loads((out / "photo.fear.json").read_text())["explanations"]
    assert (answer["method"], answer["details"]["masks"]) == ("rise", 50)
    assert answer["details"]["faithfulness"]["random_maps"] > 0
    assert len(answer["story"]) in (3, 4) and len(answer["influences"]["changes"]) > 10


def test_the_map_is_that_of_an_engine_where_torch_is_installed(
    graph_model: Path, photo: Path, tmp_path: Path
) -> None:
    ended = explain(photo, "--emotion", "awe", "--format", "npz", "--set", "masks=50", "--model", graph_model,
                    "--out", tmp_path / "out")  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "Method: rise, the default for this model with what is installed." in ended.stderr
    here = Explainer.load(str(graph_model), "rise", engine="onnxruntime", masks=50)(photo, "awe")
    with np.load(tmp_path / "out" / "photo.awe.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["values"], here.values, atol=1e-6)


def test_a_rating_gets_its_story_its_figure_its_page_and_its_data(
    rated_graph: Path, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = explain(photo, "--story", "--format", "png,html,json", "--emotion", "valence",
                    "--model", rated_graph, "--out", out)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "Method: occlusion, the default for this model with what is installed." in ended.stderr
    assert " On average people are predicted to give this picture valence " in ended.stdout
    assert "</html>" in (out / "photo.valence.html").read_text(encoding="utf-8")
    (answer,) = json.loads((out / "photo.valence.json").read_text())["explanations"]
    assert (answer["rating"], answer["method"]) == ("valence", "occlusion")
    assert 1 <= answer["value"] <= 9


@pytest.mark.parametrize("method", ["cam", "gradient", "shap"])
def test_a_method_that_needs_torch_is_refused_with_how_to_get_it(
    method: str, graph_model: Path, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = explain(photo, "--method", method, "--model", graph_model, "--out", out)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"Error: The method {method} needs torch, which is not installed. ")
    assert line.endswith('pip install "affectlens[train]".')
    assert not out.exists()


def test_methods_are_listed_with_what_those_need_that_cannot_run(graph_model: Path) -> None:
    ended = explain("methods")
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^cam .*\(default of default\)$", ended.stdout, re.MULTILINE)
    assert "masks=1000" in ended.stdout
    assert "The method gradient needs torch" in ended.stdout
    suiting = explain("methods", "--model", graph_model).stdout
    assert re.findall(r"^(\w+) ", suiting, re.MULTILINE) == ["occlusion", "rise"]


def test_methods_are_compared_but_by_shuffled_weights(graph_model: Path, tmp_path: Path) -> None:
    data = colour_set(tmp_path / "data", MIKELS.words[:4], 2)
    ended = explain("compare", f"folder:{data}", "--split", "all", "--methods", "occlusion", "--pictures", 2,
                    "--checked", 1, "--model", graph_model, "--out", tmp_path / "out.json")  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    document = json.loads((tmp_path / "out.json").read_text())
    assert set(document["methods"]) == {"random", "centre", "edges", "occlusion"}
    figures = document["methods"]["occlusion"]
    assert {"faithfulness", "sensitivity"} <= set(figures) and "shuffled weights" not in figures
