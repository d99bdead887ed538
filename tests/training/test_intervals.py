import errno
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from affectlens.data import folder
from affectlens.errors import OutputError, RunError
from affectlens.models.saved import load_model
from affectlens.training import lineage
from affectlens.training.checkpoints import hash_state, load_state
from affectlens.training.intervals import STATES, Draw, interval_of, state_file, train_interval
from affectlens.training.lineage import DIVERGED, Interval
from affectlens.training.replay import Replayed, replay
from affectlens.training.run import Finished, Request
from affectlens.training.search_space import knobs, name_of_draw
from affectlens.training.session import Task, prepared
from affectlens.training.settings import Settings, override, setting
from pictures import colour_set

# Everything random is on, so that an interval that forgot any of it would differ.
TINY = override(
    Settings(network="test_efficientnet", weights="none", batch_size=6, num_workers=0, epochs=1.76),
    [
        "preprocessing.height=32", "preprocessing.width=32", "ema_decay=0.9",
        "augmentation.colour_jitter=0.2",
        "lr=0.003", "mixup=0.2", "mix_prob=1", "precision=float32", "network_options.dropout=0.1",
    ],
)  # fmt: skip
STEPS = 3  # of an interval; nine in all


@pytest.fixture
def task(tmp_path: Path) -> Task:
    source = folder.read(colour_set(tmp_path / "data", ("awe", "anger", "sadness"), each=12))
    return prepared(source, TINY, "cpu", tmp_path / "cache")


def draw(values: Mapping[str, float], drawn_from: str | None = None) -> Draw:
    return Draw(values=values, positions={}, name=name_of_draw(values, drawn_from), drawn_from=drawn_from)


def trained(
    task: Task,
    to: Path,
    member: int,
    start: Interval | None,
    values: Mapping[str, float],
    base: Settings = TINY,
) -> Interval:
    """An interval from another's end, under these settings."""
    to.mkdir(exist_ok=True)
    file = state_file(to, *start.place) if start else None
    name = start.draw if start and dict(start.settings) != values else start.drawn_from if start else None
    return train_interval(task, base, draw(values, name), member=member, start=file, steps=STEPS, folder=to)


SAME = {"label_smoothing": 0.1}


def test_intervals_without_a_change_are_one_run_to_the_last_bit(task: Task, tmp_path: Path) -> None:
    one = trained(task, tmp_path / "a", 0, None, SAME)
    two = trained(task, tmp_path / "a", 0, one, SAME)
    three = trained(task, tmp_path / "a", 0, two, SAME)
    state = task.start(TINY)
    assert [step.number for step in task.steps(state, TINY)] == list(range(1, 10))
    assert three.end_hash == hash_state(state) and (three.first_step, three.last_step) == (6, 9)
    lineage.verify([one, two, three])


CHANGES = {
    "lr": 1e-3,
    "weight_decay": 0.3,
    "label_smoothing": 0.3,
    "augmentation.crop_scale": 0.9,
    "augmentation.rand_augment": 9,
    "augmentation.colour_jitter": 0.4,
    "mixup": 0.8,
    "cutmix": 0.9,
}


def test_every_setting_of_the_table_is_tried_below() -> None:
    in_a_test_of_its_own = {"network_options.drop_path"}
    assert set(CHANGES) | in_a_test_of_its_own == {knob.name for knob in knobs(TINY)}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_changes_what_is_learned_from_there_on(
    name: str, task: Task, tmp_path: Path
) -> None:
    values = {name: setting(TINY, name)}
    one = trained(task, tmp_path / "a", 0, None, values)
    same = trained(task, tmp_path / "a", 0, one, values)
    other = trained(task, tmp_path / "a", 1, one, {name: CHANGES[name]})
    assert other.start_hash == same.start_hash and other.end_hash != same.end_hash
    lineage.verify([one, same, replace(other)])


def test_a_changed_share_of_dropped_paths_is_that_of_the_network_from_there_on(
    task: Task, tmp_path: Path
) -> None:
    transformer = replace(TINY, network="test_vit")
    none, many = {"network_options.drop_path": 0.0}, {"network_options.drop_path": 0.3}
    one = trained(task, tmp_path / "a", 0, None, none, transformer)
    same = trained(task, tmp_path / "a", 0, one, none, transformer)
    other = trained(task, tmp_path / "a", 1, one, many, transformer)
    assert other.start_hash == same.start_hash and other.end_hash != same.end_hash


def test_a_changed_rate_takes_its_place_in_the_schedule(task: Task, tmp_path: Path) -> None:
    one = trained(task, tmp_path / "a", 0, None, {"lr": 0.003})
    state = task.start(replace(TINY, lr=0.001), pretrained=False)
    load_state(state_file(tmp_path / "a", *one.place), state)
    whole = task.start(TINY)
    rates = [step.rate for step in task.steps(whole, TINY)]
    changed = [step.rate for step in task.steps(state, replace(TINY, lr=0.001))]
    assert changed == pytest.approx([rate / 3 for rate in rates[3:]])


def test_an_interval_that_is_there_is_read_and_not_trained_again(task: Task, tmp_path: Path) -> None:
    one = trained(task, tmp_path / "a", 0, None, SAME)
    file = state_file(tmp_path / "a", 0, 1)
    before = file.stat().st_mtime_ns
    assert trained(task, tmp_path / "a", 0, None, SAME) == one
    assert file.stat().st_mtime_ns == before
    assert trained(task, tmp_path / "a", 0, None, {"label_smoothing": 0.0}) != one


def test_a_state_whose_bytes_were_changed_is_refused(task: Task, tmp_path: Path) -> None:
    one = trained(task, tmp_path / "a", 0, None, SAME)
    file = state_file(tmp_path / "a", 0, 1)
    data = bytearray(file.read_bytes())
    data[-40] ^= 1
    file.write_bytes(data)
    with pytest.raises(RunError, match="its hash is another"):
        trained(task, tmp_path / "a", 0, one, SAME)


def test_a_member_that_diverges_keeps_its_state_and_scores_below_all(task: Task, tmp_path: Path) -> None:
    one = trained(task, tmp_path / "a", 0, None, SAME)
    wild = replace(TINY, clip_grad=0.0, warmup=0.0)
    two = trained(task, tmp_path / "a", 0, one, {"lr": 1e30}, wild)
    assert two.failed and "lr" in two.failed and two.score == DIVERGED
    assert two.end_hash == two.start_hash == one.end_hash and two.last_step == one.last_step
    assert interval_of(state_file(tmp_path / "a", 0, 2)) == two
    lineage.verify([one, two])


def test_a_full_disk_is_an_error_that_says_so_and_leaves_the_state_before(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trained(task, tmp_path / "a", 0, None, SAME)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            trained(task, tmp_path / "a", 0, one, SAME)
    assert [file.name for file in (tmp_path / "a").iterdir()] == [state_file(tmp_path, 0, 1).name]


# Replay. ------------------------------------------------------------------------------------------


def searched(task: Task, states: Path) -> list[Interval]:
    """A line over two members: settings change once, with the weights."""
    one = trained(task, states, 1, None, {"lr": 0.003, "mixup": 0.5})
    two = trained(task, states, 0, one, {"lr": 0.002, "mixup": 0.1})
    return [one, two, trained(task, states, 0, two, {"lr": 0.002, "mixup": 0.1})]


def asked(task: Task, out: Path, **more: Any) -> Request:
    return Request(name="tiny", data="folder", source=task.source, settings=TINY, out=out, **more)


def test_a_replay_ends_in_the_weights_of_the_search_to_the_last_bit(task: Task, tmp_path: Path) -> None:
    line = searched(task, tmp_path / "states")
    *rounds, finished = list(replay(asked(task, tmp_path / "run"), task, line))
    assert [one.is_the_same for one in rounds if isinstance(one, Replayed)] == [True] * 3
    assert isinstance(finished, Finished)
    card = load_model(finished.model).card
    assert card.training["settings"]["lr"] == 0.002
    assert [row["settings"]["mixup"] for row in card.training["log"]] == [0.5, 0.1, 0.1]
    assert not (tmp_path / "run" / STATES).exists()


def test_a_replay_that_was_stopped_goes_on(task: Task, tmp_path: Path) -> None:
    line = searched(task, tmp_path / "states")
    first = next(replay(asked(task, tmp_path / "run"), task, line))
    assert isinstance(first, Replayed) and first.reached.round == 1
    rest = list(replay(asked(task, tmp_path / "run", resume=True), task, line))
    assert [one.reached.round for one in rest if isinstance(one, Replayed)] == [2, 3]
    assert all(one.is_the_same for one in rest if isinstance(one, Replayed))


def test_a_replay_under_other_settings_ends_elsewhere(task: Task, tmp_path: Path) -> None:
    line = searched(task, tmp_path / "states")
    line[1] = replace(line[1], settings={"lr": 0.0001, "mixup": 0.1})
    rounds = list(replay(asked(task, tmp_path / "run"), task, line))
    assert [one.is_the_same for one in rounds if isinstance(one, Replayed)] == [True, False, False]


def test_the_hash_of_a_state_is_of_all_that_is_in_it(task: Task) -> None:
    state = task.start(TINY)
    for _ in zip(range(2), task.steps(state, TINY), strict=False):
        pass
    found = {hash_state(state)}
    moment = next(iter(state.optimizer.state.values()))["exp_avg"]
    assert state.average is not None
    for tensor in (moment, next(state.network.parameters()), next(state.average.module.parameters())):
        with torch.no_grad():
            tensor[(0,) * tensor.ndim] += 1
        found.add(hash_state(state))
    state.step += 1
    found.add(hash_state(state))
    assert len(found) == 5
