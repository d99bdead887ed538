"""PB2 with what a search needs of it (`cluster.schedulers`). Imports scikit-learn and SciPy."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from ray.tune.schedulers.pb2 import PB2

from affectlens.cluster.schedulers import keep_process
from affectlens.training.batches import derived_seed
from affectlens.training.lineage import Interval
from affectlens.training.search_space import SearchSpace


def pb2(
    space: SearchSpace,
    seed: int,
    known: Sequence[Interval],
    begin: int,
    explore: Callable[[dict[str, Any]], dict[str, Any]],
) -> PB2:
    """Make the scheduler, which has seen the `known` intervals; `begin` is the round before its first."""
    made = _PB2(
        seed=seed,
        time_attr="since",
        perturbation_interval=1,
        synch=True,
        log_config=False,
        hyperparam_bounds={each.name: [0.0, 1.0] for each in space},
        custom_explore_fn=explore,
    )
    made.data = _history(known, space, begin)
    return made


class _PB2(PB2):
    """Its random numbers depend on seed and round alone, so that an interrupted search decides alike.

    The Gaussian process begins its searches at random points of numpy's generator.
    """

    def __init__(self, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.seed = seed

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, trial)
        keep_process(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decided = derived_seed("perturb", self.seed, result["round"])
        random.seed(decided)
        np.random.seed(decided % 2**32)
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return decision


def _history(known: Sequence[Interval], space: SearchSpace, begin: int) -> pd.DataFrame:
    """PB2's table of the rounds before an interruption, as it fills it itself."""
    rows = [
        [f"member-{one.member}", one.round - begin, *(one.unit[each.name] for each in space), one.score]
        for one in known
    ]
    columns = ["Trial", "Time", *(each.name for each in space), "Reward"]
    return pd.DataFrame(rows, columns=columns) if rows else pd.DataFrame()
