"""Evaluate a model's ratings on pictures that people rated: what `affectlens evaluate` does for such
tables."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from affectlens.adaptation.own_pictures import SCALE, answer_own_pictures, open_own_pictures
from affectlens.data.catalog import table_of
from affectlens.data.table import LABELS, has_emotions, rows_of
from affectlens.emotions import MIKELS, Vocabulary, own_name
from affectlens.errors import DatasetError
from affectlens.evaluation.evaluate import calibrated_on
from affectlens.evaluation.picture_tables import PictureTable, ratings_of_pictures
from affectlens.evaluation.ratings import RatingScores, score_ratings
from affectlens.inference.engine import Engine
from affectlens.inference.output.read import RowsFile
from affectlens.inference.predictions import Unreadable
from affectlens.model_folder import Card


@dataclass(frozen=True)
class RatedEvaluation:
    """Scores of ratings, and what they were measured on.

    Attributes:
        scores: of each rating that the table has
        hash: of the pictures (`data.records.digest`)
        learned: how many pictures were left out, since the model's ratings were learned from them
        unreadable: pictures that are in no score
        pictures: a row for each picture, what was predicted next to people's ratings
        about: what should be known of the pictures, as `notes` has it
    """

    scores: tuple[RatingScores, ...]
    hash: str
    learned: int
    unreadable: tuple[Unreadable, ...]
    pictures: PictureTable
    about: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "scores": [each.to_json() for each in self.scores],
            "hash": self.hash,
            "left_out": self.learned,
            "unreadable": [{"image": each.key, "error": str(each.error)} for each in self.unreadable],
        }

    def notes(self, name: str) -> tuple[str, ...]:
        """State what should be known of the scores, sentences without a full stop."""
        if not self.learned:
            return self.about
        left_out = (
            f"{self.learned:,} pictures are left out, since the ratings of {name} were learned from them"
        )
        return (left_out, *self.about)


def has_own_ratings(spec: str, card: Card) -> tuple[bool, bool]:
    """Whether a data set is a table with ratings that a model predicts, and whether it has emotions as well.

    Raises what reading the table raises.
    """
    percents = any(scale.is_percent for scale in card.ratings)
    names = [scale.name for scale in card.ratings]
    return has_ratings(spec, names, card.vocabulary, labels=percents)


def has_ratings(
    spec: str, names: Collection[str], vocabulary: Vocabulary, *, labels: bool = False
) -> tuple[bool, bool]:
    """Whether a data set is a table with ratings of these names, and whether it has emotions as well.

    With `labels`, a column of several labels counts as ratings.
    Raises what reading the table raises.
    """
    table = table_of(spec)
    if table is None or not names:
        return False, True
    rows = list(rows_of(table[0]))
    rated = any(row.get(name.lower()) not in (None, "") for _, row in rows for name in names)
    # A picture may have none of the labels: the column alone shows that they are there.
    rated = rated or (labels and any(LABELS in row for _, row in rows))
    return rated, not rated or has_emotions(rows, vocabulary)


def require_labels(given: RowsFile, spec: str) -> None:
    """Raise `DatasetError` for a table of ratings alone, which rows of predictions are not scored by."""
    ratings = {name for row in given.rows for name in row.ratings}
    words = tuple(dict.fromkeys(word for row in given.rows for word in row.emotions or ())) or MIKELS.words
    _, labelled = has_ratings(spec, ratings, Vocabulary(own_name(words), words))
    if not labelled:
        raise DatasetError(
            f"{spec} has ratings alone, and of a file of predictions emotions alone are scored. Evaluate the "
            "model itself instead of the file, or add labels."
        )


def evaluate_ratings(
    engine: Engine,
    spec: str,
    split: str,
    scale: tuple[float, float] = SCALE,
    batch_size: int = 64,
    progress: Callable[[int], None] = lambda done: None,
) -> RatedEvaluation:
    """Predict the rated pictures of a table and score the predictions, groups resampled together.

    `split` is empty for all but `test`. Raises what `own_pictures.open_own_pictures` does, and `DatasetError`
    where fewer than three pictures have a rating.
    """
    own = open_own_pictures(spec, engine.card, split, scale)
    answers = answer_own_pictures(engine, own.records, batch_size, progress)
    groups = [own.records[row].group or own.records[row].key for row in answers.rows]
    scores = score_ratings(answers.ratings, own.ratings[answers.rows], engine.card.ratings, groups)
    if not scores:
        unread = answers.unreadable
        reason = f" {len(unread):,} cannot be read, the first: {unread[0].error}" if unread else ""
        raise DatasetError(f"Fewer than three pictures of {spec} have a rating that can be compared.{reason}")
    pictures = ratings_of_pictures(
        [record.key for record in own.records],
        dict(zip(answers.rows.tolist(), answers.ratings, strict=True)),
        own.ratings,
        engine.card.ratings,
        answers.unreadable,
    )
    about = calibrated_on(engine.card, own.hash)
    return RatedEvaluation(scores, own.hash, own.learned, answers.unreadable, pictures, about)
