"""`affectlens explain compare`: figures of methods on pictures, printed and written."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from affectlens.cli.explain import explain
from affectlens.cli.explain_compare import compare
from affectlens.emotions import MIKELS
from affectlens.errors import SettingsError, UnknownName
from affectlens.explain.faithfulness.measurements import Measurement
from affectlens.explain.faithfulness.results import summarise
from pictures import colour_set

pytestmark = pytest.mark.needs("torch")


def test_methods_are_compared_on_pictures_of_every_emotion(tiny_model: Path, tmp_path: Path) -> None:
    data = colour_set(tmp_path / "data", MIKELS.words[:4], 2)
    out = tmp_path / "out.json"
    ended = CliRunner().invoke(compare, [
        f"folder:{data}", "--split", "all", "--model", str(tiny_model), "--methods", "gradient, grad_cam",
        "--pictures", "4", "--checked", "1", "--out", str(out),
    ])  # fmt: skip
    assert ended.exit_code == 0, ended.output
    assert "grad_cam" in ended.output and "random" in ended.output
    document = json.loads(out.read_text())
    assert document["pictures"] == 4
    assert document["model"]["name"] == "tiny"
    assert document["options_of_methods"]["gradient"] == {"precision": "float32"}
    assert {Path(row["picture"]).parent.name for row in document["rows"]} == set(MIKELS.words[:4])
    again = summarise([Measurement.from_json(row) for row in document["rows"]])
    kept, read = document["methods"]["grad_cam"], again.methods["grad_cam"]
    assert set(kept) == set(read)
    assert kept["faithfulness"]["low"] == pytest.approx(read["faithfulness"].low, abs=1e-5)
    assert "sensitivity" in document["methods"]["gradient"]


def test_weights_are_shuffled_even_where_the_methods_need_no_network(
    tiny_model: Path, tmp_path: Path
) -> None:
    data = colour_set(tmp_path / "data", MIKELS.words[:4], 1)
    ended = CliRunner().invoke(compare, [
        f"folder:{data}", "--split", "all", "--model", str(tiny_model), "--methods", "occlusion",
        "--pictures", "2", "--checked", "1", "--out", str(tmp_path / "out.json"),
    ])  # fmt: skip
    assert ended.exit_code == 0, ended.output
    document = json.loads((tmp_path / "out.json").read_text())
    assert "shuffled weights" in document["methods"]["occlusion"]


def test_a_comparison_goes_on_where_it_ended_and_to_more_pictures(tiny_model: Path, tmp_path: Path) -> None:
    data = colour_set(tmp_path / "data", MIKELS.words[:4], 2)

    def rows(out: str, *words: str) -> dict[tuple[str, str], dict[str, float]]:
        ended = CliRunner().invoke(compare, [
            f"folder:{data}", "--split", "all", "--model", str(tiny_model), "--methods", "gradient",
            "--checked", "0", "--out", str(tmp_path / out), *words,
        ])  # fmt: skip
        assert ended.exit_code == 0, ended.output
        measured = json.loads((tmp_path / out).read_text())["rows"]
        return {(row["picture"], row["method"]): row["figures"] for row in measured}

    half = rows("halves.json", "--pictures", "2")
    cut = json.loads((tmp_path / "halves.json").read_text())
    cut["rows"].pop()  # as if it had ended within the second picture
    (tmp_path / "halves.json").write_text(json.dumps(cut))
    resumed = rows("halves.json", "--pictures", "4", "--resume")
    again = rows("complete.json", "--pictures", "4")
    assert len(half) == 2 * 4 and len(resumed) == 4 * 4
    for key, figures in again.items():
        assert resumed[key] | {"seconds": 0} == figures | {"seconds": 0}
    first = cut["rows"][0]["picture"]
    assert resumed[first, "gradient"] == half[first, "gradient"]  # seconds too: it was not measured again
    with pytest.raises(SettingsError, match="its options of methods were"):
        ended = CliRunner().invoke(compare, [
            f"folder:{data}", "--split", "all", "--model", str(tiny_model), "--methods", "occlusion",
            "--checked", "0", "--out", str(tmp_path / "complete.json"), "--resume",
        ])  # fmt: skip
        raise ended.exception or AssertionError(ended.output)


def test_evaluate_is_another_word_for_compare(tiny_model: Path, tmp_path: Path) -> None:
    words = ["--methods", "gradcam", "--evaluate", f"folder:{tmp_path}", "--model", str(tiny_model)]
    ended = CliRunner().invoke(explain, words)
    assert "Did you mean 'grad_cam'" in str(ended.exception)


def test_a_misspelt_method_is_an_error_before_any_picture_is_read(tiny_model: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(
        compare, [f"folder:{tmp_path}", "--model", str(tiny_model), "--methods", "gradcam"]
    )
    assert isinstance(ended.exception, UnknownName)
    assert "Did you mean 'grad_cam'" in str(ended.exception)
