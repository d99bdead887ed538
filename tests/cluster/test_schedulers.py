"""What our schedulers and members decide, without a Ray that runs."""

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune import grid_search
from ray.tune.experiment import Experiment
from torch import nn

from affectlens.cluster.member import MEMBER, SAMPLE, SAMPLED_FROM, Member
from affectlens.cluster.schedulers import PausingMembers, _explore, member_of, name_of, scheduler_for
from affectlens.cluster.search_record import SearchRecord
from affectlens.cluster.tune import _conclude
from affectlens.errors import RunError
from affectlens.training.checkpoints import save_weights
from affectlens.training.intervals import INTERVAL, state_file
from affectlens.training.lineage import DIVERGED, LINEAGE, Interval, write_lineage
from affectlens.training.search_plan import STATES, SearchPlan
from affectlens.training.search_space import perturb, sample_id, values_at
from lineages import SPACE, family, interval

CONFIG = {
    MEMBER: 3,
    "lr": 0.5,
    "label_smoothing": 0.2,
    "mixup": 0.4,
    SAMPLE: "abc",
    SAMPLED_FROM: None,
}


class Trial(SimpleNamespace):
    """As much of a trial as ASHA looks at."""

    def __str__(self) -> str:
        return f"member-{self.trial_id}"


def results(scheduler: Any, number: int, scores: list[float]) -> list[str]:
    """What a scheduler decides when members 0, 1, ... report these scores of a round, one after the other."""
    trials = [Trial(trial_id=member) for member in range(len(scores))]
    for trial in trials:
        if number == 1:
            scheduler.on_trial_add(None, trial)
    return [
        scheduler.on_trial_result(
            None, trial, {"round": number, "score": score, "training_iteration": number}
        )
        for trial, score in zip(trials, scores, strict=True)
    ]


def asha(known: list[Interval]) -> Any:
    made: Any = scheduler_for("asha", SPACE, 9, 0, known, 0)
    made.set_search_properties("score", "max")
    return made


def test_asha_stops_members_that_are_behind_after_the_first_round() -> None:
    assert results(asha([]), 1, [0.3, 0.5, 0.1, 0.2, 0.6]) == [
        "CONTINUE",
        "CONTINUE",
        "STOP",
        "STOP",
        "CONTINUE",
    ]


def test_what_was_decided_before_an_interruption_stays_decided() -> None:
    """In another order, the same scores would be decided on otherwise."""
    from dataclasses import replace

    known = [replace(one, stopped=one.member == 0) for one in family() if one.round == 1]
    assert results(asha(known), 1, [0.9, 0.1, 0.05]) == ["STOP", "CONTINUE", "CONTINUE"]


def test_a_perturbed_config_names_the_settings_that_it_was_sampled_from() -> None:
    generator = random.Random(0)
    explore = _explore(SPACE, lambda point: perturb(SPACE, point, generator))
    new = explore(dict(CONFIG))
    assert new[SAMPLED_FROM] == "abc" and new.keys() == CONFIG.keys()
    assert new[SAMPLE] == sample_id(values_at(SPACE, new), "abc")
    assert [new[each.name] for each in SPACE] != [CONFIG[each.name] for each in SPACE]


def test_a_search_whose_members_pause_is_not_finished_before_each_of_them_is() -> None:
    """Or Ray ends the processes of those that pause, as soon as all have begun."""
    members = PausingMembers()
    members.add_configurations([Experiment("two", lambda config: None, config={MEMBER: grid_search([0, 1])})])
    trials = [members.next_trial() for _ in range(2)]
    assert members.next_trial() is None
    trials[0].set_status("TERMINATED")
    assert not members.is_finished()
    trials[1].set_status("TERMINATED")
    assert members.is_finished()


def test_a_search_whose_members_all_diverged_ends_with_why(tmp_path: Path) -> None:
    intervals = [interval(member, 1, None, (0.5, 0.3, 0.0), DIVERGED) for member in range(2)]
    record: Any = SimpleNamespace(intervals=intervals, states=tmp_path)
    nothing: Any = None
    with pytest.raises(RunError, match=r"Every member diverged, the last with: The loss is nan\. Lower lr"):
        _conclude(nothing, nothing, record, None)


def test_a_trial_is_known_as_its_member_whatever_its_config_becomes() -> None:
    trial = Trial(trial_id=3, config=CONFIG)
    assert name_of(trial) == "member-3" and member_of(trial) == 3


# What Ray's issue 28509 was. ----------------------------------------------------------------------


def member(config: dict[str, Any], state: tuple[int, int]) -> Member:
    """A member that Ray gave this config and the checkpoint of this state."""
    made: Member = Member.__new__(Member)
    made.config, made.state = config, state
    made._trial_info = Trial(trial_name="member-2", trial_id="2")
    return made


@pytest.fixture
def states(tmp_path: Path) -> Path:
    """States of all members after round 1."""
    for one in family()[:3]:
        save_weights(state_file(tmp_path, *one.key), nn.Linear(1, 1), {INTERVAL: one.to_dict()})
    return tmp_path


def config_of(sample: str, sampled_from: str | None) -> dict[str, Any]:
    return {**CONFIG, SAMPLE: sample, SAMPLED_FROM: sampled_from}


def test_a_member_goes_on_from_its_own_state_or_from_the_donors(states: Path) -> None:
    donor, _, own = family()[:3]
    going_on = member(config_of(own.sample, own.sampled_from), own.key)
    assert going_on._start(states) == state_file(states, *own.key)
    copying = member(config_of("new", donor.sample), donor.key)
    assert copying._start(states) == state_file(states, *donor.key)


def test_anothers_settings_with_the_own_weights_get_the_weights_they_belong_to(states: Path) -> None:
    donor, _, own = family()[:3]
    mixed_up = member(config_of("new", donor.sample), own.key)
    assert mixed_up._start(states) == state_file(states, *donor.key)


def test_settings_whose_weights_are_nowhere_are_refused(states: Path) -> None:
    own = family()[2]
    with pytest.raises(RunError, match="Member 2 was given settings sampled from another"):
        member(config_of("new", "another"), own.key)._start(states)


def test_a_member_before_a_deleted_state_reports_again_what_it_did_after_it(states: Path) -> None:
    own = next(one for one in family() if one.key == (2, 2))
    save_weights(state_file(states, *own.key), nn.Linear(1, 1), {INTERVAL: own.to_dict()})
    state_file(states, 2, 1).unlink()
    begun_again = member(config_of(own.sample, own.sampled_from), (2, 1))
    assert begun_again._read_again(states) == own and begun_again.state == own.key
    with pytest.raises(RunError, match="is not what member 2 was to train"):
        member(config_of("another", own.sample), (2, 1))._read_again(states)


@pytest.mark.parametrize("scheduler", ["pbt", "random"])
def test_a_search_whose_states_are_gone_is_refused_before_ray_starts(tmp_path: Path, scheduler: str) -> None:
    plan = SearchPlan(scheduler=scheduler, population=3, rounds=4)
    write_lineage(tmp_path / LINEAGE, family())
    SearchRecord(tmp_path, plan, lambda _: None)  # which makes the folder of states
    for member in range(3):
        with pytest.raises(RunError, match=r"safetensors is missing.*search again in another folder"):
            SearchRecord(tmp_path, plan, lambda _: None).require_states()
        state_file(tmp_path / STATES, member, 3).touch()
    SearchRecord(tmp_path, plan, lambda _: None).require_states()
    # One that has ended needs the best state alone.
    state_file(tmp_path / STATES, 2, 3).unlink()
    SearchRecord(tmp_path, replace(plan, rounds=3), lambda _: None).require_states()
