"""The comparison of searches: members trained together, what each method decides, budgets, and its page."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import search_comparison
import search_report
from affectlens.metrics import balanced_accuracy
from affectlens.training.search_space import initial_points, values_at
from screening import read_results
from search_features import Division, Part, one_hot
from search_heads import Heads, head_space, initial_heads, logits_of, recipe, train_epoch
from search_methods import (
    METHODS,
    Rungs,
    Search,
    exploits,
    explored,
    run_search,
    scores_of,
    validation_scores,
)

FEATURES, LR = 6, 3e-3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def part(count: int, seed: int) -> Part:
    """Pictures whose emotion can be seen from their features, most often."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(8, (count,), generator=generator)
    means = torch.randn((8, FEATURES), generator=torch.Generator().manual_seed(0))
    return Part(means[labels] + torch.randn((count, FEATURES), generator=generator), labels)


@pytest.fixture
def division() -> Division:
    return Division(part(200, 1), part(80, 2), part(120, 3))


def values_of(population: int, epochs: int, seed: int = 0) -> list[dict[str, float]]:
    settings = recipe(epochs, LR)
    space = head_space(settings, class_weight=True)
    return [values_at(space, point) for point in initial_points(space, settings, population, seed)]


def test_a_member_learns_the_same_alone_and_among_others(division: Division) -> None:
    values, seeds, settings = values_of(5, 3), [7, 7, 8, 7, 9], recipe(3, LR)
    together = initial_heads(FEATURES, seeds)
    for epoch in range(3):
        train_epoch(together, division.training, settings, values, seeds, epoch)
    for member, (own, seed) in enumerate(zip(values, seeds, strict=True)):
        alone = initial_heads(FEATURES, [seed])
        for epoch in range(3):
            train_epoch(alone, division.training, settings, [own], [seed], epoch)
        for ours, theirs in zip(alone.weights, together.weights, strict=True):
            torch.testing.assert_close(ours[0], theirs[member], rtol=1e-4, atol=1e-6)


def test_gradients_and_steps_are_those_of_torch(division: Division) -> None:
    settings = recipe(1, LR)
    own = {"lr": settings.lr, "weight_decay": 0.2, "label_smoothing": 0.1}
    # One batch holds all pictures, so that their order does not matter.
    training = Part(division.training.features[:100], division.training.labels[:100])
    heads = initial_heads(FEATURES, [0])
    into, hidden_bias, out, bias = (weight[0].clone().requires_grad_() for weight in heads.weights)
    optimizer = torch.optim.AdamW(
        [{"params": [into, out], "weight_decay": 0.2}, {"params": [hidden_bias, bias], "weight_decay": 0.0}],
        lr=settings.lr,
    )
    for _ in range(3):
        optimizer.zero_grad()
        logits = (training.features @ into + hidden_bias).relu() @ out + bias
        torch.nn.functional.cross_entropy(logits, training.labels, label_smoothing=0.1).backward()
        optimizer.step()
    # At a constant learning rate, without a warm-up.
    constant = replace(recipe(3, LR, constant=True), warmup=0.0)
    for epoch in range(3):
        train_epoch(heads, training, constant, [own], [0], epoch)
    for ours, theirs in zip(heads.weights, (into, hidden_bias, out, bias), strict=True):
        torch.testing.assert_close(ours[0], theirs.detach(), rtol=1e-4, atol=1e-5)


def test_every_hyperparameter_changes_what_is_learnt(division: Division) -> None:
    base = values_of(2, 2)[0]
    changed = [base | {name: value} for name, value in values_of(2, 2)[1].items()]
    # Half of the batches are mixed; with two steps an epoch, in some epoch one is.
    values = [base, *changed]
    seeds = [0] * len(values)
    heads, settings = initial_heads(FEATURES, seeds), recipe(4, LR)
    for epoch in range(4):
        train_epoch(heads, division.training, settings, values, seeds, epoch)
    first = heads.weights[0]
    assert all((first[0] - first[member]).abs().max() > 1e-6 for member in range(1, len(values)))


def test_the_first_member_has_the_recipes_settings() -> None:
    settings = recipe(3, LR)
    first = values_of(4, 3)[0]
    assert first["lr"] == pytest.approx(settings.lr)
    assert first["label_smoothing"] == settings.label_smoothing and first["mixup"] == 0
    assert [each.name for each in head_space(settings)][:2] == ["lr", "weight_decay"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("population", "epochs", "interval"), [(8, 4, 1), (5, 9, 3)])
def test_every_method_spends_the_same(
    method: str, population: int, epochs: int, interval: int, division: Division
) -> None:
    search = Search(method=method, lr=LR, population=population, epochs=epochs, interval=interval)
    found = run_search(search, division)
    assert found.spent == search.budget == population * epochs
    assert found.members >= population if method == "asha" else found.members == population
    assert found.winner is not None and 0.2 < found.score <= 1
    assert run_search(search, division).score == found.score


def test_scores_are_those_of_the_package(division: Division) -> None:
    heads = initial_heads(FEATURES, [0, 1])
    for member, score in enumerate(validation_scores(heads, division.validation)):
        logits = logits_of(heads, division.validation.features)[member]
        targets = one_hot(division.validation.labels).numpy()
        accuracy = float((logits.argmax(1) == division.validation.labels).float().mean())
        expected = (accuracy + balanced_accuracy(logits.numpy(), targets)) / 2
        assert score == pytest.approx(expected, abs=1e-6)
        assert scores_of(heads.of([member]), division.validation)["score"] == pytest.approx(score, abs=1e-6)


def test_a_copy_has_weights_moments_and_perturbed_settings_of_its_source(division: Division) -> None:
    settings = recipe(2, LR)
    space = head_space(settings)
    points = initial_points(space, settings, 8, 0)
    scores = [0.5, 0.1, 0.9, 0.4, 0.2, 0.8, 0.6, 0.3]
    search = Search(method="pbt", lr=LR, population=8, epochs=2)
    sources, moved = explored(space, points, scores, search, 1)
    assert set(sources) == {1, 4} and set(sources.values()) <= {2, 5}
    assert all(moved[member] == points[member] for member in range(8) if member not in sources)
    for member, source in sources.items():
        steps = [abs(moved[member][each.name] - points[source][each.name]) for each in space]
        assert all(step > 0 for step in steps) and moved[member] != points[member]
    kept = explored(space, points, scores, replace(search, perturbs=False), 1)[1]
    assert all(kept[member] == points[source] for member, source in sources.items())
    alone = explored(space, points, scores, replace(search, copies=False), 1)
    assert alone[0] == {} and alone[1][1] != points[1] and alone[1][1] != points[sources[1]]
    heads = initial_heads(FEATURES, list(range(8)))
    train_epoch(heads, division.training, settings, values_of(8, 2), list(range(8)), 0)
    before = heads.of(range(8))
    heads.put(list(sources), heads.of(list(sources.values())))
    for now, then in zip(_tensors(heads), _tensors(before), strict=True):
        assert all(torch.equal(now[m], then[sources.get(m, m)]) for m in range(8))


def _tensors(heads: Heads) -> list[torch.Tensor]:
    return [tensor for group in heads for tensor in group]


class _Trial:
    """What Ray's scheduler reads of a trial, and notes in it."""

    def __init__(self, member: int, point: dict[str, float]) -> None:
        self.trial_id, self.status = str(member), "PAUSED"
        self.config: dict[str, Any] = {"member": member, **point, "sample": str(member), "sampled_from": None}
        self.evaluated_params: dict[str, Any] = {}
        self.experiment_tag, self.placement_group_factory = "", None
        manager = SimpleNamespace(
            _latest_checkpoint_result=None, checkpoint_config=SimpleNamespace(num_to_keep=None)
        )
        self.run_metadata = SimpleNamespace(checkpoint_manager=manager)
        self.checkpoint = SimpleNamespace(path=str(member))
        self.temporary_state = SimpleNamespace(saving_to=None)

    def __str__(self) -> str:
        return f"member-{self.trial_id}"

    def is_finished(self) -> bool:
        return False

    def set_experiment_tag(self, tag: str) -> None:
        self.experiment_tag = tag

    def set_config(self, config: dict[str, Any]) -> None:
        self.config = config


class _Controller:
    """What Ray's scheduler needs of a tune controller."""

    search_alg = None

    def __init__(self, trials: list[_Trial]) -> None:
        self.trials = trials

    def get_trials(self) -> list[_Trial]:
        return self.trials

    get_live_trials = get_trials


@pytest.mark.needs("ray")
@pytest.mark.parametrize("population", [2, 8, 21])
def test_who_copies_whom_and_to_which_settings_is_what_rays_scheduler_decides(population: int) -> None:
    schedulers = pytest.importorskip("affectlens.cluster.schedulers")
    settings = recipe(2, LR)
    space = head_space(settings)
    points = initial_points(space, settings, population, 5)
    scores = [random.Random(member).random() for member in range(population)]
    theirs = schedulers.scheduler_for("pbt", space, 4, 5, [], 0)
    theirs.set_search_properties("score", "max")
    controller = _Controller([_Trial(member, point) for member, point in enumerate(points)])
    for trial in controller.trials:
        theirs.on_trial_add(controller, trial)
    for trial, score in zip(controller.trials, scores, strict=True):
        theirs.on_trial_result(controller, trial, {"since": 1, "round": 1, "score": score})
    search = Search(method="pbt", lr=LR, population=population, epochs=4, seed=5)
    sources, moved = explored(space, points, scores, search, 1)
    copied = {
        m: int(t.config["sampled_from"]) for m, t in enumerate(controller.trials) if t.config["sampled_from"]
    }
    assert sources == copied and sources
    for point, trial in zip(moved, controller.trials, strict=True):
        assert point == {each.name: trial.config[each.name] for each in space}


@pytest.mark.needs("ray")
def test_who_stops_is_what_rays_asha_decides() -> None:
    schedulers = pytest.importorskip("affectlens.cluster.schedulers")
    theirs = schedulers.scheduler_for("asha", (), 12, 0, [], 0)
    theirs.set_search_properties("score", "max")
    ours, generator, decided = Rungs(12), random.Random(0), []
    for member in range(40):
        trial = _Trial(member, {})
        theirs.on_trial_add(None, trial)
        for number in range(1, 13):
            score = generator.random()
            stops = ours.stops(number, score) or number == 12
            result = {"round": number, "score": score}
            assert (theirs.on_trial_result(None, trial, result) == "STOP") == stops
            decided.append(stops)
            if stops:
                break
    assert 60 < len(decided) < 240


def test_of_the_lowest_and_the_highest_quarter_none_is_in_both() -> None:
    for population in range(2, 30):
        scores = [float(member) for member in range(population)]
        sources = exploits(scores, random.Random(0))
        assert not set(sources) & set(sources.values())
        assert len(sources) == (1 if population < 4 else -(-population // 4))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, division: Division, tmp_path: Path) -> Path:
    """Two conditions of two seeds, of made-up pictures; the file of their results."""
    conditions = [
        search_comparison.Condition(name=name, title=name, population=3, epochs=2, methods=("pbt", "random"))
        for name in ("one", "two")
    ]
    made = SimpleNamespace(digest="0", of_seed=lambda seed, selected: division)
    monkeypatch.setattr(search_comparison, "CONDITIONS", conditions)
    monkeypatch.setattr(search_comparison, "SEEDS", range(2))
    monkeypatch.setattr(search_comparison, "Divisions", lambda data, features: made)
    return tmp_path / "results.jsonl"


def test_an_interrupted_comparison_goes_on_and_ends_as_it_would_have(quick: Path) -> None:
    words = ["run", "--data", "x", "--features", "y", "--results", str(quick)]
    assert search_comparison.main(words) == 0
    every = read_results(quick)
    lines = quick.read_text().splitlines(keepends=True)
    assert [row["kind"] for row in every] == ["about"] + ["learning rate"] * 2 + ["search"] * 8
    quick.write_text("".join(lines[:6]) + lines[6][:20])
    assert search_comparison.main(words) == 0
    again = read_results(quick)
    assert [_timeless(row) for row in again] == [_timeless(row) for row in every]


def _timeless(row: Any) -> str:
    return json.dumps({name: value for name, value in row.items() if name != "seconds"})


def results(gain: float) -> list[dict[str, Any]]:
    """Results of all planned searches, in which population based training with 80 members gains so much."""
    rows: list[dict[str, Any]] = [
        {"kind": "about", "date": "2026-01-02T03:04+00:00", "machine": {"cpu": "a processor", "cores": 2},
         "division": "0123", "hidden": 16, "batch": 100}
    ]  # fmt: skip
    scores = dict(zip(map(str, search_comparison.LEARNING_RATES), (0.4, 0.5, 0.45, 0.3), strict=True))
    rows += [{"kind": "learning rate", "seed": seed, "scores": scores} for seed in search_comparison.SEEDS]
    for condition, method, seed in search_comparison.planned():
        # A seed is as hard for all, and each search has some luck of its own.
        luck = random.Random(f"luck {condition.name} {method} {seed}").gauss(0, 0.004)
        found = 0.5 + 0.01 * (seed % 5) + luck
        found += gain if (condition.name, method) == ("population 80", "pbt") else 0
        measures = ("score", "accuracy", "balanced_accuracy", "nll")
        rows.append({
            "kind": "search", "condition": condition.name, "method": method, "seed": seed, "members": 9,
            "spent": 1, "selected_by": found + 0.03, "outer": dict.fromkeys(measures, found), "settings": {},
            "seconds": 6.0,
        })  # fmt: skip
    return rows


def test_what_wins_is_named_and_where_none_does_the_page_states_it(tmp_path: Path) -> None:
    clear = search_report.parts(search_report.Rows(results(0.03)), "x.svg")
    assert "PBT over random, 80 members" in clear["SHORT"] and "Of 18 comparisons" in clear["SHORT"]
    assert "± " in clear["SCORES"] and "3.0 ± 0.0" in clear["SCORES"]
    found = results(0.0)
    search_report.write(tmp_path / "search.md", found)
    page = (tmp_path / "search.md").read_text()
    assert (
        "@@" not in page
        and "Not complete" not in page
        and "None of 18 comparisons" in page
        and "no method wins" in page
    )
    assert "not yet" not in page and (tmp_path / "search.svg").is_file()


def test_an_interval_excludes_zero_exactly_where_holm_rejects() -> None:
    rows = search_report.Rows(results(0.03))
    for family in (search_comparison.MAIN, search_comparison.NEEDS):
        found = search_report.compare(rows, family)
        assert [each.comparison for each in found] == list(family)
        ordered = sorted(each.p for each in found)
        passed = [p < 0.05 / (len(family) - rank) for rank, p in enumerate(ordered)]
        count = passed.index(False) if False in passed else len(passed)
        assert sum(each.rejected for each in found) == count
        assert all(each.low * each.high > 0 for each in found if each.rejected)


def test_nothing_is_averaged_before_every_seed_is_there() -> None:
    partial = [row for row in results(0.0) if row["kind"] != "search" or row["seed"] < 19]
    assert not len(search_report.Rows(partial).outer(("population 8", "pbt")))
    short = search_report.parts(search_report.Rows(partial), "x.svg")["SHORT"]
    assert "not yet" in short and "**Not complete**: 665 of 700 planned" in short
