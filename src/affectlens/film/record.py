"""What is on disk of a film that is watched; see `film.watch` for the files.

Predictions are appended as they come, and the sampler's state is written from time to time, as a complete
file, once they are on the disk: a kill at any moment leaves what can be resumed. Where predictions that the
state counts are missing all the same, the film is decoded from its beginning again; those that are there are
not made again.
"""

import base64
import binascii
import hashlib
import json
import math
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import numpy as np

from affectlens.errors import OutputError, RunError
from affectlens.files import atomic_write, clear_leftovers, json_text, read_file
from affectlens.film.analysis.build import FramePrediction
from affectlens.film.events import WatchRequest
from affectlens.film.sampler import FrameBatch, SamplerState
from affectlens.film.shots import COLUMNS, ROWS, Thumbnail
from affectlens.film.timeline import Timeline
from affectlens.former_keys import FILM_STATE, FILM_STATE_FILE, current_keys
from affectlens.inference.engine import Engine
from affectlens.locks import locked_folder, require_same_folder
from affectlens.model_folder import Card, Heads
from affectlens.video import MOST_SECONDS, Video

FILM, SAMPLES, STATE, TIMELINE = "film.json", "samples.jsonl", "state.json", "timeline.json"
VERSION = 2
SAVE_SECONDS = 2.0  # between two saves of the state


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """film.json: what determines a timeline. All but the film's name must agree where it is resumed."""

    version: int
    film: str
    fingerprint: str | None
    model: str
    weights: str
    settings: dict[str, Any]
    precision: str
    frames_at_once: int
    engine: str = "torch"  # records before 0.2 name none
    heads: str = ""  # of a model without ratings and score of unusual pictures, and of earlier records
    answers: str = ""  # hash of all that decides them; earlier records have none


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A line of samples.jsonl: a batch by its number, or the late prediction for a second."""

    samples: list[FramePrediction]
    batch: int | None = None
    late: float | None = None


@dataclass
class FilmRecord:
    """What is on disk of a run: predictions and the sampler's state.

    Attributes:
        state: where to continue
        predictions: up to the state
        known: predictions of batches beyond it, by the batch's number
        late: predictions for shots that were passed over, by the second that was requested
        finished: the timeline, where the run had ended
    """

    out: Path | None
    state: SamplerState = field(default_factory=SamplerState)
    predictions: list[FramePrediction] = field(default_factory=list)
    known: dict[int, list[FramePrediction]] = field(default_factory=dict)
    late: dict[float, FramePrediction] = field(default_factory=dict)
    finished: Timeline | None = None
    _stream: Any = None
    _saved: float = 0.0
    _held: ExitStack = field(default_factory=ExitStack)  # the lock of the folder

    @classmethod
    def open(cls, request: WatchRequest, video: Video, engine: Engine) -> "FilmRecord":
        """Start a record, or read the one that is to be resumed; its folder is locked until it is closed.

        Raises `RunError` where there is none, or where it is of another film, model or settings or damaged,
        and `OutputInUse` where another process writes it.
        """
        out = request.out
        if out is None:
            if request.resume:
                raise RunError("Nothing was written to resume from: name the folder.")
            return cls(None)
        origin = _origin(request, video, engine)
        with ExitStack() as held:
            held.enter_context(locked_folder(out))
            record = cls(out)
            if request.resume:
                _check_same(out, origin)
                clear_leftovers(out)
                record._read(engine.card)
            else:
                _start(out, origin)
            record._stream = _append_to(out / SAMPLES)
            record._held = held.pop_all()
            return record

    def _read(self, card: Card) -> None:
        assert self.out is not None
        if (self.out / TIMELINE).is_file():
            self.finished = _finished(self.out / TIMELINE)
            return
        former = self.out / FILM_STATE_FILE
        file = self.out / STATE if (self.out / STATE).is_file() else former
        if file.is_file():
            self.state = _read_state(file, FILM_STATE if file == former else {})
        counted: dict[int, list[FramePrediction]] = {}
        for line in _read_lines(self.out / SAMPLES, card):
            if line.late is not None:
                self.late[line.late] = line.samples[0]
            elif line.batch is not None and line.batch < self.state.batches:
                counted[line.batch] = line.samples
            elif line.batch is not None:
                self.known[line.batch] = line.samples
        self.predictions = [each for number in sorted(counted) for each in counted[number]]
        samples = self.state.predicted + self.state.reused
        if len(counted) != self.state.batches or len(self.predictions) != samples:
            # Some were lost, as by a power cut: the sampler has to come by them again.
            self.known |= counted
            self.predictions, self.state = [], SamplerState()

    @property
    def watched_until(self) -> float | None:
        """Second up to which the film was watched before; None where it was not."""
        if self.finished is not None:
            return self.finished.shots[-1].end if self.finished.shots else None
        return self.state.second if math.isfinite(self.state.second) else None

    def write(self, batch: FrameBatch, predictions: list[FramePrediction]) -> None:
        """Append a batch's predictions; now and then, save the state as well."""
        if self._stream is None:
            return
        if batch.number not in self.known:
            self._append({"batch": batch.number, "samples": [_as_row(each) for each in predictions]})
        if monotonic() - self._saved > SAVE_SECONDS:
            self._save(batch.state)

    def write_late(self, middle: float, prediction: FramePrediction) -> None:
        """Append the prediction for a shot that was passed over."""
        if self._stream is not None:
            self._append({"late": middle, "samples": [_as_row(prediction)]})

    def finish(self, timeline: Timeline) -> None:
        """Write the timeline."""
        if self.out is None:
            return
        require_same_folder(self.out)
        with atomic_write(self.out / TIMELINE, "w") as file:
            file.write(timeline.to_text())
        for name in (STATE, FILM_STATE_FILE):
            (self.out / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file of predictions."""
        with self._held:
            if self._stream is not None:
                # It tries again what could not be written, which was reported then.
                with suppress(OSError):
                    self._stream.close()

    def _append(self, line: dict[str, Any]) -> None:
        assert self.out is not None
        require_same_folder(self.out)
        try:
            self._stream.write((json.dumps(line) + "\n").encode())
            self._stream.flush()
        except OSError as error:
            raise OutputError(f"{self.out} cannot be written: {error.strerror or error}.") from error

    def _save(self, state: SamplerState) -> None:
        assert self.out is not None
        try:
            # Before the state that counts them: a power cut could keep it and lose them.
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise OutputError(f"{self.out} cannot be written: {error.strerror or error}.") from error
        with atomic_write(self.out / STATE, "w") as file:
            file.write(json.dumps(_state_as_plain(state)))
        self._saved = monotonic()


# ------------------------------------------------------------------------------------------------- film.json


def _origin(request: WatchRequest, video: Video, engine: Engine) -> _Origin:
    return _Origin(
        version=VERSION,
        film=video.name,
        fingerprint=None if video.live else fingerprint(request.source),
        model=engine.card.name,
        weights=engine.card.weights_hash,
        settings=asdict(request.settings),
        precision=engine.precision,
        engine=engine.name,
        frames_at_once=engine.at_once(request.batch_size),
        heads=_hash_of_heads(engine.heads),
        answers=engine.card.answers_hash,
    )


def _hash_of_heads(heads: Heads) -> str:
    """SHA-256 of what ratings and unusual pictures are computed by; "" of a model that has none."""
    digest = hashlib.sha256()
    for name, values in sorted(heads.items()):
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest() if heads else ""


def fingerprint(source: str) -> str:
    """SHA-256 of a film file's size and of its first and last mebibyte; of an address, of its name."""
    digest = hashlib.sha256()
    path = Path(source)
    if not path.is_file():
        return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    size, part = path.stat().st_size, 1 << 20
    digest.update(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(part))
        file.seek(max(0, size - part))
        digest.update(file.read(part))
    return digest.hexdigest()


def _start(out: Path, origin: _Origin) -> None:
    if (out / FILM).exists():
        raise RunError(
            f"{out} already holds a film that was watched. Continue it with --resume, or choose "
            "another folder."
        )
    with atomic_write(out / FILM, "w") as file:
        plain = {key: value for key, value in asdict(origin).items() if (key, value) != ("heads", "")}
        file.write(json_text(plain, indent=2) + "\n")


def _check_same(out: Path, origin: _Origin) -> None:
    """Raise `RunError` where a folder holds nothing to resume, or something else."""
    if not (out / FILM).is_file():
        raise RunError(f"There is nothing to resume in {out}: {FILM} is missing. Start without --resume.")
    stored = _converted(out / FILM, _read_json(out / FILM), _Origin)
    if stored.version not in (1, VERSION):
        raise RunError(f"{out / FILM} is of version {stored.version}; known are 1 and {VERSION}.")
    for each in fields(origin):
        then, now = getattr(stored, each.name), getattr(origin, each.name)
        # A film may have been moved; earlier records name no heads, and what they lack is predicted again.
        is_not_known = (each.name, then) in (("heads", ""), ("answers", ""))
        if each.name not in ("version", "film") and then != now and not is_not_known:
            what = _in_words(each.name, then, now)
            raise RunError(f"{out} was started with {what}. Resume with the same, or choose another folder.")


def _in_words(name: str, then: Any, now: Any) -> str:
    """What a folder was started with instead of what it is resumed with."""
    if name == "fingerprint":
        return "another film, or with this one before it was changed"
    if name == "weights":
        return "another model, or with this one before its weights were changed"
    if name == "heads":
        return "other weights of ratings, or of the mark of unusual pictures"
    if name == "answers":
        return "a model of the same weights whose temperature, sets, ratings or preprocessing were others"
    if name == "settings":
        differing = sorted(key for key in {*then, *now} if then.get(key) != now.get(key))
        parts = [f"{key} {then.get(key)} then, {now.get(key)} now" for key in differing]
        return f"other settings: {'; '.join(parts)}"
    return f"another {name.replace('_', ' ')}: {then} then, {now} now"


# ------------------------------------------------------------------------------------------------ state.json


def _state_as_plain(state: SamplerState) -> dict[str, Any]:
    reference = None
    if state.reference is not None:
        reference = base64.b64encode(zlib.compress(state.reference.tobytes())).decode()
    return {**vars(state), "reference": reference}


def _read_state(file: Path, former: Mapping[str, str]) -> SamplerState:
    plain = _read_json(file)
    if not isinstance(plain, dict):
        raise _damaged(file, "expected a JSON object")
    # Earlier versions did not count black frames, nor look for fades.
    plain = {"black": 0, "fades": [], **current_keys(plain, former)}
    missing = [each.name for each in fields(SamplerState) if each.name not in plain]
    if missing:
        raise _damaged(file, f"{missing[0]} is missing")
    state: SamplerState = _converted(file, plain, SamplerState)
    if max(state.second, state.end) > MOST_SECONDS:
        raise _damaged(file, "its times are beyond those of any film")
    if (state.reference is None) != (state.predicted == 0):
        raise _damaged(file, "its reference does not go with its counts")
    return state


def _unpacked(_: type, packed: Any) -> Thumbnail:
    """The one value that is neither a number nor made of numbers. Raises `ValueError`."""
    if not isinstance(packed, str):
        raise ValueError("Expected a thumbnail as text")
    size = ROWS * COLUMNS * 3
    try:
        raw = zlib.decompressobj().decompress(base64.b64decode(packed), size + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ValueError(f"Not a thumbnail: {error}") from error
    if len(raw) != size:
        raise ValueError("Not a thumbnail: it has another size")
    return np.frombuffer(raw, np.uint8).reshape(ROWS, COLUMNS, 3)


# --------------------------------------------------------------------------------------------- samples.jsonl


def _append_to(file: Path) -> Any:
    """Open a file of lines to append to, without the part of a line that a kill may have left."""
    try:
        stream = file.open("ab")
        end = read_file(file).rfind(b"\n") + 1
        stream.truncate(end)
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {error.strerror or error}.") from error
    return stream


def _as_row(prediction: FramePrediction) -> tuple[Any, ...]:
    """What is written of a prediction: nothing of what a model without ratings has none of."""
    return prediction if prediction.ratings or prediction.unusual is not None else prediction[:-2]


def _read_lines(file: Path, card: Card) -> Iterator[_Line]:
    """Read lines, but those of an earlier version without what the model has: these are predicted again."""
    if not file.is_file():
        return
    num_emotions, num_ratings = len(card.vocabulary), len(card.ratings)
    decoder = msgspec.json.Decoder(_Line)
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            # The last line may be torn by a kill, and lines at the end filled with NULs by a power cut: what
            # they held is predicted again.
            if not line.endswith(b"\n") or b"\0" in line:
                continue
            try:
                found = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                raise _damaged(file, f"line {number}: {error}") from error
            if any(len(each.emotions) != num_emotions for each in found.samples):
                raise _damaged(file, f"line {number}: expected {num_emotions} probabilities a sample")
            if any(len(each.ratings) not in (0, num_ratings) for each in found.samples):
                raise _damaged(file, f"line {number}: expected {num_ratings} ratings a sample")
            if any(not abs(each.second) <= MOST_SECONDS for each in found.samples):
                raise _damaged(file, f"line {number}: a time is beyond those of any film")
            if (found.batch is None) == (found.late is None) or (
                found.late is not None and not found.samples
            ):
                raise _damaged(file, f"line {number}: it is neither a batch nor a late prediction")
            if all(_has_all(each, card) for each in found.samples):
                yield found


def _has_all(prediction: FramePrediction, card: Card) -> bool:
    """Whether a prediction holds what the model has besides emotions."""
    is_known = prediction.unusual is not None
    return len(prediction.ratings) == len(card.ratings) and is_known == bool(card.unusual)


# -------------------------------------------------------------------------------------------------- reading


def _finished(file: Path) -> Timeline:
    try:
        return Timeline.read(file)
    except OutputError as error:
        raise RunError(f"{error} Start anew in another folder.") from error


def _read_json(file: Path) -> Any:
    """Plain JSON, in which Python writes an infinite time as -Infinity."""
    try:
        return json.loads(read_file(file), parse_constant=_minus_infinity)
    except OSError as error:
        raise RunError(f"{file} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(file, str(error)) from error


def _minus_infinity(name: str) -> float:
    if name != "-Infinity":
        raise ValueError(f"{name} is not a number")
    return float("-inf")


def _converted(file: Path, plain: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(plain, kind, dec_hook=_unpacked)
    except ValueError as error:  # what msgspec raises, also for half of a surrogate pair
        raise _damaged(file, str(error)) from error


def _damaged(file: Path, what: str) -> RunError:
    return RunError(f"{file} is torn or was altered: {what}. Start anew in another folder.")
