"""Watching a film to its end, and how many frames a network saw meanwhile."""

from pathlib import Path
from typing import Any

import pytest

from affectlens.film.events import WatchFinished, WatchRequest
from affectlens.film.settings import FilmSettings
from affectlens.film.timeline import Timeline
from affectlens.film.watch import watch
from affectlens.inference.engine import Engine
from affectlens.inference.onnx_engine import OnnxEngine

SETTINGS = FilmSettings.__dataclass_fields__


def watched(source: Path | str, engine: Engine, **options: Any) -> Timeline:
    settings = FilmSettings(**{name: options.pop(name) for name in list(options) if name in SETTINGS})
    request = WatchRequest(source=str(source), engine=engine, settings=settings, threads=1, **options)
    *_, last = watch(request)
    assert isinstance(last, WatchFinished)
    return last.timeline


def same(one: Timeline, other: Timeline) -> bool:
    return one.to_json() == other.to_json()


class Count:
    """How many frames went through networks of ONNX Runtime."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames = 0
        answer = OnnxEngine.answer

        def counted(engine: OnnxEngine, pixels: Any) -> Any:
            self.frames += len(pixels)
            return answer(engine, pixels)

        monkeypatch.setattr(OnnxEngine, "answer", counted)
