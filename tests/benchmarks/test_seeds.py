"""The comparison of the papers' networks: its statistics, its run folders and its sentences."""

import json
import os
import re
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np
import pytest
import torch

import seeds
import seeds_report
import seeds_results
import seeds_speed
import seeds_statistics
from affectlens import metrics
from affectlens.emotions import MIKELS
from affectlens.errors import RunError
from affectlens.model_folder import Card
from affectlens.models import catalog
from affectlens.models.saved import save_model
from pictures import colour_set
from seeds_results import Results, RunResult
from seeds_rows import COMPARISONS, ROWS, SEEDS, SHALLOW, Job, jobs, settings
from seeds_statistics import Difference, compare, compare_recall, difference, pseudovalues

EMOTIONS = len(MIKELS)
HASHES = {"train": "aaaa", "val": "bbbb"}


# ----------------------------------------------------------------------------------------- what is trained


def test_each_row_differs_from_the_plain_recipe_in_what_it_is_about_alone() -> None:
    plain = settings(Job(ROWS["plain"], 0))
    assert (plain.network, plain.epochs, plain.low_res_size, plain.preprocessing.width) == (
        "mobilenetv2_100", 4, 96, 128
    )  # fmt: skip
    for row in ROWS.values():
        ours = settings(Job(row, 0))
        same = replace(
            ours, network=plain.network, network_options={}, loss=plain.loss, pictures_per_emotion=0
        )
        assert same == plain, row.name
        assert ours.network_options.get("backbone", ours.network) == "mobilenetv2_100"
    assert settings(Job(ROWS["mlm_cil"], 2)).loss.class_imbalance == 1
    assert settings(Job(ROWS["mlm_cil"], 2)).loss.cross_entropy == 0
    assert settings(Job(ROWS["mam_sim_pk"], 2)).pictures_per_emotion == 8
    assert settings(Job(ROWS["mlm_release"], 2)).loss.double_softmax
    assert settings(Job(ROWS["mam"], 2)).seed == 2


def test_every_row_is_compared_with_one_that_it_builds_on() -> None:
    assert {each.row for each in COMPARISONS} == set(ROWS) - {"plain"}
    assert all(each.base in ROWS and each.base != each.row for each in COMPARISONS)
    assert {(each.row, each.base) for each in SHALLOW} == {("mlm", "plain"), ("mam", "plain")}


def begin(folder: Path, job: Job, **changes: object) -> None:
    folder.mkdir(parents=True)
    chosen = replace(settings(job, weights="/elsewhere"), **changes)  # type: ignore[arg-type]
    (folder / "settings.toml").write_text(chosen.to_toml())


def test_a_finished_run_is_left_alone_one_that_was_cut_is_resumed_and_a_missing_one_begins(
    tmp_path: Path,
) -> None:
    finished, cut, missing = (Job(ROWS["mam"], seed) for seed in SEEDS)
    begin(tmp_path / finished.name, finished)
    (tmp_path / finished.name / "model").mkdir()
    (tmp_path / finished.name / "model" / "config.json").write_text("{}")
    begin(tmp_path / cut.name, cut)
    assert seeds.pending(tmp_path, ["mam"]) == [cut, missing]

    def command(job: Job) -> list[str]:
        return seeds.command(job, "fi:DATA", tmp_path / "weights", tmp_path, tmp_path / "cache")

    assert "--resume" in command(cut) and "--set" not in command(cut)
    begun = command(missing)
    assert "--resume" not in begun and f"weights={tmp_path / 'weights'}" in begun
    assert {"network=mam_paper", "epochs=4", "seed=2"} <= set(begun)
    assert begun[begun.index("--cache") + 1] == str(tmp_path / "cache")


def test_all_rows_come_before_the_second_seed_of_any() -> None:
    assert [job.seed for job in jobs()] == sorted(job.seed for job in jobs())
    assert len({job.name for job in jobs()}) == len(ROWS) * len(SEEDS)


def test_a_folder_of_other_settings_is_not_taken_for_the_run_of_its_name(tmp_path: Path) -> None:
    job = Job(ROWS["plain"], 1)
    begin(tmp_path / job.name, job, lr=0.1)
    with pytest.raises(RunError, match=r"plain-1: lr is 0\.1"):
        seeds.pending(tmp_path, ["plain"])


def test_runs_go_side_by_side_and_one_that_fails_stops_no_other() -> None:
    lock, now, most, seen = Lock(), 0, 0, []

    def run(job: Job) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
            seen.append(job)
        return 1 if job.name == "mlm-0" else 0

    queue = jobs()[:6]
    assert [job.name for job in seeds.work(queue, 2, run)] == ["mlm-0"]
    assert sorted(seen, key=lambda job: job.name) == sorted(queue, key=lambda job: job.name)
    assert most == 2


def test_pictures_are_decoded_once_before_the_first_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "val"):
        colour_set(tmp_path / "data" / split, ("awe", "anger"), each=2)
    begun = []

    def run(words: list[str], env: dict[str, str], **rest: object) -> subprocess.CompletedProcess[bytes]:
        folder, cache = (words[words.index(name) + 1] for name in ("--out", "--cache"))
        begun.append((folder, (Path(cache) / "pixels.bin").is_file(), env["OMP_NUM_THREADS"]))
        return subprocess.CompletedProcess(words, 1 if "seed=1" in words else 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    out = tmp_path / "runs"
    words = ["train", "--data", f"fi:{tmp_path / 'data'}", "--weights", str(tmp_path), "--out", str(out)]
    assert seeds.main([*words, "--only", "mam", "--parallel", "2"]) == 1
    assert sorted(begun) == [(str(out / f"mam-{seed}"), True, "3") for seed in SEEDS]
    assert "mam-1 failed, see" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------ the statistics


def one_sided(spread: float, pictures: int = 50) -> np.ndarray:
    """A table of differences, (3, N), whose seeds differ by `spread` and whose pictures do not."""
    return np.array([[-spread], [0.0], [spread]]) + np.ones((3, pictures))


def test_where_pictures_agree_the_interval_is_that_of_three_seeds() -> None:
    found = difference(one_sided(0.5))
    assert found.freedom == pytest.approx(2)
    assert found.error == pytest.approx(0.5 / np.sqrt(3))  # standard deviation 0.5, three values
    low, high = found.interval()
    assert (low, high) == pytest.approx((1 - 4.303 * found.error, 1 + 4.303 * found.error), rel=1e-3)
    assert (
        found.sign() == 0
        and difference(one_sided(0.1)).sign() == 1
        and difference(-one_sided(0.1)).sign() == -1
    )


def test_where_seeds_agree_the_interval_is_that_of_the_pictures() -> None:
    pictures = np.random.default_rng(0).normal(0.2, 1, 400)
    found = difference(np.stack([pictures] * 3))
    assert found.error == pytest.approx(pictures.std(ddof=1) / 20)
    assert found.interval()[1] - found.mean == pytest.approx(1.96 * found.error, rel=1e-3)


@pytest.mark.parametrize(("of_seeds", "of_pictures"), [(0.0, 1.0), (0.05, 1.0), (0.3, 0.5)])
def test_nineteen_of_twenty_intervals_hold_the_truth_whatever_varies(
    of_seeds: float, of_pictures: float
) -> None:
    rng = np.random.default_rng(1)
    held, trials = 0, 400
    for _ in range(trials):
        table = 0.1 + of_seeds * rng.normal(size=(3, 1)) + of_pictures * rng.normal(size=(1, 100))
        low, high = difference(table + rng.normal(size=(3, 100))).interval()
        held += low < 0.1 < high
    assert 0.9 <= held / trials <= 0.98  # 0.92 to 0.95 by more trials; of pictures alone 0.5 in the last case


def test_one_run_has_no_interval() -> None:
    with pytest.raises(seeds_statistics.TooFewSeeds, match="not 1"):
        difference(np.zeros((1, 5)))


def answers(truth: np.ndarray, right: float, seed: int) -> np.ndarray:
    """Logits (N, E) that are right for about a share of the pictures."""
    rng = np.random.default_rng(seed)
    named = np.where(rng.random(len(truth)) < right, truth, rng.integers(0, EMOTIONS, len(truth)))
    return np.eye(EMOTIONS)[named] * 4 + rng.normal(0, 0.1, (len(truth), EMOTIONS))


TRUTH = np.random.default_rng(5).choice(EMOTIONS, 300, p=[0.2, 0.2, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])


def test_pseudovalues_of_accuracy_are_the_pictures_own_and_the_others_average_to_the_measure() -> None:
    logits = answers(TRUTH, 0.6, 0)
    predicted = logits.argmax(axis=1)
    own = pseudovalues(seeds_statistics.accuracy, TRUTH, predicted, EMOTIONS)
    np.testing.assert_allclose(own, predicted == TRUTH, atol=1e-9)
    targets = np.eye(EMOTIONS)[TRUTH]
    for name, expected in (("macro F1", metrics.macro_f1), ("balanced accuracy", metrics.balanced_accuracy)):
        values = pseudovalues(seeds_statistics.MEASURES[name], TRUTH, predicted, EMOTIONS)
        assert values.mean() == pytest.approx(expected(logits, targets))


def test_pseudovalues_give_the_standard_error_that_resampled_pictures_have() -> None:
    predicted = answers(TRUTH, 0.6, 0).argmax(axis=1)
    measure = seeds_statistics.MEASURES["macro F1"]
    values = pseudovalues(measure, TRUTH, predicted, EMOTIONS)
    rng = np.random.default_rng(2)
    resampled = []
    for _ in range(600):
        drawn = rng.integers(0, len(TRUTH), len(TRUTH))
        cells = TRUTH[drawn] * EMOTIONS + predicted[drawn]
        confusion = np.bincount(cells, minlength=EMOTIONS**2).astype(np.float64)
        resampled.append(float(measure(confusion.reshape(EMOTIONS, EMOTIONS))))
    assert values.std(ddof=1) / np.sqrt(len(TRUTH)) == pytest.approx(np.std(resampled), rel=0.15)


def test_a_better_row_is_found_and_an_equal_one_is_not() -> None:
    def runs(right: float, first: int) -> list[np.ndarray]:
        return [answers(TRUTH, right, first + seed) for seed in SEEDS]

    accuracy = seeds_statistics.MEASURES["accuracy"]
    better = compare(runs(0.8, 10), runs(0.5, 20), TRUTH, accuracy)
    means = [
        np.mean([(run.argmax(axis=1) == TRUTH).mean() for run in rows])
        for rows in (runs(0.8, 10), runs(0.5, 20))
    ]
    assert better.mean == pytest.approx(means[0] - means[1]) and better.sign() == 1
    assert compare(runs(0.6, 30), runs(0.6, 40), TRUTH, accuracy).sign() == 0


def test_recall_of_an_emotion_is_compared_on_its_own_pictures() -> None:
    base = [answers(TRUTH, 0.5, seed) for seed in SEEDS]
    row = [np.where((TRUTH == 2)[:, None], np.eye(EMOTIONS)[TRUTH], each) for each in base]
    found = compare_recall(row, base, TRUTH, 2)
    missed = np.mean([(each[TRUTH == 2].argmax(axis=1) != 2).mean() for each in base])
    assert found.mean == pytest.approx(missed) and found.sign() == 1
    assert compare_recall(row, base, TRUTH, 3).mean == 0


def test_perfect_probabilities_still_measure_a_calibration_error_which_falls_with_more_pictures() -> None:
    rng = np.random.default_rng(0)
    few, many = (rng.dirichlet(np.ones(EMOTIONS), count) for count in (100, 5000))
    least = seeds_statistics.least_calibration_error
    assert least(few) > 3 * least(many) > 0
    measured = [
        metrics.expected_calibration_error(
            few, np.eye(EMOTIONS)[[rng.choice(EMOTIONS, p=each) for each in few]]
        )
        for _ in range(100)
    ]
    assert least(few, draws=500) == pytest.approx(np.mean(measured), rel=0.1)


# ------------------------------------------------------------------------------------------ the run folders


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders as training leaves them, of the plain row with seeds 0 and 1; nothing was trained."""
    runs = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        job = Job(ROWS["plain"], seed)
        begin(runs / job.name, job)
        torch.manual_seed(seed)
        write_model(runs / job.name, job, accuracy=0.6 + seed / 100)
    begin(runs / "mlm-0", Job(ROWS["mlm"], 0))
    (runs / "mlm-0" / "log.jsonl").write_text("{}\n{}\n")
    return runs


def write_model(folder: Path, job: Job, accuracy: float) -> None:
    """Write what a run leaves: run.json, a model with these scores, and its answers."""
    about = {
        "name": job.name,
        "command": "affectlens train",
        "seed": job.seed,
        "data": {
            "spec": "fi",
            "hashes": HASHES,
            "counts": {"train": {"awe": 9}, "val": {"awe": 4, "fear": 3}},
        },
        "machine": {"cpu": "slow", "cores": 2},
    }
    (folder / "run.json").write_text(json.dumps(about))
    log = [
        {
            "epoch": epoch,
            "best": epoch != 2,
            "scores": {"accuracy": accuracy - 0.02 / epoch, "balanced_accuracy": 0.5},
        }
        for epoch in (1, 2, 3)
    ]
    chosen = settings(job)
    scores = {"accuracy": accuracy, "balanced_accuracy": 0.5, "macro_f1": 0.4, "polarity_accuracy": 0.8,
              "expected_calibration_error": 0.02, "negative_log_likelihood": 1.1, "count": 7}  # fmt: skip
    card = Card(
        name=job.row.name, network=chosen.network, network_options=chosen.network_options, vocabulary=MIKELS,
        preprocessing=chosen.preprocessing.resolved(), training={"log": log}, scores=scores,
    )  # fmt: skip
    save_model(
        folder / "model", catalog.build(chosen.network, EMOTIONS), card, "A model for tests.\n", "float16"
    )
    weights = json.loads((folder / "model" / "config.json").read_text())["affectlens"]["weights"]["sha256"]
    logits = np.eye(EMOTIONS, dtype=np.float16)[:7]
    np.savez(
        folder / "val_logits.npz",
        logits=logits,
        truth=np.arange(7, dtype=np.uint8),
        weights=weights,
        order="o",
    )


def test_run_folders_are_read_into_results_that_two_files_hold(finished: Path, tmp_path: Path) -> None:
    results = seeds_results.collect(finished, None)
    assert set(results.runs) == {("plain", 0), ("plain", 1)}
    run = results.runs["plain", 1]
    assert run.scores["accuracy"] == 0.61 and run.best_epoch == 3 and len(run.epochs) == 3
    assert run.parameters == 2_234_120 and run.new_parameters == 1280 * EMOTIONS + EMOTIONS
    assert results.unfinished["mlm-0"] == "under way, 2 of 4 epochs done"
    assert results.unfinished["plain-2"] == "not begun" and len(results.unfinished) == 25
    assert results.data["counts"] == {"train": 9, "val": 7} and results.machines == [
        {"cpu": "slow", "cores": 2}
    ]
    seeds_results.save(results, tmp_path)
    loaded = seeds_results.load(tmp_path)
    assert loaded.runs.keys() == results.runs.keys()
    assert loaded.runs["plain", 0].scores == results.runs["plain", 0].scores
    assert loaded.unfinished == results.unfinished and loaded.words == MIKELS.words
    np.testing.assert_array_equal(loaded.logits["plain", 1], results.logits["plain", 1])
    np.testing.assert_array_equal(loaded.truth, np.arange(7))


def test_answers_of_other_weights_are_not_used(finished: Path) -> None:
    answered = finished / "plain-0" / "val_logits.npz"
    before = answered.read_bytes()
    with np.load(answered) as stored:
        changed = {**stored, "weights": np.array("of another run")}
    try:
        np.savez(answered, **changed)
        with pytest.raises(RunError, match="Pass --data"):
            seeds_results.collect(finished, None)
    finally:
        answered.write_bytes(before)


def test_runs_on_other_pictures_are_not_put_into_one_table(finished: Path) -> None:
    about = finished / "plain-1" / "run.json"
    before = about.read_text()
    try:
        about.write_text(before.replace("bbbb", "cccc"))
        with pytest.raises(RunError, match="other pictures or labels than the other runs"):
            seeds_results.collect(finished, None)
    finally:
        about.write_text(before)


def test_a_folder_without_a_finished_run_is_an_error_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seeds.main(["report", "--runs", str(tmp_path), "--out", str(tmp_path / "page.md")]) == 2
    assert seeds.main(["report", "--results", str(tmp_path), "--out", str(tmp_path / "page.md")]) == 2
    error = capsys.readouterr().err
    assert "no finished run" in error and "Pass --runs RUNS" in error


# --------------------------------------------------------------------------------------------------- the page


def run_result(row: str, seed: int, logits: np.ndarray) -> RunResult:
    accuracy = float((logits.argmax(axis=1) == TRUTH).mean())
    return RunResult(
        row=row, seed=seed, temperature=1.0, epochs=[(accuracy - 0.01, 0.5), (accuracy, 0.5)], best_epoch=2,
        parameters=1000, new_parameters=10, weights="",
        scores={"accuracy": accuracy, "balanced_accuracy": 0.5, "macro_f1": 0.4, "polarity_accuracy": None,
                "expected_calibration_error": 0.02 + seed / 100},
    )  # fmt: skip


def made_up(lacking: Sequence[tuple[str, int]] = ()) -> Results:
    """Results of all rows but some runs: `mlm` is better than the others, who are equal."""
    logits, runs = {}, {}
    for index, name in enumerate(ROWS):
        for seed in SEEDS:
            if (name, seed) not in lacking:
                key, right = (name, seed), 0.85 if name == "mlm" else 0.5
                logits[key] = answers(TRUTH, right, 10 * index + seed).astype(np.float16)
                runs[key] = run_result(name, seed, logits[key])
    return Results(
        runs=runs, unfinished={f"{name}-{seed}": "not begun" for name, seed in lacking}, logits=logits,
        truth=TRUTH, words=MIKELS.words, machines=[],
        data={"name": "fi", "hashes": HASHES, "counts": {"train": 15170, "val": len(TRUTH)}},
    )  # fmt: skip


def lines_with(text: str, beginning: str) -> list[str]:
    """Lines that begin so, each with those that it was continued in."""
    return [line for line in text.replace("\n  ", " ").splitlines() if line.startswith(beginning)]


def test_the_page_claims_better_where_the_interval_does_and_stays_open_where_it_does_not(
    tmp_path: Path,
) -> None:
    seeds_report.write(tmp_path / "page.md", made_up(), None)
    text = (tmp_path / "page.md").read_text()
    assert "@@" not in text and "All 27 runs are finished." in text
    assert "Speed and memory: not measured." in text
    (gram,) = lines_with(text, "- MLM's Gram branches (")
    assert gram.endswith("higher accuracy, balanced accuracy and macro F1.")
    (whole,) = lines_with(text, "- MAM's Gram encoders and tokenizers (")
    assert whole.endswith(f"{seeds_report.UNCLEAR} in accuracy, balanced accuracy and macro F1.")
    (loss,) = lines_with(text, "- MLM's class-imbalance loss together")
    assert "lower accuracy" in loss
    assert lines_with(text, "By recall it helps amusement")
    (in_short,) = re.findall(r"\*\*Do shallow.*?\n\n", text, re.DOTALL)
    in_short = " ".join(in_short.split())
    assert "A score rises in `mlm` \u2212 `plain` (accuracy, balanced accuracy and macro F1)" in in_short
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 120


def test_values_of_all_seeds_are_next_to_their_mean_and_spread() -> None:
    results = made_up()
    table = {cells[0]: cells for cells in seeds_report.scores_rows(results)}
    values = [results.runs["mam", seed].scores["accuracy"] for seed in SEEDS]
    shown = ", ".join(f"{100 * value:.1f}" for value in values if value)
    mean, spread = 100 * np.mean(values), 100 * np.std(values, ddof=1)  # type: ignore[arg-type]
    assert table["`mam`"][1] == f"{mean:.1f} ± {spread:.1f} ({shown})"
    assert table["`mam`"][4] == seeds_report.DASH, "a score that the card does not have"
    assert table["`mam`"][5] == "0.030 ± 0.010 (0.020, 0.030, 0.040)"


def test_a_row_that_lacks_a_seed_is_marked_and_never_averaged(tmp_path: Path) -> None:
    results = made_up(lacking=[("mlm", 1), *(("mam", seed) for seed in SEEDS)])
    seeds_report.write(tmp_path / "page.md", results, None)
    text = (tmp_path / "page.md").read_text()
    assert "**Not complete:** 4 of 27 runs are missing." in text and "- `mlm-1`: not begun" in text
    (scores,) = lines_with(text, "| `mlm`, incomplete (2 of 3 seeds)")
    assert "±" not in scores
    assert lines_with(text, "| `mam`, not run | – | – | – | – | – |")  # noqa: RUF001
    (gram,) = lines_with(text, "- MLM's Gram branches (")
    assert gram.endswith("not measured, `mlm` has 2 of 3 seeds.")
    assert "| not measured | not measured | not measured |" in text
    assert not lines_with(text, "| amusement"), "no table of emotions without all seeds"


def test_nothing_measured_yet_makes_a_page_too(tmp_path: Path) -> None:
    results = made_up(
        lacking=[(name, seed) for name in ROWS for seed in SEEDS if (name, seed) != ("plain", 0)]
    )
    seeds_report.write(tmp_path / "page.md", results, None)
    assert "None could be measured yet." in (tmp_path / "page.md").read_text()


def test_the_same_results_give_the_same_page_and_figure(tmp_path: Path) -> None:
    for name in ("one", "two"):
        seeds_report.write(tmp_path / name / "page.md", made_up(), None)
    for file in ("page.md", "page.svg"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    ElementTree.parse(tmp_path / "one" / "page.svg")


def test_an_asterisk_needs_more_than_one_interval_of_twenty() -> None:
    barely, clearly = Difference(0.021, 0.01, np.inf), Difference(0.06, 0.01, np.inf)
    strict = seeds_report.strict_level(20)
    assert seeds_report.cell(barely, strict) == "+2.1 (+0.1 to +4.1)"
    assert seeds_report.cell(clearly, strict) == "+6.0\\* (+4.0 to +8.0)"
    assert "leave out 0: 2 of 2; were" in seeds_report.chance([barely, clearly])


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        ({"awe": 0.0}, f"By recall there is {seeds_report.UNCLEAR} for any emotion."),
        ({"awe": 0.1, "fear": 0.1}, "By recall it helps awe and fear."),
        (
            {"awe": -0.1, "fear": 0.0},
            f"By recall it hurts awe; for the others there is {seeds_report.UNCLEAR}.",
        ),
        ({"awe": 0.1, "fear": -0.1}, "By recall it helps awe and it hurts fear."),
    ],
)
def test_whom_it_helps_is_decided_by_the_intervals(means: dict[str, float], sentence: str) -> None:
    found = {word: Difference(mean, 0.01, np.inf) for word, mean in means.items()}
    assert seeds_report.helped("recall", found) == sentence


# -------------------------------------------------------------------------------------------------- the speed


def test_speeds_are_compared_within_their_round_and_every_row_finds_its_network() -> None:
    measurements = seeds_speed.measurements()
    assert [name for kind, name in measurements if kind == seeds_speed.TRAINING] == list(ROWS)
    answering = [name for kind, name in measurements if kind == seeds_speed.ANSWERING]
    assert answering == ["plain", "mlm", "mam", "mlm_release", "mam_release"]

    def speed(name: str, factor: int) -> float:
        return factor * (100.0 if name == "plain" else 50.0)

    rounds = [
        {
            (kind, name): {"pictures_per_second": speed(name, factor), "peak_megabytes": 900.4}
            for kind, name in measurements
        }
        for factor in (1, 3, 2)  # the machine was slow, fast, and in between
    ]
    lines = {(line["measured"], line["row"]): line for line in seeds_speed.summarise(rounds)}
    mlm = lines[seeds_speed.TRAINING, "mlm"]
    assert mlm["pictures_per_second"] == 100 and mlm["ratio"] == 0.5 and mlm["ratio_range"] == [0.5, 0.5]
    assert mlm["peak_megabytes"] == 900


@pytest.mark.parametrize("what", [(seeds_speed.TRAINING, "mam_sim"), (seeds_speed.ANSWERING, "mlm")])
def test_a_measurement_is_of_the_row_s_own_network_and_loss(what: tuple[str, str]) -> None:
    measured = seeds_speed.measure(what, batch_size=8, steps=1, train_side=32, side=32)
    assert measured["pictures_per_second"] > 0 and measured["peak_megabytes"] > 50


def test_measured_speed_stands_on_the_page(tmp_path: Path) -> None:
    lines = [
        {"measured": kind, "row": name, "pictures_per_second": 81.2, "ratio": 0.5,
         "ratio_range": [0.45, 0.55], "peak_megabytes": 1234}
        for kind, name in seeds_speed.measurements()
    ]  # fmt: skip
    how = {"rounds": 3, "batch": 64, "steps": 5, "side": 128, "train_side": 96, "precision": "bfloat16"}
    machine = {"gpu": None, "cpu": "slow", "threads": 2}
    document = {"date": "2030-01-02T00:00", "machine": machine, "settings": how, "rows": lines}
    (tmp_path / "speed.json").write_text(json.dumps(document))
    seeds_report.write(tmp_path / "page.md", made_up(), tmp_path / "speed.json")
    text = (tmp_path / "page.md").read_text()
    (row,) = lines_with(text, "| `mlm_cil` | 1,000")
    assert row.count("81/s, 0.50 (0.45 to 0.55) | 1,234 MB") == 2
    assert "Measured on slow, 2 threads, 2030-01-02" in text
