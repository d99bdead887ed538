"""Maps laid on pictures: colours, scale, and what people with a colour deficiency see."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from affectlens.report.heatmaps import AGAINST, FOR, ColourScale, overlay, tinted


def values_of(top: float = 1.0, bottom: float = -1.0) -> NDArray[np.float64]:
    """A map, 60 x 90: positive at the upper left, negative at the lower right."""
    values = np.zeros((60, 90))
    values[5:20, 5:30] = top
    values[40:55, 60:85] = bottom
    return values


def grey() -> NDArray[np.uint8]:
    return np.full((60, 90, 3), 128, dtype=np.uint8)


def test_positive_values_are_orange_negative_ones_blue_and_the_rest_is_grey() -> None:
    laid = overlay(values_of(), grey(), 1.0).astype(int)
    red, green, blue = laid[12, 17]
    assert red > green + 40 > blue + 80
    red, green, blue = laid[47, 72]
    assert blue > green + 40 > red + 60
    assert np.ptp(laid[30, 5]) <= 1


def test_what_has_no_value_is_faded_and_hatched() -> None:
    values = values_of()
    values[:, :40] = np.nan
    laid = overlay(values, grey(), 1.0)
    assert np.ptp(laid[:, :40].astype(int), axis=2).max() == 0
    assert len(np.unique(laid[:, :40])) == 2
    np.testing.assert_array_equal(laid[:, 40:], overlay(values_of(), grey(), 1.0)[:, 40:])


def test_full_colour_is_for_all_values_but_a_few_outliers_of_either_sign() -> None:
    values = np.linspace(-1, 0, 1000, dtype=np.float32)
    values[0] = -50
    assert ColourScale.of(values, "log-odds").full == pytest.approx(0.995, abs=0.002)
    assert ColourScale.of(np.zeros(5, dtype=np.float32), "log-odds").full == 1


def test_light_and_dark_of_the_picture_stay_under_the_strongest_colour() -> None:
    strongest = tinted(np.array([[0.1, 0.5, 0.9]]), np.array([[1.0, 1.0, 1.0]]))[0]
    light = strongest @ np.array([0.299, 0.587, 0.114])
    assert light[0] + 0.1 < light[1] < light[2] - 0.1


def contrast(one: Any, other: Any, matrix: Any) -> float:
    """Distance of two colours as people with a colour deficiency see them, linear RGB in 0..1."""
    linear = [np.array(colour) ** 2.2 for colour in (one, other)]
    seen = [(np.array(matrix) @ colour).clip(0, 1) ** (1 / 2.2) for colour in linear]
    return float(np.abs(seen[0] - seen[1]).max())


# Machado et al., "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009, severity 1.
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_orange_and_blue_are_distinguishable_with_any_colour_deficiency(deficiency: str) -> None:
    assert contrast(FOR, AGAINST, DEFICIENCIES[deficiency]) > 0.4
    grey = (0.5, 0.5, 0.5)
    assert (
        min(contrast(FOR, grey, DEFICIENCIES[deficiency]), contrast(AGAINST, grey, DEFICIENCIES[deficiency]))
        > 0.2
    )
