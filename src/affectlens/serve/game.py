"""Pictures to guess at: those of a folder, with what people answered where a table next to them has it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affectlens.data import folder as emotion_folders
from affectlens.data import table
from affectlens.data.rated_table import mean_ratings, read_ratings
from affectlens.data.records import ALL, DataSource, with_shares
from affectlens.emotions import is_known
from affectlens.errors import AffectLensError, PictureError, SettingsError
from affectlens.listing import list_pictures
from affectlens.ratings import AROUSAL, HIGHEST, LOWEST, VALENCE

LABELS, RATINGS = ("labels.csv", "labels.tsv"), ("ratings.csv", "ratings.tsv")


@dataclass(frozen=True)
class GamePicture:
    """A picture to guess at.

    Attributes:
        key: its path below the folder
        people: part of people who named each emotion, by word; empty where that is not known
        ratings: people's mean valence and arousal, 1 to 9, by name; empty where they are not known
    """

    key: str
    path: Path
    people: Mapping[str, float] = field(default_factory=dict)
    ratings: Mapping[str, float] = field(default_factory=dict)

    def to_json(self, number: int) -> dict[str, Any]:
        """Return it as plain data for the page, which loads the picture from `url`."""
        people = dict(self.people) or None
        return {"name": self.key, "url": f"game/{number}", "people": people, "ratings": dict(self.ratings)}


def read_game(folder: Path | str) -> list[GamePicture]:
    """List the pictures below a folder, with labels of `labels.csv` and ratings of `ratings.csv` (or `.tsv`).

    The tables are those of `data.table`: `affectlens evaluate --data csv:labels.csv` reads the same. Where
    there is none of labels, folders named by the emotions of a vocabulary are (`data.folder`). Raises
    `SettingsError` for a folder without pictures, and what reading the tables raises.
    """
    folder = Path(folder)
    listed = [each for each in list_pictures(folder) if not isinstance(each, PictureError)]
    if not listed:
        raise SettingsError(f"{folder} has no pictures to guess at. Name a folder with some.")
    people, ratings = _people(folder), _ratings(folder)
    keys = {path: path.relative_to(folder).as_posix() for path in listed}
    return [GamePicture(key, path, people.get(key, {}), ratings.get(key, {})) for path, key in keys.items()]


def _people(folder: Path) -> dict[str, Mapping[str, float]]:
    """Read which part of people named which emotion, by picture; rows of one picture are several people's."""
    found: dict[str, Mapping[str, float]] = {}
    tables = list(_tables(folder, LABELS))
    for source in map(table.read, tables) if tables else _by_folder(folder):
        found |= {record.key: record.target.weights for record in with_shares(source).split(ALL)}
    return found


def _by_folder(folder: Path) -> Iterator[DataSource]:
    """Read a folder for each emotion; nothing where folders have other names."""
    with suppress(AffectLensError):
        source = emotion_folders.read(folder)
        if is_known(source.vocabulary):
            yield source


def _ratings(folder: Path) -> dict[str, Mapping[str, float]]:
    found: dict[str, Mapping[str, float]] = {}
    for file in _tables(folder, (*LABELS, *RATINGS)):
        rated, _ = mean_ratings(read_ratings(file, folder, (VALENCE, AROUSAL), (LOWEST, HIGHEST)))
        found |= {each.key: each.ratings for each in rated}
    return found


def _tables(folder: Path, names: tuple[str, ...]) -> Iterator[Path]:
    return (folder / name for name in names if (folder / name).is_file())
