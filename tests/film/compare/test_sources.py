"""Where timelines to compare come from."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from affectlens.errors import OutputError, RunError
from affectlens.film.compare import sources
from affectlens.film.events import WatchEvent, WatchFinished, WatchRequest, WatchStarted
from timelines import film_of, timeline_of


def test_a_finished_folder_and_its_file_are_read_and_a_film_is_not(tmp_path: Path) -> None:
    timeline = timeline_of()
    file = tmp_path / "timeline.json"
    with pytest.raises(RunError, match=r"holds no timeline\.json"):
        sources.finished_timeline(str(tmp_path))
    file.write_text(timeline.to_text())
    assert sources.finished_timeline(str(tmp_path)) == timeline == sources.finished_timeline(str(file))
    assert sources.finished_timeline(str(tmp_path / "a.mp4")) is None
    file.write_text("{}")
    with pytest.raises(OutputError):
        sources.finished_timeline(str(file))


@pytest.mark.parametrize("live", [False, True])
def test_a_film_is_watched_to_its_end_and_a_live_source_is_refused(
    live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeline, events = timeline_of(), list[WatchEvent]()
    started = WatchStarted(film=film_of(22.0, live=live), device="cpu", precision="float32")

    def watch(request: WatchRequest) -> Iterator[WatchEvent]:
        yield started
        yield WatchFinished(timeline=timeline, folder=None)

    monkeypatch.setattr(sources, "watch", watch)
    request = WatchRequest(source="a.mp4", engine=cast(Any, SimpleNamespace()))
    if live:
        with pytest.raises(RunError, match="is live"):
            sources.watched_timeline(request, events.append)
        assert events == []
    else:
        assert sources.watched_timeline(request, events.append) is timeline
        assert events == [started]
