"""Comparing methods: measurements, intervals, and a verdict that they support."""

import json
import math

import numpy as np
import pytest

from affectlens.data.records import Record
from affectlens.emotions import MIKELS
from affectlens.errors import SettingsError
from affectlens.explain.core.attribution import Attribution, ExplainedModel, Method
from affectlens.explain.core.question import Question
from affectlens.explain.faithfulness.compare import (
    ComparisonOptions,
    centre,
    compare,
    edges,
    sample_records,
)
from affectlens.explain.faithfulness.measurements import CENTRE, EDGES, GRADIENT, RANDOM, Measurement
from affectlens.explain.faithfulness.results import decide, summarise
from affectlens.explain.methods.occlusion import Occlusion
from affectlens.preprocess import Images
from planted_arrays import brightness, noise, one_spot, spot_weights, why_fear

QUICK = ComparisonOptions(replacements=("black",), cells=7, steps=7, random_maps=2, rectangles=16)
CHECKED = ComparisonOptions(**{**vars(QUICK), "checked": 1})
PICTURES = [(f"{number}.jpg", noise(number)) for number in range(3)]


def truth(model: ExplainedModel, image: Images, question: Question) -> Attribution:
    """What each pixel adds for `one_spot` of strength 30."""
    owed = (image[0] * spot_weights(strength=30.0)).sum(axis=0)
    return Attribution(owed, sums_up=True, details={"seconds": 0.0})


def reversed_truth(model: ExplainedModel, image: Images, question: Question) -> Attribution:
    return Attribution(-truth(model, image, question).values, details={"seconds": 0.0})


def test_the_truth_is_found_better_than_chance_and_chance_better_than_its_reverse() -> None:
    methods: dict[str, Method] = {"truth": truth, "reverse": reversed_truth}
    summary = summarise(list(compare(one_spot(strength=30.0), PICTURES, methods, QUICK)))
    faith = {name: figures["faithfulness"].mean for name, figures in summary.methods.items()}
    assert faith["truth"] > faith[RANDOM] > faith["reverse"]
    assert summary.methods["truth"]["infidelity"].mean == pytest.approx(0, abs=1e-4)
    assert summary.methods["reverse"]["infidelity"].mean == pytest.approx(1)
    assert set(summary.methods) == {RANDOM, CENTRE, EDGES, "truth", "reverse"}
    assert summary.pictures == 3
    assert summary.replacements() == ["black"]


def test_every_row_can_be_written_and_read_again() -> None:
    rows = list(compare(one_spot(), PICTURES[:1], {"occlusion": Occlusion()}, QUICK))
    assert [Measurement.from_json(json.loads(json.dumps(row.to_json()))).method for row in rows] == [
        RANDOM, CENTRE, EDGES, "occlusion",
    ]  # fmt: skip
    assert json.dumps(summarise(rows).to_json(), allow_nan=False)
    assert all(math.isfinite(value) for row in rows for value in row.figures.values())


@pytest.mark.needs("torch")
def test_checks_are_made_on_the_first_pictures_only() -> None:
    from affectlens.explain.methods.gradient import Gradient
    from planted import Brightness, model_of

    pictures = [("dark.jpg", 0.3 * noise(0)), ("bright.jpg", 0.7 + 0.3 * noise(1))]
    rows = list(compare(model_of(Brightness()), pictures, {"gradient": Gradient()}, CHECKED))
    checks = {"sensitivity", "points at the patch", "mass on the patch"}
    first, second = (row.figures for row in rows if row.method == "gradient")
    assert checks <= set(first)
    assert not checks & set(second)
    assert first["sensitivity"] == pytest.approx(0, abs=1e-3)  # of a network all but linear


@pytest.mark.needs("torch")
def test_weights_are_shuffled_of_a_network_in_torch() -> None:
    from affectlens.explain.methods.gradient import Gradient
    from planted import OneSpot, model_of

    rows = list(compare(model_of(OneSpot()), PICTURES[:2], {"gradient": Gradient()}, CHECKED))
    first, second = (row.figures for row in rows if row.method == "gradient")
    assert abs(first["shuffled weights"]) < 0.1
    assert "shuffled weights" not in second


def test_all_but_shuffled_weights_is_checked_of_a_model_without_a_network() -> None:
    pictures = [("dark.jpg", 0.3 * noise(0)), ("bright.jpg", 0.7 + 0.3 * noise(1))]
    rows = list(compare(brightness(), pictures, {"occlusion": Occlusion()}, CHECKED))
    first, second = (row.figures for row in rows if row.method == "occlusion")
    assert "shuffled weights" not in first
    assert {"sensitivity", "points at the patch", "mass on the patch"} <= first.keys() - second.keys()


def test_a_method_may_not_take_the_name_of_a_control() -> None:
    with pytest.raises(SettingsError, match="'random' is what methods are compared with"):
        next(compare(one_spot(), PICTURES, {"random": Occlusion()}))


def test_controls_know_the_middle_and_the_edges() -> None:
    image = np.zeros((1, 3, 9, 9), np.float32)
    image[:, :, :, 4:] = 1
    assert int(centre(one_spot(), image, why_fear()).values.argmax()) == 40
    found = edges(one_spot(), image, why_fear()).values
    assert found.shape == (9, 9) and found.dtype == np.float32
    assert np.unique(found.nonzero()[1]).tolist() == [3]


def test_pictures_are_sampled_evenly_from_the_emotions_and_the_same_for_a_seed() -> None:
    records = [
        Record(f"{word}/{number}", "x", MIKELS.only(word))  # type: ignore[arg-type]
        for word, number_of in (("awe", 10), ("fear", 10), ("anger", 1))
        for number in range(number_of)
    ]
    sampled = sample_records(records, 7, seed=1)
    tops = [record.target.top for record in sampled]
    assert sorted(tops) == ["anger", "awe", "awe", "awe", "fear", "fear", "fear"]
    assert sampled == sample_records(records, 7, seed=1) != sample_records(records, 7, seed=2)
    assert len(sample_records(records, 100)) == 21


# ---------------------------------------------------------------------------------------------- verdict


def rows_of(figures: dict[str, tuple[float, float, float]], pictures: int = 40) -> list[Measurement]:
    """Rows of made-up methods: deletion, insertion and seconds of each, with noise that pictures share."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(pictures):
        shared, *own = generator.standard_normal(1 + len(figures)).tolist()
        for (name, (deletion, insertion, seconds)), noise_of_own in zip(figures.items(), own, strict=True):
            moved = 0.01 * shared
            measured = {
                "deletion black": deletion + moved,
                "insertion black": insertion + moved + 0.003 * noise_of_own,
                "seconds": seconds,
            }
            measured["faithfulness"] = measured["insertion black"] - measured["deletion black"]
            rows.append(Measurement(f"{number}.jpg", name, "fear", measured))
    return rows


CONTROLS = {RANDOM: (0.5, 0.5, 0.0), GRADIENT: (0.45, 0.55, 0.1)}


def test_the_quickest_of_those_not_significantly_different_from_the_best_is_chosen() -> None:
    verdict = decide(summarise(rows_of({
        **CONTROLS, "slow": (0.2, 0.8, 9.0), "quick": (0.2, 0.8, 1.0), "worse": (0.3, 0.7, 0.1),
        "useless": (0.5, 0.5, 0.1),
    })))  # fmt: skip
    assert verdict.chosen == "quick"
    assert {verdict.best, *verdict.equal} == {"slow", "quick"}
    assert verdict.behind == ("worse",)
    assert set(verdict.failed) == {"useless"}
    assert "deletion black against random" in verdict.failed["useless"]


def test_a_method_that_beats_both_in_one_kind_of_curve_alone_is_not_chosen() -> None:
    verdict = decide(summarise(rows_of({**CONTROLS, "half": (0.2, 0.55, 1.0)})))
    assert verdict.chosen is None and verdict.best is None
    assert verdict.failed["half"] == ("insertion black against gradient",)


def test_intervals_cover_the_mean_of_the_pictures_they_were_sampled_from() -> None:
    """Of many small samples, about 95 in 100 intervals cover the mean of all."""
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        sampled = generator.standard_normal(30).tolist()
        rows = [
            Measurement(str(n), "method", "fear", {"deletion black": value})
            for n, value in enumerate(sampled)
        ]
        estimate = summarise(rows, resamples=300, seed=seed).methods["method"]["deletion black"]
        covered += estimate.low <= 0 <= estimate.high
    assert 86 <= covered <= 99


def test_differences_are_of_pairs_so_what_pictures_share_does_not_blur_them() -> None:
    summary = summarise(rows_of({"first": (0.2, 0.80, 1.0), "second": (0.2, 0.79, 1.0)}))
    alone = summary.methods["first"]["insertion black"]
    paired = summary.difference("insertion black", "first", "second")
    assert paired.excludes_zero and paired.mean == pytest.approx(0.01, abs=0.002)
    assert paired.high - paired.low < alone.high - alone.low


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(SettingsError, match="nothing to summarise"):
        summarise([])
