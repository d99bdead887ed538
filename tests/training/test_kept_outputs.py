"""What does not learn is computed once for each image, and training goes on as if it were each time."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from affectlens.data import folder
from affectlens.models import catalog
from affectlens.models.backbones import layers_from_output
from affectlens.models.multilevel import MultiLevel
from affectlens.training.frozen import freeze_first_layers
from affectlens.training.kept_outputs import KeptOutputs
from affectlens.training.loop import train
from affectlens.training.session import open_session
from affectlens.training.settings import Settings, override
from pictures import colour_set

TINY = override(
    Settings(network="test_vit", weights="none", epochs=2, batch_size=4, num_workers=0, lr=0.01),
    ["preprocessing.height=32", "preprocessing.width=32", "ema_decay=0.5", "frozen_layers=-1",
     "augmentation.crop_scale=1", "network_options.drop_path=0.3"],
)  # fmt: skip
TWO = {"transformer": "test_vit", "convolutional": "test_efficientnet"}
LEVELS: dict[str, Any] = {
    "members": ["test_vit", "multilevel"],
    "member_options": [{}, {"backbone": "test_efficientnet"}],
}


@pytest.mark.parametrize(
    ("network", "options"),
    [("test_vit", {}), ("test_efficientnet", {}), ("pair", TWO), ("ensemble", LEVELS)],
)
def test_a_network_answers_as_if_nothing_was_kept(network: str, options: dict[str, Any]) -> None:
    settings = replace(TINY, network=network, network_options=options)
    built = catalog.build(network, 3, **options).eval()
    freeze_first_layers(built, settings)
    images = torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        expected = built(images)
    kept = KeptOutputs()
    assert kept.attach(built, settings)
    with torch.inference_mode():
        torch.testing.assert_close(built(images), expected)
    branches = 2 if network in ("pair", "ensemble") else 1
    assert len(kept.stored) == 3 * branches
    answers = built(images.flip(0))  # outside of inference, and in another order
    answers.sum().backward()
    torch.testing.assert_close(answers.detach(), expected.flip(0))
    assert len(kept.stored) == 3 * branches
    learning = {name for name, parameter in built.named_parameters() if parameter.grad is not None}
    assert learning == {name for name, parameter in built.named_parameters() if parameter.requires_grad}
    assert {name for name, distance in layers_from_output(built).items() if distance}.isdisjoint(learning)


def test_of_a_backbone_that_is_read_at_several_levels_features_are_kept_and_not_maps() -> None:
    settings = replace(TINY, network="ensemble", network_options=LEVELS)
    built = catalog.build("ensemble", 3, **LEVELS).eval()
    freeze_first_layers(built, settings)
    images, kept = torch.randn(2, 3, 32, 32), KeptOutputs()
    kept.attach(built, settings)
    copied = deepcopy(built)  # as that of the moving average
    built(images)
    reader = built.get_submodule("multilevel")
    assert isinstance(reader, MultiLevel)
    widths = [tuple(each.shape) for name, each in kept.stored.items() if name.startswith(b"multilevel")]
    assert widths == [(1, reader.standardise.num_features)] * 2
    with torch.no_grad():
        reader.classifier.weight.zero_()
    assert not torch.equal(copied(images), built(images))  # each has weights of its own
    assert len(kept.stored) == 4


def test_training_computes_each_picture_and_its_mirror_image_once(tmp_path: Path) -> None:
    source = folder.read(colour_set(tmp_path / "data", ("awe", "anger"), each=8))
    kept = KeptOutputs()
    session = open_session(source, replace(TINY, epochs=6), "cpu", kept=kept)
    state = session.start()
    for _ in train(session, state):
        session.predict(state.best_network)
    pictures = len(session.training)
    # Those that are predicted are resized by another library, to levels that may differ by one.
    assert pictures < len(kept.stored) <= 2 * pictures + len(session.validation)


def test_what_does_not_fit_in_is_computed_each_time_to_the_same_bits() -> None:
    built = catalog.build("test_vit", 3).eval()
    freeze_first_layers(built, TINY)
    images, none = torch.randn(2, 3, 32, 32), KeptOutputs(most_bytes=0)
    none.attach(built, TINY)
    first = built(images)
    assert not none.stored and torch.equal(built(images), first)


@pytest.mark.parametrize(
    "assignment", ["augmentation.crop_scale=0.5", "augmentation.erase=0.1", "mixup=0.2", "frozen_layers=3"]
)
def test_nothing_is_kept_where_images_vary_or_more_learns(assignment: str) -> None:
    settings = override(TINY, [assignment])
    built = catalog.build("test_vit", 3)
    freeze_first_layers(built, settings)
    assert not KeptOutputs().attach(built, settings)
