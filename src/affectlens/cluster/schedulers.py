"""Ray Tune's schedulers with what a search needs of them: samples that a seed decides, and resuming.

Population based training: Jaderberg et al., "Population Based Training of Neural Networks", 2017. All members
do a round, then the worst quarter copies the weights of the best quarter (exploit), with their settings
perturbed (explore). PB2 chooses the settings by a Gaussian process instead: Parker-Holder et al., "Provably
Efficient Online Hyperparameter Optimization with Population-Based Bandits", NeurIPS 2020. ASHA stops members
that fall behind: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020. Random
search trains every member to the end: Bergstra and Bengio, JMLR 2012.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.search.basic_variant import BasicVariantGenerator

from affectlens.cluster.member import MEMBER, SAMPLE, SAMPLED_FROM
from affectlens.training.batches import derived_seed
from affectlens.training.lineage import Interval
from affectlens.training.search_space import SearchSpace, perturb, sample_id, values_at

# ASHA lets one of three go on beyond rounds 1, 3, 9, ...
REDUCTION = 3

Explore = Callable[[dict[str, Any]], dict[str, Any]]


def scheduler_for(
    kind: str, space: SearchSpace, rounds: int, seed: int, known: Sequence[Interval], begin: int
) -> TrialScheduler:
    """Make a scheduler; `known` are intervals that were done before, `begin` the round before the first."""
    if kind == "pbt":
        generator = random.Random()
        return _PBT(
            seed=seed,
            generator=generator,
            time_attr="since",
            perturbation_interval=1,
            synch=True,
            log_config=False,
            custom_explore_fn=_explore(space, lambda point: perturb(space, point, generator)),
        )
    if kind == "pb2":
        from affectlens.cluster.pb2 import pb2  # scikit-learn and SciPy: two seconds, for no other scheduler

        return pb2(space, seed, [one for one in known if one.round < begin + 1], begin, _explore(space, dict))
    if kind == "asha":
        return _ASHA(known, time_attr="round", max_t=rounds, reduction_factor=REDUCTION)
    return FIFOScheduler()


def _explore(space: SearchSpace, move: Callable[[dict[str, float]], dict[str, float]]) -> Explore:
    """Perturb another's config, and note in it which settings it was sampled from."""

    def explore(config: dict[str, Any]) -> dict[str, Any]:
        point = move({each.name: float(config[each.name]) for each in space})
        parent = config[SAMPLE]
        name = sample_id(values_at(space, point), parent)
        return {MEMBER: config[MEMBER], **point, SAMPLE: name, SAMPLED_FROM: parent}

    return explore


class _PBT(PopulationBasedTraining):
    """Its random numbers depend on seed and round alone, so that an interrupted search decides alike."""

    def __init__(self, seed: int, generator: random.Random, **options: Any) -> None:
        super().__init__(**options)
        self.seed, self.generator = seed, generator

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, trial)
        keep_process(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decided = derived_seed("perturb", self.seed, result["round"])
        self.generator.seed(decided)
        # Ray samples which member to copy by the global generator.
        random.seed(decided)
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return decision


class _ASHA(AsyncHyperBandScheduler):
    """Gets again what was done before an interruption, and does not decide on it again."""

    def __init__(self, known: Sequence[Interval], **options: Any) -> None:
        super().__init__(**options)
        self.known = {one.key: one for one in known}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(tune_controller, trial, result)
        before = self.known.get((member_of(trial), result["round"]))
        if before is None:
            return decision
        return TrialScheduler.STOP if before.stopped else TrialScheduler.CONTINUE


def keep_process(tune_controller: Any, trial: Any) -> None:
    """Let Ray keep a process for each member through the end of a round.

    When all members pause, Ray ends all idle processes but one, and would start the others anew in each
    round, which costs seconds each. There is no public setting for it; where a later Ray has none of this,
    rounds only take longer.
    """
    kept = getattr(getattr(tune_controller, "_tune_controller", None), "_actor_cache", None)
    if kept is not None:
        kept.increase_max(trial.placement_group_factory)


class PausingMembers(BasicVariantGenerator):
    """Gives Ray the members, and is not finished before each of them is.

    Ray itself calls a search finished when all members have begun. From then on it ends the process of a
    member that pauses while none waits for one: at the end of the first round all processes but one, which
    then trained every member while new ones were still starting.
    """

    def __init__(self) -> None:
        super().__init__()
        self.members: list[Any] = []

    def next_trial(self) -> Any:
        member = super().next_trial()  # type: ignore[no-untyped-call]
        if member is not None:
            self.members.append(member)
        return member

    def is_finished(self) -> bool:
        return bool(super().is_finished()) and all(member.is_finished() for member in self.members)

    def save_to_dir(self, dirpath: Any, session_str: Any = "", **_: Any) -> None:
        """Put nothing aside: a search is resumed from its lineage."""


def name_of(trial: Any) -> str:
    """Ray's name for the trial of a member. It stays when the trial's config becomes a copy of another's."""
    return f"member-{trial.config[MEMBER]}"


def member_of(trial: Any) -> int:
    """Which member a trial is."""
    return int(str(trial).rpartition("-")[2])
