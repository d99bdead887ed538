"""A request to watch a film, and the events that watching yields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from affectlens.film.settings import FilmSettings

if TYPE_CHECKING:
    from threading import Event as Flag

    from affectlens.film.analysis.build import FramePrediction
    from affectlens.film.timeline import Timeline
    from affectlens.inference.engine import Engine
    from affectlens.video import Film


@dataclass(frozen=True, kw_only=True)
class WatchRequest:
    """A film to watch, and how.

    Attributes:
        source: a file's path, an address (`rtsp://...`, `https://...`) or a camera (`/dev/video0`)
        engine: what predicts the frames (`inference.engine.load_engine`)
        out: folder of the files; None writes nothing, and nothing can be resumed
        resume: whether to continue from what `out` holds
        batch_size: frames per batch
        threads: threads of the decoder; 0 uses as many as there are cores
        hardware: name of the decoding hardware (`video.hardware()` lists it), or None
        stop: set it to end watching early, with the timeline of what was seen so far: how a live source ends
    """

    source: str
    engine: "Engine"
    out: Path | None = None
    settings: FilmSettings = field(default_factory=FilmSettings)
    resume: bool = False
    batch_size: int = 32
    threads: int = 0
    hardware: str | None = None
    stop: "Flag | None" = None


@dataclass(frozen=True, kw_only=True)
class WatchStarted:
    """The film is open; `resumed_at` is the second up to which it was watched before, None where it was not.

    Of a film that was finished, that is the end of its last shot.
    """

    film: "Film"
    device: str
    precision: str
    resumed_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class WatchProgress:
    """How far watching has come: counts so far, and the newest prediction, (E,), if there is one.

    `share` is the share of the watched part, in 0..1; None for what has no end. `ratings` of the newest
    prediction are by name, and empty of a model without; `unusual` is as in `film.timeline.Sample`.
    `predictions` are those since the last such event.
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
    ratings: Mapping[str, float] = field(default_factory=dict)
    unusual: bool | None = None
    predictions: "Sequence[FramePrediction]" = ()


@dataclass(frozen=True, kw_only=True)
class WatchFinished:
    """The timeline, and the folder it was written to."""

    timeline: "Timeline"
    folder: Path | None


WatchEvent = WatchStarted | WatchProgress | WatchFinished
