import json

import pytest

from affectlens import library
from affectlens.cli.main import main
from affectlens.models.catalog import NETWORKS
from affectlens.recipes.catalog import RECIPES


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_the_list_has_the_default_model_every_recipe_and_every_network(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
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


def test_the_default_models_card_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("models", "show", "default", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card["weights_hash"] == library.card().weights_hash and card["version"] == library.card().version
    assert card["vocabulary"]["name"] == "mikels-8" and 0 < card["scores"]["accuracy"] < 1
