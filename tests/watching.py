"""Watching a film to its end, and how many frames a network saw meanwhile."""

from pathlib import Path
from typing import Any

import pytest

from affectlens.film.events import WatchFinished, WatchRequest
from affectlens.film.settings import FilmSettings
from affectlens.film.timeline import Timeline
from affectlens.film.watch import watch
from affectlens.inference.torch_engine import TorchEngine
from affectlens.models.saved import Model

CPU: dict[str, Any] = {"device": "cpu", "precision": "float32"}
SETTINGS = FilmSettings.__dataclass_fields__


def watched(source: Path | str, model: Model, **options: Any) -> Timeline:
    settings = FilmSettings(**{name: options.pop(name) for name in list(options) if name in SETTINGS})
    *_, last = watch(
        WatchRequest(
            source=str(source), engine=TorchEngine(model, **CPU), settings=settings, threads=1, **options
        )
    )
    assert isinstance(last, WatchFinished)
    return last.timeline


def same(one: Timeline, other: Timeline) -> bool:
    return one.to_json() == other.to_json()


class Count:
    """How many frames went through networks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames = 0
        predict = TorchEngine.__call__

        def counted(engine: TorchEngine, pixels: Any) -> Any:
            self.frames += len(pixels)
            return predict(engine, pixels)

        monkeypatch.setattr(TorchEngine, "__call__", counted)
