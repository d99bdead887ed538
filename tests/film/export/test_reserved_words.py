"""No word of a vocabulary is the name of a column of any table."""

from affectlens.attributes import MEASURED
from affectlens.data import table
from affectlens.emotions import MIKELS, RESERVED, RESERVED_BEGINNINGS
from affectlens.film.export.tables import flat, sample_rows, shot_rows
from affectlens.inference.output import rows
from timelines import timeline_of


def test_every_column_of_data_sets_and_predictions_is_reserved() -> None:
    of_data = {*table.PATH_COLUMNS, *table.LABEL_COLUMNS, *table.ERROR_COLUMNS, *table.MODEL_COLUMNS}
    of_rows = {"image", "top", *MEASURED, *rows.STRUCTURED, *rows.MADE_BY, *rows.ABOUT_ERRORS}
    assert of_data | of_rows | {"split", "group", table.WEIGHTS_KEY} <= RESERVED


def test_every_column_of_films_is_reserved() -> None:
    for of_timeline in (sample_rows, shot_rows):
        for column in flat(next(iter(of_timeline(timeline_of())))):
            assert column in RESERVED | set(MIKELS.words) or column.startswith(RESERVED_BEGINNINGS)
