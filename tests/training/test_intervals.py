"""Intervals of a search: what they go on from, what they leave, and their replay."""

import errno
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from affectlens.data import folder
from affectlens.errors import OutputError, OutputInUse, RunError
from affectlens.models.saved import load_model
from affectlens.training import lineage
from affectlens.training.checkpoints import hash_state, load_state
from affectlens.training.finish import RunFinished
from affectlens.training.intervals import SettingsSample, interval_of, state_file, train_interval
from affectlens.training.lineage import DIVERGED, LINEAGE, Interval
from affectlens.training.loop import train
from affectlens.training.replay import ReplayedInterval, replay, replay_session
from affectlens.training.run_folder import TrainingRequest, open_run
from affectlens.training.search_plan import STATES
from affectlens.training.search_space import sample_id, search_space
from affectlens.training.session import Session, open_session
from affectlens.training.settings import Settings, override, setting
from lock_holder import holder
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
def session(tmp_path: Path) -> Session:
    source = folder.read(colour_set(tmp_path / "data", ("awe", "anger", "sadness"), each=12))
    return open_session(source, TINY, "cpu")


def sample(values: Mapping[str, float], parent: str | None = None) -> SettingsSample:
    return SettingsSample(values=values, unit={}, id=sample_id(values, parent), parent=parent)


def trained(
    session: Session,
    to: Path,
    member: int,
    start: Interval | None,
    values: Mapping[str, float],
    base: Settings = TINY,
) -> Interval:
    """An interval from another's end, under these settings."""
    to.mkdir(exist_ok=True)
    file = state_file(to, *start.key) if start else None
    parent = None
    if start:
        parent = start.sample if dict(start.settings) != values else start.sampled_from
    session = session.with_settings(base)
    return train_interval(session, sample(values, parent), member=member, start=file, steps=STEPS, folder=to)


SAME = {"label_smoothing": 0.1}


def test_intervals_without_a_change_are_one_run_to_the_last_bit(session: Session, tmp_path: Path) -> None:
    one = trained(session, tmp_path / "a", 0, None, SAME)
    two = trained(session, tmp_path / "a", 0, one, SAME)
    three = trained(session, tmp_path / "a", 0, two, SAME)
    state = session.start()
    assert [step.number for step in train(session, state)] == list(range(1, 10))
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
    assert set(CHANGES) | in_a_test_of_its_own == {each.name for each in search_space(TINY)}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_changes_what_is_learned_from_there_on(
    name: str, session: Session, tmp_path: Path
) -> None:
    values = {name: setting(TINY, name)}
    one = trained(session, tmp_path / "a", 0, None, values)
    same = trained(session, tmp_path / "a", 0, one, values)
    other = trained(session, tmp_path / "a", 1, one, {name: CHANGES[name]})
    assert other.start_hash == same.start_hash and other.end_hash != same.end_hash
    lineage.verify([one, same, replace(other)])


def test_a_changed_probability_of_dropped_paths_is_that_of_the_network_from_there_on(
    session: Session, tmp_path: Path
) -> None:
    transformer = replace(TINY, network="test_vit")
    none, many = {"network_options.drop_path": 0.0}, {"network_options.drop_path": 0.3}
    one = trained(session, tmp_path / "a", 0, None, none, transformer)
    same = trained(session, tmp_path / "a", 0, one, none, transformer)
    other = trained(session, tmp_path / "a", 1, one, many, transformer)
    assert other.start_hash == same.start_hash and other.end_hash != same.end_hash


def test_a_changed_learning_rate_is_scheduled_from_there_on(session: Session, tmp_path: Path) -> None:
    one = trained(session, tmp_path / "a", 0, None, {"lr": 0.003})
    slower = session.with_settings(replace(TINY, lr=0.001))
    state = slower.start(pretrained=False)
    load_state(state_file(tmp_path / "a", *one.key), state)
    lrs = [step.lr for step in train(session, session.start())]
    assert [step.lr for step in train(slower, state)] == pytest.approx([lr / 3 for lr in lrs[3:]])


def test_an_interval_that_is_there_is_read_and_not_trained_again(session: Session, tmp_path: Path) -> None:
    one = trained(session, tmp_path / "a", 0, None, SAME)
    file = state_file(tmp_path / "a", 0, 1)
    before = file.stat().st_mtime_ns
    assert trained(session, tmp_path / "a", 0, None, SAME) == one
    assert file.stat().st_mtime_ns == before
    assert trained(session, tmp_path / "a", 0, None, {"label_smoothing": 0.0}) != one


def test_a_state_whose_bytes_were_changed_is_refused(session: Session, tmp_path: Path) -> None:
    one = trained(session, tmp_path / "a", 0, None, SAME)
    file = state_file(tmp_path / "a", 0, 1)
    data = bytearray(file.read_bytes())
    data[-40] ^= 1
    file.write_bytes(data)
    with pytest.raises(RunError, match="its hash is another"):
        trained(session, tmp_path / "a", 0, one, SAME)


def test_a_member_that_diverges_keeps_its_state_and_scores_below_all(
    session: Session, tmp_path: Path
) -> None:
    one = trained(session, tmp_path / "a", 0, None, SAME)
    wild = replace(TINY, clip_grad=0.0, warmup=0.0)
    two = trained(session, tmp_path / "a", 0, one, {"lr": 1e30}, wild)
    assert two.failed and "lr" in two.failed and two.score == DIVERGED
    assert two.end_hash == two.start_hash == one.end_hash and two.last_step == one.last_step
    assert interval_of(state_file(tmp_path / "a", 0, 2)) == two
    lineage.verify([one, two])


def test_a_full_disk_is_an_error_that_names_it_and_leaves_the_state_before(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trained(session, tmp_path / "a", 0, None, SAME)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            trained(session, tmp_path / "a", 0, one, SAME)
    assert [file.name for file in (tmp_path / "a").iterdir()] == [state_file(tmp_path, 0, 1).name]


# Replay. ------------------------------------------------------------------------------------------


def searched(session: Session, states: Path) -> list[Interval]:
    """A line over two members: settings change once, with the weights."""
    one = trained(session, states, 1, None, {"lr": 0.003, "mixup": 0.5})
    two = trained(session, states, 0, one, {"lr": 0.002, "mixup": 0.1})
    return [one, two, trained(session, states, 0, two, {"lr": 0.002, "mixup": 0.1})]


def request(session: Session, out: Path, **more: Any) -> TrainingRequest:
    return TrainingRequest(
        name="tiny", data="folder", source=session.source, settings=TINY, out=out, graph=False, **more
    )


def test_a_replay_ends_in_the_weights_of_the_search_to_the_last_bit(session: Session, tmp_path: Path) -> None:
    line = searched(session, tmp_path / "states")
    *rounds, finished = list(replay(request(session, tmp_path / "run"), session, line))
    assert [one.is_the_same for one in rounds if isinstance(one, ReplayedInterval)] == [True] * 3
    assert isinstance(finished, RunFinished)
    card = load_model(finished.model).card
    assert card.training["settings"]["lr"] == 0.002
    assert [row["settings"]["mixup"] for row in card.training["log"]] == [0.5, 0.1, 0.1]
    assert not (tmp_path / "run" / STATES).exists()


def test_a_replay_on_other_pictures_is_refused(session: Session, tmp_path: Path) -> None:
    search, run = tmp_path / "search", request(session, tmp_path / "run")
    open_run(request(session, search), session)
    assert replay_session(search, run).validation == session.validation
    fewer = {name: records[1:] for name, records in session.source.splits.items()}
    with pytest.raises(RunError, match="on other pictures or labels"):
        replay_session(search, replace(run, source=replace(session.source, splits=fewer)))


def test_a_replay_into_a_folder_that_holds_a_run_is_refused_before_pictures_are_decoded(
    session: Session, tmp_path: Path
) -> None:
    search, run = tmp_path / "search", request(session, tmp_path / "run")
    open_run(request(session, search), session)
    open_run(run, session)
    before = sorted(file.name for file in run.out.iterdir())
    decoding = replace(run, settings=replace(run.settings, cache_side=32))
    with pytest.raises(RunError, match="already holds a run"):
        replay_session(search, decoding)
    assert sorted(file.name for file in run.out.iterdir()) == before


def test_a_replay_that_another_process_writes_is_refused(session: Session, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with holder("locked_folder", out) as other, pytest.raises(OutputInUse, match=str(other.pid)):
        next(iter(replay(request(session, out), session, [])))
    assert not (out / LINEAGE).exists()


def test_a_replay_that_was_stopped_goes_on(session: Session, tmp_path: Path) -> None:
    line = searched(session, tmp_path / "states")
    first = next(replay(request(session, tmp_path / "run"), session, line))
    assert isinstance(first, ReplayedInterval) and first.reached.round == 1
    rest = list(replay(request(session, tmp_path / "run", resume=True), session, line))
    assert [one.reached.round for one in rest if isinstance(one, ReplayedInterval)] == [2, 3]
    assert all(one.is_the_same for one in rest if isinstance(one, ReplayedInterval))


def test_a_replay_under_other_settings_ends_elsewhere(session: Session, tmp_path: Path) -> None:
    line = searched(session, tmp_path / "states")
    line[1] = replace(line[1], settings={"lr": 0.0001, "mixup": 0.1})
    rounds = list(replay(request(session, tmp_path / "run"), session, line))
    assert [one.is_the_same for one in rounds if isinstance(one, ReplayedInterval)] == [True, False, False]


def test_the_hash_of_a_state_is_of_all_that_is_in_it(session: Session) -> None:
    state = session.start()
    for _ in zip(range(2), train(session, state), strict=False):
        pass
    found = {hash_state(state)}
    moment = next(iter(state.optimizer.state.values()))["exp_avg"]
    assert state.ema is not None
    for tensor in (moment, next(state.network.parameters()), next(state.ema.module.parameters())):
        with torch.no_grad():
            tensor[(0,) * tensor.ndim] += 1
        found.add(hash_state(state))
    state.step += 1
    found.add(hash_state(state))
    assert len(found) == 5
