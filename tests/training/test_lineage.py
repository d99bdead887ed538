"""The record of a search: what it proves, and what it survives."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from affectlens.errors import LineageError
from affectlens.training.lineage import (
    LINEAGE,
    Interval,
    ancestors,
    append,
    best,
    complete_round,
    read_finished,
    read_lineage,
    verify,
    write_lineage,
)
from affectlens.training.lineage_figure import write_figures
from affectlens.training.replay import winners_line
from affectlens.training.search_plan import SearchFile, SearchPlan, read_search
from lineages import SPACE, family


def test_a_true_lineage_is_verified_and_survives_the_disk(tmp_path: Path) -> None:
    for one in family():
        append(tmp_path / LINEAGE, one)
    found = read_lineage(tmp_path / LINEAGE)
    assert found == family()
    verify(found)


@pytest.mark.parametrize("content", [b"", b'{"member": 0, "rou'])
def test_a_lineage_without_a_complete_line_is_no_finished_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LINEAGE).write_bytes(content)
    assert read_lineage(tmp_path / LINEAGE) == []
    with pytest.raises(LineageError, match="holds no complete interval"):
        read_finished(tmp_path / LINEAGE)
    with pytest.raises(LineageError, match="holds no complete interval"):
        winners_line(tmp_path)
    with pytest.raises(LineageError, match="holds no complete interval"):
        write_figures(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_hash": "0" * 64}, "weights were mixed up"),
        ({"first_step": 9}, "another"),
        ({"parent": None}, "no parent"),
        ({"parent": 7}, "has no round before"),
        ({"settings": {"lr": 0.5}}, "other settings"),
        ({"score": float("nan")}, "score nan"),
        ({"end_hash": "0200" + "f" * 60, "start_hash": "0200" + "f" * 60}, "do not fit"),
        ({"member": 1}, "there twice"),
        ({"round": 1}, "there twice"),
    ],
)
def test_whatever_is_changed_in_a_lineage_is_found_out(change: dict[str, Any], message: str) -> None:
    intervals = family()
    intervals[5] = replace(intervals[5], **change)
    with pytest.raises(LineageError, match=message):
        verify(intervals)


def test_weights_of_one_member_under_settings_sampled_from_another_are_found_out() -> None:
    """What Ray's issue 28509 was: weights and settings are right alone, and wrong only together."""
    intervals = family()
    of_b = intervals[4]  # member 1
    wrong = replace(
        intervals[8],
        settings=of_b.settings, unit=of_b.unit, sample=of_b.sample, sampled_from=of_b.sampled_from,
    )  # fmt: skip
    with pytest.raises(LineageError, match="not sampled from that member"):
        verify([*intervals[:8], wrong])


def test_a_missing_round_is_found_out() -> None:
    with pytest.raises(LineageError, match="has no round before"):
        verify([one for one in family() if one.key != (2, 2)])


def test_the_line_of_the_best_goes_through_those_whose_weights_it_has() -> None:
    winner = best(family())
    assert winner.key == (0, 3)
    assert [one.key for one in ancestors(family(), winner)] == [(0, 1), (2, 2), (0, 3)]


def test_of_equal_scores_the_earliest_is_the_best() -> None:
    alike = [replace(one, score=0.5) for one in family()]
    assert best(alike).key == (0, 1)


@pytest.mark.parametrize("tail", [b'{"member": 0, "rou', b'{"member": \xc3', b"\xff\x00"])
def test_a_line_that_a_kill_cut_off_is_left_out(tail: bytes, tmp_path: Path) -> None:
    file = tmp_path / LINEAGE
    write_lineage(file, family())
    with file.open("ab") as out:
        out.write(tail)
    assert read_lineage(file) == family()


def test_a_damaged_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / LINEAGE
    write_lineage(file, family())
    file.write_text(file.read_text().replace('"round": 2', '"round: 2'))
    with pytest.raises(LineageError, match="damaged, line 4: "):
        read_lineage(file)


def test_a_folder_without_a_search_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match=str(tmp_path)):
        read_lineage(tmp_path / LINEAGE)


@pytest.mark.parametrize(("count", "complete"), [(0, 0), (2, 0), (3, 1), (8, 2), (9, 3)])
def test_a_round_is_complete_when_every_member_has_done_it(count: int, complete: int) -> None:
    intervals: list[Interval] = family()[:count]
    assert complete_round(intervals, 3) == complete


FORMER = (
    '{"member": 0, "round": 1, "parent": null, "settings": {"learning_rate": 0.003, "mixup": 0.0}, '
    '"positions": {"learning_rate": 0.59, "mixup": 0.0}, "draw": "4cd73544ea4c5d5d", "drawn_from": null, '
    '"first_step": 0, "last_step": 2, "start_hash": "4d", "end_hash": "66", "score": 0.25, '
    '"scores": {"accuracy": 0.25}, "seconds": 0.7, "failed": null, "stopped": false}\n'
)


def test_a_line_of_format_1_is_read_under_todays_names_and_is_as_true_as_before(tmp_path: Path) -> None:
    (tmp_path / LINEAGE).write_text(FORMER)
    found = read_lineage(tmp_path / LINEAGE)
    verify(found)
    assert found[0].settings == {"lr": 0.003, "mixup": 0.0} and found[0].unit["lr"] == 0.59
    write_lineage(tmp_path / LINEAGE, found)
    assert (
        "learning_rate" not in (tmp_path / LINEAGE).read_text() and read_lineage(tmp_path / LINEAGE) == found
    )


@pytest.mark.parametrize(
    "damage", ['"round": "1"', '"round": 1.5', '"member": null', '"scores": 3', '"settings": []']
)
def test_a_line_of_other_types_is_an_error_of_ours(damage: str, tmp_path: Path) -> None:
    name = damage.partition(":")[0]
    write_lineage(tmp_path / LINEAGE, family()[:1])
    text = (tmp_path / LINEAGE).read_text()
    (tmp_path / LINEAGE).write_text(re.sub(name + r": ([{][^}]*[}]|[^,]*)", damage, text))
    with pytest.raises(LineageError):
        read_lineage(tmp_path / LINEAGE)


def search_of(folder: Path, intervals: list[Interval], **plan: Any) -> None:
    write_lineage(folder / LINEAGE, intervals)
    SearchFile(plan=SearchPlan(population=3, rounds=3, **plan), search_space=SPACE).write(folder)


def test_a_search_that_has_ended_has_the_last_round_of_every_member(tmp_path: Path) -> None:
    search_of(tmp_path, family())
    assert read_search(tmp_path) == (family(), 0)
    search_of(tmp_path, family()[:-2])
    assert read_search(tmp_path)[1] == 2, "it goes on"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()
    for read in (read_search, winners_line, write_figures):
        with pytest.raises(LineageError, match="ends before the search did: of 2 members"):
            read(tmp_path)
    (tmp_path / "states").mkdir()
    assert read_search(tmp_path)[1] == 2, "the best so far was written, and it goes on"
    (tmp_path / "states").rmdir()
    search_of(tmp_path, family()[:-2], budget=sum(i.last_step - i.first_step for i in family()[:-2]))
    assert read_search(tmp_path)[1] == 0, "its budget is spent"
