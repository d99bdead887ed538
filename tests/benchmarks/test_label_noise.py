"""How many labels are wrong, of labels of which some were changed on purpose."""

import numpy as np
import pytest

import label_noise


def test_labels_that_were_changed_are_counted_as_what_they_were() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 6000)
    changed = (truth == 0) & (rng.random(6000) < 0.3)
    labels = np.where(changed, 2, truth)
    # A classifier that is right of the truth nine times of ten, and knows how sure it is.
    seen = np.where(rng.random(6000) < 0.9, truth, (truth + rng.integers(1, 3, 6000)) % 3)
    answers = np.where(np.eye(3)[seen] == 1, 0.9, 0.05)
    joint = label_noise.confident_joint(answers, labels)
    assert joint.sum() == pytest.approx(6000)
    np.testing.assert_allclose(joint.sum(axis=1), np.bincount(labels))
    of_label_2 = joint[2] / joint[2].sum()
    assert of_label_2[0] == pytest.approx(changed.sum() / (labels == 2).sum(), abs=0.06)
    assert joint[1, 1] / joint[1].sum() == pytest.approx(0.9, abs=0.03)


def test_sure_answers_that_contradict_their_label_are_counted() -> None:
    answers = np.array([[0.95, 0.05], [0.95, 0.05], [0.95, 0.05], [0.6, 0.4]])
    rows = label_noise.disagreements(answers, np.array([0, 0, 1, 1]))
    most_sure = rows[-1]
    assert most_sure["share"] == 0.75 and most_sure["right"] == pytest.approx(2 / 3)
    assert most_sure["against_label"] == 0.25
