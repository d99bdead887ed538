import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from affectlens import library
from affectlens.cli.main import main
from affectlens.model_folder import has_graph
from affectlens.preprocess import Preprocessing
from model_folders import CARD
from pictures import colour_set


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code if isinstance(ended.value.code, int) else 0


@pytest.mark.needs("torch")
def test_the_list_has_the_default_model_every_recipe_and_every_network(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from affectlens.models.catalog import NETWORKS
    from affectlens.recipes.catalog import RECIPES

    monkeypatch.delenv("COLUMNS", raising=False)  # in a file or pipe tables are complete
    assert status("models") == 0
    shown = capsys.readouterr().out
    for name in ("default", *RECIPES, *NETWORKS):
        assert name in shown


def test_the_default_models_card_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("models", "show", "default") == 0
    shown = capsys.readouterr().out
    assert shown.lstrip().startswith("# default") and "## Limits" in shown
    summary = shown.partition("## In short")[2]
    assert "Made by" in summary and "research, no commercial use" in summary
    assert f"Weights: {library.card().weights_id}," in summary


def test_the_engine_is_printed_with_the_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("affectlens.inference.engine.has_nvidia_gpu", lambda: False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert status("models", "show", "default", "--engine") == 0
    few, many, cores = capsys.readouterr().out.splitlines()
    assert few == "A picture, or a few: onnxruntime, since it is ready soonest."
    assert many.startswith("500 pictures and more: o") and ", since it" in many
    assert cores.startswith("Cores: 3.")


@pytest.mark.needs("torch")
def test_two_models_are_joined_into_a_folder_that_predicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from affectlens.models import backbones, catalog
    from affectlens.models.saved import save_model

    for network in ("test_vit.r160_in1k", "test_efficientnet.r160_in1k"):
        mean, std = backbones.statistics(network)
        shape = Preprocessing(height=64, width=64, mean=mean, std=std)
        card = replace(CARD, name=network, network=network, network_options={}, preprocessing=shape)
        save_model(tmp_path / network[:8], catalog.build(network, 8), card, "# One\n")
    out = tmp_path / "both"
    both = ("models", "join", str(tmp_path / "test_vit"), str(tmp_path / "test_eff"), "--out", str(out))
    assert status(*both) == 0
    picture = colour_set(tmp_path / "pictures", ("awe",), each=1) / "awe" / "0.png"
    assert status("predict", str(picture), "--model", str(out), "--json") == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row["model"] == "both" and sum(row["emotions"].values()) == pytest.approx(1, abs=1e-5)
    assert status("models", "show", str(out)) == 0
    assert "of models that were trained apart" in capsys.readouterr().out
    before = (out / "config.json").read_bytes()
    assert status(*both) == 2
    assert "is not overwritten" in capsys.readouterr().err and (out / "config.json").read_bytes() == before


def test_the_default_models_card_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("models", "show", "default", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card["weights_hash"] == library.card().weights_hash and card["version"] == library.card().version
    assert card["vocabulary"]["name"] == "mikels-8" and 0 < card["scores"]["accuracy"] < 1


@pytest.mark.needs("torch")
def test_a_graph_is_added_to_a_model_folder_and_to_the_model_of_a_run(
    tiny_model: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model, tmp_path / "run" / "model")
    assert status("models", "graph", str(tmp_path / "run")) == 0
    assert has_graph(tmp_path / "run" / "model") and not (tmp_path / "run" / "model.onnx").exists()
    assert status("models", "graph", str(tmp_path)) == 2
