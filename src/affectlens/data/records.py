"""What every data set becomes: a list of records, without opening a picture."""

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from affectlens.attributes import Attribute, BadAttribute
from affectlens.emotions import AllDropped, EmotionDistribution, Vocabulary, convert, is_known, own_name
from affectlens.errors import DatasetError, EmptySplit, PictureError
from affectlens.ratings import RatingColumn, rescaled

FOLD = re.compile(r"fold ?(\d{1,9})", re.IGNORECASE)  # a split of a data set divided for cross-validation
ALL = "all"  # the one split of a data set that comes without a division
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
               "test": "test", "testing": "test"}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One labelled picture. `key` is its path relative to the data set, the same on every machine.

    `attributes` holds the picture's words by the name of the attribute, as `DataSource.attributes` lists
    them; a name that is absent is not known. Of an attribute with several words none is an answer as well.
    Pictures of one `group` (a theme, a scene) belong on one side of a split; "" is alone. `ratings` holds
    people's mean ratings by name, on the scales that `DataSource.ratings` has as given; a name that is absent
    was not rated.
    """

    key: str
    path: Path
    target: EmotionDistribution
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    group: str = ""
    ratings: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class DataSource:
    """A data set as found on disk: records by split, and notes on what was left out and why.

    `attributes` are those that its records may have words for, `ratings` what they may be rated by, where
    ratings were requested. `unlisted` are folders whose pictures are not
    known, since they cannot be listed; each has a record of its own, which cannot be read.
    """

    name: str
    root: Path
    vocabulary: Vocabulary
    splits: Mapping[str, Sequence[Record]]
    notes: tuple[str, ...] = field(default=())
    attributes: tuple[Attribute, ...] = ()
    unlisted: tuple[PictureError, ...] = ()
    ratings: tuple[RatingColumn, ...] = ()

    def split(self, name: str) -> list[Record]:
        """Return one split in file order, or every record for `all`. Raises `EmptySplit`."""
        if name == ALL:
            records = [record for part in self.splits.values() for record in part]
        else:
            records = list(self.splits.get(name, ()))
        if not records:
            present = [split for split, part in self.splits.items() if part]
            raise EmptySplit(f"{self.name}:{self.root}", name, present)
        return records

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of pictures by split and top emotion, in vocabulary order."""
        return {name: count_emotions(self.vocabulary, part) for name, part in self.splits.items()}


def with_shares(source: DataSource) -> DataSource:
    """Return a data set with each picture of a split once: rows of one picture are several people's.

    Its target is their mean: of labels, the share of the rows that name each. A note names how many rows
    there were. Raises `DatasetError` for a picture whose rows name several groups.
    """
    rows, pictures = 0, 0
    splits: dict[str, list[Record]] = {}
    for name, part in source.splits.items():
        same: dict[str, list[Record]] = {}
        for record in part:
            same.setdefault(os.path.normpath(record.path), []).append(record)
        splits[name] = [_joined_rows(of_one) for of_one in same.values()]
        rows, pictures = rows + len(part), pictures + len(same)
    if rows == pictures:
        return source
    note = f"{rows:,} rows label {pictures:,} pictures: what counts is the share of a picture's rows by word"
    return replace(source, splits=splits, notes=(*source.notes, note))


def _joined_rows(records: Sequence[Record]) -> Record:
    """Join the rows of one picture."""
    first = records[0]
    if len(records) == 1:
        return first
    groups = {record.group for record in records if record.group}
    if len(groups) > 1:
        raise DatasetError(
            f"Rows of {first.key} name several groups: {', '.join(sorted(groups)[:3])}. Give all of them one."
        )
    words = first.target.vocabulary.words
    columns = zip(*(record.target.probabilities for record in records), strict=True)
    means = {word: math.fsum(column) / len(records) for word, column in zip(words, columns, strict=True)}
    return replace(first, target=first.target.vocabulary.distribution(means), group="".join(groups))


def require_listed(source: DataSource) -> None:
    """Raise the `PictureError` of a folder that cannot be listed: what lies there would be missing unseen."""
    for error in source.unlisted:
        raise error


def with_words_of(source: DataSource, target: Vocabulary) -> DataSource:
    """Return a data set with the same labels as words of a vocabulary that is not a known one, by name.

    Unchanged where a label is not among its words. So a part of the words, or another order, is no other
    vocabulary: what is found from labels depends on which of them are there.
    """
    if source.vocabulary == target or is_known(target):
        return source
    used = {w for part in source.splits.values() for r in part for w, p in r.target.weights.items() if p > 0}
    if not all(map(target.knows, used)):
        return source

    def renamed(record: Record) -> Record:
        weights = {word: weight for word, weight in record.target.weights.items() if weight > 0}
        return replace(record, target=target.distribution(weights))

    splits = {name: [renamed(record) for record in part] for name, part in source.splits.items()}
    return replace(source, vocabulary=target, splits=splits)


def with_used_words(source: DataSource, held_out: str) -> DataSource:
    """Return a data set without the words that no picture has, which nothing can be learned of; with a note.

    Unchanged where fewer than two words would be left. Raises `DatasetError` for a word whose pictures are
    all of the split `held_out`, which is not learned from.
    """

    def used(splits: Iterable[str]) -> set[str]:
        records = (record for name in splits for record in source.splits[name])
        return {word for record in records for word, weight in record.target.weights.items() if weight > 0}

    words = source.vocabulary
    learned = used(name for name in source.splits if name != held_out)
    if len(learned) < 2 or len(learned) == len(words):
        return source
    if alone := sorted(used(source.splits) - learned):
        raise DatasetError(
            f"All pictures of {', '.join(map(repr, alone))} are of the split {held_out!r}, from which "
            "nothing is learned. Give some another split, or leave the word out."
        )
    kept = tuple(word for word in words.words if word in learned)
    left_out = ", ".join(word for word in words.words if word not in learned)
    facts = {
        name: {word: value for word, value in getattr(words, name).items() if word in learned}
        for name in ("polarity", "colours", "valence")
    }
    aliases = {alias: word for alias, word in words.aliases.items() if word in learned}
    fewer = Vocabulary(own_name(kept), kept, aliases, lost=words.lost, **facts)
    note = f"no picture is labelled {left_out}, so that the model will not know these words"
    found = with_words_of(source, fewer)
    return replace(found, notes=(*source.notes, note))


def in_vocabulary(source: DataSource, target: Vocabulary) -> DataSource:
    """Return a data set with its labels in another vocabulary; pictures without a counterpart are left out.

    A note names what that loses, and how many pictures. Raises `NoConversion` where no mapping is known.
    """
    source = with_words_of(source, target)
    if source.vocabulary == target:
        return source
    lost, left_out, splits = "", 0, {}
    for name, part in source.splits.items():
        converted = []
        for record in part:
            try:
                found = convert(record.target, target)
            except AllDropped:
                left_out += 1
                continue
            lost = found.lost
            converted.append(replace(record, target=found.distribution))
        splits[name] = converted
    note = f"labels are brought from {source.vocabulary.name} to {target.name}: lost is {lost}"
    note += f"; {left_out:,} pictures without a counterpart are left out" if left_out else ""
    return replace(source, vocabulary=target, splits=splits, notes=(*source.notes, note))


def encode_attributes(
    attributes: Sequence[Attribute], records: Sequence[Record]
) -> dict[str, NDArray[np.float32] | NDArray[np.int64]]:
    """Encode the words of N records by name of the attribute, as losses and scores want them.

    An attribute with one word: int64 (N,), its index, or -1 where it is not known. One with several:
    float32 (N, words), 1 for those that the picture has and 0 for the others, or a row of -1 where it is not
    known. Raises `UnknownName` for a word that the attribute lacks, and `BadAttribute` for several
    instead of one.
    """
    return {each.name: (_several_words if each.several else _one_word)(each, records) for each in attributes}


def _one_word(attribute: Attribute, records: Sequence[Record]) -> NDArray[np.int64]:
    encoded = np.full(len(records), -1)
    for row, record in enumerate(records):
        words = record.attributes.get(attribute.name, ())
        if len(words) > 1:
            raise BadAttribute(f"{record.key} has several words of {attribute.name}: {', '.join(words)}.")
        if words:
            encoded[row] = attribute.index(words[0])
    return encoded


def _several_words(attribute: Attribute, records: Sequence[Record]) -> NDArray[np.float32]:
    encoded = np.full((len(records), len(attribute)), -1, dtype=np.float32)
    for row, record in enumerate(records):
        words = record.attributes.get(attribute.name)
        if words is not None:
            encoded[row] = 0
            encoded[row, [attribute.index(word) for word in words]] = 1
    return encoded


def encode_ratings(columns: Sequence[RatingColumn], records: Sequence[Record]) -> NDArray[np.float32]:
    """Encode ratings as shares of their scales, 0 to 1: (N, R) for N records, NaN where one was not rated."""
    rows = [
        [rescaled(record.ratings.get(each.name, math.nan), each.given, (0, 1)) for each in columns]
        for record in records
    ]
    return np.array(rows, dtype=np.float32).reshape(len(records), len(columns))


def count_emotions(vocabulary: Vocabulary, records: Iterable[Record]) -> dict[str, int]:
    """Number of records whose top emotion is each word, words without records included."""
    counted = Counter(record.target.top for record in records)
    return {word: counted[word] for word in vocabulary.words}


def digest(records: Iterable[Record]) -> str:
    """Hash of which pictures carry which labels, whatever the order and the machine: 16 hex digits.

    It names a split in run folders and cards, so that two results can be known to be comparable. Labels are
    emotions alone: results on them compare whether or not attributes were read as well.
    """
    lines = sorted(f"{r.key}\t{[round(p, 6) for p in r.target.probabilities]}" for r in records)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:16]
