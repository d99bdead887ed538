"""The queue of recipes: its order, its results, and a run of it on small pictures."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import forked
import screening
import screening_ensembles
import screening_report
import soft_answers
from affectlens.data import splits, table
from affectlens.data.catalog import open_data
from affectlens.data.records import ALL
from affectlens.emotions import MIKELS
from affectlens.metrics import softmax
from screening import JoinedRows, Paths, Plan, Row, append, pending, read_plan, read_results
from screening_paths import paths_of

SMALL = ("epochs=1", "batch_size=8", "preprocessing.height=32", "preprocessing.width=32")


def row(name: str, **options: object) -> Row:
    return Row(name=name, recipe="test_efficientnet", expects="nothing", set=SMALL, **options)  # type: ignore[arg-type]


def test_the_plan_begins_with_the_recipe_before_and_every_row_has_an_expectation() -> None:
    planned = read_plan()
    rows = planned.rows
    assert rows[0].recipe == "pair" and not rows[0].set
    assert all(len(each) > 20 for each in planned.expectations.values())
    trained = {"frozen_heads", "perceptrons", "levels", *(each.name for each in rows)}
    assert all(len(each.rows) > 1 and set(each.rows) <= trained for each in planned.ensembles)


def test_folds_of_another_division_are_refused(paths: Paths) -> None:
    with pytest.raises(SystemExit, match="otherwise than planned"):
        screening.run(paths, [])
    assert not paths.out.exists()


def test_rows_come_in_order_and_those_with_a_result_are_left_out() -> None:
    rows = [row("one"), row("two", folds=(3,), seeds=(0, 1))]
    names = [job.name for job in pending(rows, [{"run": "one-fold1-seed0"}])]
    assert names == ["one-fold2-seed0", "two-fold3-seed0", "two-fold3-seed1"]


def test_a_line_that_was_cut_short_is_left_out_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    append({"run": "a"}, file)
    with file.open("a") as out:
        out.write('{"run": "b", "accur')
    append({"run": "c"}, file)
    assert [result["run"] for result in read_results(file)] == ["a", "c"]
    assert file.read_text().count("\n") == 2


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_of(tmp_path, ("awe", "anger", "sadness"))


def run_apart(words: Sequence[str], log: Path) -> int:
    return forked.wait(forked.start(words, log))


def test_the_queue_trains_measures_and_goes_on_and_its_page_is_written(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverges = Row(
        name="diverges", recipe="test_efficientnet", expects="", set=("epochs=1", "lr=1e30"), folds=(1,)
    )
    division = splits.digest_of_splits(open_data(paths.data))
    plan = Plan(division=division, rows=(row("first", folds=(1,)), diverges))
    monkeypatch.setattr(screening, "read_plan", lambda: plan)
    monkeypatch.setattr(screening, "run_apart", run_apart)
    assert screening.run(paths, []) == 1
    both = JoinedRows(name="both", rows=("first", "second"), expects="the same")
    lacking = JoinedRows(name="lacking", rows=("first", "third"), expects="nothing")
    plan = Plan(division=division, rows=(plan.rows[0], row("second", folds=(1,))), ensembles=(both, lacking))
    assert screening.run(paths, ["second"]) == 0
    monkeypatch.setattr(screening_ensembles, "read_plan", lambda: plan)
    for _ in range(2):  # what is measured is not measured again
        screening_ensembles.join(paths.ratings, paths.results)
    results = read_results(paths.results)
    assert [each["run"] for each in results] == [
        "first-fold1-seed0", "second-fold1-seed0", "both-fold1-seed0"
    ]  # fmt: skip
    first, same, joined = results
    assert first["accuracy"] == same["accuracy"], "the same settings, seed and fold"
    assert len({each["division"] for each in results}) == 1
    assert first["valence"]["emdt"]["pictures"] == 6
    # Of two rows with the same answers.
    assert joined["accuracy"] == first["accuracy"] and joined["members"] == [first["run"], same["run"]]
    # A second temperature may fit better where the first is at the end of what is allowed.
    assert joined["negative_log_likelihood"] <= first["negative_log_likelihood"] + 1e-3
    assert joined["valence"]["emdt"]["pictures"] == 6

    page = tmp_path / "page.md"
    screening_report.write(plan, results, page, paths.results.parent / screening.ANSWERS)
    text = page.read_text()
    for name in ("second", "both"):
        assert f"| `{name}` | 1 | 0.0 (0.0 to 0.0) | 0.0 (0.0 to 0.0) |" in text
    assert "- `both`: `first`, `second`. Expected: the same." in text
    assert "2 runs of 2 rows" in text and f"| `both` | 1 | 0 | {100 * first['accuracy']:.1f} |" in text
    assert results[0]["division"] in text and page.with_suffix(".svg").is_file()
    card = json.loads((paths.out / "first-fold1-seed0" / "model" / "config.json").read_text())
    assert "select_by" in json.dumps(card)


def test_a_row_counts_in_an_ensemble_as_often_as_planned(tmp_path: Path) -> None:
    one, other = np.eye(8)[[0, 3]] * 4, np.eye(8)[[5, 3]] * 5
    for name, logits in (("one", one), ("other", other)):
        np.savez(tmp_path / f"{name}.npz", logits=logits, labels=np.array([0, 3]))
    members = [{"run": name, "temperature": 1.0} for name in ("one", "other")]
    alike, _ = screening_ensembles.joined_logits(members, tmp_path)
    counted, _ = screening_ensembles.joined_logits(members, tmp_path, [2, 1])
    assert alike.argmax(axis=1).tolist() == [5, 3] and counted.argmax(axis=1).tolist() == [0, 3]
    np.testing.assert_allclose(counted, (2 * _log_softmax(one) + _log_softmax(other)) / 3)


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.log(softmax(logits))
    return found


def test_soft_answers_are_stored_and_read_as_a_table_of_teachers(tmp_path: Path) -> None:
    probabilities = np.array([[0.5, 0.25, 0.125, 0.125, 0, 0, 0, 0], np.full(8, 0.125)])
    file = soft_answers.file_of("frozen", 2, tmp_path)
    soft_answers.store(file, ["awe/a.jpg", "fear/b.jpg"], MIKELS.words, probabilities)
    found = table.read(soft_answers.as_table(file, tmp_path / "soft.csv"))
    assert file.name == "frozen-fold2.npz"
    assert [record.key for record in found.split(ALL)] == ["awe/a.jpg", "fear/b.jpg"]
    read = [record.target.probabilities for record in found.split(ALL)]
    np.testing.assert_allclose(read, probabilities, atol=1e-3)


def test_a_row_with_teachers_is_trained_on_their_soft_answers(paths: Paths) -> None:
    source = open_data(paths.data)
    records = [record for name, part in source.splits.items() if name != "fold 1" for record in part]
    even = np.full((len(records), len(MIKELS)), 0.125)
    keys = [record.key for record in records]
    soft_answers.store(soft_answers.file_of("even", 1, paths.results.parent), keys, MIKELS.words, even)
    taught = Row(
        name="taught", recipe="test_efficientnet", expects="", set=(*SMALL, "distillation=0.5"), folds=(1,),
        teachers=("even",),
    )  # fmt: skip
    paths.out.mkdir()
    words = screening.command(screening.Job(taught, 1, 0), paths)
    given = words[words.index("--teachers") + 1]
    assert len(Path(given).read_text().splitlines()) == 1 + len(records)
    assert run_apart(words, paths.out / "log") == 0
    card = json.loads((paths.out / "taught-fold1-seed0" / "model" / "config.json").read_text())
    assert "even-fold1.csv" in json.dumps(card)
