"""What is on disk of a film that is watched; see `film` for the files.

Answers are appended as they come, and the place is written whole, from time to time: a kill at any moment
leaves what can be gone on with.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from affectlens.errors import OutputError, RunError
from affectlens.files import atomic_write, clear_leftovers
from affectlens.film.analysis.build import Answer
from affectlens.film.sampler import Batch, Place
from affectlens.film.settings import Request
from affectlens.film.timeline import Timeline
from affectlens.inference.engine import Engine
from affectlens.video import Video

FILM, SAMPLES, PLACE, TIMELINE = "film.json", "samples.jsonl", "place.json", "timeline.json"
VERSION = 1
SAVE_SECONDS = 2.0  # between two records of the place


@dataclass
class Record:
    """What is on disk of a run: answers and the place.

    Attributes:
        place: where to go on
        answers: up to the place
        known: answers of batches beyond it, by the batch's number
        late: answers for shots that were passed over, by the second that was asked for
        finished: the timeline, where the run had ended
    """

    out: Path | None
    place: Place = field(default_factory=Place)
    answers: list[Answer] = field(default_factory=list)
    known: dict[int, list[Answer]] = field(default_factory=dict)
    late: dict[float, Answer] = field(default_factory=dict)
    finished: Timeline | None = None
    _stream: Any = None
    _saved: float = 0.0

    @classmethod
    def open(cls, request: Request, video: Video, engine: Engine) -> "Record":
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
            self.place = Place.from_json(json.loads((self.out / PLACE).read_text(encoding="utf-8")))
        for line in _whole_lines(self.out / SAMPLES):
            answers = [Answer(s, f, tuple(e), r) for s, f, e, r in line["samples"]]
            if "late" in line:
                self.late[line["late"]] = answers[0]
            elif line["batch"] < self.place.batches:
                self.answers += answers
            else:
                self.known[line["batch"]] = answers

    def write(self, batch: Batch, answers: list[Answer]) -> None:
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

    def _save(self, place: Place) -> None:
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
