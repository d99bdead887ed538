"""Timelines to compare: those that are finished are read, and films are watched."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from affectlens.errors import RunError
from affectlens.film.events import WatchEvent, WatchFinished, WatchRequest, WatchStarted
from affectlens.film.record import TIMELINE
from affectlens.film.timeline import Timeline
from affectlens.film.watch import watch


def finished_timeline(source: str) -> Timeline | None:
    """Read the timeline of a finished folder, or of its JSON file; None for a film, which must be watched.

    Raises `RunError` for a folder that holds no timeline, and `OutputError` for a file that is not one.
    """
    path = Path(source)
    file = path / TIMELINE if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise RunError(
            f"{source} holds no {TIMELINE}. Give a film, or a folder that `affectlens film` finished."
        )
    return Timeline.read(file) if file.suffix == ".json" else None


def watched_timeline(request: WatchRequest, listen: Callable[[WatchEvent], None]) -> Timeline:
    """Watch a film to its end; `listen` is called with every event before the last.

    Raises `RunError` for a live source, and what `watch` raises.
    """
    with closing(watch(request)) as events:
        for event in events:
            if isinstance(event, WatchStarted) and event.film.live:
                raise RunError(f"{request.source} is live: it cannot be compared. Watch it first.")
            if isinstance(event, WatchFinished):
                return event.timeline
            listen(event)
    raise AssertionError("watching ended without an end")
