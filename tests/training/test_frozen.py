"""What is frozen keeps its weights and its statistics; what is held learns once it is let go."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from affectlens.data import folder
from affectlens.emotions import MIKELS
from affectlens.errors import SettingsError
from affectlens.models import catalog
from affectlens.models.backbones import layers_from_input
from affectlens.models.saved import save_model
from affectlens.training.frozen import freeze_first_layers
from affectlens.training.loop import train
from affectlens.training.run import EpochEnd, fit
from affectlens.training.run_folder import BEST, LAST, TrainingRequest
from affectlens.training.session import Session, open_session
from affectlens.training.settings import Settings, override
from affectlens.training.state import State
from model_folders import CARD
from pictures import colour_set

TINY = override(
    Settings(network="test_efficientnet", weights="none", epochs=3, batch_size=5, num_workers=0, lr=0.01),
    ["preprocessing.height=32", "preprocessing.width=32", "network_options.dropout=0.2", "ema_decay=0.5"],
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return colour_set(tmp_path / "data", ("awe", "anger"), each=9)


def copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before: dict[str, Tensor], network: nn.Module) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def begin(data: Path, settings: Settings) -> tuple[Session, State]:
    session = open_session(folder.read(data), settings, "cpu")
    return session, session.start()


@pytest.mark.parametrize("network", ["test_efficientnet", "test_vit", "mlm_paper", "pair"])
def test_layers_are_counted_from_the_stem_without_the_classifier(network: str) -> None:
    small = {
        "mlm_paper": {"backbone": "test_resnet"},
        "pair": {"transformer": "test_vit", "convolutional": "test_efficientnet"},
    }
    built = catalog.build(network, 3, **small.get(network, {}))
    heights = layers_from_input(built)
    above = {name for name, _ in built.named_parameters()} - set(heights)
    assert min(heights.values()) == 0 and max(heights.values()) > 2
    assert above and not any(
        part in name for name in above for part in ("blocks", "patch", "stem", "conv_head")
    )


def test_first_layers_keep_their_weights_and_their_statistics(data: Path) -> None:
    session, state = begin(data, replace(TINY, frozen_layers=2))
    heights, before = layers_from_input(state.network), copy(state.network)
    for _ in train(session, state):
        pass
    moved = changed(before, state.network)
    frozen = {name for name, height in heights.items() if height < 2}
    assert frozen and not moved & frozen
    assert {name for name in heights if name not in frozen} <= moved
    norms = {name.rpartition(".")[0] for name in frozen if "bn" in name}
    assert norms and not any(f"{norm}.running_mean" in moved for norm in norms)
    assert "blocks.2.0.bn1.running_mean" in moved


def test_more_layers_than_there_are_is_a_linear_probe(data: Path) -> None:
    session, state = begin(data, replace(TINY, frozen_layers=99))
    before = copy(state.network)
    for _ in train(session, state):
        pass
    assert changed(before, state.network) == {"classifier.weight", "classifier.bias"}


def test_below_0_so_many_last_layers_of_each_backbone_learn() -> None:
    built = catalog.build("pair", 3, transformer="test_vit", convolutional="test_efficientnet")
    freeze_first_layers(built, replace(TINY, frozen_layers=-1))
    learning = {name for name, parameter in built.named_parameters() if parameter.requires_grad}
    begins = ("transformer.blocks.5.", "transformer.norm.", "transformer.head.", "convolutional.blocks.4.",
              "convolutional.conv_head.", "convolutional.bn2.", "convolutional.classifier.")  # fmt: skip
    assert learning == {name for name, _ in built.named_parameters() if name.startswith(begins)}


LEVELS: dict[str, Any] = {
    "members": ["test_vit", "multilevel"],
    "member_options": [{}, {"backbone": "test_efficientnet"}],
}


def test_of_a_backbone_that_is_read_at_several_levels_what_reads_it_learns() -> None:
    built = catalog.build("ensemble", 3, **LEVELS)
    freeze_first_layers(built, replace(TINY, frozen_layers=-1))
    learning = {name for name, parameter in built.named_parameters() if parameter.requires_grad}
    begins = ("test_vit.blocks.5.", "test_vit.norm.", "test_vit.head.", "multilevel.perceptron.",
              "multilevel.classifier.")  # fmt: skip
    assert learning == {name for name, _ in built.named_parameters() if name.startswith(begins)}


@pytest.mark.parametrize(("starts", "frozen_layers"), [(True, -1), (False, -1), (True, 0)])
def test_known_statistics_of_frozen_features_stay_and_others_are_learned(
    data: Path, tmp_path: Path, starts: bool, frozen_layers: int
) -> None:
    settings = replace(TINY, network="ensemble", network_options=LEVELS, frozen_layers=frozen_layers)
    if starts:
        built = catalog.build("ensemble", len(MIKELS), **LEVELS)
        card = replace(CARD, network="ensemble", network_options=LEVELS)
        save_model(tmp_path / "start", built, card, "A model.")
        settings = replace(settings, start=str(tmp_path / "start"))
    session, state = begin(data, settings)
    before = copy(state.network)
    for _ in train(session, state):
        pass
    moved = changed(before, state.network)
    stays = starts and frozen_layers < 0
    assert ("multilevel.standardise.running_mean" in moved) is not stays
    assert any(name.startswith("multilevel.pyramid.") for name in moved) is (frozen_layers == 0)
    assert "multilevel.perceptron.1.weight" in moved


def test_weights_are_frozen_by_their_names_besides_the_first_layers(data: Path) -> None:
    session, state = begin(data, replace(TINY, frozen_layers=1, frozen="blocks.[12].*, *.bn2.weight,"))
    heights, before = layers_from_input(state.network), copy(state.network)
    for _ in train(session, state):
        pass
    moved = changed(before, state.network) & {name for name, _ in state.network.named_parameters()}
    frozen = {name for name, height in heights.items() if height < 1}
    frozen |= {name for name in before if name.startswith(("blocks.1.", "blocks.2."))}
    frozen |= {name for name in before if name.endswith(".bn2.weight")}
    assert moved == {name for name, _ in state.network.named_parameters()} - frozen


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("clasifier.weight", r"like 'clasifier\.weight'.* Names are: classifier\.weight"),
        ("bn1.*, nothing.like.this.at.all.7", r"nothing\.like.*Names are: .*conv_stem"),
        ("Classifier.*", "Names are: classifier"),
        ("*", "Nothing is left to learn"),
    ],
)
def test_a_pattern_that_fits_nothing_or_everything_is_an_error_with_near_names(
    data: Path, pattern: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        begin(data, replace(TINY, frozen=pattern))


def test_the_backbone_is_held_for_the_first_epochs_and_then_learns(data: Path) -> None:
    session, state = begin(data, replace(TINY, frozen_epochs=1))
    before = copy(state.network)
    for step in train(session, state):
        moved = changed(before, state.network)
        if step.epoch == 0:
            assert moved == {"classifier.weight", "classifier.bias"}
    assert set(before) - moved <= {name for name in before if name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("setting", ["frozen_layers=2", "frozen_epochs=1", "frozen=blocks.*"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(data: Path, tmp_path: Path, setting: str) -> None:
    def request(name: str, resume: bool = False) -> TrainingRequest:
        return TrainingRequest(
            name="tiny", data="folder", source=folder.read(data), settings=override(TINY, [setting]),
            out=tmp_path / name, resume=resume, graph=False,
        )  # fmt: skip

    list(fit(request("undisturbed")))
    for event in fit(request("stopped")):
        if isinstance(event, EpochEnd):
            break
    list(fit(request("stopped", resume=True)))
    for file in (BEST, LAST):
        one, other = load_file(tmp_path / "stopped" / file), load_file(tmp_path / "undisturbed" / file)
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[name]) for name, value in one.items())
