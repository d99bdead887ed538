"""Classifiers on frozen features: what each sees, and what is stored."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import frozen_heads
import frozen_perceptrons
import screening
import soft_answers
from affectlens.data.catalog import open_data
from affectlens.data.records import Record
from affectlens.emotions import MIKELS
from affectlens.metrics import softmax
from screening_paths import paths_of

WORDS = ("awe", "anger", "sadness")


@pytest.fixture
def paths(tmp_path: Path) -> screening.Paths:
    return paths_of(tmp_path, WORDS)


@pytest.fixture(autouse=True)
def _many_short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many steps on a few pictures as perceptrons take on many."""
    monkeypatch.setattr(frozen_perceptrons, "EPOCHS", 60)
    monkeypatch.setattr(frozen_perceptrons, "WARMUP", 10)
    monkeypatch.setattr(frozen_perceptrons, "RATE", 3e-3)


@pytest.fixture
def features(paths: screening.Paths, tmp_path: Path) -> Path:
    """Features by which awe differs from the rest, and in which every picture has a channel of its own."""
    records = [record for part in open_data(paths.data).splits.values() for record in part]
    random = np.random.default_rng(0)
    found = random.normal(size=(len(records), 3))
    found[:, 0] += [4 * (record.target.top == "awe") for record in records]
    file = tmp_path / "features.npz"
    keys = np.array([record.key for record in records])
    oasis, emdt = random.normal(size=(2, 6, 3))
    np.savez(file, keys=keys, widths=np.array([2, 1]), fi=found, oasis=oasis, emdt=emdt)
    return file


@pytest.mark.parametrize("kind", [frozen_heads.LINEAR, frozen_heads.PERCEPTRONS], ids=lambda kind: kind.row)
def test_answers_are_by_classifiers_that_saw_neither_the_fold_nor_the_one_that_is_measured(
    kind: frozen_heads.Kind, paths: screening.Paths, features: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_data(paths.data)
    fold_of = {record.key: name for name, part in source.splits.items() for record in part}
    seen: list[set[str]] = []
    answered: list[list[str]] = []
    original = frozen_heads.Stored.of

    def of(self: frozen_heads.Stored, records: list[Record]) -> frozen_heads.Array:
        answered.append([record.key for record in records])
        return original(self, records)

    def noting(inputs: frozen_heads.Array, labels: Any, widths: Sequence[int]) -> Any:
        seen.append({fold_of[key] for key in answered[-1]})
        assert widths == [2, 1]
        return kind.fit(inputs, labels, widths)

    monkeypatch.setattr(frozen_heads.Stored, "of", of)
    frozen_heads.teach(features, paths, 1, replace(kind, fit=noting))
    assert seen == [{"fold 3"}, {"fold 2"}, {"fold 2", "fold 3"}]
    with np.load(soft_answers.file_of(kind.teacher, 1, paths.results.parent)) as stored:
        assert {fold_of[key] for key in stored["keys"]} == {"fold 2", "fold 3"}
        is_awe = np.array([key.startswith("awe") for key in stored["keys"]])
        first = stored["log_probabilities"].argmax(axis=1) == MIKELS.index("awe")
    assert (first == is_awe).mean() > 0.8
    (result,) = screening.read_results(paths.results)
    assert (result["row"], result["fold"]) == (kind.row, 1) and result["accuracy"] > 0.4
    assert result["parameters"] > 24


def test_the_classifier_is_that_of_scikit_learn() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    random = np.random.default_rng(0)
    inputs = random.normal(size=(400, 12), scale=3).astype(np.float32)
    labels = (inputs[:, 0] > 0).astype(np.int64) + 2 * (inputs[:, 1] + random.normal(size=400) > 1)
    ours = softmax(frozen_heads.fit(inputs, labels)(inputs))
    standard = (inputs - inputs.mean(axis=0)) / (inputs.std(axis=0) + 1e-4)
    theirs = linear.LogisticRegression(C=1 / (len(labels) * frozen_heads.PENALTY), max_iter=1000)
    expected = theirs.fit(standard, labels).predict_proba(standard)
    # Emotions that no picture has are what the penalty leaves to them.
    np.testing.assert_allclose(ours[:, :4], expected, atol=0.02)
    assert ours[:, 4:].max() < 0.02


def test_a_perceptron_of_each_network_reads_its_own_features_alone() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(600, 5)).astype(np.float32)
    labels = np.where(inputs[:, 3] * inputs[:, 4] > 0, 1, 4)  # which no linear classifier reads
    first, second = frozen_perceptrons.fit(inputs, labels, [3, 2], seeds=(0,)).members
    other = np.concatenate([inputs[:, :3] + 9, inputs[:, 3:]], axis=1)
    assert second.log_probabilities(inputs).equal(second.log_probabilities(other))
    assert not first.log_probabilities(inputs).equal(first.log_probabilities(other))
    right = (second.log_probabilities(inputs).argmax(dim=1).numpy() == labels).mean()
    assert right > 0.85 > (first.log_probabilities(inputs).argmax(dim=1).numpy() == labels).mean()


def test_perceptrons_are_the_same_each_time_and_their_answers_probabilities() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(80, 4)).astype(np.float32)
    labels = random.integers(0, 8, 80)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    once = frozen_perceptrons.fit(inputs, labels, [4])(inputs)
    assert torch.get_rng_state().equal(before)
    np.testing.assert_array_equal(once, frozen_perceptrons.fit(inputs, labels, [4])(inputs))
    alone = [frozen_perceptrons.fit(inputs, labels, [4], seeds=(seed,))(inputs) for seed in (0, 1)]
    np.testing.assert_allclose(once, np.mean(alone, axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.exp(alone[0]).sum(axis=1), 1, rtol=1e-5)


def test_features_are_stored_by_picture_and_no_other_picture_changes_them(
    paths: screening.Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen_heads, "LEVELS", {"test_vit": (1,), "test_efficientnet": (0, 2)})
    monkeypatch.setattr(frozen_heads, "SIDE", 160)
    records = [record for part in open_data(paths.data).splits.values() for record in part]
    monkeypatch.setattr(frozen_heads, "open_data", lambda _: open_data(f"folder:{paths.fi}"))
    frozen_heads.make_features(paths.fi, paths.weights, paths.ratings, tmp_path / "features.npz")
    stored = frozen_heads.Stored(tmp_path / "features.npz")
    alone = frozen_heads.features_of([records[5].path], str(paths.weights), frozen_heads.LEVELS, 160)
    expected = np.concatenate(list(alone.values()), axis=1)
    np.testing.assert_allclose(stored.of([records[5]]), expected, rtol=0.02, atol=0.02)
    assert np.abs(stored.of([records[0]]) - expected).max() > 0.1
    rated = screening.read_ratings(paths.ratings / "emdt-dev")[0]
    assert stored.of_rated("emdt").shape == (len(rated), expected.shape[1])
