"""What a model with learned ratings states about itself: its card and its README."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from affectlens.adaptation.depths import HEAD
from affectlens.adaptation.rated_report import (
    ERROR,
    R,
    RatedReport,
    facts_of_ratings,
    how_ratings_were_learned,
)
from affectlens.adaptation.rated_source import RatedSource
from affectlens.adaptation.rated_validation import MEAN
from affectlens.adaptation.validation import OWN
from affectlens.data.fingerprints import content_hashes
from affectlens.data.records import Record, digest
from affectlens.library.licences import licences, merged_licences
from affectlens.library.text import (
    BY_EPOCHS,
    OWN_PICTURES,
    heads_text,
    licences_text,
    markdown_list,
    readme_beginning,
)
from affectlens.markdown import markdown_code, markdown_text
from affectlens.model_folder import CALIBRATED, RATED, Card
from affectlens.ratings import RatingScale
from affectlens.report.text import listed
from affectlens.version import VERSION


@dataclass(frozen=True, kw_only=True)
class LearnedFacts:
    """What a card keeps of ratings or labels that a model learned.

    Attributes:
        names: of the ratings
        facts: for the card: what was measured, by name, and of which data
        figures: by name what `library.text` writes of a rating; not of all
        records: pictures that were learned from
        data: name of the data set
        what: how people answered, for the limits: "rated" or "labelled"
    """

    names: Sequence[str]
    facts: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, Any]]
    records: Sequence[Record]
    data: str
    what: str


def rated_card(start: Card, scales: Sequence[RatingScale], learned: LearnedFacts, name: str) -> Card:
    """Make the card of a model with learned ratings, from the card of the model that it began with.

    What is known of its emotions stays true. The pictures that ratings were learned from are listed by what
    their files hold, so that `evaluate` and `calibrate` leave them out.
    """
    parts = ("name", "network", "weights_hash", "version")
    before = {"before": start.training[RATED]} if RATED in start.training else {}
    facts = {
        "depth": HEAD,
        "start": {each: getattr(start, each) for each in parts},
        **learned.facts,
        **before,
    }
    return replace(
        start,
        name=name,
        ratings=tuple(scales),
        training={
            **_without_calibration(start, learned.names),
            "ratings": _facts_on_all(start, scales, learned),
            RATED: facts,
        },
        licences=merged_licences([start.licences, licences(learned.data)]),
        limits=(
            *start.limits,
            f"It learned {listed(list(learned.names))} from {len(learned.records):,} pictures that its user "
            f"chose and people {learned.what}: pictures unlike these, and people unlike those, it predicts "
            "less well.",
        ),
        weights_hash="",
        version="",
    )


def _without_calibration(start: Card, names: Sequence[str]) -> dict[str, Any]:
    """Return facts on training where ratings that are replaced do not count as calibrated any more."""
    training = dict(start.training)
    facts = training.get(CALIBRATED)
    if isinstance(facts, Mapping):
        parts = [part for part in facts.get("parts", ()) if part.get("name") not in names]
        training[CALIBRATED] = {**facts, "parts": parts}
    return training


def _facts_on_all(start: Card, scales: Sequence[RatingScale], learned: LearnedFacts) -> dict[str, Any]:
    """State what the ratings of a model were learned from, the start's that it keeps and the new ones."""
    before = start.training.get("ratings")
    facts = dict(before) if isinstance(before, Mapping) else {}
    kept = {scale.name for scale in scales} - set(learned.names)
    figures = {key: value for key, value in facts.get("figures", {}).items() if key.partition(" ")[2] in kept}
    figures |= {f"{OWN_PICTURES} {name}": dict(figure) for name, figure in learned.figures.items()}
    known = facts.get("pictures", ())
    hashes = {*(known if isinstance(known, (list, tuple)) else ())}
    hashes |= content_hashes(record.path for record in learned.records)
    if BY_EPOCHS in facts:
        facts[BY_EPOCHS] = [name for name in facts[BY_EPOCHS] if name in kept]
    if not kept:
        facts.pop("siblings_alone", None)
    return {**facts, "figures": figures, "pictures": sorted(hashes)}


def facts_of_report(report: RatedReport, rated: RatedSource, spec: str, command: str) -> LearnedFacts:
    """Return what a card keeps of learned ratings."""
    figures = {}
    for each in report.ratings:
        own, plain = each.estimates[OWN], each.estimates[MEAN][ERROR]
        r, error = own[R], own[ERROR]
        if r is not None and error is not None and plain is not None:
            figures[each.name] = {
                "pictures": each.pictures, "groups": each.groups, "r": r.value, "r_interval": [r.low, r.high],
                "error": error.value, "error_of_the_mean": plain.value,
            }  # fmt: skip
    facts = {
        "ratings": facts_of_ratings(report),
        "data": {"spec": spec, "pictures": report.pictures, "groups": report.groups,
                 "hash": digest(rated.records), **rated.to_json()},
        "seed": report.seed,
        "command": command,
    }  # fmt: skip
    return LearnedFacts(
        names=[each.name for each in report.ratings], facts=facts, figures=figures, records=rated.records,
        data=rated.source.name, what="rated",
    )  # fmt: skip


def rated_readme(card: Card, report: RatedReport) -> str:
    """Write the card as Markdown, with the header that the hub reads."""
    return learned_readme(
        card, "Learned ratings", report.findings(), report.markdown(), how_ratings_were_learned(report)
    )


def learned_readme(card: Card, title: str, findings: Sequence[str], table: str, how: str) -> str:
    """Write the card of a model that learned ratings, or labels, as Markdown with the header of the hub.

    `table` is Markdown, `how` a sentence on what was fitted.
    """
    facts = card.training[RATED]
    start, data = facts["start"], facts["data"]
    text = f"""{readme_beginning(card)}
## Limits
{markdown_list(card.limits)}

## {title}
Each picture was predicted by a fit that did not learn from it, nor from pictures of its group.

{markdown_list(findings)}

{table}

## Training
Start: {markdown_text(start["name"])}, {markdown_code(start["network"])}, weights {start["weights_hash"]}.
Its own card has how it was trained.
{how}
Data: {markdown_text(data["spec"])} ({data["pictures"]:,} pictures; hash {data["hash"]}).
Command: {markdown_code(facts["command"])}
Made by AffectLens {VERSION}.

## Licences
{licences_text(card)}
"""
    return heads_text(text, card)
