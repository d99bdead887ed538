"""Ray Tune's schedulers, told what a search needs of them: draws that a seed decides, and going on.

Population based training: Jaderberg et al., "Population Based Training of Neural Networks", 2017. All members
do a round, then the worst quarter takes over the weights of the best quarter, with their settings perturbed.
PB2 chooses the settings by a Gaussian process instead: Parker-Holder et al., "Provably Efficient Online
Hyperparameter Optimization with Population-Based Bandits", NeurIPS 2020. ASHA gives up members that fall
behind: Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020. Random search trains
every member to the end: Bergstra and Bengio, JMLR 2012.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from ray.tune.schedulers.pb2 import PB2

from affectlens.cluster.member import DRAW, DRAWN_FROM, MEMBER
from affectlens.training.batches import derived_seed
from affectlens.training.lineage import Interval
from affectlens.training.search_space import Knob, name_of_draw, perturb, values_at

EXPLOITING = ("pbt", "pb2")  # members take over others' weights, all at the end of a round
KEEP_EACH = ("asha", "random")
REDUCTION = 3  # ASHA lets one of three go on beyond rounds 1, 3, 9, ...

Explore = Callable[[dict[str, Any]], dict[str, Any]]


def scheduler_for(
    kind: str, table: Sequence[Knob], rounds: int, seed: int, known: Sequence[Interval], begin: int
) -> TrialScheduler:
    """Make a scheduler; `known` are intervals that were done before, `begin` the round before the first."""
    if kind == "pbt":
        draw = random.Random()
        return _PBT(
            seed=seed,
            draw=draw,
            time_attr="since",
            perturbation_interval=1,
            synch=True,
            log_config=False,
            custom_explore_fn=_explore(table, lambda positions: perturb(tuple(table), positions, draw)),
        )
    if kind == "pb2":
        made = _PB2(
            seed=seed,
            time_attr="since",
            perturbation_interval=1,
            synch=True,
            log_config=False,
            hyperparam_bounds={knob.name: [0.0, 1.0] for knob in table},
            custom_explore_fn=_explore(table, dict),
        )
        made.data = _history([one for one in known if one.round < begin + 1], table, begin)
        return made
    if kind == "asha":
        return _ASHA(known, time_attr="round", max_t=rounds, reduction_factor=REDUCTION)
    return FIFOScheduler()


def _explore(table: Sequence[Knob], move: Callable[[dict[str, float]], dict[str, float]]) -> Explore:
    """Perturb another's config, and say in it which settings it was drawn from."""

    def explore(config: dict[str, Any]) -> dict[str, Any]:
        positions = move({knob.name: float(config[knob.name]) for knob in table})
        drawn_from = config[DRAW]
        name = name_of_draw(values_at(tuple(table), positions), drawn_from)
        return {MEMBER: config[MEMBER], **positions, DRAW: name, DRAWN_FROM: drawn_from}

    return explore


class _PBT(PopulationBasedTraining):
    """Its draws depend on the seed and the round alone, so that an interrupted search decides alike."""

    def __init__(self, seed: int, draw: random.Random, **options: Any) -> None:
        super().__init__(**options)
        self.seed, self.draw = seed, draw

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, trial)
        _keep_process(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decided = derived_seed("perturb", self.seed, result["round"])
        self.draw.seed(decided)
        random.seed(decided)  # Ray draws whom to take over from the global generator
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return decision


class _PB2(PB2):
    """Likewise; the Gaussian process begins its searches at random points of numpy's generator."""

    def __init__(self, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.seed = seed

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, trial)
        _keep_process(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decided = derived_seed("perturb", self.seed, result["round"])
        random.seed(decided)
        np.random.seed(decided % 2**32)
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return decision


class _ASHA(AsyncHyperBandScheduler):
    """Is told again what was done before an interruption, and does not decide on it again."""

    def __init__(self, known: Sequence[Interval], **options: Any) -> None:
        super().__init__(**options)
        self.known = {one.place: one for one in known}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(tune_controller, trial, result)
        before = self.known.get((member_of(trial), result["round"]))
        if before is None:
            return decision
        return TrialScheduler.STOP if before.stopped else TrialScheduler.CONTINUE


def _keep_process(tune_controller: Any, trial: Any) -> None:
    """Let Ray keep a process for each member through the end of a round.

    When all members pause, Ray ends all idle processes but one, and would start the others anew in each
    round, which costs seconds each. There is no public setting for it; where a later Ray has none of this,
    rounds only take longer.
    """
    kept = getattr(getattr(tune_controller, "_tune_controller", None), "_actor_cache", None)
    if kept is not None:
        kept.increase_max(trial.placement_group_factory)


def name_of(trial: Any) -> str:
    """What Ray calls the trial of a member. It stays when the trial's config becomes a copy of another's."""
    return f"member-{trial.config[MEMBER]}"


def member_of(trial: Any) -> int:
    """Which member a trial is."""
    return int(str(trial).rpartition("-")[2])


def _history(known: Sequence[Interval], table: Sequence[Knob], begin: int) -> pd.DataFrame:
    """What PB2 remembers of rounds before an interruption, as it writes it down itself."""
    rows = [
        [f"member-{one.member}", one.round - begin, *(one.positions[knob.name] for knob in table), one.score]
        for one in known
    ]
    columns = ["Trial", "Time", *(knob.name for knob in table), "Reward"]
    return pd.DataFrame(rows, columns=columns) if rows else pd.DataFrame()
