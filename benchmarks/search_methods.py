"""Four ways to spend one budget of member-epochs: population based training, random search, ASHA, seeds.

They are those of `affectlens tune`, without Ray: initial points, perturbation and search space are its code,
and so are the seeds of its random numbers. What Ray's schedulers decide is written again in `exploits` and
`Rungs`, and `tests/benchmarks/test_search.py` holds both to Ray's own:

    pbt      After each round the members are sorted by score. The quarter (rounded up, half at most) with
             the lowest scores copies weights, moments and settings of members sampled from the quarter with
             the highest, and perturbs the settings. No one copies after the last round.
    random   Each member trains to the end under its first settings.
    asha     A member stops after round 1, 3, 9, ... where its score is below the upper third of the scores
             seen there so far. A quarter as many as the population has train at a time; where one stops the
             next begins, until the budget is spent.
    recipe   The recipe's own settings with as many seeds as members: initial weights and order differ.

The winner is the best score of any member after any round, as `training.lineage.best` has it.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from affectlens.metrics import balanced_accuracy
from affectlens.training.batches import derived_seed
from affectlens.training.search_space import Point, SearchSpace, initial_points, perturb, values_at
from search_features import Division, Part, one_hot
from search_heads import Heads, Values, head_space, initial_heads, logits_of, recipe, train_epoch

QUANTILE, REDUCTION = 0.25, 3
AT_A_TIME = 4  # ASHA trains the population divided by this at a time


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search.

    Attributes:
        method: one of `METHODS`
        population: members
        epochs: of each member
        lr: of the recipe
        interval: epochs of a round
        constant: whether the learning rate stays at its peak
        class_weight: whether it is searched too
        copies, perturbs: whether population based training does so after a round
    """

    method: str
    population: int
    epochs: int
    lr: float
    interval: int = 1
    constant: bool = False
    class_weight: bool = False
    copies: bool = True
    perturbs: bool = True
    seed: int = 0

    @property
    def rounds(self) -> int:
        """Of each member."""
        return self.epochs // self.interval

    @property
    def budget(self) -> int:
        """Epochs of all members together."""
        return self.population * self.epochs


@dataclass
class Outcome:
    """What a search found, and what it took.

    Attributes:
        spent: epochs of all members together
        members: how many began
        score: of the winner, that it was chosen by
        winner: its weights
        values: settings in its last round
    """

    spent: int = 0
    members: int = 0
    score: float = -1.0
    winner: Heads | None = None
    values: Values = field(default_factory=dict)

    def consider(self, heads: Heads, scores: Sequence[float], values: Sequence[Values]) -> None:
        """Keep the best member if it is better than all before."""
        best = int(np.argmax(scores))
        if scores[best] > self.score:
            self.score, self.winner, self.values = scores[best], heads.of([best]), dict(values[best])


class Training:
    """Trains members of one search through rounds, and scores them on the validation part."""

    def __init__(self, search: Search, division: Division) -> None:
        self.search, self.division = search, division
        self.settings = recipe(search.epochs, search.lr, search.constant)
        self.outcome = Outcome()

    def begin(self, seeds: Sequence[int]) -> Heads:
        """Make members that have learnt nothing yet."""
        return initial_heads(self.division.training.features.shape[1], seeds)

    def round(self, heads: Heads, values: Sequence[Values], seeds: Sequence[int], number: int) -> list[float]:
        """Train members through a round, from 0, in place, and return their scores."""
        interval = self.search.interval
        for epoch in range(number * interval, (number + 1) * interval):
            train_epoch(heads, self.division.training, self.settings, values, seeds, epoch)
        self.outcome.spent += interval * len(values)
        self.outcome.members += len(values) if number == 0 else 0
        scores = validation_scores(heads, self.division.validation)
        self.outcome.consider(heads, scores, values)
        return scores


def validation_scores(heads: Heads, part: Part) -> list[float]:
    """Mean of accuracy and balanced accuracy of each member, what `select_by = mean` selects by."""
    predicted = logits_of(heads, part.features).argmax(dim=2)  # (M, N)
    right = (predicted == part.labels).float()
    # Each picture's weight in the mean of the recalls of emotions that there are.
    counts = torch.bincount(part.labels)
    weight = 1 / (counts[part.labels] * (counts > 0).sum())
    found: list[float] = ((right.mean(dim=1) + right @ weight) / 2).tolist()
    return found


def scores_of(heads: Heads, part: Part) -> dict[str, float]:
    """What the page reports of one head."""
    logits = logits_of(heads, part.features)[0]
    accuracy = float((logits.argmax(dim=1) == part.labels).float().mean())
    balanced = balanced_accuracy(logits.numpy(), one_hot(part.labels).numpy())
    return {
        "score": (accuracy + balanced) / 2,
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "nll": float(torch.nn.functional.cross_entropy(logits, part.labels)),
    }


# ----------------------------------------------------------------------------------- what each method decides


def exploits(scores: Sequence[float], generator: random.Random) -> dict[int, int]:
    """Which member copies which: those of the lowest quarter sample from the highest, in Ray's order."""
    order = sorted(range(len(scores)), key=lambda member: scores[member])
    count = math.ceil(len(order) * QUANTILE)
    if count > len(order) / 2:
        count = len(order) // 2
    lower, upper = order[:count], order[len(order) - count :]
    return {member: generator.choice(upper) for member in lower}


def explored(
    space: SearchSpace, points: Sequence[Point], scores: Sequence[float], search: Search, number: int
) -> tuple[dict[int, int], list[Point]]:
    """Who copies whom after a round, from 1, and all points then; the seed is that of `tune`."""
    decided = derived_seed("perturb", search.seed, number)
    sources, generator = exploits(scores, random.Random(decided)), random.Random(decided)
    moved = [dict(point) for point in points]
    for member, source in sources.items():
        begin = points[source] if search.copies else points[member]
        moved[member] = perturb(space, begin, generator) if search.perturbs else dict(begin)
    return sources if search.copies else {}, moved


class Rungs:
    """Asynchronous successive halving: the scores seen after rounds 1, 3, 9, ..."""

    def __init__(self, rounds: int) -> None:
        count = int(math.log(rounds) / math.log(REDUCTION) + 1)
        self.seen: dict[int, list[float]] = {REDUCTION**rung: [] for rung in range(count)}

    def stops(self, number: int, score: float) -> bool:
        """Whether a member stops after this round, from 1; note its score."""
        if number not in self.seen:
            return False
        before = self.seen[number]
        stops = bool(before) and score < float(np.percentile(before, (1 - 1 / REDUCTION) * 100))
        before.append(score)
        return stops


# ------------------------------------------------------------------------------------------------ the methods


def population_based(training: Training) -> None:
    """Train all, copy the best after each round but the last."""
    search = training.search
    space = head_space(training.settings, search.class_weight)
    points = initial_points(space, training.settings, search.population, search.seed)
    seeds = [search.seed] * search.population
    heads = training.begin(seeds)
    for number in range(search.rounds):
        values = [values_at(space, point) for point in points]
        scores = training.round(heads, values, seeds, number)
        if number + 1 < search.rounds:
            sources, points = explored(space, points, scores, search, number + 1)
            if sources:
                heads.put(list(sources), heads.of(list(sources.values())))


def random_search(training: Training) -> None:
    """Train all to the end."""
    search = training.search
    space = head_space(training.settings, search.class_weight)
    points = initial_points(space, training.settings, search.population, search.seed)
    _to_the_end(training, [values_at(space, point) for point in points], [search.seed] * search.population)


def repeated_recipe(training: Training) -> None:
    """Train the recipe's own settings with several seeds, the search's own first."""
    search = training.search
    space = head_space(training.settings, search.class_weight)
    first = initial_points(space, training.settings, 2, search.seed)[0]
    seeds = [search.seed, *(derived_seed("repeat", search.seed, n) for n in range(1, search.population))]
    _to_the_end(training, [values_at(space, first)] * search.population, seeds)


def _to_the_end(training: Training, values: Sequence[Values], seeds: Sequence[int]) -> None:
    heads = training.begin(seeds)
    for number in range(training.search.rounds):
        training.round(heads, values, seeds, number)


def successive_halving(training: Training) -> None:
    """Stop members that fall behind; begin others until the budget is spent."""
    search, rungs = training.search, Rungs(training.search.rounds)
    space = head_space(training.settings, search.class_weight)
    waiting = _waiting(space, training)
    slots = max(2, search.population // AT_A_TIME)
    running = [_Runner(training.begin([search.seed]), next(waiting)) for _ in range(slots)]
    while (left := (search.budget - training.outcome.spent) // search.interval) > 0:
        del running[left:]  # what the budget does not pay any more
        scores = _one_round(training, running)
        for index, (runner, score) in enumerate(zip(running, scores, strict=True)):
            runner.done += 1
            # Noted before its end too, as Ray does.
            if rungs.stops(runner.done, score) or runner.done == search.rounds:
                running[index] = _Runner(training.begin([search.seed]), next(waiting))


@dataclass
class _Runner:
    heads: Heads
    values: Values
    done: int = 0


def _waiting(space: SearchSpace, training: Training) -> Iterator[Values]:
    """More members than the budget lasts for, spread over the search space."""
    search = training.search
    most = search.population * search.rounds
    for point in initial_points(space, training.settings, most, search.seed):
        yield values_at(space, point)


def _one_round(training: Training, running: Sequence[_Runner]) -> list[float]:
    """Train each one round further; those of one age together."""
    scores: dict[int, float] = {}
    for age in sorted({runner.done for runner in running}):
        indices = [index for index, runner in enumerate(running) if runner.done == age]
        heads = _joined([running[index].heads for index in indices])
        values = [running[index].values for index in indices]
        found = training.round(heads, values, [training.search.seed] * len(indices), age)
        for row, index in enumerate(indices):
            running[index].heads = heads.of([row])
        scores |= dict(zip(indices, found, strict=True))
    return [scores[index] for index in range(len(running))]


def _joined(heads: Sequence[Heads]) -> Heads:
    return Heads(
        *([torch.cat(tensors) for tensors in zip(*parts, strict=True)] for parts in zip(*heads, strict=True))
    )


METHODS = {
    "pbt": population_based,
    "random": random_search,
    "asha": successive_halving,
    "recipe": repeated_recipe,
}


def run_search(search: Search, division: Division) -> Outcome:
    """Search, within the budget."""
    training = Training(search, division)
    METHODS[search.method](training)
    return training.outcome
