"""What can be chosen of exports."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from affectlens.errors import SettingsError

if TYPE_CHECKING:
    from affectlens.film.report.page import FilmPictures

CueKind = Literal["shots", "moods"]


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What can be chosen of exports.

    Attributes:
        cues: what a subtitle stands for
        start: timecode of the film's first frame in the editing system; None is that of the film's file, or
            00:00:00:00
        drop: drop-frame timecode or not; None where that is usual, at 29.97 and 59.94
        pictures: pictures of the film for the page; None for a page without
        film: path of the film, for what shows it or names it; None where it is not a file
        frame_rate: frames a second that timecode counts; None for the film's own
    """

    cues: CueKind = "shots"
    start: str | None = None
    drop: bool | None = None
    pictures: "FilmPictures | None" = None
    film: Path | None = None
    frame_rate: float | None = None

    def __post_init__(self) -> None:
        if self.frame_rate is not None and not 1 <= self.frame_rate <= 1000:
            raise SettingsError(f"frame_rate must be 1 to 1,000 frames a second, not {self.frame_rate!r}.")
