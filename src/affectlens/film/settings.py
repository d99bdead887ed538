"""What watching a film is asked, and the events that come of it."""

from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from typing import Literal

from affectlens.errors import SettingsError
from affectlens.film.timeline import Film, Timeline
from affectlens.model_folder import Model

Sampling = Literal["time", "keyframes", "shots"]


@dataclass(frozen=True, kw_only=True)
class FilmSettings:
    """How a film is watched; everything that decides the timeline, with the film and the model.

    Attributes:
        sampling: which frames are judged. "time": one every `every` seconds, and one where a shot begins;
            "keyframes": those alone that are stored whole, and no other is decoded: fastest, and coarse;
            "shots": a few of each shot, ever further apart
        every: seconds between judged frames; 0 judges every frame
        begin, end: seconds of the film between which it is watched; None for all. Of a live source, `end`
            is for how long it is watched
        half_life: seconds after which a frame counts half for its neighbours in the same shot; 0 smooths
            nothing. Half a second takes off the flicker of single frames and no more: on two real films,
            judged twice a second, a frame's answer is foretold from its neighbours the worse the further
            they reach (root mean square of all probabilities 0.103 with 0.125 s, 0.114 with 0.5 s, 0.128 with
            1 s, 0.143 with 2 s), so that a longer one takes off what is there
        reuse: whether frames that look the same are judged once
        prominence: of a peak, at least, in 0..1
        distance: seconds between two peaks of an emotion, at least
        shortest_mood: seconds that an emotion must lead to make a turn
    Raises `SettingsError` for impossible values.
    """

    sampling: Sampling = "time"
    every: float = 0.5
    begin: float | None = None
    end: float | None = None
    half_life: float = 0.5
    reuse: bool = True
    prominence: float = 0.1
    distance: float = 5.0
    shortest_mood: float = 2.0

    def __post_init__(self) -> None:
        if self.sampling not in ("time", "keyframes", "shots"):
            raise SettingsError(f"sampling must be time, keyframes or shots, not {self.sampling!r}.")
        for name in ("every", "half_life", "distance", "shortest_mood"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SettingsError(
                    f"{name} must be a number of seconds from 0, not {getattr(self, name)!r}."
                )
        if not 0 <= self.prominence <= 1:
            raise SettingsError(f"prominence must lie in 0..1, not {self.prominence!r}.")
        begin, end = self.begin or 0.0, float("inf") if self.end is None else self.end
        if not 0 <= begin < end:
            raise SettingsError(
                f"A film is watched from begin to end, not from {begin:g} to {end:g} seconds."
            )


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be watched.

    Attributes:
        source: a file's path, an address (`rtsp://...`, `https://...`) or a camera (`/dev/video0`)
        model: as `library.load` gives it
        out: the folder for what is on disk; None writes nothing, and nothing can be resumed
        resume: whether to go on with what `out` holds
        batch_size: frames judged together
        threads: of the decoder; 0 takes as many as there are cores
        hardware: name of a decoder's hardware (`video.hardware()` lists them), or None
        stop: set it to end the watching early, with the timeline of what was seen so far: how a live
            source ends
    """

    source: str
    model: Model
    out: Path | None = None
    settings: FilmSettings = FilmSettings()
    resume: bool = False
    device: str = "auto"
    precision: str = "auto"
    batch_size: int = 32
    threads: int = 0
    hardware: str | None = None
    stop: Flag | None = None


@dataclass(frozen=True, kw_only=True)
class Started:
    """The film is open; `resumed_at` is the second up to which it was watched before, else None."""

    film: Film
    device: str
    precision: str
    resumed_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the watching has come: counts so far, and the newest answer, (E,), where there is one.

    `share` is of the part that is watched, in 0..1; None of what has no end.
    """

    second: float
    share: float | None
    decoded: int
    judged: int
    reused: int
    shots: int
    broken: int = 0
    dropped: int = 0
    newest: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The timeline, and the folder it was written to."""

    timeline: Timeline
    folder: Path | None


Event = Started | Progress | Finished
