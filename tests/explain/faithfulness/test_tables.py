"""Comparisons in words: sentences that the intervals support, and tables that leave nothing out."""

import numpy as np

from affectlens.explain.faithfulness.measurements import CENTRE, EDGES, GRADIENT, RANDOM, Measurement
from affectlens.explain.faithfulness.results import Summary, decide, summarise
from affectlens.explain.faithfulness.tables import checks_table, conclusions, curves_table, ranked


def summary_of(figures: dict[str, tuple[float, float, float]], **more: dict[str, float]) -> Summary:
    """Thirty pictures of made-up methods: deletion, insertion and seconds of each."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(30):
        for name, (deletion, insertion, seconds) in figures.items():
            moved = 0.02 * generator.standard_normal()
            measured = {
                "deletion mean": deletion,
                "insertion mean": insertion + moved,
                "seconds": seconds,
                "faithfulness": insertion + moved - deletion,
                **more.get(name, {}),
            }
            rows.append(Measurement(f"{number}.jpg", name, "fear", measured))
    return summarise(rows)


CONTROLS = {RANDOM: (0.5, 0.5, 0.0), GRADIENT: (0.45, 0.55, 0.1), CENTRE: (0.4, 0.6, 0.0)}


def test_the_sentences_name_the_choice_its_equals_and_what_it_does_not_beat() -> None:
    summary = summary_of({
        **CONTROLS, EDGES: (0.198, 0.8, 0.0), "slow": (0.2, 0.8, 7.0), "quick": (0.2, 0.8, 1.5),
        "worse": (0.3, 0.7, 0.2), "bad": (0.6, 0.4, 1.0),
    })  # fmt: skip
    first, second, *rest = conclusions(summary, decide(summary))
    assert "Quickest of them is `quick` (1.5 s a picture), which the table supports as the default" in first
    assert "most faithful" not in first and "does not separate them" in first
    assert "Less faithful, but beating them as well: `worse`." in first
    assert "random maps and the plain gradient" in first
    assert second.startswith("`bad` does not beat them in: deletion mean against random")
    sentences = " ".join(rest)
    assert "`quick` is more faithful than a map of the middle" in sentences
    assert "`quick` is not significantly different from a map of edges" in sentences


def test_where_nothing_beats_the_controls_no_default_is_supported() -> None:
    summary = summary_of({**CONTROLS, "same": (0.5, 0.5, 1.0)})
    sentences = conclusions(summary, decide(summary))
    assert "no method beats random maps and the plain gradient" in sentences[0]
    assert "supports no default" in sentences[0]


def test_one_that_stands_alone_is_the_default_without_talk_of_speed() -> None:
    summary = summary_of({**CONTROLS, "only": (0.2, 0.8, 9.0)})
    first, *_ = conclusions(summary, decide(summary))
    assert "`only` is the most faithful" in first
    assert first.endswith("intervals do not overlap. The table supports it as the default.")


def test_tables_have_every_method_the_best_first_and_dashes_for_what_was_not_measured() -> None:
    summary = summary_of(CONTROLS | {"good": (0.2, 0.8, 2.0)}, good={"sensitivity": 0.25})
    assert ranked(summary) == ["good", CENTRE, GRADIENT, RANDOM]
    header, *body = curves_table(summary)
    assert header == ("method", "insertion, mean", "deletion, mean", "insertion less deletion", "seconds")
    assert [row[0] for row in body] == ranked(summary)
    assert (
        body[0][2] == "0.20, \N{MINUS SIGN}0.30 (\N{MINUS SIGN}0.30 to \N{MINUS SIGN}0.30)"
        and body[0][4] == "2"
    )
    assert body[-1][2] == "0.50"  # of random maps, which gain nothing over themselves
    assert [row[1] for row in curves_table(summary, scale="normalised")[1:]] == 4 * ["\u2013"]
    assert checks_table(summary) == [("method", "sensitivity"), ("good", "0.25 (0.25\u20130.25)")]


def test_pictures_that_differ_more_than_methods_do_hide_no_gain() -> None:
    rows = []
    for number in range(16):
        ease = number / 16  # how soon the answer goes, whatever is taken out
        for name, gain in ((RANDOM, 0.0), (GRADIENT, 0.02), ("good", 0.15), ("useless", 0.01)):
            figures = {"deletion mean": ease - gain, "insertion mean": ease + gain, "seconds": 1.0}
            rows.append(Measurement(f"{number}.jpg", name, "fear", {**figures, "faithfulness": 2 * gain}))
    summary = summarise(rows)
    areas = [summary.methods[name]["deletion mean"] for name in ("good", RANDOM)]
    assert areas[0].high > areas[1].low  # intervals of areas overlap
    assert decide(summary).chosen == "good"
    assert set(decide(summary).failed) == {"useless"}


def test_of_very_few_pictures_their_number_replaces_the_interval() -> None:
    rows = [
        Measurement(f"{n}.jpg", "rise", "fear", {"faithfulness": 0.2, "sensitivity": 0.25}) for n in range(2)
    ]
    assert checks_table(summarise(rows)) == [("method", "sensitivity"), ("rise", "0.25 (of 2)")]


def test_very_few_pictures_decide_nothing() -> None:
    figures = {"deletion mean": 0.2, "insertion mean": 0.8, "seconds": 1.0, "faithfulness": 0.6}
    control = {"deletion mean": 0.5, "insertion mean": 0.5, "seconds": 0.0, "faithfulness": 0.0}
    rows = [
        Measurement(f"{n}.jpg", name, "fear", {**given, "insertion mean": given["insertion mean"] + n / 100})
        for n in range(2)
        for name, given in (("good", figures), (RANDOM, control), (GRADIENT, control))
    ]
    summary = summarise(rows)
    (sentence,) = conclusions(summary, decide(summary))
    assert sentence.startswith("2 pictures decide nothing") and "good" not in sentence
