"""LIME and SHAP on superpixels: values that go to the right piece, and add up."""

import builtins
import sys
from typing import Any

import numpy as np
import pytest
import torch

from affectlens.errors import SettingsError
from affectlens.explain.methods import superpixels
from affectlens.explain.methods.superpixels import Lime, RidgeRegression, Shap, segment
from affectlens.preprocess import Images
from planted_arrays import ArrayModel, fearing, noise, one_spot, white, why_fear

pytest.importorskip("skimage", reason="the extra `superpixels` is not installed")


def both_halves() -> ArrayModel:
    """Sees fear only where the left and the right half are bright together."""
    return fearing(
        lambda images: 6 * images[..., :14].mean(axis=(1, 2, 3)) * images[..., 14:].mean(axis=(1, 2, 3))
    )


def cubed() -> ArrayModel:
    """Sees fear in the cube of the brightness, so that three pieces act together."""
    return fearing(lambda images: 6 * images.mean(axis=(1, 2, 3)) ** 3)


def blocks() -> Images:
    """A picture of four by four flat squares, of colours of their own: (1, 3, 28, 28)."""
    colours = noise(3, side=4) * np.float32(0.8) + np.float32(0.2)
    return colours.repeat(7, axis=2).repeat(7, axis=3)


def test_shapley_values_add_up_to_the_answer_and_go_to_the_piece_that_counts() -> None:
    image = blocks()
    model = one_spot(top=8, left=15, side=4)
    found = Shap(segments=16, samples=200, replacement="black")(model, image, why_fear())
    gained = float(5 * image[:, :, 8:12, 15:19].mean())
    assert found.sums_up
    assert float(found.values.sum()) == pytest.approx(gained, rel=1e-3)
    assert abs(found.details["completeness_error"]) < 1e-3 * gained
    assert float(found.values[7:14, 14:21].sum()) == pytest.approx(gained, rel=0.05)
    assert found.details["fit"] == pytest.approx(1, abs=1e-3)  # nothing acts together here


def test_two_halves_that_only_count_together_share_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    halves = torch.zeros(28, 28, dtype=torch.long)
    halves[:, 14:] = 1
    monkeypatch.setattr(superpixels, "segment", lambda *_: halves)
    found = Shap(samples=10, replacement="black")(both_halves(), white(), why_fear())
    assert float(found.values[:, :14].sum()) == pytest.approx(3, rel=1e-4)
    assert float(found.values[:, 14:].sum()) == pytest.approx(3, rel=1e-4)


def test_lime_marks_the_piece_that_counts_and_reports_how_well_it_fits() -> None:
    model, image = one_spot(top=8, left=15, side=4), blocks()
    found = Lime(segments=16, samples=300, replacement="black")(model, image, why_fear())
    row, column = divmod(int(found.values.argmax()), 28)
    assert 7 <= row < 14 and 14 <= column < 21
    assert found.details["fit"] > 0.95
    assert not found.sums_up


@pytest.mark.parametrize("method", [Lime, Shap])
def test_the_seed_decides_the_samples_and_the_callers_random_numbers_go_on(method: Any) -> None:
    model, image = cubed(), blocks()  # where a sample is not as good as another
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, again, other = (
        method(segments=16, samples=40, seed=seed, replacement="black")(model, image, why_fear()).values
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.rand(1), expected)
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_the_line_is_the_ridge_regression_of_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    generator = torch.Generator().manual_seed(0)
    kept = (torch.rand(60, 5, generator=generator) < 0.5).float()
    answers, weights = torch.randn(60, generator=generator), torch.rand(60, generator=generator)
    regression = RidgeRegression(penalty=0.7)
    regression.fit([(kept[:20], answers[:20], weights[:20]), (kept[20:], answers[20:], weights[20:])])
    theirs = linear_model.Ridge(alpha=0.7).fit(kept.numpy(), answers.numpy(), sample_weight=weights.numpy())
    torch.testing.assert_close(
        regression.representation()[0], torch.tensor(theirs.coef_).float(), rtol=1e-4, atol=1e-5
    )
    assert regression.explained_variance == pytest.approx(
        theirs.score(kept.numpy(), answers.numpy(), weights.numpy()), rel=1e-4
    )


def test_pieces_that_always_go_together_share_their_coefficient() -> None:
    kept = torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    regression = RidgeRegression()
    regression.fit([(kept, torch.tensor([4.0, 0.0, 4.0]), torch.ones(3))])
    torch.testing.assert_close(regression.representation(), torch.tensor([[2.0, 2.0]]))


def test_even_a_picture_of_one_colour_has_two_pieces() -> None:
    for side in (2, 28):
        pieces = segment(one_spot(), 0.5 * white(side), 2)
        assert pieces.shape == (side, side)
        assert len(pieces.unique()) == int(pieces.max()) + 1 >= 2


def test_without_scikit_image_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("skimage"):
            raise ImportError(name)
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in [name for name in sys.modules if name.startswith("skimage")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SettingsError, match=r"pip install 'affectlens\[superpixels\]'"):
        Shap()(one_spot(), noise(0), why_fear())
