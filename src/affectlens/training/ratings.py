"""What a run needs of people's ratings: data with them, whether they can be learned, and their scores."""

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from affectlens.data import splits
from affectlens.data.catalog import open_data, open_rated_data
from affectlens.data.records import DataSource, Record, encode_ratings
from affectlens.data.vocabularies import own_words
from affectlens.errors import DatasetError, SettingsError
from affectlens.evaluation.regression import RegressionScore, score_regression
from affectlens.inference.predictions import RatingPredictions
from affectlens.ratings import (
    FEWEST,
    RatingColumn,
    RatingScale,
    conformal_half_widths,
    possible_coverages,
)
from affectlens.training.settings import RATINGS_R, RATINGS_RMSE, Settings

_FLAT = 1e-6  # standard deviation, as a share of the scale, below which all ratings are the same
_NARROWEST = 1e-6  # half an interval, also where predictions are exact


def open_source(spec: str, settings: Settings) -> DataSource:
    """Open the data set that settings are to train on: with ratings, where they name some.

    Raises what `catalog.open_data` and `catalog.open_rated_data` raise.
    """
    words, ends = own_words(settings.vocabulary), settings.rating_ends
    return open_rated_data(spec, ends, words) if ends else open_data(spec, words)


def ratings_of(settings: Settings, source: DataSource) -> tuple[RatingColumn, ...]:
    """Return the ratings to learn of a data set with its training and validation pictures.

    Raises `SettingsError` where settings and data name others, or no pictures are held out for them, and
    `DatasetError` for a rating that cannot be learned, or measured on the validation pictures.
    """
    named, there = set(settings.rating_ends), {each.name for each in source.ratings}
    if named != there:
        shown = [", ".join(sorted(names)) or "none" for names in (named, there)]
        raise SettingsError(
            f"The settings name as ratings {shown[0]}, and {source.name} at {source.root} was opened with "
            f"{shown[1]}. Set ratings to those of the data; `affectlens train` opens a table with those that "
            "are to be learned."
        )
    if not source.ratings and settings.select_by in (RATINGS_R, RATINGS_RMSE):
        raise SettingsError(
            f"select_by={settings.select_by} selects an epoch by ratings, and none are learned. Name them by "
            "--rating, or set select_by=mean."
        )
    if not source.ratings:
        return ()
    if not source.splits.get(splits.VAL):
        raise SettingsError(
            "Ratings need pictures that are held out: how far predictions are from people's is measured on "
            "them. Set ratings=[], or learn ratings by `affectlens train` or `train finetune --rating`."
        )
    for index, column in enumerate(source.ratings):
        for name, what in ((splits.TRAIN, "learn it"), (splits.VAL, "know how wide its intervals are")):
            values = encode_ratings(source.ratings, source.split(name))[:, index]
            _require_enough(column.name, name, what, values[np.isfinite(values)])
    return source.ratings


def _require_enough(rating: str, split: str, what: str, shares: np.ndarray) -> None:
    if len(shares) < FEWEST:
        raise DatasetError(
            f"{len(shares):,} pictures of the split {split} have a rating of {rating}; it takes {FEWEST} to "
            f"{what}. Add pictures, or leave the rating out."
        )
    if shares.std() < _FLAT:
        raise DatasetError(
            f"All {len(shares):,} ratings of {rating} in the split {split} are the same: there is nothing to "
            "learn. Leave the rating out."
        )


def fingerprint(source: DataSource) -> str:
    """Hash which picture has which ratings, with their scales: 16 hex digits, on any machine."""
    rows: list[tuple[str, Mapping[str, float]]] = [
        (record.key, {name: round(value, 6) for name, value in record.ratings.items()})
        for part in source.splits.values()
        for record in part
    ]
    columns = [[each.name, each.given, each.scale] for each in source.ratings]
    hashed = [columns, sorted(rows, key=lambda row: row[0])]
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:16]


def usual_shares(columns: Sequence[RatingColumn], records: Sequence[Record]) -> list[float]:
    """Return the mean of each rating as a share of its scale, which predictions start near."""
    return [float(mean) for mean in np.nanmean(encode_ratings(columns, records).astype(np.float64), axis=0)]


def score_shares(found: RatingPredictions) -> tuple[RegressionScore, ...]:
    """Score predicted ratings on the scales of the model, of each that two or more pictures have."""
    scores = (
        score_regression(column.name, predicted, rated, column.scale)
        for column, predicted, rated in found.on_scales()
    )
    return tuple(score for score in scores if score is not None)


def quick_rating_scores(found: RatingPredictions) -> dict[str, float]:
    """The few scores of ratings that are logged each epoch, by `NAME_rmse` and `NAME_r`.

    `ratings_r` is the mean correlation and `ratings_rmse` the mean of errors as shares of the scales. A
    correlation that does not exist, as where all predictions are the same, counts as 0.
    """
    scores = score_shares(found)
    logged: dict[str, float] = {}
    for each in scores:
        logged |= {f"{each.name}_rmse": each.rmse, f"{each.name}_r": each.r or 0.0}
    return logged | {
        RATINGS_RMSE: float(np.mean([each.rmse / (each.high - each.low) for each in scores])),
        RATINGS_R: float(np.mean([each.r or 0.0 for each in scores])),
    }


def scales_of(found: RatingPredictions) -> tuple[RatingScale, ...]:
    """Return the scales of a model's ratings, with intervals by how far predictions were from people's."""
    scales = []
    for column, predicted, rated in found.on_scales():
        errors = (predicted - rated)[np.isfinite(rated)]
        coverages = possible_coverages(len(errors))
        widths = tuple(max(width, _NARROWEST) for width in conformal_half_widths(errors, coverages))
        low, high = column.scale
        scales.append(
            RatingScale(name=column.name, low=low, high=high, coverages=coverages, half_widths=widths)
        )
    return tuple(scales)
