"""Own pictures with labels, ratings or both, and what a model answers for them.

Letters: N pictures, E emotions, R ratings of the model.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectlens.adaptation.label_source import labelled_percents
from affectlens.data.catalog import open_data, table_of
from affectlens.data.fingerprints import content_hash
from affectlens.data.rated_table import SCALE, mean_ratings, read_ratings, source_of_ratings
from affectlens.data.records import ALL, DataSource, Record, digest, require_listed, with_shares
from affectlens.data.splits import TEST, require_disjoint, require_pictures
from affectlens.data.table import has_emotions, rows_of
from affectlens.errors import DatasetError, EmptySplit, SettingsError
from affectlens.evaluation.evaluate import learned_hashes, matched_words
from affectlens.inference.engine import Answers, Engine
from affectlens.inference.predictions import Unreadable, answered_batches, as_logits, require_readable
from affectlens.metrics import Doubles
from affectlens.model_folder import Card
from affectlens.ratings import rescaled


@dataclass(frozen=True)
class OwnPictures:
    """Pictures that a model is calibrated on.

    Attributes:
        records: N, by key; of pictures without labels every emotion has the same weight
        has_emotions: whether they have labels
        ratings: on the model's scales, (N, R) in the card's order, NaN where there is none, or where those
            of the model were learned from this very picture
        learned: how many pictures these were
        source: the data set that they are of, with notes on its labels
    """

    records: Sequence[Record]
    has_emotions: bool
    ratings: Doubles
    source: DataSource
    learned: int = 0

    @property
    def has_ratings(self) -> bool:
        """Whether a picture has a rating that the model predicts."""
        return bool(np.isfinite(self.ratings).any())

    @property
    def hash(self) -> str:
        """The hash of pictures and labels (`data.records.digest`)."""
        return digest(self.records)


def open_own_pictures(
    spec: str, card: Card, split: str = "", scale: tuple[float, float] = SCALE
) -> OwnPictures:
    """Read the pictures of `data.catalog.open_data`, and ratings that the model predicts from their table.

    Labels in percent are read of a column `labels` too. A picture that several rows rate has their mean.

    `split` is by default all but a split `test`; `scale` has the ends of what ratings may be. Decodes no
    picture. Raises `DatasetError` for pictures that the model learned from, those that are not there, and
    what has neither labels nor ratings; `SettingsError` for a scale without ratings; `VocabularyMismatch`,
    `EmptySplit`, and what the readers raise.
    """
    table = table_of(spec)
    names = [each.name for each in card.ratings]
    rated = [] if table is None else mean_ratings(read_ratings(*table, names, scale))[0]
    percents = [] if table is None else labelled_percents(*table, _labels_of(card))
    if not rated and not percents and tuple(scale) != SCALE:
        raise SettingsError(f"{spec} has no ratings that {card.name} predicts: leave out their scale.")
    found = {each.key: _on_scales(each.ratings, card, scale) for each in rated}
    for each in percents:
        found[each.key] = {**each.ratings, **found.get(each.key, {})}
    rated = list({each.key: each for each in (*percents, *rated)}.values())
    labelled = table is None or not rated or has_emotions(rows_of(table[0]), card.vocabulary)
    source = (
        open_data(spec) if table is None or labelled else source_of_ratings(table[1], rated, card.vocabulary)
    )
    _require_new(source, card, split)
    if labelled:
        source = with_shares(matched_words(source, card.vocabulary))
    require_listed(source)
    require_pictures(source)
    require_disjoint(source)
    records = _chosen(source, split)
    ratings = np.array(
        [[found.get(record.key, {}).get(each.name, math.nan) for each in card.ratings] for record in records]
    ).reshape(len(records), len(card.ratings))
    learned = learned_ratings(card, records) & np.isfinite(ratings).any(axis=1)
    ratings[learned] = math.nan
    if not labelled and learned.any() and not np.isfinite(ratings).any():
        raise DatasetError(
            f"All {len(records):,} pictures are those that the ratings of {card.name} were learned from, on "
            "which it errs less than on others. Rate other pictures."
        )
    return OwnPictures(records, labelled, ratings, source, int(learned.sum()))


def learned_ratings(card: Card, records: Sequence[Record]) -> NDArray[np.bool_]:
    """Mark the pictures whose ratings a model learned from, by what the files hold: (N,).

    None where its card does not list them; a file that cannot be read is not marked.
    """
    facts = card.training.get("ratings")
    known = set(facts.get("pictures", ())) if isinstance(facts, Mapping) else set()
    found = np.zeros(len(records), dtype=bool)
    for number, record in enumerate(records if known else ()):
        with suppress(OSError):
            found[number] = content_hash(record.path) in known
    return found


def _on_scales(given: Mapping[str, float], card: Card, old: tuple[float, float]) -> dict[str, float]:
    """Bring ratings from the scale that people used to those of the model."""
    scales = {each.name: (each.low, each.high) for each in card.ratings}
    return {name: rescaled(value, old, scales[name]) for name, value in given.items()}


def _labels_of(card: Card) -> list[str]:
    return [each.name for each in card.ratings if each.is_percent]


def _chosen(source: DataSource, split: str) -> list[Record]:
    """Return the pictures of a split, or of all but that for tests, by key."""
    if split:
        records = source.split(split)
    else:
        records = [record for name, part in source.splits.items() if name != TEST for record in part]
        if not records:
            raise EmptySplit(f"{source.name}:{source.root}", ALL, list(source.splits))
    return sorted(records, key=lambda record: record.key)


def _require_new(source: DataSource, card: Card, split: str) -> None:
    """Raise `DatasetError` where a model learned from one of the splits: on these it is surer than it is."""
    learned = learned_hashes(card)
    for name, part in source.splits.items():
        is_used = name == split if split and split != ALL else name != TEST or split == ALL
        if is_used and part and digest(part) in learned:
            raise DatasetError(
                f"{card.name} learned from these pictures (split {name}), on which it is surer than on "
                "others. Calibrate it on others, as by --split val."
            )


@dataclass(frozen=True)
class OwnAnswers:
    """What a model answers for the pictures that could be read.

    Attributes:
        rows: their numbers among the pictures, (n,)
        logits: before the temperature, (n, E)
        ratings: as they are read, before they are cut off at the ends of their scales, (n, R)
        unreadable: the other pictures
    """

    rows: NDArray[np.int64]
    logits: Doubles
    ratings: Doubles
    unreadable: tuple[Unreadable, ...]


def answer_own_pictures(
    engine: Engine,
    records: Sequence[Record],
    batch_size: int = 64,
    progress: Callable[[int], None] = lambda done: None,
) -> OwnAnswers:
    """Predict pictures by an engine, read ahead in threads; `progress` gets how many each step predicted.

    Raises `DatasetError` when not one picture could be read.
    """
    rows: list[int] = []
    found: list[Answers] = []
    unreadable: list[Unreadable] = []
    files = ((record.key, record.path) for record in records)
    with closing(answered_batches(engine, files, engine.answer, batch_size)) as answered:
        for batch in answered:
            rows += batch.rows
            found += [batch.found] if batch.found else []
            unreadable += batch.unreadable
            progress(len(batch.rows) + len(batch.unreadable))
    require_readable(len(rows), unreadable)
    probabilities = np.concatenate([each.probabilities for each in found])
    ratings = [np.zeros((len(p.probabilities), 0)) if p.ratings is None else p.ratings for p in found]
    return OwnAnswers(
        np.array(rows, dtype=np.int64),
        as_logits(probabilities, engine.card.temperature).astype(np.float64),
        np.concatenate(ratings).astype(np.float64),
        tuple(unreadable),
    )
