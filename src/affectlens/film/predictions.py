"""Judging the frames of a film that were picked, while the next ones are decoded."""

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, suppress
from threading import Event as Flag
from typing import Any, TypeVar

import torch

from affectlens.errors import VideoDamaged
from affectlens.film.analysis.build import Answer, shots_without_answers
from affectlens.film.record import Record
from affectlens.film.sampler import Batch, Looking
from affectlens.film.timeline import DIGITS
from affectlens.images import Pixels
from affectlens.inference.engine import Engine
from affectlens.video import frames_at

T = TypeVar("T")


def judged(
    looking: Looking, engine: Engine, record: Record
) -> Generator[tuple[Batch, list[Answer]], None, None]:
    """Judge batches in order, while the next ones are decoded."""
    last = record.answers[-1].emotions if record.answers else None

    def judge(batch: Batch) -> tuple[Batch, list[tuple[float, ...]]]:
        known = record.known.get(batch.number)
        if known is not None and [answer.second for answer in known] == batch.seconds:
            return batch, [a.emotions for a, p in zip(known, batch.pixels, strict=True) if p is not None]
        fresh = batch.fresh
        return batch, _probabilities(engine, fresh) if fresh else []

    with ExitStack() as closed:
        batches = closed.enter_context(closing(looking.batches()))
        results: Iterator[tuple[Batch, list[tuple[float, ...]]]]
        if looking.video.live:  # judged at once, not after what comes next
            results = map(judge, batches)
        else:
            ahead = closed.enter_context(closing(_read_ahead(batches)))
            results = closed.enter_context(closing(engine.map(judge, ahead)))
        for batch, rows in results:
            left = iter(rows)
            answers = []
            for second, frame, pixels in zip(batch.seconds, batch.frames, batch.pixels, strict=True):
                last = last if pixels is None else next(left)
                assert last is not None, "the first frame is always judged"
                answers.append(Answer(second, frame, last, pixels is None))
            yield batch, answers


def _probabilities(engine: Engine, pixels: list[Pixels]) -> list[tuple[float, ...]]:
    rows = engine(torch.stack(pixels)).tolist()
    return [tuple(round(value, DIGITS) for value in row) for row in rows]


def judge_missing(looking: Looking, engine: Engine, record: Record, answers: list[Answer]) -> list[Answer]:
    """Judge the middle of each shot that the samples passed over: short ones between two dissolves."""
    if looking.video.live or looking.settings.sampling == "keyframes" or not answers:
        return []
    place = looking.place
    seconds = [answer.second for answer in answers]
    middles = shots_without_answers(place.boundaries, seconds, looking.begin, place.end)
    middles = [middle for middle in middles if middle not in record.late]
    found = list(record.late.values())
    preprocessing = looking.preprocessing
    with suppress(VideoDamaged):  # such a shot is joined to the one before it
        frames = frames_at(looking.request.source, middles, preprocessing.at_least)
        for middle, (second, pixels) in zip(middles, frames, strict=False):
            rows = _probabilities(engine, [preprocessing.fit_pixels(pixels)])
            answer = Answer(second, None, rows[0])
            record.write_late(middle, answer)
            found.append(answer)
    place.judged += len(found)
    return found


def _read_ahead(items: Generator[T, None, None], ahead: int = 3) -> Generator[T, None, None]:
    """Yield what another thread takes from a generator, a few items ahead."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(ahead)
    stopped = Flag()

    def put(kind: str, value: Any) -> bool:
        while not stopped.is_set():
            with suppress(queue.Full):
                ready.put((kind, value), timeout=0.2)
                return True
        return False

    def read() -> None:
        try:
            with closing(items):
                if all(put("item", item) for item in items):
                    put("end", None)
        except BaseException as error:  # raised where the items are used
            put("error", error)

    thread = threading.Thread(target=read, name="decode-ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stopped.set()
        thread.join()
