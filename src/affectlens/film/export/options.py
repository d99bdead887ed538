"""What can be chosen of exports."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from affectlens.film.report.page import FilmPictures

CueKind = Literal["shots", "moods"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What can be chosen of exports.

    Attributes:
        cues: what a subtitle stands for
        start: timecode of the film's first frame in the editing system; None is 00:00:00:00
        drop: drop-frame timecode or not; None where that is usual, at 29.97 and 59.94
        pictures: pictures of the film for the page; None for a page without
        film: path of the film, for the page that shows it; None where it is not a file
    """

    cues: CueKind = "shots"
    start: str | None = None
    drop: bool | None = None
    pictures: "FilmPictures | None" = None
    film: Path | None = None
