"""Model folders in words: who made them, what for, and what they replace."""

from dataclasses import replace

from affectlens import library
from affectlens.library.default_models import DefaultModel, DefaultModels
from affectlens.library.text import NOT_NAMED, comparison_text, made_by, summary_text
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
