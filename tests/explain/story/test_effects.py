"""What changes an answer: measured regions, appearance, noise; shares of a map."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from affectlens.emotions import MIKELS
from affectlens.errors import SettingsError
from affectlens.explain.core.heatmap import Heatmap, MapValues
from affectlens.explain.core.question import make_question
from affectlens.explain.story.effects import (
    APPEARANCES,
    INNER,
    LEAST_EFFECT,
    OUTER,
    REGIONS,
    SHIFT,
    PerturbationEffect,
    PictureEffects,
    divide_by_region,
    measure_effects,
)
from affectlens.images import Pixels
from affectlens.preprocess import Fit, Images, Preprocessing
from planted_arrays import ArrayModel, fearing, levels

Finds: TypeAlias = Callable[[Images], NDArray[np.floating]]  # (B, 3, h, w) -> (B,)


def subject(finds: Finds, fit: Fit = "squash", side: int = 60) -> ArrayModel:
    """Fears what a function finds in levels 0..1."""
    return fearing(finds, replace(levels(side), fit=fit))


def measured(finds: Finds, pixels: Pixels, fit: Fit = "squash") -> PictureEffects:
    (found,) = measure_effects(subject(finds, fit), pixels, [make_question(MIKELS, "fear")])
    return found


def effect(found: PictureEffects, name: str) -> float:
    (perturbation,) = [each for each in found.perturbations if each.name == name]
    return perturbation.effect


def with_patch(top: float, left: float, height: int = 150, width: int = 210) -> Pixels:
    """A black picture with a white patch, a tenth of the sides, at fractions of these. uint8 (H, W, 3)"""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    rows, columns = (
        slice(int(top * height), int((top + 0.1) * height)),
        slice(int(left * width), int((left + 0.1) * width)),
    )
    pixels[rows, columns] = 255
    return pixels


def brightest(images: Images) -> Images:
    return np.asarray(4 * images.max(axis=(1, 2, 3)))


# ----------------------------------------------------------------------------------------------- regions


@pytest.mark.parametrize(
    ("top", "left", "names"),
    [
        (0.03, 0.03, {"the top left ninth", "the top third", "the left third", OUTER}),
        (0.45, 0.45, {"the middle ninth", "the middle row",
                      "the middle column", INNER}),
        (0.88, 0.45, {"the bottom middle ninth", "the bottom third",
                      "the middle column", OUTER}),
    ],
)  # fmt: skip
def test_blurring_the_region_of_a_patch_and_no_other_takes_the_answer_away(
    top: float, left: float, names: set[str]
) -> None:
    found = measured(brightest, with_patch(top, left))
    assert {c.name for c in found.beyond_noise("region") if c.effect < -1} == names


def test_a_region_that_the_network_does_not_see_has_no_effect() -> None:
    pixels = with_patch(0.45, 0.02, height=100, width=300)  # cropped away: only the middle third is seen
    found = measured(brightest, pixels, fit="crop")
    assert effect(found, "the left third") == pytest.approx(0, abs=1e-3)


def test_inner_and_outer_half_are_halves_thirds_thirds_and_ninths_ninths() -> None:
    areas = {
        c.name: c.area for c in measured(brightest, with_patch(0.4, 0.4)).perturbations if c.kind == "region"
    }
    assert areas.keys() == REGIONS.keys()
    for name, area in areas.items():
        share = 1 / 2 if "half" in name else 1 / 9 if "ninth" in name else 1 / 3
        assert area == pytest.approx(share, abs=0.01)


def test_a_region_of_the_callers_own_is_measured_too() -> None:
    (found,) = measure_effects(
        subject(brightest),
        with_patch(0.2, 0.6),
        [make_question(MIKELS, "fear")],
        {"the faces": [(0.15, 0.55, 0.35, 0.75)], "the other faces": [(0.6, 0.1, 0.9, 0.3)]},
    )
    assert effect(found, "the faces") < -1
    assert effect(found, "the other faces") == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("box", [(0.5, 0, 0.5, 1), (0, 0.2, 1, 1.1), (-0.1, 0, 1, 1), (0.6, 0, 0.5, 1)])
def test_a_box_outside_the_picture_or_without_area_is_an_error(box: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="not a box of the faces; expected top, left, bottom and right"):
        measure_effects(subject(brightest), with_patch(0.4, 0.4), [], {"the faces": [box]})  # type: ignore[list-item]


# ------------------------------------------------------------------------------------------------- appearance


def red_over_blue(images: Images) -> Images:
    return np.asarray(4 * (images[:, 0] - images[:, 2]).mean(axis=(1, 2)))


def roughness(images: Images) -> Images:
    return np.asarray(60 * np.abs(np.diff(images, axis=3)).mean(axis=(1, 2, 3)))


def brightness(images: Images) -> Images:
    luma = np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(6 * (images.mean(axis=(2, 3)) @ luma))


def test_colour_detail_and_brightness_each_move_the_answer_that_comes_from_them_and_no_other() -> None:
    noise = np.random.default_rng(0).integers(60, 140, (120, 120, 3))
    pixels = (noise.sum(axis=2, keepdims=True) // 3 + [40, 0, -40]).astype(np.uint8)
    colours, fine, brighter, darker = APPEARANCES
    found = measured(red_over_blue, pixels)
    assert effect(found, colours) < -1
    assert abs(effect(found, fine)) < LEAST_EFFECT
    found = measured(roughness, pixels)
    assert effect(found, fine) < -0.4
    assert abs(effect(found, colours)) < LEAST_EFFECT
    found = measured(brightness, pixels)
    assert effect(found, brighter) > 0.5
    assert effect(found, darker) < -0.5
    assert abs(effect(found, colours)) < LEAST_EFFECT
    assert abs(effect(found, fine)) < LEAST_EFFECT


def test_a_stop_doubles_or_halves_the_light() -> None:
    grey = np.full((2, 2, 3), 100, dtype=np.uint8)  # 0.127 in linear light; 137.6 and 71.9 on either side
    brighter, darker = APPEARANCES["one stop brighter"](grey), APPEARANCES["one stop darker"](grey)
    assert np.unique(brighter).tolist() == [138]
    assert np.unique(darker).tolist() == [71]
    assert APPEARANCES["one stop brighter"](np.full((1, 1, 3), 255, dtype=np.uint8)).max() == 255


# ------------------------------------------------------------------------------------------------- noise


def test_an_effect_is_reported_only_beyond_what_cutting_a_strip_off_a_side_does() -> None:
    pixels = with_patch(0.45, 0.45)
    pixels[:4] = 255  # a line at the very top, that every cut there takes away
    found = measured(lambda images: 3 * images[:, :, 0].mean(axis=(1, 2)) + brightest(images) / 8, pixels)
    assert found.noise == pytest.approx(3, abs=0.1)
    assert found.beyond_noise("region") == []  # the patch counts 0.5, and would be reported without that line
    calm = measured(lambda images: brightest(images) / 8, pixels[4:])
    assert calm.noise < 0.01
    assert "the middle ninth" in {each.name for each in calm.beyond_noise("region")}


def test_an_effect_that_no_one_would_call_one_is_not_reported_however_steady_the_answer() -> None:
    found = measured(lambda images: brightest(images) / 4 * 0.9 * LEAST_EFFECT, with_patch(0.45, 0.45))
    assert found.noise < 1e-3
    assert effect(found, "the middle ninth") < -0.5 * LEAST_EFFECT
    assert found.beyond_noise("region") == found.beyond_noise("appearance") == []


def test_nothing_is_reported_of_a_network_that_does_not_look() -> None:
    found = measured(lambda images: np.ones(len(images)), with_patch(0.45, 0.45))
    assert not any(map(found.exceeds_noise, found.perturbations))


# ------------------------------------------------------------------------------------------------ answers


def test_the_answer_is_that_of_the_picture_as_it_is() -> None:
    pixels = with_patch(0.4, 0.2)
    (found, other) = measure_effects(
        subject(brightest), pixels, [make_question(MIKELS, "fear"), make_question(MIKELS, "anger", "fear")]
    )
    assert found.emotions["fear"] == pytest.approx(math.exp(4) / (math.exp(4) + 7), abs=1e-4)
    assert found.answer == pytest.approx(4 - math.log(7), abs=1e-4)
    assert other.answer == pytest.approx(-4, abs=1e-4)
    assert effect(other, INNER) == pytest.approx(-effect(found, INNER), abs=1e-6)
    for each in found.perturbations:
        odds = each.emotions["fear"] / (1 - each.emotions["fear"])
        assert math.log(odds) == pytest.approx(found.answer + each.effect, abs=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (400, 3), (17, 23)])
def test_pictures_of_any_shape_are_measured(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = measured(brightness, pixels)
    assert len(found.perturbations) == len(APPEARANCES) + len(REGIONS)
    assert all(math.isfinite(each.effect) for each in found.perturbations)


def test_a_large_picture_is_shrunk_before_it_is_changed_thirty_times() -> None:
    seen: list[tuple[int, ...]] = []

    class Watching(Preprocessing):
        def fit_pixels(self, pixels: Pixels) -> Pixels:
            seen.append(pixels.shape)
            return super().fit_pixels(pixels)

    pixels = np.zeros((1000, 2000, 3), dtype=np.uint8)
    measure_effects(fearing(brightness, Watching(**vars(levels(60)))), pixels, [])
    assert max(height for height, _, _ in seen) == 240  # four times what the network sees
    assert max(width for _, width, _ in seen) == 480


def test_json_has_every_perturbation_and_whether_it_exceeds_noise() -> None:
    data = json.loads(json.dumps(measured(brightest, with_patch(0.45, 0.45)).to_json()))
    assert len(data["changes"]) == len(APPEARANCES) + len(REGIONS)
    middle = next(each for each in data["changes"] if each["name"] == "the middle ninth")
    assert middle["told"] is True
    assert middle["effect"] < -1
    assert set(middle["emotions"]) == set(MIKELS.words)


def test_effects_are_sorted_greatest_first() -> None:
    emotions = MIKELS.only("fear")
    perturbations = [PerturbationEffect(name=n, kind="appearance", area=1, effect=e, emotions=emotions)
               for n, e in [("a", 0.5), ("b", -2.0), ("c", 0.2), ("d", 1.0)]]  # fmt: skip
    found = PictureEffects(
        question=make_question(MIKELS, "fear"),
        model="m",
        emotions=emotions,
        answer=0,
        noise=0.3,
        perturbations=tuple(perturbations),
    )
    assert [each.name for each in found.beyond_noise("appearance")] == ["b", "d", "a"]
    assert found.beyond_noise("region") == []


# --------------------------------------------------------------------------------------- shares of a map


def divided(
    values: MapValues, size: tuple[int, int] = (90, 90), fit: Fit = "squash"
) -> dict[str, tuple[float, ...]]:
    preprocessing = Preprocessing(height=values.shape[0], width=values.shape[1], fit=fit)
    heatmap = Heatmap(
        image="a.jpg", size=size, view=preprocessing.view(*size), question=make_question(MIKELS, "fear"),
        method="m", model="m", emotions=MIKELS.only("fear"), answer=1.0, values=values, sums_up=True,
    )  # fmt: skip
    return {share.region: (share.area, share.favour, share.against) for share in divide_by_region(heatmap)}


def test_an_even_map_gives_each_region_its_area() -> None:
    for area, favour, against in divided(np.ones((90, 90), dtype=np.float32)).values():
        assert favour == pytest.approx(area)
        assert against == 0


def test_what_speaks_for_and_against_is_found_in_its_region() -> None:
    values = np.zeros((90, 90), dtype=np.float32)
    values[5:20, 5:20] = 1
    values[70:85, 70:85] = -3
    found = divided(values)
    assert found["the top left ninth"][1] > 0.99
    assert found["the bottom right ninth"][2] > 0.99
    assert found["the middle ninth"][1:] == pytest.approx((0, 0), abs=1e-3)


def test_regions_that_were_cropped_away_have_no_share() -> None:
    found = divided(np.ones((90, 90), dtype=np.float32), size=(90, 270), fit="crop")
    assert "the left third" not in found
    assert found["the middle column"] == pytest.approx((1, 1, 0))
    assert found["the top third"][0] == pytest.approx(1 / 3, abs=0.01)


def test_a_strip_that_is_cut_is_five_percent() -> None:
    assert SHIFT == 0.05  # as the story and the documentation have it
