"""Settings for watching a film, and the events that watching yields."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from affectlens.errors import SettingsError

if TYPE_CHECKING:
    from threading import Event as Flag

    from affectlens.film.timeline import Timeline
    from affectlens.models.saved import Model
    from affectlens.video import Film

Sampling = Literal["time", "keyframes", "shots"]


@dataclass(frozen=True, kw_only=True)
class FilmSettings:
    """How a film is watched; together with the film and the model, this determines the timeline.

    Attributes:
        sampling: which frames the model sees. "time": one every `every` seconds, and one where a shot begins;
            "keyframes": keyframes only, and no other frame is decoded: fastest, and coarse;
            "shots": a few frames of each shot, at growing intervals
        every: seconds between sampled frames; 0 samples every frame
        begin, end: seconds of the film between which it is watched; None for all. Of a live source, `end`
            is for how long it is watched
        half_life: seconds after which a frame counts half for its neighbours in the same shot; 0 disables
            smoothing. Half a second removes the flicker of single frames and no more: on two real films,
            sampled twice a second, a frame's probabilities are predicted from its neighbours' the worse the
            further these reach (root mean square of all probabilities 0.103 with 0.125 s, 0.114 with 0.5 s,
            0.128 with 1 s, 0.143 with 2 s), so that a longer one removes what is there
        reuse: whether the prediction for a frame is reused for frames that look the same
        prominence: least prominence of a peak, in 0..1
        distance: least number of seconds between two peaks of one emotion
        shortest_mood: seconds for which an emotion must lead to make a turn
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
class WatchRequest:
    """A film to watch, and how.

    Attributes:
        source: a file's path, an address (`rtsp://...`, `https://...`) or a camera (`/dev/video0`)
        model: as `saved.load` returns it
        out: folder of the files; None writes nothing, and nothing can be resumed
        resume: whether to continue from what `out` holds
        batch_size: frames per batch
        threads: threads of the decoder; 0 uses as many as there are cores
        hardware: name of the decoding hardware (`video.hardware()` lists it), or None
        stop: set it to end watching early, with the timeline of what was seen so far: how a live source ends
    """

    source: str
    model: "Model"
    out: Path | None = None
    settings: FilmSettings = FilmSettings()
    resume: bool = False
    device: str = "auto"
    precision: str = "auto"
    batch_size: int = 32
    threads: int = 0
    hardware: str | None = None
    stop: "Flag | None" = None


@dataclass(frozen=True, kw_only=True)
class WatchStarted:
    """The film is open; `resumed_at` is the second up to which it was watched before, else None."""

    film: "Film"
    device: str
    precision: str
    resumed_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class WatchProgress:
    """How far watching has come: counts so far, and the newest prediction, (E,), if there is one.

    `share` is the share of the watched part, in 0..1; None for what has no end.
    """

    second: float
    share: float | None
    decoded: int
    predicted: int
    reused: int
    shots: int
    broken: int = 0
    dropped: int = 0
    newest: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class WatchFinished:
    """The timeline, and the folder it was written to."""

    timeline: "Timeline"
    folder: Path | None


WatchEvent = WatchStarted | WatchProgress | WatchFinished
