from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affectlens.errors import RunError
from affectlens.inference.labelled_batches import Batch
from affectlens.models import catalog
from affectlens.preprocess import Preprocessing
from affectlens.training.checkpoints import load_state, save_state
from affectlens.training.loop import Schedule, State, take_step
from affectlens.training.objective import Outcome
from affectlens.training.settings import Settings

CPU = torch.device("cpu")
SIZE = Preprocessing(height=32, width=32)


def settings(optimizer: str, momentum: float = 0.9) -> Settings:
    """Everything random is on that a step has, and the rate changes on the way."""
    return Settings(
        network="test_resnet.r160_in1k", epochs=4, batch_size=4, optimizer=optimizer, momentum=momentum,
        lr=0.01, schedule="steps", step_epochs=1, mixup=0.2, ema_decay=0.9, preprocessing=SIZE,
        network_options={"dropout": 0.1}, decay_all=True,
    )  # fmt: skip


def start(how: Settings) -> State:
    """A convolutional network with its channels last, where files hold tensors in another order."""
    torch.manual_seed(0)
    network = catalog.build(how.network, 3, **how.network_options)
    return State.start(network.to(memory_format=torch.channels_last), how)


def objective(
    network: nn.Module, images: Tensor, targets: Tensor, attributes: Mapping[str, Tensor] | None = None
) -> Outcome:
    logits = network(images)
    return Outcome(F.cross_entropy(logits, targets), logits.detach(), {})


def take_steps(state: State, how: Settings, until: int) -> list[float]:
    """The losses of the steps to come; pictures are noise that the step's number determines."""
    schedule = Schedule(8, how)
    losses = []
    while state.step < until:
        noise = torch.Generator().manual_seed(state.step)
        pixels = torch.randint(0, 256, (4, 3, 32, 32), generator=noise).to(torch.uint8)
        batch = Batch(pixels, torch.eye(3)[torch.arange(4) % 3], ("a", "b", "c", "d"))
        losses.append(take_step(state, how, schedule, [batch], objective, SIZE, CPU, torch.float32).loss)
    return losses


@pytest.mark.parametrize(("optimizer", "momentum"), [("adamw", 0.9), ("sgd", 0.9), ("sgd", 0.0)])
def test_a_state_that_was_saved_and_loaded_goes_on_to_the_same_bits(
    optimizer: str, momentum: float, tmp_path: Path
) -> None:
    how = settings(optimizer, momentum)
    whole = start(how)
    before = take_steps(whole, how, until=3)
    save_state(tmp_path / "state", whole, {"best": 0.5})
    after = take_steps(whole, how, until=8)

    resumed = start(how)
    assert load_state(tmp_path / "state", resumed) == {"best": 0.5}
    assert resumed.step == len(before) == 3
    assert take_steps(resumed, how, until=8) == after
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(one, other)
    kept = resumed.best_network.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in whole.best_network.state_dict().items())


def test_the_momentum_of_sgd_is_in_the_checkpoint_and_counts(tmp_path: Path) -> None:
    how = settings("sgd")
    state = start(how)
    take_steps(state, how, until=3)
    save_state(tmp_path / "state", state, {})
    resumed = start(how)
    load_state(tmp_path / "state", resumed)
    given, restored = state.optimizer.state, resumed.optimizer.state
    assert len(restored) == len(list(state.network.parameters()))
    for one, other in zip(state.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(given[one]["momentum_buffer"], restored[other]["momentum_buffer"])
    resumed.optimizer.state.clear()  # what a checkpoint without it would give
    take_steps(state, how, until=4)
    take_steps(resumed, how, until=4)
    pairs = zip(state.network.parameters(), resumed.network.parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    how = settings("sgd")
    save_state(tmp_path / "state", start(how), {})
    other = State.start(catalog.build("test_vit.r160_in1k", 3), how)
    with pytest.raises(RunError, match="another network"):
        load_state(tmp_path / "state", other)
