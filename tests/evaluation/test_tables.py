"""Scores as people read them."""

import io
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from affectlens.emotions import EKMAN, EMOTION6, MIKELS, Vocabulary
from affectlens.evaluation.scores import Scores, score
from affectlens.evaluation.tables import (
    DASH,
    confusion_table,
    emotions_table,
    markdown,
    print_scores,
    scores_table,
    summary,
)


@pytest.fixture(scope="module")
def scores() -> Scores:
    """A model that calls two of four awes fear, and everything else by its name; no sadness is seen."""
    words = ["awe", "awe", "awe", "awe", "amusement", "contentment", "excitement", "anger", "disgust", "fear"]
    predicted = ["awe", "awe", "fear", "fear", *words[4:]]
    targets = np.eye(8)[[MIKELS.index(word) for word in words]]
    logits = 5 * np.eye(8)[[MIKELS.index(word) for word in predicted]]
    return score(logits, targets, MIKELS, resamples=100, unreadable=1)


def test_a_share_is_percent_with_its_interval(scores: Scores) -> None:
    shown = dict(scores_table(replace(scores, accuracy=0.7013, intervals={"accuracy": (0.68249, 0.72)})))
    assert shown["accuracy"] == f"70.1 % (68.2{DASH}72.0)"


def test_a_number_that_is_not_a_share_has_three_decimals_and_its_interval(scores: Scores) -> None:
    shown = dict(scores_table(replace(scores, brier=0.4, intervals={"brier": (0.35, 0.4567)})))
    assert shown["Brier score (0 to 2)"] == f"0.400 (0.350{DASH}0.457)"
    assert re.fullmatch(r"\d\.\d{3}", shown["negative log-likelihood"])


def test_every_measure_is_listed_once_under_the_header(scores: Scores) -> None:
    header, *body = scores_table(scores)
    assert header == ("measure", "value")
    assert [title for title, _ in body] == [
        "accuracy", "balanced accuracy", "macro F1", "positive or negative", "errors across polarity",
        "expected calibration error", "negative log-likelihood", "Brier score (0 to 2)",
    ]  # fmt: skip
    assert dict(body)["accuracy"].startswith("80.0 % (")
    assert "(" not in dict(body)["expected calibration error"]


def test_measures_of_distributions_are_listed_for_votes() -> None:
    targets = np.array([[0.5, 0.5, 0, 0, 0, 0], [0.7, 0.3, 0, 0, 0, 0]])
    shown = dict(scores_table(score(targets, targets, EKMAN, resamples=10)))
    assert {"Chebyshev distance", "Kullback-Leibler divergence", "cosine similarity (1 is best)"} <= set(
        shown
    )


def test_emotions_are_listed_in_vocabulary_order_with_dashes_for_the_undefined(scores: Scores) -> None:
    header, *body = emotions_table(scores)
    assert header == ("emotion", "precision", "recall", "F1", "pictures")
    assert tuple(row[0] for row in body) == MIKELS.words
    shown = {row[0]: row[1:] for row in body}
    assert shown["awe"] == ("100.0 %", "50.0 %", "66.7 %", "4")
    assert shown["fear"] == ("33.3 %", "100.0 %", "50.0 %", "1")
    assert shown["sadness"] == (DASH, DASH, DASH, "0")


def test_a_row_of_the_confusion_is_what_the_model_predicts_for_one_emotion(scores: Scores) -> None:
    header, *body = confusion_table(scores)
    shown = {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in body}
    assert shown["awe"]["fear"] == "50.0"
    assert shown["fear"]["awe"] == "0.0"
    assert set(shown["sadness"].values()) == {DASH}
    for label, row in shown.items():
        if label != "sadness":
            assert sum(map(float, row.values())) == pytest.approx(100)


def test_the_summary_counts_what_was_measured_and_what_could_not_be(scores: Scores) -> None:
    text = summary(scores)
    assert text.startswith("10 pictures, 8 emotions of mikels-8. 1 more could not be read")
    assert "95 % intervals" in text
    assert "share the top" not in text
    assert "could not be read" not in summary(replace(scores, unreadable=0))
    assert "For 2 of them several emotions share the top" in summary(replace(scores, shared_top=2))
    assert "intervals" not in summary(replace(scores, intervals={}))
    assert summary(replace(scores, count=2272)).startswith("2,272 pictures")


def test_parts_of_a_picture_from_shared_tops_are_not_rounded_to_whole_ones() -> None:
    targets = np.array([[0.5, 0.5, 0, 0, 0, 0]])
    table = emotions_table(score(np.eye(6)[[2]], targets, EKMAN, resamples=0))
    assert [row[-1] for row in table[1:]] == ["0.5", "0.5", "0", "0", "0", "0"]


def test_polarity_over_a_part_of_the_pictures_names_how_many() -> None:
    targets = np.eye(7)[[EMOTION6.index(word) for word in ("joy", "fear", "neutral")]]
    shown = dict(scores_table(score(5 * targets, targets, EMOTION6, resamples=0)))
    assert shown["positive or negative (2 pictures that are either)"] == "100.0 %"


def test_markdown_holds_three_tables_whose_rows_are_as_long_as_their_headers(scores: Scores) -> None:
    text = markdown(scores)
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert [len(table) - 2 for table in tables] == [8, 8, 8]
    for table in tables:
        assert {line.count("|") for line in table} == {table[0].count("|")}
        assert set(table[1]) <= set("| -:")
    assert tables[2][0].startswith("| evoked / predicted | amusement | awe |")
    assert text.endswith("|\n")
    assert not re.search(r"^#", text, flags=re.MULTILINE)


def test_a_bar_within_a_word_does_not_split_a_cell_of_markdown() -> None:
    targets = np.eye(2)
    text = markdown(score(targets, targets, Vocabulary("odd", ("this|that", "rest")), resamples=0))
    assert r"| this\|that | 100.0 % | 100.0 % | 100.0 % | 1 |" in text


def test_the_terminal_shows_all_tables_and_takes_no_word_for_a_colour() -> None:
    targets = np.eye(2)
    scores = score(targets, targets, Vocabulary("odd", ("[red]joy", "rest")), resamples=0)
    out = io.StringIO()
    print_scores(scores, Console(file=out, width=120))
    shown = out.getvalue()
    assert shown.count("[red]joy") == 3  # an emotion, a row and a column
    for expected in ("2 pictures, 2 emotions of odd", "balanced accuracy", "precision", "evoked / predicted"):
        assert expected in shown


def test_everything_shown_can_be_written_in_the_code_page_of_western_windows(scores: Scores) -> None:
    assert markdown(scores).encode("cp1252")


def test_a_card_can_be_written_without_loading_rich() -> None:
    code = "import sys, affectlens.evaluation.tables; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
