"""The command that explains pictures: what it writes and prints, and what it refuses."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from affectlens import Explainer
from affectlens.cli.main import main
from affectlens.emotions import MIKELS
from affectlens.inference.output.rows import MADE_BY
from affectlens.library import card
from affectlens.version import VERSION

BY_GRAPH = ("--engine", "onnxruntime")
QUARTERS = ("--method", "occlusion", "--set", "patch=0.5", "--set", "stride=0.5")
QUICK = (*BY_GRAPH, *QUARTERS, "--no-faithfulness")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three pictures of different colours."""
    folder = tmp_path_factory.mktemp("photos")
    for name, colour in {"blue.png": "navy", "green.jpg": "green", "red.webp": "red"}.items():
        noise = Image.effect_noise((90, 120), 90).convert("RGB")
        Image.blend(noise, Image.new("RGB", (90, 120), colour), 0.6).save(folder / name)
    return folder


def status(*words: object) -> int:
    """Run the command in this process and return its exit status."""
    with pytest.raises(SystemExit) as ended:
        main(["explain", *map(str, words)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -------------------------------------------------------------------------------------------- what is made


def test_a_picture_is_explained_without_naming_a_command(
    graph_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "maps"
    assert status(photos / "blue.png", "--emotion", "fear", "--model", graph_model, "--out", out, *QUICK) == 0
    assert names(out) == ["blue.fear.png"]
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{photos / 'blue.png'}: ")
    assert re.fullmatch(r"(\w+ [\d.]+ %(, |$)){3}", first.removeprefix(f"{photos / 'blue.png'}: "))
    assert second == f"  {out / 'blue.fear.png'}"
    with Image.open(out / "blue.fear.png") as figure:
        assert figure.width > 600


def test_every_format_is_written_and_can_be_read(graph_model: Path, photos: Path, tmp_path: Path) -> None:
    formats = "png,html,npz,json,wheel,plutchik,legend"
    assert status(photos / "green.jpg", "--against", "anger", "--emotion", "fear", "--format", formats,
                  "--model", graph_model, "--out", tmp_path, *QUICK) == 0  # fmt: skip
    stem = "green.fear-rather-than-anger"
    assert names(tmp_path) == sorted(
        [f"{stem}.{kind}" for kind in ("html", "json", "npz", "png")]
        + ["green.legend.png", "green.plutchik.png", "green.wheel.png"]
    )
    written = json.loads((tmp_path / f"{stem}.json").read_text())
    assert {name: written[name] for name in MADE_BY} == {
        "model": "tiny",
        "weights": card(str(graph_model)).weights_id,
        "version": VERSION,
        "engine": "onnxruntime",
        "precision": "float32",
    }
    (answer,) = written["explanations"]
    assert answer["question"] == "fear rather than anger"
    assert answer["method"] == "occlusion"
    assert len(answer["story"]) == 3
    with np.load(tmp_path / f"{stem}.npz", allow_pickle=False) as arrays:
        assert arrays["heatmap"].shape == (120, 90)
    assert "</html>" in (tmp_path / f"{stem}.html").read_text(encoding="utf-8")


def test_all_emotions_are_one_sheet_and_one_file_of_arrays(
    graph_model: Path, photos: Path, tmp_path: Path
) -> None:
    assert status(photos / "red.webp", "--all", "--format", "png,npz", "--model", graph_model,
                  "--out", tmp_path, *QUICK) == 0  # fmt: skip
    assert names(tmp_path) == ["red.all.npz", "red.all.png"]
    with np.load(tmp_path / "red.all.npz", allow_pickle=False) as arrays:
        assert {key.split(".")[0] for key in arrays} == set(MIKELS.words)
        maps = [arrays[f"{word}.values"] for word in MIKELS.words]
    for one in range(8):
        for other in range(one):
            assert not np.allclose(maps[one], maps[other], rtol=0.05)


def test_the_map_written_is_that_of_the_emotion_that_was_requested(
    graph_model: Path, photos: Path, tmp_path: Path
) -> None:
    for word in ("amusement", "sadness"):  # the first of the vocabulary, too, whose index is 0
        status(photos / "blue.png", "--emotion", word, "--format", "npz", "--model", graph_model,
               "--out", tmp_path, *QUICK)  # fmt: skip
        explainer = Explainer.load(str(graph_model), "occlusion", engine="onnxruntime", patch=0.5, stride=0.5)
        expected = explainer(photos / "blue.png", word)
        with np.load(tmp_path / f"blue.{word}.npz", allow_pickle=False) as arrays:
            np.testing.assert_allclose(arrays["values"], expected.values, atol=1e-6)


def test_several_emotions_are_side_by_side(graph_model: Path, photos: Path, tmp_path: Path) -> None:
    assert status("--emotion", "fear", "--emotion", "positive", photos / "blue.png", "--model", graph_model,
                  "--out", tmp_path, *QUICK) == 0  # fmt: skip
    assert names(tmp_path) == ["blue.fear+positive.png"]


def test_a_story_is_three_sentences_and_alone_writes_nothing(
    graph_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert status(photos / "blue.png", "--story", "--model", graph_model, *QUICK) == 0
    _, *sentences = capsys.readouterr().out.splitlines()
    assert len(sentences) == 3
    assert sentences[0].startswith("  On average this picture is most likely to evoke ")
    assert names(tmp_path) == []


def test_maps_are_compared_with_random_ones_unless_that_is_declined(
    graph_model: Path, photos: Path, tmp_path: Path
) -> None:
    for choice, expected in (("--faithfulness", True), ("--no-faithfulness", False)):
        status(photos / "blue.png", "--format", "json", *BY_GRAPH, *QUARTERS, choice, "--model", graph_model,
               "--out", tmp_path)  # fmt: skip
        (file,) = tmp_path.glob("*.json")
        (answer,) = json.loads(file.read_text())["explanations"]
        assert ("faithfulness" in answer["details"]) is expected


def test_options_of_a_method_can_be_set(graph_model: Path, photos: Path, tmp_path: Path) -> None:
    assert status(photos / "blue.png", *QUICK, "--set", "replacement=black", "--set", "seed=3",
                  "--format", "json", "--model", graph_model, "--out", tmp_path) == 0  # fmt: skip
    (file,) = tmp_path.glob("*.json")
    (answer,) = json.loads(file.read_text())["explanations"]
    assert answer["details"]["replacement"] == "black"


@pytest.mark.needs("torch")
def test_a_network_is_explained_by_its_gradients(tiny_model: Path, photos: Path, tmp_path: Path) -> None:
    words = ("--method", "gradient_times_input", "--set", "baseline=blurred", "--no-faithfulness")
    assert status(photos / "blue.png", *words, "--emotion", "fear", "--format", "json,npz",
                  "--model", tiny_model, "--out", tmp_path) == 0  # fmt: skip
    written = json.loads((tmp_path / "blue.fear.json").read_text())
    assert (written["engine"], written["weights"]) == ("torch", card(str(tiny_model)).weights_id)
    (answer,) = written["explanations"]
    assert answer["details"]["baselines"] == ["blurred"]
    explainer = Explainer.load(str(tiny_model), "gradient_times_input", baseline="blurred")
    with np.load(tmp_path / "blue.fear.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["values"], explainer(photos / "blue.png", "fear").values, atol=1e-6)


def test_the_method_chosen_is_named_unless_the_user_did(
    graph_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (photos / "blue.png", "--format", "npz", "--model", graph_model, "--out", tmp_path)
    assert status(*words, *BY_GRAPH, "--set", "masks=20") == 0
    assert "Method: rise, the default" in capsys.readouterr().err
    assert status(*words, *QUICK) == 0
    assert "Method: " not in capsys.readouterr().err


# -------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.needs("torch")
def test_where_torch_is_installed_an_engines_answer_is_divided_among_the_networks_parts(
    photos: Path, tmp_path: Path
) -> None:
    words = (photos / "red.webp", *QUICK, "--format", "json", "--story", "--out", tmp_path)
    assert status(*words) == 0
    (file,) = tmp_path.glob("*.json")
    (explained,) = json.loads(file.read_text(encoding="utf-8"))["explanations"]
    branches = {"deit_tiny_patch16_224", "mobilenetv2_100", "multilevel"}
    assert {part["name"] for part in explained["parts"]["parts"]} == branches


def test_a_picture_that_cannot_be_read_is_reported_and_the_others_are_explained(
    graph_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "torn.jpg").write_bytes((photos / "green.jpg").read_bytes()[:400])
    out = tmp_path / "out"
    assert status(tmp_path / "gone.jpg", photos / "red.webp", tmp_path / "torn.jpg", photos / "blue.png",
                  "--emotion", "awe", "--model", graph_model, "--out", out, *QUICK) == 1  # fmt: skip
    shown = capsys.readouterr()
    assert names(out) == ["blue.awe.png", "red.awe.png"]
    assert shown.err.count("Not explained: ") == 2
    assert str(tmp_path / "gone.jpg") in shown.err and str(tmp_path / "torn.jpg") in shown.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--emotion", "fera"], "Did you mean 'fear'"),
        (["--emotion", "fear", "--against", "fear"], "in common"),
        (["--against", "anegr"], "Did you mean 'anger'"),
        (["--all", "--emotion", "fear"], "leave out --emotion"),
        (["--method", "gradent"], "is not a method"),
        (["--method", "gradient"], "leave out engine=onnxruntime"),
        (["--format", "png,gif"], "'gif' is not a format. Known: png, html"),
        (["--format", ","], "No format is named"),
        (["--engine", "pytorch"], "Did you mean 'torch'"),
        (["--method", "rise", "--set", "masks"], "does not set an option"),
        (["--method", "rise", "--set", "masks=many"], "masks=many: expected int"),
        (["--method", "rise", "--set", "kept=2"], "kept is 2.0; expected between 0 and 1"),
    ],
)
def test_wrong_use_is_status_two_before_any_picture_is_read(
    words: list[str], message: str, graph_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused([*BY_GRAPH, *words], message, graph_model, tmp_path, capsys)


@pytest.mark.needs("torch")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "token_maps"], "cannot explain tiny"),
        (["--method", "integrated_gradients", "--set", "baselines=grey"], "grey"),
    ],
)
def test_wrong_use_of_a_network_is_status_two_too(
    words: list[str], message: str, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(words, message, tiny_model, tmp_path, capsys)


def assert_refused(
    words: list[str], message: str, model: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out"
    assert status(folder / "no picture.jpg", *words, "--model", model, "--out", out) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert "no picture.jpg" not in shown.err
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="rights do not bind this user")
def test_a_folder_that_cannot_be_written_ends_the_job(
    graph_model: Path, photos: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(0o500)
    assert status(photos / "blue.png", "--model", graph_model, "--out", tmp_path / "out", *QUICK) == 2


def test_an_old_file_stays_where_a_new_one_cannot_be_finished(
    graph_model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "blue.fear.npz"
    old.write_bytes(b"old")

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fails)
    assert status(photos / "blue.png", "--emotion", "fear", "--format", "npz", "--model", graph_model,
                  "--out", tmp_path, *QUICK) == 2  # fmt: skip
    assert old.read_bytes() == b"old"
    assert names(tmp_path) == [old.name]


# --------------------------------------------------------------------------------------------- the words


def test_folders_and_lists_are_expanded(
    graph_model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = f"{photos / 'red.webp'}\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    words = ("--emotion", "awe", "--format", "npz", "--model", graph_model, *QUICK)
    assert status("-", *words, "--out", tmp_path / "listed") == 0
    assert status(photos, *words, "--out", tmp_path / "folder") == 0
    assert names(tmp_path / "listed") == ["red.awe.npz"]
    assert names(tmp_path / "folder") == ["blue.awe.npz", "green.awe.npz", "red.awe.npz"]


def test_a_picture_that_is_called_like_a_command_is_given_with_its_folder(
    graph_model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("filters").write_bytes((photos / "blue.png").read_bytes())
    words = ("--emotion", "awe", "--format", "npz", "--model", graph_model, "--out", "out", *QUICK)
    assert status(f".{os.sep}filters", *words) == 0
    assert names(tmp_path / "out") == ["filters.awe.npz"]


def test_help_shows_what_pictures_take_and_the_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--help") == 0
    shown = capsys.readouterr().out
    assert "explain [OPTIONS] IMAGE..." in shown
    assert "--against" in shown and "--story" in shown
    assert "\n  filters " in shown and "\n  methods " in shown


def test_help_needs_neither_torch_nor_matplotlib() -> None:
    program = (
        "import sys\nfrom affectlens.cli.main import main\n"
        "try:\n    main(['explain', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'matplotlib', 'captum'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.needs("torch")
def test_methods_are_listed_with_their_options_and_only_those_that_suit_a_model(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("methods") == 0
    every = capsys.readouterr().out
    assert status("methods", "--model", tiny_model) == 0
    suiting = capsys.readouterr().out
    assert "token_maps" in every and "token_maps" not in suiting
    assert re.search(r"^cam .*\(default of default\)$", every, re.MULTILINE)
    assert re.search(
        rf"^(cam|grad_cam|rise) .*\(default of {re.escape(str(tiny_model))}\)$", suiting, re.MULTILINE
    )
    assert "baselines=mean" in suiting


@pytest.mark.needs("pyarrow")
def test_a_row_of_a_table_is_drawn_from_its_own_bytes(
    graph_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row holds a red picture and the name of a blue one, which lies where the command runs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.chdir(tmp_path)
    red = io.BytesIO()
    Image.new("RGB", (500, 500), "red").save(red, format="PNG")
    Image.new("RGB", (500, 500), "blue").save("same.png")
    column = pa.array([{"bytes": red.getvalue(), "path": "same.png"}])
    pq.write_table(pa.table({"image": column}), "table.parquet")
    assert status("table.parquet", "--emotion", "awe", "--format", "png,html", "--model", graph_model,
                  "--out", "out", *QUICK) == 0  # fmt: skip
    first = re.search(r'src="data:image/jpeg;base64,([^"]+)"', Path("out/same.awe.html").read_text())
    assert first is not None
    with Image.open(io.BytesIO(base64.b64decode(first[1]))) as shown:
        r, _, b = np.asarray(shown).reshape(-1, 3).mean(axis=0)
        assert r > 240 and b < 15
    with Image.open("out/same.awe.png") as figure:
        pixels = np.asarray(figure.convert("RGB")).astype(int)
        is_red = (pixels[..., 0] > 240) & (pixels[..., 1:].max(axis=2) < 15)
        is_blue = (pixels[..., 2] > 240) & (pixels[..., :2].max(axis=2) < 15)
        assert is_red.sum() > 400 * 400
        assert is_blue.sum() == 0


# -------------------------------------------------------------------------------------------- ratings


def test_a_rating_is_explained_next_to_an_emotion(
    rated_graph: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--emotion", "valence", "--emotion", "fear", "--story", "--format", "json")
    assert status(photos / "blue.png", *words, "--model", rated_graph, "--out", tmp_path, *QUICK) == 0
    assert names(tmp_path) == ["blue.valence+fear.json"]
    lines = capsys.readouterr().out.splitlines()
    rating, emotion = json.loads((tmp_path / "blue.valence+fear.json").read_text())["explanations"]
    assert lines[1].startswith(f"  valence {rating['value']:.1f} (")
    assert [line.strip() for line in lines[2:-1]] == [*rating["story"], *emotion["story"]]
    assert any("valence" in line and "%" not in line for line in lines[2:5])


def test_the_plane_of_valence_and_arousal_is_drawn_for_a_model_that_has_both_and_refused_for_others(
    rated_graph: Path, graph_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--format", "circumplex", "--out", tmp_path, *QUICK)
    assert status(photos / "blue.png", *words, "--model", graph_model) == 2
    assert "predicts no ratings" in capsys.readouterr().err
    assert status(photos / "blue.png", *words, "--model", rated_graph) == 0
    with Image.open(tmp_path / "blue.circumplex.png") as figure:
        assert min(figure.size) > 700
    assert re.search(
        r"^  valence \d\.\d \(\d\.\d to \d\.\d\), arousal \d\.\d \(", capsys.readouterr().out, re.M
    )


def test_without_a_method_it_is_one_that_explains_the_rating(
    rated_graph: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--emotion", "arousal", "--format", "npz", "--model", rated_graph, "--out", tmp_path)
    assert status(photos / "red.webp", *words, *BY_GRAPH) == 0
    assert names(tmp_path) == ["red.arousal.npz"]
    assert "Method: occlusion," in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [(("--emotion", "valense"), "Did you mean 'valence'"),
     (("--emotion", "valence", "--against", "fear"), "valence is a rating, a number")],
)  # fmt: skip
def test_an_impossible_rating_is_wrong_use(
    rated_graph: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...], reason: str,
) -> None:  # fmt: skip
    given = (*words, "--model", rated_graph, "--out", tmp_path / "out", *QUICK)
    assert status(photos / "red.webp", *given) == 2
    assert reason in capsys.readouterr().err


def test_a_rating_of_a_model_without_any_is_wrong_use(
    graph_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--emotion", "valence", "--model", graph_model, "--out", tmp_path / "out", *QUICK)
    assert status(photos / "red.webp", *words) == 2
    assert "Known: amusement" in capsys.readouterr().err
