"""Evaluate a model on a split of a data set: what `affectlens evaluate` does."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from affectlens.data.records import ALL, DataSource, digest, in_vocabulary, with_shares, with_words_of
from affectlens.data.splits import TEST, VAL
from affectlens.emotions import POLARITY, VOCABULARIES, NoConversion, Vocabulary, own_name
from affectlens.errors import DatasetError, VocabularyMismatch
from affectlens.evaluation.attributes import AttributeScores, score_attributes, shared_attributes
from affectlens.evaluation.matching import match_rows
from affectlens.evaluation.picture_tables import PictureTable, emotions_of_pictures
from affectlens.evaluation.scores import Scores, score
from affectlens.evaluation.sets import SetScores, score_members, score_sets
from affectlens.files import atomic_write
from affectlens.inference.coverage import PredictionSets
from affectlens.inference.engine import Engine, require_attributes
from affectlens.inference.output.json_lines import JsonRow
from affectlens.inference.output.read import RowsFile
from affectlens.inference.predictions import (
    Predictions,
    Unreadable,
    from_answers,
    predict_attributes,
    predict_records,
)
from affectlens.machine import describe
from affectlens.metrics import softmax
from affectlens.model_folder import CALIBRATED, Card


@dataclass(frozen=True, kw_only=True)
class PredictedBy:
    """What made the predictions that were scored.

    Attributes:
        model: its name
        weights: the hash of its weights, as long as it is known; None where it is not
        engine, precision: as `inference.engine.Engine` names them; None where they are not known
        file: the name of the file that the predictions were read from; "" where they were made for this
    """

    model: str
    weights: str | None
    engine: str | None
    precision: str | None
    file: str = ""


@dataclass(frozen=True)
class Evaluation:
    """Scores, what they were measured on, and the pictures that are in none of them.

    `attribute_scores` are there where they were requested, `set_scores` where the model, or rows, have sets.
    `notes` is what should be known of the predictions, sentences without a full stop. `pictures` has a row
    for each picture, what was predicted next to its target.
    """

    scores: Scores
    data: str
    split: str
    digest: str
    unreadable: tuple[Unreadable, ...]
    by: PredictedBy
    attribute_scores: AttributeScores | None = None
    set_scores: tuple[SetScores, ...] = ()
    notes: tuple[str, ...] = ()
    pictures: PictureTable | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data; an unreadable picture by its key and reason."""
        by = self.by
        return {
            "model": by.model,
            "weights": by.weights,
            "engine": by.engine,
            "precision": by.precision,
            **({"predictions": by.file} if by.file else {}),
            **({"notes": list(self.notes)} if by.file or self.notes else {}),
            "data": {"name": self.data, "split": self.split, "hash": self.digest},
            "scores": self.scores.to_json(),
            "unreadable": [{"image": u.key, "error": str(u.error)} for u in self.unreadable],
            **({"sets": [each.to_json() for each in self.set_scores]} if self.set_scores else {}),
            **(self.attribute_scores.to_json() if self.attribute_scores else {}),
        }

    def write(self, file: Path, ratings: Mapping[str, Any] | None = None) -> None:
        """Write it as JSON, with the machine that this runs on, and scores of ratings next to it."""
        rated = {"ratings": dict(ratings)} if ratings else {}
        with atomic_write(file, "w") as out:
            out.write(json.dumps({**self.to_json(), **rated, "machine": describe()}, indent=2) + "\n")


def evaluate(
    engine: Engine,
    source: DataSource,
    split: str,
    *,
    attributes: bool = False,
    batch_size: int = 64,
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Predict every picture of a split and score the predictions, at the temperature of the model's card.

    A model of positive and negative alone is scored by the polarity of the data's emotions.
    `progress` is called with how many pictures each step predicted. With `attributes`, those that model and
    data share are scored in a second pass over the pictures. Raises `VocabularyMismatch`
    where data and model name other emotions, `EmptySplit`, `DatasetError` when not one picture can be read,
    and `SettingsError` for attributes that data and model do not share or that the engine does not answer.
    """
    card, given = engine.card, source
    source = with_shares(matched_words(given, card.vocabulary))
    records = source.split(split)
    shared = shared_attributes(card.attributes, source) if attributes else ()
    if shared:
        require_attributes(engine)
    found = predict_records(engine, records, batch_size, progress)
    named = None
    if shared:
        named = score_attributes(predict_attributes(engine, records, shared, batch_size), shared)
    return Evaluation(
        scores=score(
            found.logits,
            found.targets,
            card.vocabulary,
            temperature=card.temperature,
            unreadable=len(found.unreadable),
        ),
        data=source.name,
        split=split,
        digest=digest(records),
        unreadable=found.unreadable,
        by=PredictedBy(
            model=card.name, weights=card.weights_hash, engine=engine.name, precision=engine.precision
        ),
        attribute_scores=named,
        set_scores=_set_scores(card, found),
        notes=(
            *source.notes[len(given.notes) :],
            *_learned_from(card, source, split),
            *calibrated_on(card, digest(records)),
        ),
        pictures=emotions_of_pictures(found, source, split, card.temperature),
    )


def _learned_from(card: Card, source: DataSource, split: str) -> tuple[str, ...]:
    """State it where a model learned from the pictures that it is scored on, as far as its card shows it."""
    learned = learned_hashes(card)
    used = [part for name, part in source.splits.items() if part and split in (name, ALL)]
    number = sum(len(part) for part in used if digest(part) in learned)
    if not number:
        return ()
    return (
        f"{card.name} learned from {number:,} of these pictures: their scores are too good for others. Its "
        "card has scores of pictures that it did not learn from",
    )


def learned_hashes(card: Card) -> set[str]:
    """Return the hashes of splits (`data.records.digest`) that a model learned from, as its card has them."""
    data = card.training.get("data", {})
    hashes = data.get("hashes", {}) if isinstance(data, Mapping) else {}
    kept_apart = {TEST} if "adapted" in card.training else {TEST, VAL}
    return {hashed for name, hashed in hashes.items() if name not in kept_apart}


def calibrated_on(card: Card, hashed: str) -> tuple[str, ...]:
    """Note where a model was calibrated on the very pictures of a hash (`data.records.digest`)."""
    facts = card.training.get(CALIBRATED)
    if not isinstance(facts, Mapping) or facts.get("hash") != hashed:
        return ()
    return (f"{card.name} was calibrated on these very pictures: on others figures are likely worse",)


def _set_scores(card: Card, found: Predictions) -> tuple[SetScores, ...]:
    if not card.prediction_sets:
        return ()
    sets = PredictionSets.from_json(card.prediction_sets, card.vocabulary)
    return score_sets(sets, softmax(found.logits.astype(np.float64) / card.temperature), found.targets)


def evaluate_rows(given: RowsFile, source: DataSource, split: str) -> Evaluation:
    """Score predictions that were made before, to what `evaluate` measures up to the digits of their rows.

    The temperature that made them is not known: `Scores.temperature` is None. Sets of emotions are scored
    where rows have them, at their coverage; others cannot be made of probabilities, for rows do not have
    the model's thresholds. Raises what `matching.match_rows` does, and `DatasetError` when not one picture
    could be read and for a set of other words.
    """
    original = source
    words = given.words
    if set(words) == set(POLARITY.words):
        source = _with_polarity(original)
    elif words and not any(set(words) == set(v.words) for v in (source.vocabulary, *VOCABULARIES.values())):
        polarity = {word: side for word, side in source.vocabulary.polarity.items() if word in words}
        source = with_words_of(source, Vocabulary(own_name(words), words, polarity=polarity))
    source = with_shares(source)
    matched = match_rows(given, source, split)
    found = from_answers(matched.answers)
    scores = score(found.logits, found.targets, source.vocabulary, unreadable=len(found.unreadable))
    set_scores, set_notes = _scores_of_stored_sets(given, matched.rows, found, source.vocabulary)
    ways = {(row.engine, row.precision) for row in given.rows}
    engine, precision = ways.pop() if len(ways) == 1 else (None, None)
    return Evaluation(
        scores=replace(scores, temperature=None),
        data=source.name,
        split=split,
        digest=digest(source.split(split)),
        unreadable=found.unreadable,
        by=PredictedBy(
            model=given.rows[0].model,
            weights=given.rows[0].weights or None,
            engine=engine,
            precision=precision,
            file=given.file.name,
        ),
        set_scores=set_scores,
        notes=(*source.notes[len(original.notes) :], *matched.notes, *set_notes),
        pictures=emotions_of_pictures(found, source, split, temperature=1.0),
    )


def _scores_of_stored_sets(
    given: RowsFile, rows: Sequence[JsonRow], found: Predictions, vocabulary: Vocabulary
) -> tuple[tuple[SetScores, ...], tuple[str, ...]]:
    """Score the sets that rows hold, all of one coverage; and notes, where they cannot be."""
    readable = [row for row in rows if row.error is None]
    coverages = {row.coverage for row in readable if isinstance(row.coverage, float)}
    if not coverages:
        return (), ()
    sets = [row.set for row in readable if isinstance(row.set, list) and isinstance(row.coverage, float)]
    if len(coverages) > 1 or len(sets) < len(readable):
        return (), (
            "sets of emotions are not scored: rows have them at several coverages, or some have none",
        )
    others = [word for words in sets for word in words if word not in vocabulary.words]
    if others:
        raise DatasetError(
            f"{given.file} has a set of emotions with {others[0]!r}, which is none of "
            f"{', '.join(vocabulary.words)}."
        )
    members = np.array([[word in words for word in vocabulary.words] for words in sets])
    return (score_members(members, found.targets, vocabulary.words, coverages.pop()),), ()


def matched_words(source: DataSource, vocabulary: Vocabulary) -> DataSource:
    """Return a data set with its labels as words of a model's vocabulary; of polarity by their polarity.

    Raises `VocabularyMismatch` where data and model name other emotions.
    """
    if vocabulary == POLARITY:
        source = _with_polarity(source)
    source = with_words_of(source, vocabulary)
    if source.vocabulary != vocabulary:
        raise VocabularyMismatch(vocabulary.words, source.vocabulary.words)
    return source


def _with_polarity(source: DataSource) -> DataSource:
    """Bring labels to positive and negative, where emotions have a polarity."""
    try:
        return in_vocabulary(source, POLARITY)
    except NoConversion:
        return source
