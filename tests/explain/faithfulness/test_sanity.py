"""Checks of methods whose right outcome is known."""

import math

import numpy as np
import pytest

from affectlens.explain.faithfulness.sanity import PatchBox, Pointing, plant, points_at, rank_correlation
from planted_arrays import brightness, white


@pytest.mark.needs("scipy")
def test_rank_correlation_is_spearmans_with_ties() -> None:
    from scipy import stats

    generator = np.random.default_rng(0)
    first = generator.integers(6, size=(10, 10)).astype(np.float32)
    second = first + generator.integers(9, size=(10, 10))
    expected = stats.spearmanr(first.ravel(), second.ravel()).statistic
    assert rank_correlation(first, second) == pytest.approx(expected, rel=1e-6)
    assert rank_correlation(first, -first) == -1
    assert math.isnan(rank_correlation(first, np.ones((10, 10))))


def test_a_planted_patch_is_where_it_moves_the_answer_most_and_alone_is_the_cause() -> None:
    image = 0.4 * white()
    image[:, :, :10, 18:] = 0.9  # here a bright patch adds little
    planted = plant(brightness(), image, np.concatenate([0.1 * white(), 0.9 * white()]), size=0.3)
    assert planted is not None
    assert (planted.question.favour, planted.question.against) == (("awe",), ("fear",))
    assert planted.box.top >= 10 or planted.box.right <= 18  # where it is dark
    assert planted.moved > 0
    restored = planted.image.copy()
    top, left, bottom, right = planted.box
    restored[:, :, top:bottom, left:right] = image[:, :, top:bottom, left:right]
    assert np.array_equal(restored, image)
    assert not np.array_equal(planted.image, image)


def test_a_donor_of_the_same_emotion_is_not_planted() -> None:
    assert plant(brightness(), 0.2 * white(), 0.2 * white()) is None


def test_a_map_points_at_a_box_by_its_highest_cell_and_its_mass() -> None:
    values = np.full((28, 28), -1, np.float32)
    values[8:12, 16:20], values[0:4, 0:4] = 3.0, 1.0
    box = PatchBox(8, 16, 12, 20)
    assert points_at(values, box, cells=7) == Pointing(hit=True, mass=0.75)
    assert points_at(-values, box, cells=7).hit is False
    assert points_at(np.full((28, 28), -1, np.float32), PatchBox(20, 20, 28, 28)).mass == 0
