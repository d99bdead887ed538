"""Scores of attributes against scikit-learn and worked examples."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

from affectlens.attributes import Attribute
from affectlens.data.records import DataSource
from affectlens.emotions import MIKELS
from affectlens.errors import SettingsError
from affectlens.evaluation.attributes import (
    AttributeScore,
    AttributeScores,
    ConceptScore,
    attribute_score,
    mean_average_precision,
    shared_attributes,
)
from affectlens.evaluation.tables import DASH

SCENE = Attribute("scene", ("beach", "street", "forest"))
OBJECT = Attribute("object", ("dog", "tree"), several=True)


@pytest.mark.needs("sklearn")
@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_that_of_scikit_learn_with_and_without_ties(ties: bool) -> None:
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    scores = rng.normal(size=(40, 6))
    scores = scores.round() if ties else scores
    truth = (rng.random((40, 6)) < 0.3).astype(np.float32)
    expected = average_precision_score(truth, scores, average="macro")
    assert mean_average_precision(scores, truth) == pytest.approx(expected)


def test_words_that_no_picture_has_are_left_out() -> None:
    scores = [[0.9, 0.5], [0.1, 0.4]]
    assert mean_average_precision(scores, [[1, 0], [0, 0]]) == 1.0
    assert mean_average_precision(scores, [[0, 0], [0, 0]]) is None


def test_one_word_is_scored_where_it_is_known_next_to_the_commonest() -> None:
    logits = [[2.0, 0, 0], [0, 2.0, 0], [0, 0, 2.0], [2.0, 0, 0]]
    found = attribute_score(SCENE, logits, [0, 1, 1, -1])
    assert found == AttributeScore(measure="accuracy", value=2 / 3, guess=2 / 3, pictures=3)


def test_several_words_are_scored_where_they_are_known_next_to_their_frequency() -> None:
    truth = [[1.0, 0.0], [0.0, 0.0], [-1.0, -1.0]]
    found = attribute_score(OBJECT, [[2.0, 0], [3.0, 0], [9.0, 9]], truth)
    assert found == AttributeScore(measure="mean average precision", value=0.5, guess=0.5, pictures=2)


@pytest.mark.parametrize(("attribute", "truth"), [(SCENE, [-1, -1]), (OBJECT, [[-1.0, -1.0], [-1.0, -1.0]])])
def test_what_is_known_of_no_picture_has_no_score(attribute: Attribute, truth: ArrayLike) -> None:
    found = attribute_score(attribute, np.zeros((2, len(attribute))), truth)
    assert (found.value, found.guess, found.pictures) == (None, None, 0)


def test_scores_are_plain_data_and_a_table_for_people() -> None:
    unknown = AttributeScore(measure="accuracy", value=None, guess=None, pictures=0)
    concepts = ConceptScore(accuracy=0.75, by_attributes=0.5, by_residual=0.7)
    named = AttributeScores(attributes={"scene": unknown}, concepts=concepts)
    stored = json.loads(json.dumps(named.to_json(), allow_nan=False))
    assert stored["attributes"]["scene"]["value"] is None
    assert stored["concepts"]["by_attributes"] == 0.5
    assert f"| scene | accuracy | {DASH} | {DASH} | 0 |" in named.markdown()
    assert "by the attributes alone for 50.0%" in named.markdown()
    assert "alone" not in AttributeScores(attributes={"scene": unknown}, concepts=None).markdown()


def test_only_what_model_and_data_mean_alike_can_be_scored() -> None:
    def data(*attributes: Attribute) -> DataSource:
        return DataSource("set", Path("root"), MIKELS, {}, attributes=attributes)

    assert shared_attributes([SCENE, OBJECT], data(OBJECT)) == (OBJECT,)
    with pytest.raises(SettingsError, match="the model names scene, and set at root has none"):
        shared_attributes([SCENE], data())
    with pytest.raises(SettingsError, match="different words for scene"):
        shared_attributes([SCENE], data(Attribute("scene", ("street", "beach", "forest"))))
