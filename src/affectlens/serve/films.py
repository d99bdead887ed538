"""Films that were sent: watched one after the other, each in a process of its own, and kept for a while."""

import asyncio
import json
import logging
import os
import secrets
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Literal

from affectlens.decoding import call_in_child
from affectlens.serve.film_child import DONE, FAILED
from affectlens.serve.film_folder import FilmFolder
from affectlens.serve.metrics import ServeMetrics
from affectlens.serve.models import ServedModel
from affectlens.serve.problems import CLOSE, Problem, overloaded, problem_json
from affectlens.serve.settings import ServeSettings

_log = logging.getLogger("affectlens.serve")
FilmStatus = Literal["waiting", "running", "done", "failed", "cancelled"]
STATUSES: tuple[FilmStatus, ...] = ("waiting", "running", "done", "failed", "cancelled")
SILENT_SECONDS = 300.0  # after which a process that reports nothing is ended
_LONGEST_LINE = 1 << 27  # bytes: the timeline of a long film


@dataclass(eq=False)
class SentFilm:
    """A film, and what is known of it.

    Attributes:
        number: by which clients name it; it cannot be guessed
        name: that the client gave it, which is a label only
        file: where it is until it was watched
        seconds, duration: up to which it was watched, and its length where that is known
        frames: what was predicted so far, as clients get it
        timeline: of a film that is done
        detail: why it failed
        ended: the time, of `time.monotonic`, at which it was done, or failed
    """

    number: str
    name: str
    file: Path
    model: ServedModel
    status: FilmStatus = "waiting"
    seconds: float = 0.0
    duration: float | None = None
    frames: list[dict[str, Any]] = field(default_factory=list)
    timeline: dict[str, Any] | None = None
    detail: str | None = None
    ended: float | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    work: "asyncio.Future[None] | None" = None

    def to_json(self) -> dict[str, Any]:
        """Return what clients get, but for the frames."""
        path = f"/v1/film/{self.number}"
        plain = {
            "id": self.number,
            "status": self.status,
            "seconds": self.seconds,
            "duration": self.duration,
            "links": {"self": path, "events": f"{path}/events"},
        }
        if self.timeline is not None:
            plain["timeline"] = self.timeline
        if self.detail is not None:
            plain["problem"] = self.problem()
        return plain

    def problem(self) -> dict[str, Any]:
        """Return why it failed, as RFC 9457 has it."""
        assert self.detail is not None, "a film that failed has its reason"
        instance = f"/v1/film/{self.number}"
        return problem_json(HTTPStatus.UNPROCESSABLE_ENTITY, "film", self.detail, instance)


class Films:
    """All films of a service, at most as many as its settings have."""

    def __init__(self, settings: ServeSettings, metrics: ServeMetrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._folder = FilmFolder()
        self._films: dict[str, SentFilm] = {}
        self._arriving = 0
        self._one = asyncio.Semaphore()
        self.stopping = False

    async def stop(self) -> None:
        """End all films, and remove what is on disk."""
        self.stopping = True
        for film in list(self._films.values()):
            with suppress(Problem):  # it was forgotten or removed meanwhile
                await self.remove(film.number)
        self._folder.close()

    @contextmanager
    def arriving(self) -> Generator[tuple[Path, IO[bytes]], None, None]:
        """Open a file for a film that is being sent; it is removed where it was not added.

        Raises `Problem` where there are too many films, and where the disk has no room for it.
        """
        self._forget_old()
        if len(self._films) + self._arriving >= self._settings.films:
            most = self._settings.films
            raise overloaded(f"There are {most} films already. Remove one, or try again later.", CLOSE)
        self._arriving += 1
        try:
            with self._new_file() as (path, file):
                yield path, file
        except OSError as error:
            _log.error("a film could not be stored: %s", error)
            detail = "The service has no room on its disk for the film. Try again later, or send a part."
            raise Problem(HTTPStatus.INSUFFICIENT_STORAGE, "storage", detail, CLOSE) from None
        finally:
            self._arriving -= 1

    @contextmanager
    def _new_file(self) -> Generator[tuple[Path, IO[bytes]], None, None]:
        path = self._folder.open() / secrets.token_hex(16)
        try:
            with path.open("xb") as file:
                yield path, file
        finally:
            if not any(film.file == path for film in self._films.values()):
                path.unlink(missing_ok=True)

    def add(self, file: Path, name: str, model: ServedModel) -> SentFilm:
        """Have a film watched as soon as those before it are."""
        film = SentFilm(secrets.token_urlsafe(16), name or "film", file, model)
        self._films[film.number] = film
        film.work = asyncio.ensure_future(self._work(film))
        self._count()
        return film

    def find(self, number: str) -> SentFilm:
        """Return a film. Raises `Problem` for one that is not there."""
        self._forget_old()
        if number not in self._films:
            detail = "There is no such film: it was removed, or never sent. Send it again."
            raise Problem(HTTPStatus.NOT_FOUND, "no-film", detail)
        return self._films[number]

    async def remove(self, number: str) -> None:
        """End a film and forget it. Raises `Problem` for one that is not there."""
        film = self.find(number)
        del self._films[number]
        if film.work is not None and not film.work.done():
            film.work.cancel()
            with suppress(asyncio.CancelledError):
                await film.work
        if film.status in ("waiting", "running"):
            await self._set(film, "cancelled")
        film.file.unlink(missing_ok=True)
        self._count()

    async def events(self, film: SentFilm, patience: float = 2.0) -> AsyncGenerator[tuple[str, Any], None]:
        """Yield what happens to a film, from its beginning: names of events with their data, to its end.

        After `patience` seconds without news an event without a name.
        """
        sent, seconds = 0, -1.0
        while True:
            if sent < len(film.frames) or film.seconds != seconds:
                frames, sent, seconds = film.frames[sent:], len(film.frames), film.seconds
                yield "progress", {"seconds": seconds, "duration": film.duration, "frames": frames}
            elif film.status == "done":
                yield "done", {"timeline": film.timeline}
                return
            elif film.status == "failed":
                yield "failed", film.problem()
                return
            elif film.status == "cancelled" or self.stopping:
                yield "cancelled", {}
                return
            else:
                try:
                    async with film.changed, asyncio.timeout(patience):
                        await film.changed.wait()
                except TimeoutError:
                    yield "", None

    async def _work(self, film: SentFilm) -> None:
        try:
            async with self._one:
                await self._set(film, "running")
                await self._watch(film)
        except asyncio.CancelledError:
            raise
        except TimeoutError:
            film.detail = f"{film.name}: nothing was decoded for {SILENT_SECONDS:g} seconds."
        except (OSError, ValueError, asyncio.IncompleteReadError):
            film.detail = f"{film.name}: the decoder failed on it, or ran out of memory. Export it again."
        finally:
            film.file.unlink(missing_ok=True)
            film.ended = time.monotonic()
        await self._set(film, "done" if film.timeline is not None else "failed")

    async def _watch(self, film: SentFilm) -> None:
        order = {
            "film": str(film.file),
            "name": film.name,
            "most_seconds": self._settings.film_seconds,
            **film.model.loading,
        }
        call = call_in_child("affectlens.serve.film_child:watch_film", [json.dumps(order)])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", call,
            stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, limit=_LONGEST_LINE, env=dict(os.environ),
            start_new_session=True,  # Ctrl-C in a terminal is for the service, which then ends it
        )  # fmt: skip
        try:
            assert process.stdout is not None
            while film.timeline is None and film.detail is None:
                async with asyncio.timeout(SILENT_SECONDS):
                    line = await process.stdout.readline()
                if not line:
                    raise OSError("it ended without a result")
                await self._take(film, json.loads(line))
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _take(self, film: SentFilm, plain: dict[str, Any]) -> None:
        """Keep what a process reports."""
        if plain["kind"] == DONE:
            film.timeline = plain["timeline"]
        elif plain["kind"] == FAILED:
            film.detail = plain["detail"]
        else:
            film.seconds, film.duration = plain["seconds"], plain["duration"]
            film.frames += plain["frames"]
            await self._announce(film)

    async def _set(self, film: SentFilm, status: FilmStatus) -> None:
        film.status = status
        self._count()
        await self._announce(film)

    async def _announce(self, film: SentFilm) -> None:
        async with film.changed:
            film.changed.notify_all()

    def _forget_old(self) -> None:
        now, keep = time.monotonic(), self._settings.film_keep_seconds
        for number, film in list(self._films.items()):
            if film.ended is not None and now - film.ended > keep:
                del self._films[number]
        self._count()

    def _count(self) -> None:
        for status in STATUSES:
            number = sum(film.status == status for film in self._films.values())
            self._metrics.films.labels(status).set(number)
