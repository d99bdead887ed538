"""What a model of one's own states about itself: its card and its README."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from affectlens.adaptation.depths import HEAD
from affectlens.adaptation.report import Report, how_it_learned
from affectlens.data.records import DataSource, digest
from affectlens.evaluation.tables import markdown
from affectlens.library.licences import licences, merged_licences
from affectlens.library.text import (
    heads_text,
    licences_text,
    limits,
    markdown_list,
    pictures_text,
    readme_beginning,
)
from affectlens.markdown import markdown_code, markdown_text
from affectlens.model_folder import CALIBRATED, RATED, Card
from affectlens.version import VERSION

CROSS_VALIDATION, HELD_OUT = "cross-validation", "held out"


def adapted_card(
    start: Card, source: DataSource, report: Report, *, name: str, data: str, command: str
) -> Card:
    """Make the card of a model with a new classifier, from the card of the model that it began with.

    It holds what is known of the new pictures, and no scores of the old model.
    """
    return replace(
        start,
        name=name,
        vocabulary=source.vocabulary,
        temperature=report.temperature,
        **_heads_facts(start, report),
        training={
            **_facts_on_ratings(start, report),
            "adapted": start_facts(start, report),
            "data": {
                "spec": data,
                "counts": source.counts(),
                "hashes": {name: digest(part) for name, part in source.splits.items()},
            },
            "command": command,
        },
        scores=measured_scores(report),
        licences=merged_licences([start.licences, licences(source.name)]),
        limits=limits(source.name, start.name, start.limits),
        weights_hash="",
        version="",
    )


def _heads_facts(start: Card, report: Report) -> dict[str, Any]:
    """State what else is read of the features: as before where the features are, nothing where they changed.

    Thresholds of prediction sets are those of other words, and are gone.
    """
    if report.trained is None:
        return {"prediction_sets": {}}
    return {"ratings": (), "feature_layers": (), "prediction_sets": {}, "unusual": {}}


def _facts_on_ratings(start: Card, report: Report) -> dict[str, Any]:
    """Return what ratings were learned from and calibrated on, where the model reads them as before."""
    keys = ("ratings", CALIBRATED, RATED) if start.ratings and report.trained is None else ()
    return {key: start.training[key] for key in keys if key in start.training}


def start_facts(start: Card, report: Report) -> dict[str, Any]:
    """State from which model another was made, how deep it learned, and what was chosen."""
    trained = report.trained
    chosen: dict[str, Any] = {"depth": HEAD, "strength": report.strength}
    if trained is not None:
        chosen = {"depth": trained.depth, "epochs_of_parts": list(trained.epochs)}
    names = ("name", "network", "weights_hash", "version")
    return {**chosen, "start": {name: getattr(start, name) for name in names}, "seed": report.seed}


def measured_scores(report: Report) -> dict[str, Any]:
    """State the scores, and of which pictures they are."""
    return {"split": _validation(report), **report.scores.to_json()}


def adapted_readme(card: Card, report: Report) -> str:
    """Write the card as Markdown, with the header that the hub reads."""
    known, found = markdown_list(card.limits), markdown_list(report.findings())
    data, start = card.training["data"], card.training["adapted"]["start"]
    pictures = pictures_text(data["counts"])
    text = f"""{readme_beginning(card)}
## Limits
{known}

## Scores by {_validation(report)}
Each picture was predicted by a model that did not learn from it, nor from pictures of its group.

{found}

{markdown(report.scores)}
## Training
Data: {markdown_text(data["spec"])} ({pictures} pictures; hashes {data["hashes"]}).
Start: {markdown_text(start["name"])}, {markdown_code(start["network"])}, weights {start["weights_hash"]}.
{how_it_learned(report)}
Command: {markdown_code(card.training["command"])}
Made by AffectLens {VERSION}.

## Licences
{licences_text(card)}
"""
    return heads_text(text, card) if card.ratings or card.unusual else text


def with_other_words(others: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Change the words in what other programs look for at the top of a model's config."""
    named: dict[str, Any] = {"num_classes": len(words), "label_names": list(words)}
    changed = {key: named.get(key, value) for key, value in others.items()}
    of_timm = changed.get("pretrained_cfg")
    return {**changed, "pretrained_cfg": {**of_timm, **named}} if isinstance(of_timm, dict) else changed


def _validation(report: Report) -> str:
    return CROSS_VALIDATION if report.parts > 1 else HELD_OUT
