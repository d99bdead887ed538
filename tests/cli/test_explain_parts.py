"""`affectlens explain parts`: scores without each part, printed and written."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from affectlens.cli.explain import explain
from affectlens.cli.main import main
from affectlens.emotions import MIKELS
from affectlens.errors import SettingsError
from affectlens.model_folder import load_card
from affectlens.version import VERSION
from pictures import colour_set


@pytest.fixture
def mlm(tmp_path: Path) -> Path:
    from affectlens.model_folder import Card
    from affectlens.models.saved import save_model
    from affectlens.preprocess import Preprocessing
    from planted import small_member

    options = {"backbone": "test_resnet", "reduction": 2}
    card = Card(
        name="mlm", network="mlm_paper", network_options=options, vocabulary=MIKELS,
        preprocessing=Preprocessing(height=64, width=64),
    )  # fmt: skip
    save_model(tmp_path / "mlm", small_member("mlm_paper", **options), card, "A model for tests.\n")
    return tmp_path / "mlm"


@pytest.mark.needs("torch")
def test_a_row_for_each_part_is_printed_and_written(mlm: Path, tmp_path: Path) -> None:
    data = colour_set(tmp_path / "data", MIKELS.words[:3], 2)
    out = tmp_path / "parts.json"
    ended = CliRunner().invoke(explain, [
        "parts", f"folder:{data}", "--model", str(mlm), "--split", "all", "--out", str(out),
    ])  # fmt: skip
    assert ended.exit_code == 0, ended.output
    assert "nothing" in ended.output and "texture 3" in ended.output and "deep" in ended.output
    written = json.loads(out.read_text())
    assert (written["model"], len(written["ablations"])) == ("mlm", 1 + 4 + 1)
    assert (written["engine"], written["precision"], written["version"]) == ("torch", "float32", VERSION)
    assert written["weights"] == load_card(mlm).weights_id


@pytest.mark.needs("torch")
def test_an_unreadable_picture_is_reported_and_the_rest_is_done(
    mlm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = colour_set(tmp_path / "data", MIKELS.words[:3], 2)
    (data / MIKELS.words[0] / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(SystemExit) as ended:
        main(["explain", "parts", f"folder:{data}", "--model", str(mlm), "--split", "all"])
    shown = capsys.readouterr()
    assert ended.value.code == 1
    assert "texture 3" in shown.out and "1 pictures could not be read" in shown.err


@pytest.mark.needs("torch")
def test_a_model_without_parts_is_an_error(tiny_model: Path, tmp_path: Path) -> None:
    data = colour_set(tmp_path / "data", MIKELS.words[:2], 1)
    with pytest.raises(SettingsError, match="no parts to compare"):
        CliRunner().invoke(
            explain, ["parts", f"folder:{data}", "--split", "all", "--model", str(tiny_model)],
            catch_exceptions=False,
        )  # fmt: skip
