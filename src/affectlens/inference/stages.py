"""Where the time of predictions goes: each stage measured with all cores at work, and all of them together.

A stage's time is that of one core for a picture; `1000 * cores / milliseconds` is then how many pictures a
second the stage alone would do. Together they can do no more than `StageReport.limit`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from affectlens.data.prefetch import batched, map_ahead
from affectlens.errors import PictureError
from affectlens.files import is_file
from affectlens.images import Pixels, read_pixels
from affectlens.inference.engine import CPU_BATCH, ONNX_RUNTIME, OPENVINO, Engine
from affectlens.inference.inputs import Input, load_rows, name_of, opened
from affectlens.inference.job import PredictionJob
from affectlens.inference.predictions import Unreadable, require_readable
from affectlens.inference.predictor import Prediction, Predictor
from affectlens.machine import cpu_multiplies_bfloat16, usable_cores

READ, DECODE, RESIZE, NETWORK, WRITE = STAGES = ("read", "decode", "resize", "network", "write")
TITLES = {
    READ: "read files", DECODE: "decode", RESIZE: "resize", NETWORK: "network", WRITE: "write rows",
}  # fmt: skip
ROUNDS = 3
_LARGE = 2.0  # megabytes of files of which smaller copies would be decoded much sooner
_MOST = 0.5  # share of a stage that is worth a remark


@dataclass(frozen=True, kw_only=True)
class StageReport:
    """What was measured.

    Attributes:
        pictures: how many were measured
        unreadable: the errors of those that could not be read
        cores: that were used
        engine, precision, device: of the network
        milliseconds: of one core for a picture, by stage
        job: milliseconds from one picture to the next of a job with all cores, the median of `ROUNDS` jobs
        megapixels: of a picture as it was decoded, which of large JPEG files is less than they have
        megabytes: of a picture's file, on average
    """

    pictures: int
    unreadable: tuple[PictureError, ...]
    cores: int
    engine: str
    precision: str
    device: str
    milliseconds: dict[str, float]
    job: float
    megapixels: float
    megabytes: float

    def rate(self, stage: str) -> float:
        """Pictures a second of a stage alone, with all cores."""
        return 1000 * self.cores / max(self.milliseconds[stage], 1e-9)

    @property
    def limit(self) -> float:
        """Pictures a second that all stages together allow."""
        return 1000 * self.cores / sum(self.milliseconds.values())

    @property
    def achieved(self) -> float:
        """The share of `limit` that a job reaches; above 1 where a stage overlaps with waiting."""
        return 1000 / self.job / self.limit

    def share(self, stage: str) -> float:
        """The share of all time that a stage takes."""
        return self.milliseconds[stage] / sum(self.milliseconds.values())

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        derived = {"pictures_per_second": 1000 / self.job, "limit": self.limit, "achieved": self.achieved}
        errors = [{"image": each.path, "message": str(each)} for each in self.unreadable]
        return {**vars(self), "unreadable": errors, **derived}

    def advice(self) -> list[str]:
        """Name what would help most, in sentences, where one stage takes most of the time."""
        return [text for stage, text in _advice(self).items() if self.share(stage) >= _MOST]


def _advice(report: StageReport) -> dict[str, str]:
    decode = "Decoding takes most of the time: more cores help, and so do JPEG files rather than PNG or HEIC."
    if report.megabytes >= _LARGE:
        decode = (
            f"Decoding files of {report.megabytes:.1f} MB takes most of the time: copies of some "
            "hundred pixels a side, made once, are predicted much sooner, and nearly alike."
        )
    faster = ["more cores", "a smaller model"]
    if report.engine == ONNX_RUNTIME:
        faster.insert(0, f"--engine {OPENVINO}, if it is installed")
    if report.precision == "float32" and cpu_multiplies_bfloat16():
        faster.insert(0, "--precision bfloat16, which this processor multiplies")
    return {
        READ: "Reading files takes most of the time: a faster disk, or copies on this machine, help.",
        DECODE: decode,
        RESIZE: "Resizing takes most of the time: smaller copies help.",
        NETWORK: f"The network takes most of the time: {', or '.join(faster)}.",
        WRITE: "Writing rows takes most of the time: a faster disk helps.",
    }


class _TimedPicture(NamedTuple):
    """A picture fitted to the network, and the seconds of each stage until then."""

    pixels: Pixels
    seconds: tuple[float, float, float]
    size: int  # bytes of its file
    area: int  # pixels as they were decoded


def measure_stages(
    predictor: Predictor,
    pictures: Iterator[Input],
    count: int,
    progress: Callable[[str], None] = lambda stage: None,
) -> StageReport:
    """Measure the first `count` pictures. `progress` is called with what is measured next.

    Files that were read before are in the system's memory, and are read in no time: measure a folder that
    was not opened since the machine started for the disk's own. Raises `DatasetError` where not one picture
    can be read.
    """
    given = list(islice(pictures, count))
    progress("reading, decoding, resizing")
    prepared, unreadable = _prepare(predictor, given)
    require_readable(len(prepared), [Unreadable(each.path, each) for each in unreadable])
    seconds = np.array([each.seconds for each in prepared]).mean(axis=0) * 1000
    progress("network")
    network = median(_network_seconds(predictor.engine, prepared) for _ in range(ROUNDS))
    on_cpu = predictor.engine.device == "cpu"
    progress("jobs")
    job = median(_job_seconds(predictor, given) for _ in range(ROUNDS))
    predictions = list(predictor.predict_files(given))
    write = median(_write_seconds(predictor, predictions) for _ in range(ROUNDS))
    per_picture = 1000 / len(prepared)
    milliseconds = {
        **dict(zip(STAGES, seconds.tolist(), strict=False)),
        NETWORK: network * per_picture * (usable_cores() if on_cpu else 1),
        WRITE: write * per_picture,
    }
    return StageReport(
        pictures=len(prepared),
        unreadable=tuple(unreadable),
        cores=usable_cores(),
        engine=predictor.engine.name,
        precision=predictor.engine.precision,
        device=predictor.engine.device,
        milliseconds=milliseconds,
        job=job * per_picture,
        megapixels=float(np.mean([each.area for each in prepared])) / 1e6,
        megabytes=float(np.mean([each.size for each in prepared])) / 1e6,
    )


def _prepare(predictor: Predictor, given: Sequence[Input]) -> tuple[list[_TimedPicture], list[PictureError]]:
    """Read, decode and resize pictures with all cores, and take the time of each step."""
    preprocessing = predictor.card.preprocessing

    def prepare(picture: Any) -> _TimedPicture | PictureError:
        if isinstance(picture, PictureError):
            return picture
        try:
            begin = time.perf_counter()
            data = _contents(opened(picture))
            read = time.perf_counter()
            pixels = read_pixels(data, at_least=preprocessing.at_least)
            decoded = time.perf_counter()
            fitted = preprocessing.fit_pixels(pixels)
        except PictureError as error:
            return type(error)(name_of(picture), error.reason)
        spent = (read - begin, decoded - read, time.perf_counter() - decoded)
        size = len(data) if isinstance(data, bytes) else 0
        return _TimedPicture(fitted, spent, size, pixels.shape[0] * pixels.shape[1])

    with closing(map_ahead(prepare, load_rows(given), ahead=2 * usable_cores())) as found:  # type: ignore[type-var]
        made = list(found)
    return (
        [each for each in made if isinstance(each, _TimedPicture)],
        [each for each in made if isinstance(each, PictureError)],
    )


def _contents(source: Any) -> Any:
    """Read a file; what is not one, or cannot be read, stays as it is: its decoder reports why."""
    if isinstance(source, str | Path) and is_file(source):
        with suppress(OSError):
            return Path(source).read_bytes()
    return source


def _network_seconds(engine: Engine, prepared: Sequence[_TimedPicture]) -> float:
    batches = [np.stack([each.pixels for each in part]) for part in batched(prepared, CPU_BATCH)]
    begin = time.perf_counter()
    with closing(engine.map(engine.answer, batches)) as answers:
        for _ in answers:
            pass
    return time.perf_counter() - begin


def _job_seconds(predictor: Predictor, given: Sequence[Input]) -> float:
    with TemporaryDirectory() as folder:
        begin = time.perf_counter()
        PredictionJob(predictor, iter(given)).write(Path(folder) / "rows.jsonl")
        return time.perf_counter() - begin


def _write_seconds(predictor: Predictor, predictions: Sequence[Prediction]) -> float:
    with TemporaryDirectory() as folder:
        begin = time.perf_counter()
        with PredictionJob(predictor, iter(())).open(Path(folder) / "rows.jsonl", resume=False) as writer:
            for prediction in predictions:
                writer.write(prediction.to_row(predictor.card))
        return time.perf_counter() - begin
