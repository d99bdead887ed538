"""Fit ratings to a trained model: pictures that people rated -> a model folder and a report.

The emotions of the model stay as they are, to the bit, and so do its other ratings; a rating of a name that
it has is replaced. `adaptation.folder` has what lies on disk.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from affectlens.adaptation.depths import HEAD
from affectlens.adaptation.embeddings import EmbeddingProgress, embed, folder_of_output, read_embeddings
from affectlens.adaptation.folder import (
    EMBEDDINGS,
    PAGE,
    Finetuned,
    FinetuneRequest,
    ValidationProgress,
    open_folder,
    write_rated_report,
)
from affectlens.adaptation.head import known_directions
from affectlens.adaptation.own_pictures import learned_ratings
from affectlens.adaptation.rated_card import facts_of_report, rated_readme
from affectlens.adaptation.rated_folder import write_rated_model
from affectlens.adaptation.rated_graph import features_output
from affectlens.adaptation.rated_report import RatedReport, RatingReport, report_rating
from affectlens.adaptation.rated_source import FEWEST_GROUPS, RatedSource
from affectlens.adaptation.rated_validation import (
    RatedOutOfFold,
    SimplerAnswers,
    rated_steps,
    validate_rating,
)
from affectlens.adaptation.ridge import RatedFeatures, RatingLine, fit_rating
from affectlens.adaptation.start import Start, counted, open_start, single_thread
from affectlens.adaptation.validation import OWN
from affectlens.data.groups import find_groups, search_for
from affectlens.errors import DatasetError, SettingsError
from affectlens.extras import ADAPT, require
from affectlens.inference.engine import MANY, load_engine
from affectlens.locks import locked_folder
from affectlens.model_folder import Card
from affectlens.ratings import RatingHead


@dataclass(frozen=True)
class _FittedRating:
    """What was found of one rating: its line for all pictures, its validation, and the report on it."""

    line: RatingLine
    rows: NDArray[np.int64]
    found: RatedOutOfFold
    report: RatingReport


def fit_ratings(
    request: FinetuneRequest, rated: RatedSource
) -> Iterator[EmbeddingProgress | ValidationProgress | Finetuned]:
    """Compute features, validate, fit, and write the folder; the last event is `Finetuned`.

    Stopping the iteration anywhere leaves a run to resume, which ends in the same bits. Raises
    `SettingsError` for another depth than `head` and another engine, `MissingExtra`, `DatasetError` for too
    few groups and pictures that cannot be read, and what `job.fit_head` raises for folders and models.
    """
    if request.depth != HEAD:
        raise SettingsError(
            f"Ratings are learned at --depth {HEAD}; {request.depth} learns words alone. Leave --depth out."
        )
    require(ADAPT, "Learning ratings")
    start = open_start(request)
    with locked_folder(request.out):
        open_folder(request, start.opened.card, rated.records, rated=rated.to_json())
        data = yield from _features(request, start, rated)
        _require_groups(rated, data)
        with single_thread(len(rated.records)):
            yield from _fit(request, start, rated, data)


def _features(
    request: FinetuneRequest, start: Start, rated: RatedSource
) -> Generator[EmbeddingProgress, None, RatedFeatures]:
    """Compute what ratings are read from, or read what was kept, and find pictures that belong together."""
    records, opened = rated.records, start.opened
    engine = load_engine(str(start.folder), request.engine, precision="float32", many=len(records) >= MANY)
    output = features_output(opened.graph.graph)
    cache = folder_of_output(request.cache or request.out / EMBEDDINGS, output)
    yield from embed(engine, records, cache, output)
    features = read_embeddings(records, cache)
    blocks = [layer.features for layer in opened.layers]
    pooled = features.shape[1] - sum(blocks)
    # Emotions are many and known to less; polarity alone is what ratings have been seen to gain from.
    directions = known_directions(opened.classifier, opened.card.vocabulary)[1:]
    padded = [np.pad(each, ((0, 0), (0, features.shape[1] - each.shape[1]))) for each in directions]
    groups = find_groups(records, search_for(len(records)))
    return RatedFeatures(
        features,
        rated.values,
        np.array([groups.leader(record.key) for record in records]),
        (*blocks, *([pooled] if pooled else [])),
        np.concatenate([np.zeros((0, features.shape[1])), *padded]),
    )


def _require_groups(rated: RatedSource, data: RatedFeatures) -> None:
    """Raise `DatasetError` where too few pictures of a rating are independent of one another."""
    for column, values in zip(rated.columns, rated.values.T, strict=True):
        found = len(np.unique(data.groups[np.isfinite(values)]))
        if found < FEWEST_GROUPS:
            raise DatasetError(
                f"The pictures with a rating of {column.name} are of {found} groups, copies counted as one. "
                f"{FEWEST_GROUPS} or more are needed, so that some can be held out."
            )


def _fit(
    request: FinetuneRequest, start: Start, rated: RatedSource, data: RatedFeatures
) -> Iterator[ValidationProgress | Finetuned]:
    """Measure by cross-validation, then fit to all pictures and write what was found."""
    card = start.opened.card
    rows_of = [np.flatnonzero(np.isfinite(values)) for values in rated.values.T]
    total, done = sum(rated_steps(data.groups[rows]) for rows in rows_of), count()
    yield ValidationProgress(next(done), total)
    simpler, learned_before = _simpler_answers(start, rated, data)
    fitted = []
    for number, rows in enumerate(rows_of):
        own, of_start = data.rows(rows), simpler[number].start
        answers = SimplerAnswers(simpler[number].log_odds[rows], None if of_start is None else of_start[rows])
        found = yield from counted(validate_rating(own, number, answers, request.seed), done, total)
        line = fit_rating(own, number, request.seed)
        keys = [rated.records[int(row)].key for row in rows]
        report = report_rating(
            rated.columns[number], found, own.values[:, number], own.groups, keys, line.penalty, request.seed
        )
        fitted.append(_FittedRating(line, rows, found, report))
    report_of_all = RatedReport(
        start=card.name,
        weights=card.weights_hash,
        pictures=len(rated.records),
        groups=len(np.unique(data.groups)),
        learned_before=learned_before,
        seed=request.seed,
        ratings=tuple(each.report for each in fitted),
        notes=rated.notes,
    )
    learned = facts_of_report(report_of_all, rated, request.data, request.command)
    scales, lines = [each.report.scale for each in fitted], [each.line for each in fitted]
    model = write_rated_model(
        request, start, scales, lines, learned, lambda new: rated_readme(new, report_of_all)
    )
    write_rated_report(request.out, report_of_all, rated, [_predicted(each) for each in fitted])
    yield Finetuned(model, request.out / PAGE, report_of_all)


def _simpler_answers(
    start: Start, rated: RatedSource, data: RatedFeatures
) -> tuple[list[SimplerAnswers], int]:
    """Return what simpler answers of each rating are read from, for all pictures; and of how many of these
    the start learned its ratings, where it has one of a rating's name.
    """
    opened, card = start.opened, start.opened.card
    log_odds = opened.classifier.logits(data.features[:, : opened.classifier.weights.shape[1]])
    indices = [_index(card, column.name) for column in rated.columns]
    if not any(index is not None for index in indices):
        return [SimplerAnswers(log_odds, None) for _ in indices], 0
    learned = learned_ratings(card, rated.records)
    read = RatingHead.from_tensors(opened.heads).read(data.features).astype(np.float64)
    read[learned] = np.nan
    answers = [SimplerAnswers(log_odds, None if each is None else read[:, each]) for each in indices]
    return answers, int(learned.sum())


def _index(card: Card, name: str) -> int | None:
    """Return which of a model's ratings has a name, in any case; None where it has no such rating."""
    names = [scale.name.lower() for scale in card.ratings]
    return names.index(name) if name in names else None


def _predicted(fitted: _FittedRating) -> dict[int, float]:
    """Return the out-of-fold prediction of each picture by its row among all, cut off at the scale's ends."""
    ends = (fitted.report.scale.low, fitted.report.scale.high)
    found = fitted.found.mean_of(fitted.found.read[OWN])
    return {int(fitted.rows[row]): float(np.clip(value, *ends)) for row, value in found.items()}
