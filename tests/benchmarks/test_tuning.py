from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tuning
import tuning_report
from affectlens.data import splits
from affectlens.data.catalog import open_data
from lineages import family
from pictures import colour_set

KINDS = ("pbt", "random", "asha")


def results(accuracy: dict[str, float], pictures: int = 400) -> dict[str, Any]:
    """Results as `tuning.py run` writes them, of models that are right so often on the same pictures."""
    size = tuning.Size()
    searches = []
    for kind in KINDS:
        for seed in tuning.SEEDS:
            rng = np.random.default_rng(seed)  # the same hard pictures for all kinds
            right = (rng.random(pictures) < accuracy[kind]).astype(int).tolist()
            share = sum(right) / pictures
            scores = {"accuracy": share, "balanced_accuracy": share, "macro_f1": share}
            curve = [[24 * n, min(0.3 + 0.01 * n, accuracy[kind])] for n in range(1, 49)]
            searches.append({"kind": kind, "seed": seed, "curve": curve, "sampled_curve": curve[2:],
                             "is_the_recipe": seed == 0, "members": 6, "settings": {},
                             "held_out": {"right": right, **scores}})  # fmt: skip
    return {
        "date": "2026-01-02T03:04+00:00",
        "machine": {"cpu": "a processor", "cores": 2},
        "size": {**vars(size), "budget": size.budget},
        "select_by": "mean",
        "overhead": {"ray": 105.0, "plain": 100.0, "start": 5.0, "intervals": 6, "interval": 100},
        "searches": searches,
    }


def test_the_best_so_far_never_falls_and_counts_the_steps_of_all_members() -> None:
    points = tuning.curve(family())
    assert [steps for steps, _ in points] == [10, 20, 20, 30, 40, 50, 60, 70, 80]
    assert [score for _, score in points] == [0.4, 0.4, 0.4, 0.45, 0.46, 0.5, 0.61, 0.61, 0.61]


def test_of_some_alone_the_best_is_theirs_and_the_steps_are_those_of_all() -> None:
    own = tuning.recipes_own(family())
    points = tuning.curve(family(), lambda one: one.settings != own)
    everyone = dict(tuning.curve(family()))
    assert points and all(steps in everyone and score <= everyone[steps] for steps, score in points)


def test_what_was_best_at_a_time_is_what_was_done_by_then() -> None:
    points = [(10, 0.3), (20, 0.5)]
    assert [tuning_report.best_at(points, steps) for steps in (9, 10, 19, 20, 99)] == [
        None,
        0.3,
        0.3,
        0.5,
        0.5,
    ]


def test_a_clear_difference_is_reported_and_an_unclear_one_is_not() -> None:
    clear = results({"pbt": 0.8, "random": 0.5, "asha": 0.5})
    found = tuning_report.held_out_difference(clear, "pbt", "random")
    assert found.mean == pytest.approx(0.3, abs=0.07)
    assert "population based training is better" in tuning_report.verdict("pbt", "random", found)
    swapped = tuning_report.held_out_difference(clear, "random", "pbt")
    assert "population based training is better" in tuning_report.verdict("random", "pbt", swapped)
    none = tuning_report.held_out_difference(clear, "random", "asha")
    assert "no difference that these searches can show" in tuning_report.verdict("random", "asha", none)
    short = tuning_report.parts(clear, "x.svg")["SHORT"]
    assert "population based training did better than random search" in short and "+5.0 %" in short
    alike = tuning_report.parts(results(dict.fromkeys(KINDS, 0.5)), "x.svg")["SHORT"]
    assert "show no difference between the three ways" in alike


def test_the_page_has_no_empty_slot_and_is_the_same_each_time(tmp_path: Path) -> None:
    found = results({"pbt": 0.6, "random": 0.55, "asha": 0.5})
    for name in ("one", "two"):
        tuning_report.write(tmp_path / name / "tuning.md", found)
    page = (tmp_path / "one" / "tuning.md").read_text()
    assert "@@" not in page and "2026-01-02" in page and "tuning.svg" in page
    assert "within the goal" in page and "1,152 steps" in page
    for file in ("tuning.md", "tuning.svg"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_what_ray_costs_beyond_the_goal_is_reported() -> None:
    found = results(dict.fromkeys(KINDS, 0.5))
    found["overhead"]["ray"] = 125.0
    assert "beyond the goal" in tuning_report.parts(found, "x.svg")["SHORT"]


def test_pictures_to_report_on_are_none_of_those_to_train_or_select_by(tmp_path: Path) -> None:
    data = open_data(f"folder:{colour_set(tmp_path / 'data', ('awe', 'anger'), each=30)}")
    size = replace(tuning.TINY, train=20, validation=8, held_out=8)
    divided = splits.with_validation(data, 0.4, 0)
    tuning.write_subset(tmp_path / "out", divided, size)
    found = open_data(f"csv:{tmp_path / 'out' / tuning.TABLE}@{data.root}")
    keys = {
        name: {record.key for record in found.split(name)} for name in (splits.TRAIN, splits.VAL, splits.TEST)
    }
    assert [len(part) for part in keys.values()] == [20, 8, 8]
    assert len(set.union(*keys.values())) == 36
