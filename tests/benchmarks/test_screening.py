"""The queue of recipes: its order, its results, and a run of it on small pictures."""

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

import screening
import screening_report
from affectlens.data import folder, splits
from affectlens.data.catalog import open_data
from affectlens.data.groups import find_groups
from affectlens.data.records import ALL
from affectlens.models import backbones
from pictures import colour_set
from screening import Paths, Plan, Row, append, pending, read_plan, read_results

SMALL = ("epochs=1", "batch_size=8", "preprocessing.height=32", "preprocessing.width=32")


def row(name: str, **options: object) -> Row:
    return Row(name=name, recipe="test_efficientnet", expects="nothing", set=SMALL, **options)  # type: ignore[arg-type]


def test_the_plan_begins_with_the_recipe_before_and_every_row_has_an_expectation() -> None:
    rows = read_plan().rows
    assert rows[0].recipe == "default" and not rows[0].set
    assert all(len(each.expects) > 20 for each in rows)


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
    data = colour_set(tmp_path / "fi", ("awe", "anger", "sadness"), each=12)
    source = folder.read(data)
    groups = find_groups(source.split(ALL), "off")
    folds = splits.divide_into_folds(source, 3, 0, test=0.1, groups=groups)
    splits.write_splits(tmp_path / "folds.tsv", folds)
    for name in ("oasis", "emdt"):
        rated = colour_set(tmp_path / "ratings" / f"{name}-dev", ("awe", "anger"), each=3)
        files = [path.relative_to(rated) for path in sorted(rated.rglob("*.png"))]
        lines = ["file\tvalence_mean", *(f"{file}\t{1 + number}" for number, file in enumerate(files))]
        (rated / "ratings.tsv").write_text("\n".join(lines) + "\n")
    weights = tmp_path / "weights"
    weights.mkdir()
    save_file(
        backbones.classifier("test_efficientnet", 10).state_dict(), weights / "test_efficientnet.safetensors"
    )
    return Paths(
        fi=data, folds=tmp_path / "folds.tsv", weights=weights, ratings=tmp_path / "ratings",
        out=tmp_path / "runs", results=tmp_path / "results" / "screening.jsonl",
    )  # fmt: skip


def test_the_queue_trains_measures_and_goes_on_and_its_page_is_written(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverges = Row(
        name="diverges", recipe="test_efficientnet", expects="", set=("epochs=1", "lr=1e30"), folds=(1,)
    )
    division = splits.digest_of_splits(open_data(paths.data))
    plan = Plan(division=division, rows=(row("first", folds=(1,)), diverges))
    monkeypatch.setattr(screening, "read_plan", lambda: plan)
    assert screening.run(paths, []) == 1
    plan = Plan(division=division, rows=(plan.rows[0], row("second", folds=(1,))))
    assert screening.run(paths, ["second"]) == 0
    results = read_results(paths.results)
    assert [each["run"] for each in results] == ["first-fold1-seed0", "second-fold1-seed0"]
    first, same = results
    assert first["accuracy"] == same["accuracy"], "the same settings, seed and fold"
    assert len({each["division"] for each in results}) == 1
    assert first["valence"]["emdt"]["pictures"] == 6

    page = tmp_path / "page.md"
    screening_report.write(plan, results, page, paths.results.parent / screening.ANSWERS)
    text = page.read_text()
    assert "| `second` | 1 | 0.0 (0.0 to 0.0) | 0.0 (0.0 to 0.0) |" in text
    # Two rows of the same answers gain nothing by being joined.
    both = f"| {100 * first['accuracy']:.1f} | {100 * first['balanced_accuracy']:.1f} | 0.0 | 0.0 |"
    assert f"| `first`, `second` | 1 | 0 {both}" in text
    assert results[0]["division"] in text and page.with_suffix(".svg").is_file()
    card = json.loads((paths.out / "first-fold1-seed0" / "model" / "config.json").read_text())
    assert "select_by" in json.dumps(card)
