"""Grad-CAM and CAM point where the answer comes from, of networks of several kinds."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from affectlens.errors import SettingsError
from affectlens.explain.core.upsampling import upsample
from affectlens.explain.methods.grad_cam import GradCam, makes_maps
from affectlens.preprocess import Images
from planted import OneSpot, model_of, small_member
from planted_arrays import FEAR, gaussian, white, why_fear

SIDE = 160


class Whiteness(nn.Module):
    """Sees fear wherever a patch of 4 x 4 is white, on a map of its own: (B, 3, h, w) -> (B, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.detect = nn.Conv2d(3, 1, 4, 4, bias=False)
        nn.init.constant_(self.detect.weight, 1 / 48)
        self.read = nn.Linear(1, 8, bias=False)
        with torch.no_grad():
            self.read.weight.zero_()
            self.read.weight[FEAR] = 49.0

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.read(self.detect(images).mean(dim=(2, 3)))
        return logits


def one_white_patch() -> Images:
    image = 0 * white()
    image[:, :, 8:12, 16:20] = 1
    return image


def picture(seed: int = 0) -> Images:
    return gaussian(seed, SIDE)


def test_the_only_cell_that_counts_gets_all() -> None:
    found = GradCam()(model_of(Whiteness()), one_white_patch(), why_fear())
    cells = np.zeros((7, 7))
    cells[2, 4] = 1  # 49 cells of which one is white, times 49
    np.testing.assert_allclose(found.values, upsample(cells, 28, 28), rtol=1e-5)
    assert found.details["layers"] == ["detect"]


def test_on_a_convolutional_network_it_is_captums() -> None:
    captum = pytest.importorskip("captum.attr")
    model, question = model_of(small_member("test_resnet"), SIDE), why_fear()
    ours = GradCam()(model, picture(), question)
    layer = model.network.get_submodule("layer4")
    theirs = captum.LayerGradCam(lambda images: model.score(images, question), layer).attribute(
        model.tensor(picture())
    )
    expected = upsample(theirs[0, 0].detach().numpy(), SIDE, SIDE)
    np.testing.assert_allclose(ours.values, expected, rtol=1e-3, atol=1e-7)
    assert float(ours.values.std()) > 0
    assert ours.details["layers"] == ["layer4"]


def test_where_the_last_map_is_averaged_pooling_the_gradients_changes_nothing() -> None:
    model = model_of(small_member("test_resnet"), SIDE)
    pooled, single = (GradCam(pooled=pooled)(model, picture(), why_fear()).values for pooled in (True, False))
    np.testing.assert_allclose(pooled, single, rtol=1e-3, atol=1e-7)


def test_what_speaks_against_is_negative_and_can_be_left_out() -> None:
    image = one_white_patch()
    image[:, :, 20:24, 0:4] = -1
    signed, positive = (
        GradCam(pooled=False, positive=p)(model_of(Whiteness()), image, why_fear()).values
        for p in (False, True)
    )
    assert float(signed[9, 17]) > 0 > float(signed[21, 1])
    assert float(positive[9, 17]) > 0 == float(positive[21, 1])


def test_of_a_pair_both_maps_are_added() -> None:
    network = small_member("pair", transformer="test_vit", convolutional="test_efficientnet")
    found = GradCam()(model_of(network, SIDE), picture(), why_fear())
    first, second = found.details["layers"]
    assert first.startswith("transformer.blocks.") and second.startswith("convolutional.")
    assert all(abs(each) > 0 for each in found.details["sums"])
    assert float(found.values.sum()) == pytest.approx(sum(found.details["sums"]), rel=1e-3)


def test_of_a_pair_with_mirror_the_mirror_image_has_the_mirrored_map() -> None:
    network = small_member("pair", transformer="test_vit", convolutional="test_efficientnet", mirror=True)
    model = model_of(network, SIDE)
    found, mirrored = (
        GradCam()(model, image, why_fear()).values for image in (picture(), picture()[..., ::-1])
    )
    np.testing.assert_allclose(mirrored, found[:, ::-1], rtol=1e-3, atol=1e-5)


def test_a_network_without_maps_cannot_be_explained_so() -> None:
    assert not makes_maps(OneSpot())
    with pytest.raises(SettingsError, match="no map"):
        GradCam()(model_of(OneSpot()), one_white_patch(), why_fear())
