"""Evaluate a model's ratings on pictures that people rated: what `affectlens evaluate` does for such
tables."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affectlens import library
from affectlens.adaptation.own_pictures import (
    OwnPictures,
    answer_own_pictures,
    open_own_pictures,
)
from affectlens.data.catalog import table_of
from affectlens.data.rated_table import SCALE
from affectlens.data.table import LABELS, has_emotions, rows_of
from affectlens.emotions import MIKELS, Vocabulary, own_name
from affectlens.errors import DatasetError
from affectlens.evaluation.evaluate import calibrated_on
from affectlens.evaluation.matching import picture_error, rows_of_records
from affectlens.evaluation.picture_tables import PictureTable, ratings_of_pictures
from affectlens.evaluation.ratings import RatingScores, score_predicted_ratings
from affectlens.inference.engine import Engine
from affectlens.inference.output.read import RowsFile
from affectlens.inference.predictions import Unreadable, require_readable
from affectlens.model_folder import Card
from affectlens.preprocess import Preprocessing
from affectlens.ratings import COVERAGE, Rating, RatingScale

_OTHER_CARD = (
    "the card of {model} with the weights of these rows is not in the library, so its ratings are taken to "
    "be on the scale of the table, and pictures that they were learned from are not left out"
)


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


def rows_have_ratings(given: RowsFile, spec: str) -> tuple[bool, bool]:
    """Whether a data set is a table with ratings that rows of predictions have, and whether it has emotions.

    Raises what reading the table raises.
    """
    card = _card_of_rows(given)
    return has_own_ratings(spec, card or _stand_in(given, SCALE))


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
    scales = engine.card.ratings
    predicted = {
        int(row): [scale.rating(float(value)) for scale, value in zip(scales, values, strict=True)]
        for row, values in zip(answers.rows, answers.ratings, strict=True)
    }
    about = calibrated_on(engine.card, own.hash)
    return _scored(spec, own, [scale.name for scale in scales], predicted, answers.unreadable, about)


def evaluate_rated_rows(
    given: RowsFile, spec: str, split: str, scale: tuple[float, float] = SCALE
) -> RatedEvaluation:
    """Score the ratings in rows of predictions that were made before, to what `evaluate_ratings` measures.

    Intervals are those of the rows: an unusual picture has a wider one. The scales of the ratings, and what
    was learned from, are on the card of the model: where that is not in the library, ratings of rows and
    table are taken to be on one scale, which a note states. Raises what `evaluate_ratings` and
    `evaluation.matching.rows_of_records` raise.
    """
    known = _card_of_rows(given)
    card = known or _stand_in(given, scale)
    names = [each.name for each in card.ratings]
    own = open_own_pictures(spec, card, split, scale)
    numbers, found = rows_of_records(given, own.records, split)
    predicted: dict[int, list[Rating]] = {}
    unreadable: list[Unreadable] = []
    for row, (record, number) in enumerate(zip(own.records, numbers, strict=True)):
        answer = given.rows[number]
        if (error := picture_error(answer, record)) is not None:
            unreadable.append(Unreadable(record.key, error))
        elif missing := [name for name in names if name not in answer.ratings]:
            raise DatasetError(f"{given.file}, row {number + 1}, has no {missing[0]}, as other rows have.")
        else:
            predicted[row] = [answer.ratings[name] for name in names]
    require_readable(len(predicted), unreadable)
    wanted, several = _wanted_coverage(given, numbers)
    about = calibrated_on(card, own.hash) if known else (_OTHER_CARD.format(model=card.name),)
    return _scored(spec, own, names, predicted, tuple(unreadable), (*about, *found, *several), wanted)


def _scored(
    spec: str,
    own: OwnPictures,
    names: Sequence[str],
    predicted: Mapping[int, Sequence[Rating]],
    unreadable: tuple[Unreadable, ...],
    about: tuple[str, ...],
    wanted: float = COVERAGE,
) -> RatedEvaluation:
    """Score predictions by their rows among the own pictures, in the order of the names."""
    rows = list(predicted)
    groups = [own.records[row].group or own.records[row].key for row in rows]
    by_name = {name: [predicted[row][index] for row in rows] for index, name in enumerate(names)}
    scores = score_predicted_ratings(by_name, own.ratings[rows], groups, wanted=wanted)
    if not scores:
        reason = (
            f" {len(unreadable):,} cannot be read, the first: {unreadable[0].error}" if unreadable else ""
        )
        raise DatasetError(f"Fewer than three pictures of {spec} have a rating that can be compared.{reason}")
    keys = [record.key for record in own.records]
    pictures = ratings_of_pictures(keys, predicted, own.ratings, names, unreadable)
    return RatedEvaluation(scores, own.hash, own.learned, unreadable, pictures, about)


def _rating_names(given: RowsFile) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in given.rows for name in row.ratings))


def _words_of_rows(given: RowsFile) -> Vocabulary:
    words = given.words or MIKELS.words
    return MIKELS if set(words) == set(MIKELS.words) else Vocabulary(own_name(words), words)


def _card_of_rows(given: RowsFile) -> Card | None:
    """The card of the model that made rows, where the library has it with the same weights."""
    row = given.rows[0]
    installed = {name for name, _ in library.folders()}
    if row.model not in installed:
        return None
    card = library.card(row.model)
    has_all = {scale.name for scale in card.ratings} == set(_rating_names(given))
    return card if has_all and card.weights_id == row.weights else None


def _stand_in(given: RowsFile, scale: tuple[float, float]) -> Card:
    """The card for `open_own_pictures` where that of the model is not here: its scales are the table's."""
    scales = tuple(
        RatingScale(name=name, low=scale[0], high=scale[1], coverages=(COVERAGE,), half_widths=(1.0,))
        for name in _rating_names(given)
    )
    words = _words_of_rows(given)
    return Card(
        name=given.rows[0].model, network="", vocabulary=words, preprocessing=Preprocessing(), ratings=scales
    )


def _wanted_coverage(given: RowsFile, numbers: Sequence[int]) -> tuple[float, tuple[str, ...]]:
    """The coverage of the intervals of rows, and a note where they are of several."""
    used = [given.rows[number].coverage for number in numbers]
    coverages = {each if isinstance(each, float) else COVERAGE for each in used}
    if len(coverages) == 1:
        return coverages.pop(), ()
    return COVERAGE, ("intervals of the rows are of several coverages, and are scored together",)
