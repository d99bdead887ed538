import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from affectlens.errors import ModelError, SettingsError
from affectlens.inference.engine import ONNX_RUNTIME, load_engine
from affectlens.inference.unusual import (
    BRANCHES,
    OFFSETS,
    THRESHOLD,
    WEIGHTS,
    BadEmbeddings,
    BadUsualPictures,
    UsualPictures,
    threshold_of,
)
from affectlens.model_folder import GRAPH_EMBEDDING
from unusual_pictures import KINDS, layouts, made

Array = NDArray[np.float64]
WIDTH, BRANCH_SIZES = 12, (4, 8)


def world(count: int, *, towards: int | None = None, seed: int = 0, strength: float = 3) -> Array:
    """Embeddings around one mean; those of an unusual kind have more of a feature that kinds share."""
    rng = np.random.default_rng((seed, 99 if towards is None else towards))
    found = 2 + rng.normal(0, 0.5, (count, WIDTH))
    if towards is not None:
        found[:, 0] += strength
        found[:, towards] += strength / 2
    return found


def fitted(**settings: Any) -> UsualPictures:
    kinds = [world(60, towards=feature) for feature in (4, 5, 6)]
    return UsualPictures.fit(world(400), kinds, BRANCH_SIZES, **settings).with_threshold([world(500, seed=1)])


def test_a_kind_that_it_did_not_learn_from_is_found_by_what_kinds_share() -> None:
    found = fitted()
    assert found.is_unusual(world(200, towards=9, seed=2)).mean() > 0.9
    assert found.is_unusual(world(2000, seed=2)).mean() < 0.03


def test_a_discriminant_is_0_for_the_mean_photograph_and_1_for_the_mean_of_its_kind() -> None:
    photographs, kinds = world(400), [world(60, towards=feature) for feature in (4, 5, 6)]
    found = UsualPictures.fit(photographs, kinds, BRANCH_SIZES)
    np.testing.assert_allclose(found.discriminants(photographs).mean(axis=0), np.zeros(4), atol=1e-9)
    means = np.stack([found.discriminants(kind).mean(axis=0) for kind in kinds])
    np.testing.assert_allclose(np.diag(means), np.ones(3))
    assert means[:, 3].mean() == pytest.approx(1)


def test_photographs_above_the_limit_of_a_discriminant_are_few_of_every_source() -> None:
    sources = [world(500, seed=1), world(150, seed=2, towards=7, strength=0.5)]
    found = fitted().with_threshold(sources, above_limit=0.02)
    for source in sources:
        assert (found.discriminants(source) > 1 + 1e-9).mean(axis=0).max() <= 0.02
        assert found.is_unusual(source).mean() <= 0.01


def test_kinds_count_alike_however_many_pictures_they_have() -> None:
    photographs, first, second = world(300), world(50, towards=4), world(50, towards=8)
    once = UsualPictures.fit(photographs, [first, second])
    repeated = UsualPictures.fit(photographs, [first, np.concatenate([second] * 3)])
    np.testing.assert_allclose(once.weights, repeated.weights, rtol=1e-6)


def test_lengths_of_branches_count_for_nothing() -> None:
    found, pictures = fitted(), world(20, seed=3)
    longer = pictures * np.repeat([5.0, 0.1], BRANCH_SIZES)
    np.testing.assert_allclose(found.score(longer), found.score(pictures))


def test_a_picture_without_any_feature_has_a_score() -> None:
    assert np.isfinite(fitted().score(np.zeros((1, WIDTH)))).all()


def test_a_picture_scores_the_same_alone_and_among_others() -> None:
    found, pictures = fitted(), world(9, seed=4)
    alone = np.concatenate([found.score(picture[None]) for picture in pictures])
    np.testing.assert_allclose(alone, found.score(pictures), rtol=0, atol=1e-12)
    assert found.score(np.zeros((0, WIDTH))).shape == (0,)


def test_without_a_threshold_nothing_is_unusual() -> None:
    found = replace(fitted(), threshold=math.inf)
    assert not found.is_unusual(world(50, towards=4)).any()


@pytest.mark.parametrize("flagged", [0.01, 0.02, 0.1])
def test_a_threshold_flags_at_most_the_fraction_of_every_source(flagged: float) -> None:
    rng = np.random.default_rng(0)
    sources = [rng.normal(shift, 1, size) for shift, size in ((0, 300), (1, 137), (0.5, 120))]
    threshold = threshold_of(sources, flagged)
    rates = [(source > threshold).mean() for source in sources]
    assert max(rates) <= flagged
    # A little lower, and one source would have more than that.
    assert max((source >= threshold).mean() for source in sources) > flagged


def test_of_a_source_of_few_photographs_none_is_flagged() -> None:
    assert threshold_of([np.arange(50.0)], 0.01) == 49


def test_equal_scores_are_flagged_together_or_not_at_all() -> None:
    assert threshold_of([np.zeros(200)]) == 0


def test_tensors_are_small_and_give_the_same_scores() -> None:
    found = fitted()
    tensors = found.tensors()
    assert {each.dtype for each in tensors.values()} == {np.dtype(np.float32)}
    again = UsualPictures.from_tensors(tensors)
    assert again.branches == BRANCH_SIZES
    assert again.threshold == pytest.approx(found.threshold)
    np.testing.assert_allclose(again.score(world(50)), found.score(world(50)), atol=1e-4)
    np.testing.assert_equal(again.tensors(), tensors)


def test_a_score_without_a_threshold_can_be_stored() -> None:
    found = UsualPictures.fit(world(100), [world(40, towards=4)])
    assert UsualPictures.from_tensors(found.tensors()).threshold == math.inf


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop(WEIGHTS),
        lambda tensors: tensors.update({WEIGHTS: tensors[WEIGHTS][:-1]}),
        lambda tensors: tensors.update({WEIGHTS: tensors[WEIGHTS][None]}),
        lambda tensors: tensors.update({WEIGHTS: np.full((WIDTH, 4), np.nan)}),
        lambda tensors: tensors.update({OFFSETS: np.full(4, np.inf)}),
        lambda tensors: tensors.update({OFFSETS: np.zeros(2)}),
        lambda tensors: tensors.update({THRESHOLD: np.array([np.nan])}),
        lambda tensors: tensors.update({BRANCHES: np.array([np.nan, 8])}),
        lambda tensors: tensors.update({BRANCHES: np.array([-4, 16])}),
        lambda tensors: tensors.update({BRANCHES: np.array([])}),
    ],
)
def test_tensors_that_cannot_be_are_an_error(change: Callable[[dict[str, Any]], object]) -> None:
    tensors: dict[str, Any] = dict(fitted().tensors())
    change(tensors)
    with pytest.raises(BadUsualPictures, match="score of unusual pictures"):
        UsualPictures.from_tensors(tensors)
    assert issubclass(BadUsualPictures, ModelError)


def test_embeddings_of_another_model_are_an_error() -> None:
    with pytest.raises(BadEmbeddings, match=r"Embeddings of 7 features, where 12 are expected"):
        fitted().score(np.zeros((3, 7)))
    with pytest.raises(BadEmbeddings, match=r"shape \(12,\)"):
        fitted().score(np.zeros(WIDTH))
    with pytest.raises(BadEmbeddings, match="of 7 features, where 12"):
        UsualPictures.fit(world(100), [np.ones((40, 7))])
    with pytest.raises(BadEmbeddings, match=r"4 \+ 7 features do not add up to the embedding's 12"):
        UsualPictures.fit(world(100), [world(40, towards=4)], (4, 7))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_an_error_that_names_its_row(value: float) -> None:
    pictures = world(30)
    pictures[17, 3] = value
    with pytest.raises(BadEmbeddings, match="Embedding 17 holds a number that is not finite"):
        fitted().score(pictures)
    with pytest.raises(BadEmbeddings, match="Embedding 17"):
        UsualPictures.fit(pictures, [world(40, towards=4)])


def test_too_few_pictures_are_an_error() -> None:
    with pytest.raises(BadEmbeddings, match="19 embeddings are too few: 20 are needed"):
        UsualPictures.fit(world(19), [world(40, towards=4)])
    with pytest.raises(BadEmbeddings, match="5 embeddings are too few"):
        UsualPictures.fit(world(100), [world(40, towards=4), world(5, towards=5)])
    with pytest.raises(BadEmbeddings, match="give embeddings of one kind"):
        UsualPictures.fit(world(100), [])
    with pytest.raises(BadEmbeddings, match="19 photographs is too small"):
        fitted().with_threshold([world(500), world(19)])
    with pytest.raises(BadEmbeddings, match="no source"):
        fitted().with_threshold([])


def test_what_does_not_differ_is_an_error() -> None:
    with pytest.raises(BadEmbeddings, match="nothing differs"):
        UsualPictures.fit(world(100), [world(100)])
    with pytest.raises(BadEmbeddings, match="nothing to fit to"):
        UsualPictures.fit(np.ones((40, 3)), [np.ones((40, 3))])


@pytest.mark.parametrize("setting", [0, -0.1, 1.1, math.nan])
def test_impossible_settings_are_an_error(setting: float) -> None:
    with pytest.raises(SettingsError, match="shrinkage"):
        fitted(shrinkage=setting)
    with pytest.raises(SettingsError, match="to be flagged"):
        fitted().with_threshold([world(500)], setting)


@pytest.mark.parametrize("kind", KINDS)
def test_made_pictures_are_the_same_each_time_and_differ_among_themselves(kind: str) -> None:
    count = len(KINDS[kind])
    first, again = list(made(kind, count)), list(made(kind, count))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(picture.dtype == np.uint8 and min(picture.shape[:2]) >= 200 for picture in first)
    assert len({picture.tobytes() for picture in first}) == count
    other = list(made(kind, count, seed=1))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert len(set(layouts(kind))) == count


def test_the_default_models_embeddings_distinguish_documents_from_scenes() -> None:
    engine = load_engine(engine=ONNX_RUNTIME)
    preprocessing = engine.card.preprocessing

    def embedded(kind: str, seed: int) -> NDArray[np.float32]:
        pixels = [preprocessing.fit_pixels(picture) for picture in made(kind, 20, seed)]
        return engine.output(preprocessing.normalise(np.stack(pixels)), GRAPH_EMBEDDING)

    learned = UsualPictures.fit(embedded("drawings", 0), [embedded("documents", 0)], (192, 1280, 512))
    usual, unusual = learned.score(embedded("drawings", 1)), learned.score(embedded("documents", 1))
    assert unusual.min() > usual.max()
