"""MAM's tokens are laid out where they attend, weighted by what they add to the answer."""

from typing import Any

import numpy as np
import pytest
import torch

from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import scores
from affectlens.explain.methods.token_maps import TokenMaps
from affectlens.preprocess import Images
from planted import model_of, small_member
from planted_arrays import gaussian, why_fear

SIDE = 160


def picture(seed: int = 0) -> Images:
    return gaussian(seed, SIDE)


@pytest.mark.parametrize("name", ["mam_paper", "mam_release"])
def test_what_is_on_the_maps_and_elsewhere_adds_up_to_the_answer(name: str) -> None:
    model = model_of(small_member(name, backbone="test_resnet"), SIDE)
    found = TokenMaps()(model, picture(), why_fear())
    answer, mean = scores(model, np.concatenate([picture(), 0 * picture()]), why_fear()).tolist()
    owed = answer - mean
    assert found.details["on_maps"] + found.details["elsewhere"] == pytest.approx(owed, abs=0.01)
    assert float(found.values.sum()) == pytest.approx(found.details["on_maps"], abs=1e-3)
    assert abs(found.details["on_maps"]) > 1e-3
    assert not found.sums_up


def test_every_token_has_a_contribution() -> None:
    network: Any = small_member("mam_paper", backbone="test_resnet", num_tokens=6)
    found = TokenMaps()(model_of(network, SIDE), picture(), why_fear())
    assert [len(each) for each in found.details["tokens"]] == [6] * len(
        network.token_maps(torch.from_numpy(picture()))
    )


def test_a_token_that_attends_to_one_cell_has_its_contribution_there() -> None:
    network: Any = small_member("mam_release", backbone="test_resnet", num_tokens=1)
    seen = network.eval().token_maps(torch.from_numpy(picture()))[-1][0, 0]
    where = torch.zeros_like(seen)
    where[1, 2] = 1
    network.token_maps = lambda _images: [where.expand(1, 1, *where.shape)] * len(network.encoders)
    found = TokenMaps()(model_of(network, SIDE), picture(), why_fear())
    rows, columns = found.values.nonzero()
    cell = SIDE // where.shape[0]
    assert int(rows.min()) >= cell // 2 and int(rows.max()) < 2 * cell + cell // 2
    assert int(columns.min()) >= cell + cell // 2 and int(columns.max()) < 3 * cell + cell // 2


def test_when_the_classifier_does_not_read_attributes_the_map_is_empty() -> None:
    network: Any = small_member("mam_paper", backbone="test_resnet")
    with torch.no_grad():
        network.classifier[-1].weight[:, : -network.pyramid.num_features] = 0
    found = TokenMaps()(model_of(network, SIDE), picture(), why_fear())
    assert float(np.abs(found.values).max()) == 0
    assert abs(found.details["elsewhere"]) > 1e-3


def test_a_network_without_tokens_is_refused() -> None:
    with pytest.raises(SettingsError, match="no semantic tokens"):
        TokenMaps()(model_of(small_member("test_resnet"), SIDE), picture(), why_fear())
