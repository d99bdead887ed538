"""How a search is done, and the file that records it."""

import json
from pathlib import Path
from typing import Any

import pytest

from affectlens.errors import RunError, SettingsError
from affectlens.training.search_plan import SEARCH, SearchFile, SearchPlan, interval_steps
from affectlens.training.search_space import Hyperparameter
from affectlens.training.settings import Settings
from lineages import SPACE

PLAN = SearchPlan(population=3, interval=2, rounds=3, cpus=2.5)

# As it was written before format 2.
FORMER: dict[str, Any] = {
    "plan": {"scheduler": "pbt", "population": 3, "interval": 2, "rounds": 3, "seed": 0, "cpus": 2.5,
             "gpus": 0.0, "budget": 0},
    "table": [
        {"name": "learning_rate", "low": 1e-4, "high": 1e-2, "kind": "factor", "move": 1.25,
         "relative": False, "whole": False},
        {"name": "label_smoothing", "low": 0.0, "high": 0.3, "kind": "step", "move": 0.05,
         "relative": False, "whole": False},
        {"name": "mixup", "low": 0.0, "high": 0.8, "kind": "step", "move": 0.1, "relative": False,
         "whole": False},
    ],
}  # fmt: skip


def test_a_search_comes_back_from_its_file(tmp_path: Path) -> None:
    SearchFile(plan=PLAN, search_space=SPACE).write(tmp_path)
    assert SearchFile.read(tmp_path) == SearchFile(plan=PLAN, search_space=SPACE)
    assert json.loads((tmp_path / SEARCH).read_text())["format_version"] == 2


def test_a_file_of_format_1_is_read_under_todays_names(tmp_path: Path) -> None:
    (tmp_path / SEARCH).write_text(json.dumps(FORMER))
    assert SearchFile.read(tmp_path) == SearchFile(plan=PLAN, search_space=SPACE)


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", "{" * 100_000, "\xff", json.dumps({**FORMER, "format_version": 3}),
        json.dumps({**FORMER, "format_version": [1]}), json.dumps({**FORMER, "table": None}),
        json.dumps({**FORMER, "table": [{**FORMER["table"][0], "kind": "other"}]}),
        json.dumps({**FORMER, "table": [{**FORMER["table"][0], "name": []}]}),
        json.dumps({**FORMER, "table": [3]}), json.dumps({**FORMER, "table": [{"low": 3}]}),
        json.dumps({**FORMER, "plan": {"population": "3"}}),
        json.dumps({**FORMER, "plan": {"population": 1}}),
    ],
)  # fmt: skip
def test_a_damaged_file_is_an_error_of_ours(content: str, tmp_path: Path) -> None:
    (tmp_path / SEARCH).write_bytes(content.encode("latin-1"))
    with pytest.raises(RunError, match=r"search\.json cannot be read"):
        SearchFile.read(tmp_path)


def test_a_file_that_was_edited_by_hand_is_refused_and_one_without_a_hash_is_read(tmp_path: Path) -> None:
    whole = Hyperparameter("lr", 0, 1, "linear", 1)  # numbers that come back as 0.0 and 1.0
    SearchFile(plan=PLAN, search_space=(*SPACE, whole)).write(tmp_path)
    stored = json.loads((tmp_path / SEARCH).read_text())
    (tmp_path / SEARCH).write_text(json.dumps(stored))
    assert SearchFile.read(tmp_path).plan == PLAN, "another layout changes nothing"
    stored["plan"]["rounds"] += 1
    (tmp_path / SEARCH).write_text(json.dumps(stored))
    with pytest.raises(RunError, match="was changed since the search was begun"):
        SearchFile.read(tmp_path)
    del stored["hash"]
    (tmp_path / SEARCH).write_text(json.dumps(stored))
    assert SearchFile.read(tmp_path).plan.rounds == PLAN.rounds + 1


@pytest.mark.parametrize(
    "wrong",
    [{"population": 1}, {"rounds": 0}, {"interval": 0}, {"cpus": 0.0}, {"gpus": -1.0}, {"scheduler": "best"},
     {"budget": -1}, {"population": 10**9}, {"interval": 10**12}, {"cpus": float("nan")},
     {"gpus": float("nan")}, {"cpus": float("inf")}],
)  # fmt: skip
def test_an_impossible_plan_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"must be|needs some"):
        SearchPlan(**wrong)


def test_an_interval_of_hundreds_of_digits_is_more_than_a_plan_takes() -> None:
    with pytest.raises(SettingsError, match="interval must be"):
        SearchPlan(interval=interval_steps("9" * 400, Settings(), 100))


def test_a_run_is_as_long_as_its_search() -> None:
    settings = PLAN.with_length(Settings(batch_size=4, num_workers=-1), pictures=30)
    assert settings.num_workers == 0
    assert interval_steps(f"{settings.epochs}epochs", settings, 30) == PLAN.interval * PLAN.rounds
    assert (PLAN.threads, SearchPlan(cpus=0.5).threads) == (2, 1)
