"""Model folders in words: who made them, what for, and what they replace."""

from dataclasses import replace

import numpy as np
from markdown_it import MarkdownIt

from affectlens import library
from affectlens.emotions import own_vocabulary
from affectlens.evaluation.scores import score
from affectlens.evaluation.tables import markdown
from affectlens.library.default_models import DefaultModel, DefaultModels
from affectlens.library.text import (
    NOT_NAMED,
    comparison_text,
    licences_text,
    made_by,
    markdown_list,
    readme_beginning,
    summary_text,
)
from model_folders import CARD

BEFORE, NOW = {"accuracy": 0.7, "macro_f1": 0.5, "brier": 0.4}, {"accuracy": 0.75, "brier": 0.25}
FIRST = DefaultModel(version="0.1.0", weights="1" * 12, scores=BEFORE)
SECOND = DefaultModel(version="0.3.0", weights="2" * 12, scores=NOW)
DEFAULTS = DefaultModels(data="fi", which="all of them", hash="b22d", pictures=2_272, models=(FIRST, SECOND))
ONE, TWO = (replace(CARD, weights_hash=each.weights + "0" * 52) for each in (FIRST, SECOND))


def test_a_default_model_is_compared_with_the_one_before_it_and_the_first_with_none() -> None:
    text = comparison_text(TWO, DEFAULTS)
    assert text.splitlines() == [
        "## Compared with the default model of version 0.1.0 (111111111111)",
        "On 2,272 pictures of fi, all of them (b22d).",
        "- accuracy: 0.750, before 0.700",
        "- brier (lower is better): 0.250, before 0.400",
    ]
    assert summary_text(TWO, DEFAULTS).endswith(text)
    for other in (ONE, CARD, replace(CARD, weights_hash="3" * 64)):
        assert comparison_text(other, DEFAULTS) == ""
        assert "Compared" not in summary_text(other, DEFAULTS)


def test_the_packages_table_ends_with_the_model_that_ships_and_its_cards_scores() -> None:
    defaults, card = DefaultModels.read(), library.card()
    last = defaults.models[-1]
    assert last.weights == card.weights_id
    assert last.scores == {name: card.scores[name] for name in last.scores} and "accuracy" in last.scores
    data = card.training["data"]
    assert (defaults.pictures, defaults.data) == (card.scores["count"], data["spec"])
    assert defaults.hash == data["hashes"][card.scores["split"]]
    assert all(model.scores.keys() == last.scores.keys() for model in defaults.models)


def test_the_version_that_made_a_model_is_that_of_its_folder_or_of_its_training() -> None:
    trained = {"machine": {"versions": {"affectlens": "0.1.0"}}}
    assert made_by(replace(CARD, version="0.2.0", training=trained)) == "AffectLens 0.2.0"
    assert made_by(replace(CARD, training=trained)) == "AffectLens 0.1.0"
    for unknown in ({}, {"machine": "a laptop"}, {"machine": {"versions": {"affectlens": "not installed"}}}):
        assert made_by(replace(CARD, training=unknown)) == NOT_NAMED


def test_words_and_names_of_others_are_no_markup_of_a_card() -> None:
    hostile = (
        "<!-- a", "<img src=x onerror=alert(1)>", "[b](https://c.org)", "**d** `e` | f", "g & &amp; \\_h_",
    )  # fmt: skip
    words = own_vocabulary(hostile, name="<script>i</script>")
    card = replace(CARD, name="\n".join(hostile), vocabulary=words, licences={"data": hostile[0]})
    targets = np.eye(len(words))
    scores = markdown(score(targets, targets, words, resamples=0))
    text = "\n\n".join([readme_beginning(card), markdown_list(hostile), licences_text(card), scores])
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(text.partition("\n---\n")[2])
    inner = [child for token in tokens for child in token.children or ()]
    used = {token.type for token in inner}
    assert used <= {"text", "text_special", "softbreak", "code_inline"}, used
    assert not any(token.type.startswith("html") for token in tokens)
    read = ["".join(child.content for child in token.children or ()) for token in tokens]
    # As items of a list, and in tables as an emotion, as a row, and as a column.
    assert [read.count(word) for word in words.words] == [4] * len(words)
    assert " ".join(hostile) in read
