"""States as files: what comes back from them."""

import os
import sys
from pathlib import Path

import pytest
import torch

from affectlens.data.records import DataSource, Record
from affectlens.emotions import MIKELS
from affectlens.errors import RunError
from affectlens.images import Pixels
from affectlens.inference.labelled_batches import Batch, target_tensor
from affectlens.preprocess import PreprocessingSettings
from affectlens.training.checkpoints import load_state, load_weights, read_notes, save_state, save_weights
from affectlens.training.distributed import BatchLoss
from affectlens.training.loop import take_step
from affectlens.training.session import Session
from affectlens.training.settings import Settings
from affectlens.training.state import State

SIZE = PreprocessingSettings(height=32, width=32)


def session(optimizer: str, momentum: float = 0.9, network: str = "test_resnet.r160_in1k") -> Session:
    """Everything random is on that a step has, and the learning rate changes on the way."""
    settings = Settings(
        network=network, weights="none", epochs=4, batch_size=4, optimizer=optimizer, momentum=momentum,
        lr=0.01, schedule="steps", step_epochs=1, mixup=0.2, ema_decay=0.9, preprocessing=SIZE,
        network_options={"dropout": 0.1}, decay_all=True,
    )  # fmt: skip
    records = [Record(str(n), Path(str(n)), MIKELS.only(MIKELS.words[n])) for n in range(8)]
    source = DataSource("noise", Path(), MIKELS, {"train": records, "val": records[:1]})
    return Session(settings=settings, source=source, targets=target_tensor(records), read=_no_file)


def _no_file(record: Record) -> Pixels:
    raise AssertionError("pictures are noise")


def take_steps(session: Session, state: State, until: int) -> list[float]:
    """The losses of the steps to come; pictures are noise that the step's number determines."""
    loss = BatchLoss(state.network, session.objective)
    losses = []
    while state.step < until:
        noise = torch.Generator().manual_seed(state.step)
        pixels = torch.randint(0, 256, (4, 3, 32, 32), generator=noise).to(torch.uint8)
        batch = Batch(pixels, torch.eye(8)[torch.arange(4) % 3], ("a", "b", "c", "d"))
        losses.append(take_step(session, state, loss, [batch]).loss)
    return losses


@pytest.mark.parametrize(("optimizer", "momentum"), [("adamw", 0.9), ("sgd", 0.9), ("sgd", 0.0)])
def test_a_state_that_was_saved_and_loaded_goes_on_to_the_same_bits(
    optimizer: str, momentum: float, tmp_path: Path
) -> None:
    same = session(optimizer, momentum)
    undisturbed = same.start()
    before = take_steps(same, undisturbed, until=3)
    save_state(tmp_path / "state", undisturbed, {"best": 0.5})
    after = take_steps(same, undisturbed, until=8)

    resumed = same.start()
    assert load_state(tmp_path / "state", resumed) == {"best": 0.5}
    assert resumed.step == len(before) == 3
    assert take_steps(same, resumed, until=8) == after
    for one, other in zip(undisturbed.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(one, other)
    kept = resumed.best_network.state_dict()
    assert all(torch.equal(v, kept[name]) for name, v in undisturbed.best_network.state_dict().items())


def test_the_momentum_of_sgd_is_in_the_checkpoint_and_counts(tmp_path: Path) -> None:
    same = session("sgd")
    state = same.start()
    take_steps(same, state, until=3)
    save_state(tmp_path / "state", state, {})
    resumed = same.start()
    load_state(tmp_path / "state", resumed)
    given, restored = state.optimizer.state, resumed.optimizer.state
    assert len(restored) == len(list(state.network.parameters()))
    for one, other in zip(state.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(given[one]["momentum_buffer"], restored[other]["momentum_buffer"])
    # What a checkpoint without it would give.
    resumed.optimizer.state.clear()
    take_steps(same, state, until=4)
    take_steps(same, resumed, until=4)
    pairs = zip(state.network.parameters(), resumed.network.parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path / "state", session("sgd").start(), {})
    other = session("sgd", network="test_vit.r160_in1k").start()
    with pytest.raises(RunError, match="another network"):
        load_state(tmp_path / "state", other)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="every name there is text")
def test_a_folder_whose_name_is_not_text_holds_checkpoints_too(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"r\xe9sum\xe9")
    folder.mkdir()
    saved, read = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    save_weights(folder / "best.safetensors", saved, {"epoch": 2})
    assert load_weights(folder / "best.safetensors", read) == {"epoch": 2}
    assert torch.equal(saved.weight, read.weight)
    assert read_notes(folder / "best.safetensors") == {"epoch": 2}
    (folder / "best.safetensors").write_bytes(b"{")
    with pytest.raises(RunError, match="cannot be read"):
        read_notes(folder / "best.safetensors")
