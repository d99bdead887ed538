"""A film in, its `Timeline` out; events on the way.

On disk, in the folder `out`:
    film.json         what is watched and how: film, its fingerprint, model, settings
    samples.jsonl     answers as they come, a batch a line, appended
    place.json        up to where that is all there is, and what is needed to go on from there
    timeline.json     the finished `Timeline`

A killed run goes on at its place: the film is sought a few seconds before it, and decoded up to it without
being judged. Batches that were judged beyond the place are found in samples.jsonl, and are not judged again.
Frames make up the same batches either way, so that the timeline comes out the same, bit by bit.
"""

import base64
import hashlib
import json
import queue
import threading
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Event as Flag
from time import monotonic
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from affectlens.checkpoint import Model
from affectlens.errors import OutputError, RunError, SettingsError, VideoDamaged, VideoUnreachable
from affectlens.files import atomic_write, clear_leftovers
from affectlens.images import Pixels
from affectlens.inference.engine import Engine
from affectlens.inference.shots import COLUMNS, MEMORY, ROWS, Boundary, Decided, ShotDetector, Thumbnail
from affectlens.inference.timeline import (
    DIGITS,
    Answer,
    Counts,
    Film,
    Reading,
    Timeline,
    build,
    shots_without_answers,
)
from affectlens.video import SAME_TIME, Frame, NewestFrames, Video, frames_at, is_live, without_password

FILM, SAMPLES, PLACE, TIMELINE = "film.json", "samples.jsonl", "place.json", "timeline.json"
VERSION = 1
SETTLED = 0.12  # seconds after a cut, when compression has recovered, that a shot is first judged
FIRST_GAP = 0.5  # seconds between the first two judged frames of a shot, where few are; then twice that
LONGEST_BATCH = 30.0  # seconds of film after which a batch is judged, full or not
MOST_SAMPLES = 64  # of a batch, those included that are not judged anew
SAVE_SECONDS = 2.0  # between two records of the place
MARGIN = 2.0  # seconds that are decoded before what the shot detector remembers

# Frames look the same whose thumbnails differ by less than this on average, and in no block of 4 x 4 pixels,
# a sixteenth of the width, by that much; in levels. See `looks_same`.
SAME_MEAN, SAME_BLOCK = 0.5, 3.0
T = TypeVar("T")
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


def watch(request: Request) -> Generator[Event, None, None]:
    """Watch a film; yield what happens. The first event is `Started`, the last `Finished`.

    Stopping the iteration anywhere leaves what `resume` goes on with; the timeline then comes out the same.
    Raises `VideoError` for a film that cannot be read, `RunError` where `out` holds another film, model or
    settings, or none to resume, `SettingsError`, and `OutputError` where nothing can be written.
    """
    settings = request.settings
    if request.batch_size < 1:
        raise SettingsError(f"batch_size must be at least 1, not {request.batch_size}.")
    if request.resume and is_live(request.source):
        name = without_password(request.source)
        raise RunError(f"{name} is live: what it showed is gone, and there is nothing to resume.")
    keyframes = settings.sampling == "keyframes"
    with Video(
        request.source, threads=request.threads, keyframes=keyframes, hardware=request.hardware
    ) as video:
        engine = Engine(request.model, request.device, request.precision)
        record = _Record.open(request, video, engine)
        with closing(record):
            resumed_at = record.place.second if request.resume else None
            precision = str(engine.precision).removeprefix("torch.")
            yield Started(
                film=video.film, device=str(engine.device), precision=precision, resumed_at=resumed_at
            )
            if record.finished is not None:
                yield Finished(timeline=record.finished, folder=request.out)
                return
            looking = _Looking(request, video, engine, record.place)
            answers = list(record.answers)
            with closing(_judged(looking, engine, record)) as batches:
                for batch, rows in batches:
                    answers += rows
                    record.write(batch, rows)
                    yield _progress(looking, batch, answers)
            answers += _judge_missing(looking, engine, record, answers)
            timeline = _timeline(request, engine, looking, answers)
            record.finish(timeline)
        yield Finished(timeline=timeline, folder=request.out)


# ------------------------------------------------------------------------------------------------ looking


@dataclass
class _Place:
    """How far a film was looked at, and all that what comes depends on.

    Attributes:
        second: of the last frame; what comes after it is new
        frames, broken, undated: counts up to there
        end: second at which the last frame ends
        batches: that were closed
        due: second from which on the next frame is judged
        opening: second from which on the first frame of what may be a new shot is judged
        gap: seconds to the next judged frame, where few of each shot are
        judged, reused: counts
        like: thumbnail of the last frame that was judged
        boundaries: where shots begin
        until, last: of the shot detector
    """

    second: float = float("-inf")
    frames: int = 0
    broken: int = 0
    undated: int = 0
    end: float = 0.0
    batches: int = 0
    due: float = float("-inf")
    opening: float | None = None
    gap: float = FIRST_GAP
    judged: int = 0
    reused: int = 0
    like: Thumbnail | None = None
    boundaries: list[Boundary] = field(default_factory=list)
    until: float = float("-inf")
    last: float = float("-inf")
    interlaced: bool = False
    even: bool = True
    orderly: bool = True

    def to_json(self) -> dict[str, Any]:
        like = None if self.like is None else base64.b64encode(zlib.compress(self.like.tobytes())).decode()
        return {**vars(self), "like": like, "boundaries": [list(b) for b in self.boundaries]}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "_Place":
        like = plain["like"]
        if like is not None:
            held = np.frombuffer(zlib.decompress(base64.b64decode(like)), np.uint8)
            like = held.reshape(ROWS, COLUMNS, 3)
        return cls(**{**plain, "like": like, "boundaries": [Boundary(*b) for b in plain["boundaries"]]})

    def copy(self) -> "_Place":
        return replace(self, boundaries=list(self.boundaries))


@dataclass
class _Batch:
    """Samples that are answered together: second and number of each, and pixels of those that are judged.

    Of a frame that looks like the last judged one before it, pixels are None. `place` is where it ends.
    """

    number: int
    seconds: list[float] = field(default_factory=list)
    frames: list[int | None] = field(default_factory=list)
    pixels: list[Pixels | None] = field(default_factory=list)
    place: _Place = field(default_factory=_Place)

    @property
    def fresh(self) -> list[Pixels]:
        return [pixels for pixels in self.pixels if pixels is not None]


class _Looking:
    """Goes through a film: looks at every frame for shots, and picks those to be judged."""

    def __init__(self, request: Request, video: Video, engine: Engine, place: _Place) -> None:
        self.request, self.video, self.place = request, video, place
        self.settings = request.settings
        self.preprocessing = engine.card.preprocessing
        self.together = 1 if video.live else engine.at_once(request.batch_size)
        self.detector = ShotDetector(Decided(place.until, place.last))
        self.ended_early: str | None = None

    @property
    def begin(self) -> float:
        """The second at which watching begins."""
        return self.settings.begin or 0.0

    @property
    def end(self) -> float | None:
        """The second at which watching ends, as far as it is known beforehand."""
        known = [end for end in (self.settings.end, self.video.film.duration) if end is not None]
        return min(known, default=None)

    def batches(self) -> Generator[_Batch, None, None]:
        """Yield what is to be judged, from the place on, each batch with the place where it ends."""
        batch = _Batch(self.place.batches)
        with closing(self._new_frames()) as frames:
            for frame in frames:
                self._look(frame, batch)
                if self._is_full(batch):
                    yield self._closed(batch)
                    batch = _Batch(self.place.batches)
        self.place.boundaries += self._within(self.detector.finish())
        yield self._closed(batch)

    def _new_frames(self) -> Generator[Frame, None, None]:
        """Frames of the part that is watched and that were not looked at before."""
        place, video, stop = self.place, self.video, self.request.stop
        newest = NewestFrames(video) if video.live else None
        last = self.settings.end
        try:
            self._go_back()
            before = self._counted = place.broken, place.undated
            for frame in newest or video.frames():
                if stop is not None and stop.is_set():
                    self.ended_early = f"Watching was ended at {max(place.second, 0):.2f} s."
                    return
                if last is not None and frame.second >= last - SAME_TIME:
                    return
                if frame.second <= place.second:  # looked at in the run that was interrupted
                    self.detector.add(frame.second, frame.small(ROWS, COLUMNS))
                    decoded = video.decoded  # what was counted so far was counted then, too
                    before = self._counted[0] - decoded.broken, self._counted[1] - decoded.undated
                elif frame.second >= self.begin - SAME_TIME:
                    self._count(frame, *before)
                    yield frame
        except (VideoDamaged, VideoUnreachable) as error:
            if not place.frames:
                raise
            self.ended_early = str(error)
        finally:
            if newest is not None:
                newest.close()

    def _go_back(self) -> None:
        """Seek to before the place or the beginning; where that cannot be, decode from the start."""
        wanted = self.begin if self.place.second < 0 else self.place.second - MEMORY - MARGIN
        if wanted > MARGIN and self.place.orderly:
            self.video.seek(wanted)

    def _count(self, frame: Frame, broken: int, undated: int) -> None:
        place, decoded = self.place, self.video.decoded
        place.frames += 1
        place.second, place.end = frame.second, decoded.end
        place.broken, place.undated = broken + decoded.broken, undated + decoded.undated
        place.interlaced |= decoded.interlaced
        place.even &= decoded.even
        place.orderly &= decoded.orderly

    def _look(self, frame: Frame, batch: _Batch) -> None:
        """Look at a frame for shots; add it to the batch where it is to be judged."""
        place = self.place
        thumbnail = frame.small(ROWS, COLUMNS)
        place.boundaries += self._within(self.detector.add(frame.second, thumbnail))
        place.until, place.last = self.detector.decided.until, self.detector.decided.last
        if not self._is_due(frame.second):
            return
        same = self.settings.reuse and place.like is not None and looks_same(place.like, thumbnail)
        batch.seconds.append(frame.second)
        batch.frames.append(self._number())
        if same:
            place.reused += 1
            batch.pixels.append(None)
        else:
            place.judged += 1
            place.like = thumbnail
            pixels = frame.pixels(self.preprocessing.at_least)
            batch.pixels.append(self.preprocessing.fit_pixels(pixels))

    def _number(self) -> int | None:
        """The frame's place among all of the film; None where some were passed over."""
        settings = self.settings
        whole = settings.begin is None and settings.sampling != "keyframes" and not self.video.live
        return self.place.frames - 1 if whole else None

    def _is_due(self, second: float) -> bool:
        """Whether a frame is to be judged; sets when the next one is."""
        place, settings = self.place, self.settings
        if self.detector.suspects and settings.sampling != "keyframes":
            place.opening = second + SETTLED
        opens = place.opening is not None and second >= place.opening - SAME_TIME
        if settings.sampling == "shots":
            if place.due == float("-inf"):
                opens = True
            elif not opens and second < place.due - SAME_TIME:
                return False
            place.gap = FIRST_GAP if opens else 2 * place.gap
            place.due = second + place.gap
            place.opening = None if opens else place.opening
            return True
        if second >= place.due - SAME_TIME:
            # Always a multiple of `every` from the beginning: the grid does not drift with uneven times.
            passed = np.floor((second - self.begin) / settings.every + SAME_TIME) if settings.every else 0
            place.due = self.begin + float(passed + 1) * settings.every if settings.every else second
            place.opening = None
            return True
        if opens:
            place.opening = None
        # A frame of the grid that comes soon will show the new shot as well.
        return opens and place.due - second > SETTLED

    def _within(self, boundaries: Iterable[Boundary]) -> list[Boundary]:
        return [boundary for boundary in boundaries if boundary.second > self.begin + SAME_TIME]

    def _is_full(self, batch: _Batch) -> bool:
        if not batch.seconds:
            return False
        return (
            len(batch.fresh) >= self.together
            or len(batch.seconds) >= MOST_SAMPLES
            or self.place.second - batch.seconds[0] >= LONGEST_BATCH
        )

    def _closed(self, batch: _Batch) -> _Batch:
        self.place.batches += 1
        batch.place = self.place.copy()
        return batch


def looks_same(one: Thumbnail, other: Thumbnail) -> bool:
    """Whether two frames, by their thumbnails, look so much the same that one answer does for both.

    They do where the colours differ by less than `SAME_MEAN` levels on average and by less than `SAME_BLOCK`
    in every block of 4 x 4 pixels of the thumbnail. Of 74 such pairs of frames of three real films, 0.1 to
    0.8 s apart, the default model's answers differed by 0.014 on average and by 0.056 at most, in any one
    probability.
    """
    apart = np.abs(one.astype(np.int16) - other)
    if apart.mean() >= SAME_MEAN:
        return False
    blocks = apart.reshape(ROWS // 4, 4, COLUMNS // 4, 4, 3).mean(axis=(1, 3, 4))
    return bool(blocks.max() < SAME_BLOCK)


# ------------------------------------------------------------------------------------------------ judging


def _judged(
    looking: _Looking, engine: Engine, record: "_Record"
) -> Generator[tuple[_Batch, list[Answer]], None, None]:
    """Judge batches in order, while the next ones are decoded."""
    last = record.answers[-1].emotions if record.answers else None

    def judge(batch: _Batch) -> tuple[_Batch, list[tuple[float, ...]]]:
        known = record.known.get(batch.number)
        if known is not None and [answer.second for answer in known] == batch.seconds:
            return batch, [a.emotions for a, p in zip(known, batch.pixels, strict=True) if p is not None]
        fresh = batch.fresh
        return batch, _probabilities(engine, fresh) if fresh else []

    with ExitStack() as closed:
        batches = closed.enter_context(closing(looking.batches()))
        results: Iterator[tuple[_Batch, list[tuple[float, ...]]]]
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


def _judge_missing(
    looking: _Looking, engine: Engine, record: "_Record", answers: list[Answer]
) -> list[Answer]:
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


# ---------------------------------------------------------------------------------------------- recording


@dataclass
class _Record:
    """What is on disk of a run: answers and the place.

    Attributes:
        place: where to go on
        answers: up to the place
        known: answers of batches beyond it, by the batch's number
        late: answers for shots that were passed over, by the second that was asked for
        finished: the timeline, where the run had ended
    """

    out: Path | None
    place: _Place = field(default_factory=_Place)
    answers: list[Answer] = field(default_factory=list)
    known: dict[int, list[Answer]] = field(default_factory=dict)
    late: dict[float, Answer] = field(default_factory=dict)
    finished: Timeline | None = None
    _stream: Any = None
    _saved: float = 0.0

    @classmethod
    def open(cls, request: Request, video: Video, engine: Engine) -> "_Record":
        """Begin a record, or read the one that is to be resumed."""
        out = request.out
        if out is None:
            if request.resume:
                raise RunError("Nothing was written to resume from: name the folder.")
            return cls(None)
        about = _about(request, video, engine)
        if not request.resume:
            if (out / FILM).exists():
                raise RunError(
                    f"{out} already holds a film that was watched. Go on with it by --resume, or choose "
                    "another folder."
                )
            with atomic_write(out / FILM, "w") as file:
                file.write(json.dumps(about, indent=2, ensure_ascii=False) + "\n")
            record = cls(out)
        else:
            _check_same(out, about)
            clear_leftovers(out)
            record = cls(out)
            record._read()
        record._stream = _append(out / SAMPLES)
        return record

    def _read(self) -> None:
        assert self.out is not None
        if (self.out / TIMELINE).is_file():
            self.finished = Timeline.from_text((self.out / TIMELINE).read_text(encoding="utf-8"))
            return
        if (self.out / PLACE).is_file():
            self.place = _Place.from_json(json.loads((self.out / PLACE).read_text(encoding="utf-8")))
        for line in _whole_lines(self.out / SAMPLES):
            answers = [Answer(s, f, tuple(e), r) for s, f, e, r in line["samples"]]
            if "late" in line:
                self.late[line["late"]] = answers[0]
            elif line["batch"] < self.place.batches:
                self.answers += answers
            else:
                self.known[line["batch"]] = answers

    def write(self, batch: _Batch, answers: list[Answer]) -> None:
        """Append a batch's answers; now and then, record the place as well."""
        if self._stream is None:
            return
        if batch.number not in self.known:
            self._append({"batch": batch.number, "samples": answers})
        if monotonic() - self._saved > SAVE_SECONDS:
            self._save(batch.place)

    def write_late(self, middle: float, answer: Answer) -> None:
        """Append the answer for a shot that was passed over."""
        if self._stream is not None:
            self._append({"late": middle, "samples": [answer]})

    def finish(self, timeline: Timeline) -> None:
        """Write the timeline."""
        if self.out is None:
            return
        with atomic_write(self.out / TIMELINE, "w") as file:
            file.write(timeline.to_text())
        (self.out / PLACE).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file of answers."""
        if self._stream is not None:
            self._stream.close()

    def _append(self, line: dict[str, Any]) -> None:
        try:
            self._stream.write((json.dumps(line) + "\n").encode())
            self._stream.flush()
        except OSError as error:
            raise OutputError(f"{self.out} cannot be written: {error.strerror or error}.") from error

    def _save(self, place: _Place) -> None:
        assert self.out is not None
        with atomic_write(self.out / PLACE, "w") as file:
            file.write(json.dumps(place.to_json()))
        self._saved = monotonic()


def _append(file: Path) -> Any:
    """Open a file of lines to append to, without the part of a line that a kill may have left."""
    try:
        stream = file.open("ab")
        end = file.read_bytes().rfind(b"\n") + 1
        stream.truncate(end)
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {error.strerror or error}.") from error
    return stream


def _whole_lines(file: Path) -> Iterator[dict[str, Any]]:
    if not file.is_file():
        return
    with file.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)


def _about(request: Request, video: Video, engine: Engine) -> dict[str, Any]:
    """What decides a timeline."""
    return {
        "version": VERSION,
        "film": video.name,
        "fingerprint": None if video.live else fingerprint(request.source),
        "model": engine.card.name,
        "weights": engine.card.weights_hash,
        "settings": asdict(request.settings),
        "precision": str(engine.precision).removeprefix("torch."),
        "frames_at_once": engine.at_once(request.batch_size),
    }


def fingerprint(source: str) -> str:
    """SHA-256 of a film file's size and of its first and last mebibyte; of an address, of its name."""
    digest = hashlib.sha256()
    path = Path(source)
    if not path.is_file():
        return hashlib.sha256(source.encode()).hexdigest()
    size, part = path.stat().st_size, 1 << 20
    digest.update(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(part))
        file.seek(max(0, size - part))
        digest.update(file.read(part))
    return digest.hexdigest()


def _check_same(out: Path, about: dict[str, Any]) -> None:
    """Raise `RunError` where a folder holds nothing to resume, or something else."""
    if not (out / FILM).is_file():
        raise RunError(f"There is nothing to resume in {out}: {FILM} is missing. Start without --resume.")
    stored = json.loads((out / FILM).read_text(encoding="utf-8"))
    for name in about:
        if name != "film" and stored.get(name) != about[name]:  # a film may have been moved
            raise RunError(
                f"{out} was begun with another {name.replace('_', ' ')}: {stored.get(name)} then, "
                f"{about[name]} now. Resume with the same, or choose another folder."
            )


# ----------------------------------------------------------------------------------------------- results


def _progress(looking: _Looking, batch: _Batch, answers: list[Answer]) -> Progress:
    place, end = batch.place, looking.end
    second = max(place.second, looking.begin)
    share = None
    if end is not None and end > looking.begin:
        share = min(1.0, (place.end - looking.begin) / (end - looking.begin))
    return Progress(
        second=second,
        share=share,
        decoded=place.frames,
        judged=place.judged,
        reused=place.reused,
        shots=len(place.boundaries) + 1,
        broken=place.broken,
        dropped=looking.video.decoded.dropped,
        newest=answers[-1].emotions if answers else None,
    )


def _timeline(request: Request, engine: Engine, looking: _Looking, answers: list[Answer]) -> Timeline:
    place, settings, card = looking.place, request.settings, engine.card
    film = _film_as_seen(looking)
    end = place.end
    if settings.sampling == "keyframes" and film.duration:  # the last one stands for all that follows it
        end = max(end, film.duration)
    if settings.end is not None:
        end = min(end, settings.end)
    counts = Counts(
        decoded=place.frames,
        judged=place.judged,
        reused=place.reused,
        broken=place.broken,
        undated=place.undated,
        dropped=looking.video.decoded.dropped,
    )
    reading = Reading(
        half_life=settings.half_life,
        prominence=settings.prominence,
        distance=settings.distance,
        shortest_mood=settings.shortest_mood,
    )
    return build(
        film,
        card.vocabulary,
        answers,
        place.boundaries,
        reading,
        model=card.name,
        weights_hash=card.weights_hash,
        begin=looking.begin,
        end=end,
        settings=asdict(settings),
        counts=counts,
        notes=_notes(looking, film, counts),
    )


def _film_as_seen(looking: _Looking) -> Film:
    """What the file says of itself, put right by what was seen."""
    film, place = looking.video.film, looking.place
    whole = (
        looking.settings.end is None and not looking.ended_early and looking.settings.sampling != "keyframes"
    )
    duration = place.end if whole and not film.live else film.duration
    return replace(film, duration=duration, variable=not place.even, interlaced=place.interlaced)


def _notes(looking: _Looking, film: Film, counts: Counts) -> list[str]:
    notes = []
    if film.hdr:
        notes.append(f"HDR ({film.hdr}): tone mapped to sRGB for a screen of 203 cd/m2 before it was judged.")
    if film.interlaced:
        notes.append("Interlaced: frames were judged as stored, with both fields interwoven.")
    if film.variable:
        notes.append("Frames follow one another at uneven times; times are those of the frames.")
    if counts.broken:
        notes.append(
            f"Packets that could not be decoded: {counts.broken:,}. What they showed was not judged."
        )
    if counts.undated:
        notes.append(
            f"Frames without a usable timestamp: {counts.undated:,}. They were placed by the frame rate."
        )
    if counts.dropped:
        notes.append(f"Live: {counts.dropped:,} frames came while others were at work, and were passed over.")
    if looking.settings.sampling == "keyframes":
        notes.append("Keyframes alone were looked at: shots begin at one, cuts between them are not found.")
    if looking.ended_early:
        notes.append(looking.ended_early)
    return notes
