"""The sRGB curve: both ways, at its joint, and in the type that it is given."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from affectlens.colour import linear_to_srgb, srgb_to_linear


def test_all_256_levels_return_as_they_were() -> None:
    levels = np.arange(256) / 255
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(levels)), levels, atol=1e-6)


def test_both_parts_of_the_curve_meet() -> None:
    around = np.array([0.04045, np.nextafter(0.04045, 1)])
    assert np.diff(srgb_to_linear(around)) == pytest.approx(0, abs=1e-6)
    assert srgb_to_linear(np.array(188 / 255)) == pytest.approx(0.5, abs=0.005)  # half the light of white


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_type_of_numbers_is_kept(kind: type) -> None:
    values: NDArray[Any] = np.linspace(0, 1, 9).astype(kind)
    assert srgb_to_linear(values).dtype == linear_to_srgb(values).dtype == kind
