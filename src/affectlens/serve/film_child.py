"""What a film process does: it watches one film and prints what happens, a line of JSON each.

Films of strangers are decoded in such a process alone, which can be ended at any moment and writes no files.

    {"kind": "progress", "seconds": 1.0, "duration": 9.0, "frames": [{"time": 0.0, ...}, ...]}
    {"kind": "done", "timeline": {...}}, or {"kind": "failed", "detail": "..."}
"""

import json
import sys
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

from affectlens.errors import AffectLensError, PictureInsteadOfFilm, VideoError
from affectlens.files import json_text
from affectlens.film.analysis.build import FramePrediction
from affectlens.film.events import WatchEvent, WatchFinished, WatchProgress, WatchRequest, WatchStarted
from affectlens.film.watch import watch
from affectlens.inference.engine import load_engine
from affectlens.model_folder import Card

PROGRESS, DONE, FAILED = "progress", "done", "failed"


def watch_film(order: str) -> None:
    """Watch the film of an order: JSON with `film`, its `name`, `most_seconds`, and how to load the model."""
    given = json.loads(order)
    try:
        engine = load_engine(given["model"], given["engine"], given["device"], given["precision"])
        _write_no_files()
        # On two threads: pictures are answered meanwhile.
        request = WatchRequest(source=given["film"], engine=engine, threads=2)
        duration = None
        with closing(watch(request)) as events:
            for event in events:
                if isinstance(event, WatchStarted):
                    duration = event.film.duration
                _require_short(event, duration, given)
                _report(event, duration, engine.card, given["name"])
    except PictureInsteadOfFilm:
        detail = "it is a picture, not a film. Send it to /v1/predict."
        _print({"kind": FAILED, "detail": f"{given['name']}: {detail}"})
    except VideoError as error:
        _print({"kind": FAILED, "detail": f"{given['name']}: {error.reason}"})
    except AffectLensError as error:
        _print({"kind": FAILED, "detail": str(error).replace(given["film"], given["name"])})


def _require_short(event: WatchEvent, duration: float | None, given: dict[str, Any]) -> None:
    watched = event.second if isinstance(event, WatchProgress) else 0.0
    if max(watched, duration or 0.0) > given["most_seconds"]:
        raise VideoError(given["name"], f"it is longer than {given['most_seconds']:g} seconds. Send a part.")


def _report(event: WatchEvent, duration: float | None, card: Card, name: str) -> None:
    if isinstance(event, WatchProgress):
        frames = [_frame(each, card) for each in event.predictions]
        _print({"kind": PROGRESS, "seconds": event.second, "duration": duration, "frames": frames})
    elif isinstance(event, WatchFinished):
        timeline = replace(event.timeline, film=replace(event.timeline.film, name=name))
        _print({"kind": DONE, "timeline": timeline.to_json()})


def _frame(predicted: FramePrediction, card: Card) -> dict[str, Any]:
    """Return what is predicted of a frame; what the model does not know is left out, as in a timeline."""
    plain: dict[str, Any] = {"time": predicted.second}
    plain["emotions"] = dict(zip(card.vocabulary.words, predicted.emotions, strict=True))
    if predicted.ratings:
        names = [rating.name for rating in card.ratings]
        plain["ratings"] = dict(zip(names, predicted.ratings, strict=True))
    if predicted.unusual is not None:
        plain["unusual"] = predicted.unusual
    return plain


def _print(plain: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json_text(plain).encode() + b"\n")
    sys.stdout.buffer.flush()


def _write_no_files() -> None:
    if sys.platform == "win32":
        return
    import resource

    for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (0, 0))
