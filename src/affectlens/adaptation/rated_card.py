"""What a model with learned ratings states about itself: its card and its README."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from affectlens.adaptation.depths import HEAD
from affectlens.adaptation.own_pictures import content_hash
from affectlens.adaptation.rated_report import (
    RatedReport,
    facts_of_ratings,
    how_ratings_were_learned,
)
from affectlens.adaptation.rated_source import RatedSource
from affectlens.adaptation.rated_validation import MEAN
from affectlens.adaptation.validation import OWN
from affectlens.data.records import digest
from affectlens.library.licences import licences, merged_licences
from affectlens.library.text import OWN_PICTURES, heads_text, licences_text, markdown_list, readme_beginning
from affectlens.markdown import markdown_code, markdown_text
from affectlens.model_folder import RATED, Card
from affectlens.ratings import RatingScale
from affectlens.report.text import listed
from affectlens.version import VERSION


def rated_card(
    start: Card,
    scales: Sequence[RatingScale],
    rated: RatedSource,
    report: RatedReport,
    *,
    name: str,
    data: str,
    command: str,
) -> Card:
    """Make the card of a model with learned ratings, from the card of the model that it began with.

    What is known of its emotions stays true. The pictures that ratings were learned from are listed by what
    their files hold, so that `evaluate` and `calibrate` leave them out.
    """
    names = ("name", "network", "weights_hash", "version")
    facts = {
        "depth": HEAD,
        "start": {each: getattr(start, each) for each in names},
        "ratings": facts_of_ratings(report),
        "data": {"spec": data, "pictures": report.pictures, "groups": report.groups,
                 "hash": digest(rated.records), **rated.to_json()},
        "seed": report.seed,
        "command": command,
    }  # fmt: skip
    learned = listed([each.name for each in report.ratings])
    return replace(
        start,
        name=name,
        ratings=tuple(scales),
        training={**start.training, "ratings": _facts_on_all(start, scales, rated, report), RATED: facts},
        licences=merged_licences([start.licences, licences(rated.source.name)]),
        limits=(
            *start.limits,
            f"It learned {learned} from {report.pictures:,} pictures that its user chose and people rated: "
            "pictures unlike these, and people unlike those who rated, it predicts less well.",
        ),
        weights_hash="",
        version="",
    )


def _facts_on_all(
    start: Card, scales: Sequence[RatingScale], rated: RatedSource, report: RatedReport
) -> dict[str, Any]:
    """State what the ratings of a model were learned from, the start's that it keeps and the new ones."""
    before = start.training.get("ratings")
    facts = dict(before) if isinstance(before, Mapping) else {}
    new = {each.name for each in report.ratings}
    kept = {scale.name for scale in scales} - new
    figures = {key: value for key, value in facts.get("figures", {}).items() if key.partition(" ")[2] in kept}
    for each in report.ratings:
        own, plain = each.estimates[OWN], each.estimates[MEAN]["error"]
        r, error = own["r"], own["error"]
        if r is not None and error is not None and plain is not None:
            figures[f"{OWN_PICTURES} {each.name}"] = {
                "pictures": each.pictures, "groups": each.groups, "r": r.value, "r_interval": [r.low, r.high],
                "error": error.value, "error_of_the_mean": plain.value,
            }  # fmt: skip
    known = facts.get("pictures", ())
    hashes = {*(known if isinstance(known, (list, tuple)) else ())}
    hashes |= {content_hash(record.path) for record in rated.records}
    if not kept:
        facts.pop("siblings_alone", None)
    return {**facts, "figures": figures, "pictures": sorted(hashes)}


def rated_readme(card: Card, report: RatedReport) -> str:
    """Write the card as Markdown, with the header that the hub reads."""
    facts = card.training[RATED]
    start, data = facts["start"], facts["data"]
    text = f"""{readme_beginning(card)}
## Limits
{markdown_list(card.limits)}

## Learned ratings
Each picture was predicted by a fit that did not learn from it, nor from pictures of its group.

{markdown_list(report.findings())}

{report.markdown()}

## Training
Start: {markdown_text(start["name"])}, {markdown_code(start["network"])}, weights {start["weights_hash"]}.
Its own card has how it was trained.
{how_ratings_were_learned(report)}
Data of the ratings: {markdown_text(data["spec"])} ({report.pictures:,} pictures; hash {data["hash"]}).
Command: {markdown_code(facts["command"])}
Made by AffectLens {VERSION}.

## Licences
{licences_text(card)}
"""
    return heads_text(text, card)
