import json

import numpy as np
import pytest

import unusual
from affectlens.inference.unusual import FLAGGED
from unusual_methods import ALONE, EXPOSED
from unusual_pictures import KINDS


def test_the_committed_result_has_a_table_of_each_name_with_all_methods_and_kinds() -> None:
    result = json.loads(unusual.RESULT.read_text())
    tables = unusual.tables(result)
    assert set(tables) == {
        "METHODS", "AUROC", "KINDS", "LAYOUTS", "SOURCES", "ALTERED", "FOUND", "QUANTILES",
    }  # fmt: skip
    assert all(title in tables["METHODS"] for title in ALONE | EXPOSED)
    assert all(kind in tables[name] for kind in KINDS for name in ("AUROC", "KINDS", "LAYOUTS"))


def test_ties_count_half_in_the_area_under_the_curve() -> None:
    assert unusual.auroc(np.array([0.0, 1, 2, 3]), np.array([4.0, 5])) == 1
    assert unusual.auroc(np.array([0.0, 1]), np.array([1.0])) == pytest.approx(0.75)


def test_halves_keep_the_pictures_of_a_unit_together_and_are_halves_of_the_units() -> None:
    units = {"rated": [f"theme {n // 4}" for n in range(40)]}
    for half in unusual.halves_of(units):
        chosen = half["rated"].reshape(10, 4)
        assert (chosen.all(axis=1) == chosen.any(axis=1)).all()
        assert chosen[:, 0].sum() == 5


def test_of_several_scores_the_largest_relative_to_its_limit_flags() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.1, 1, (2000, 2)) * np.array([1, 10])
    rule = unusual.Rule.of({"photographs": scores})
    assert rule.limits[1] / rule.limits[0] == pytest.approx(10, rel=0.02)
    assert rule.flags(scores).mean() == pytest.approx(FLAGGED)
    assert rule.flags(np.array([[0.5, 20], [2, 5], [0.5, 5]])).tolist() == [True, True, False]
