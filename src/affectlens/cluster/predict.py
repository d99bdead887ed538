"""Predictions by several processes and machines: Ray Data moves pictures, `inference.predictor` predicts.

    list        one process expands the paths of the command, lazily, into parts of some hundred pictures
    predict     each of `workers` actors loads the model once and turns parts into encoded rows
    write       the caller puts the rows of each part into the file, in the order of the parts

A part is a whole number of batches, and a picture has the same position in the same batch as in one process.
So the file has the rows that `affectlens predict` without workers writes, in the same order, and either of
them goes on with what the other left (`inference.output`).

What an actor did not finish when it died, another predicts again; only what arrived completely is written,
and only by the caller. So each picture has one row, whatever was killed (`retries` has pictures that kill).
Ray lists and predicts no further ahead than its share of memory allows, so the number of pictures does not
matter.

Pictures must be reachable from every machine under the names that are given: a shared folder, or URLs.
"""

import io
import os
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from affectlens.cluster.event_queue import packed, unpacked
from affectlens.cluster.resources import cores_for_each, cpus_of, on_gpus
from affectlens.cluster.retries import DEATHS, MOST, LocalRetryCount, RemoteRetryCount, RetryCount
from affectlens.data.prefetch import batched
from affectlens.errors import ClusterError, NoPictures, PictureDamaged, first_line
from affectlens.inference.inputs import STANDARD_INPUT, Input, count, name_of, pictures, read_to_end
from affectlens.inference.job import SHOWN_FAILURES, JobCounts, PredictionJob, Progress
from affectlens.inference.output.resume import check_made_by
from affectlens.inference.predictor import REQUESTS

LARGEST_PART = 512  # pictures; a restarted actor predicts at most this many again
_MOST_LISTED = 1 << 30  # bytes of a list on standard input, which is held in memory
PARTS_EACH = 8  # for each worker, of a job whose size is known: so that all end at about the same time


@dataclass(frozen=True, kw_only=True)
class PredictionOptions:
    """How every picture is predicted.

    Attributes:
        model: as in the command; found anew by every actor, so a folder must be on every machine
        suffix: of the result file: its format, in which rows are encoded
        folder: in which the command was called: relative paths begin there
    """

    model: str
    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"
    batch_size: int = 32
    attributes: bool = False
    coverage: float | None = None
    min_confidence: float | None = None
    suffix: str = ".jsonl"
    folder: str = field(default_factory=os.getcwd)

    @property
    def requested(self) -> dict[str, Any]:
        """What `Predictor.predict_files` is called with."""
        return {name: getattr(self, name) for name in REQUESTS}


@dataclass(frozen=True)
class PictureListing:
    """The pictures of a job, in an order that is the same each time it is listed.

    Attributes:
        paths: of the command
        standard_input: its bytes, if `-` is among the paths; None where it is closed
        column: of tables
        skip: so many at the beginning were predicted before
    """

    paths: tuple[str, ...]
    standard_input: bytes | None = None
    column: str | None = None
    skip: int = 0

    @classmethod
    def of(cls, paths: Sequence[str], column: str | None) -> "PictureListing":
        """List the pictures of a command; reads standard input to its end where it is among the paths.

        Raises what `inputs.read_to_end` does.
        """
        given = None
        if sys.stdin is not None and STANDARD_INPUT in paths:
            given = read_to_end(sys.stdin.buffer, _MOST_LISTED)
        return cls(tuple(paths), given, column)

    def __iter__(self) -> Iterator[Input]:
        given = None if self.standard_input is None else io.BytesIO(self.standard_input)
        return islice(pictures(self.paths, given, self.column), self.skip, None)


@dataclass(frozen=True)
class InputPart:
    """Answers to some pictures that follow one another.

    Attributes:
        rows: encoded, one after the other
        count: of pictures
        failures: of the first few that could not be read
        failed: how many could not
        began, ended: when it was predicted, in seconds since 1970 by the clock of the worker
        engine, precision: of the worker
        empty: how many are inputs without pictures
    """

    rows: bytes
    count: int
    failures: tuple[str, ...]
    failed: int
    began: float
    ended: float
    engine: str
    precision: str
    empty: int


def part_size(total: int | None, workers: int, batch_size: int) -> int:
    """Return the pictures of a part: a multiple of the batch size, so small that every worker has several.

    >>> part_size(None, 2, 32), part_size(100, 2, 32), part_size(4000, 2, 32), part_size(4000, 2, 1000)
    (512, 32, 256, 1000)
    """
    most = max(1, LARGEST_PART // batch_size)
    if total is None:
        return most * batch_size
    share = -(-total // (workers * PARTS_EACH * batch_size))
    return max(1, min(most, share)) * batch_size


def write_on_ray(
    job: PredictionJob,
    file: Path,
    options: PredictionOptions,
    listing: PictureListing,
    workers: int,
    *,
    resume: bool = False,
    progress: Progress = lambda counts: None,
) -> JobCounts:
    """Write the file of a job by several workers; Ray must be connected.

    The pictures are those of the listing, whatever the job's inputs are. Raises what `PredictionJob.write`
    and `predict_on_ray` raise.
    """
    job.inputs = iter(listing)
    with job.open(file, resume=resume) as writer:
        counts = job.counts
        total = count(listing.paths, listing.column)
        left = None if total is None else max(0, total - counts.kept)
        counts.started = time.monotonic()
        progress(counts)
        listing = replace(listing, skip=counts.kept)
        with closing(predict_on_ray(options, listing, workers, left)) as parts:
            for part in parts:
                # Known no earlier: what answers is chosen on the machines of the workers.
                check_made_by(file, counts.kept_by, (part.engine, part.precision))
                writer.write_encoded(part.rows)
                counts.add(part.count, part.failed, part.failures, part.empty)
                progress(counts)
    return job.counts


def predict_on_ray(
    options: PredictionOptions, listing: PictureListing, workers: int, total: int | None = None
) -> Generator[InputPart, None, None]:
    """Yield the answers to all pictures, part by part in their order; Ray must be connected.

    `total` is the number of pictures, if it is known. Raises `ClusterError` where Ray cannot start so many
    workers, or where the same pictures ended many of them.
    """
    import ray

    gpu = on_gpus(options.device, ray.cluster_resources().get("GPU", 0.0), workers)
    cores = cores_for_each(cpus_of(ray.nodes()), workers)
    try:
        with _context_of_parts():
            for row in _pipeline(options, listing, workers, total, gpu, cores).iter_rows():
                yield InputPart(**{**row, "failures": tuple(unpacked(row["failures"]))})
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"Some pictures could not be predicted: {first_line(error)}. The rows before them are kept; go "
            "on with --resume."
        ) from error


def _pipeline(
    options: PredictionOptions,
    listing: PictureListing,
    workers: int,
    total: int | None,
    gpu: bool,
    cores: int,
) -> Any:
    import ray
    from ray.data import ActorPoolStrategy

    at_once = part_size(total, workers, options.batch_size)
    source = _source(listing, at_once, options.folder)
    listed = ray.data.read_datasource(
        source, override_num_blocks=1, num_cpus=0, label_selector={"ray.io/node-id": _here()}
    )
    retries = RemoteRetryCount(ray.remote(num_cpus=0)(LocalRetryCount).remote())
    return listed.map(
        PredictionWorker,
        fn_constructor_kwargs={"options": options, "gpu": gpu, "retries": retries},
        compute=ActorPoolStrategy(size=workers),
        num_cpus=cores,
        num_gpus=1 if gpu else 0,
    )


@contextmanager
def _context_of_parts() -> Iterator[None]:
    """Ray Data in order, part by part and without a word; afterwards it is as the caller had it."""
    import copy
    import logging

    from ray.data import DataContext

    logger = logging.getLogger("ray.data")
    before, level = DataContext.get_current(), logger.level
    context = copy.deepcopy(before)
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    # Of one part each, or Ray would gather a thousand parts into a block before any is predicted.
    context.target_max_block_size = 1
    context.target_min_block_size = 1
    logger.setLevel(logging.ERROR)
    try:
        with DataContext.current(context):
            yield
    finally:
        logger.setLevel(level)


def _here() -> str:
    """Return the node that lists pictures: where the command was called, its paths are sure to exist."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _source(listing: PictureListing, at_once: int, folder: str) -> Any:
    """Return what Ray Data reads: a source that yields part after part, and waits while enough are listed."""
    from ray.data.block import BlockMetadata
    from ray.data.datasource import Datasource, ReadTask

    class Pictures(Datasource):
        def get_name(self) -> str:
            return "pictures"

        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, *_: Any, **__: Any) -> list[Any]:
            metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
            return [ReadTask(lambda: _listed(listing, at_once, folder), metadata)]

    return Pictures()  # type: ignore[no-untyped-call]


def _listed(listing: PictureListing, at_once: int, folder: str) -> Iterator[Any]:
    _go_to(folder)
    yield from parts_of(listing, at_once)


def parts_of(listing: Iterable[Input], at_once: int) -> Iterator[Any]:
    """Yield tables of one row each: a part's number, from 0, and its pictures as bytes."""
    import pyarrow as pa

    for number, part in enumerate(batched(listing, at_once)):
        yield pa.table({"number": [number], "pictures": [packed(part)]})


class PredictionWorker:
    """An actor: loads a model, and turns parts of pictures into encoded rows."""

    def __init__(self, options: PredictionOptions, gpu: bool, retries: RetryCount) -> None:
        from affectlens.inference.output.formats import FORMATS
        from affectlens.inference.predictor import Predictor

        _go_to(options.folder)
        device = "cpu" if options.device == "auto" and not gpu else options.device
        self.options = options
        self.retries = retries
        self.predictor = Predictor.load(
            options.model, device, options.precision, engine=options.engine, many=True
        )
        schema = self.predictor.row_schema(**options.requested)
        self.encoding = FORMATS[options.suffix.lower()].encoding(schema)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        given: list[Input] = unpacked(row["pictures"])
        began = time.time()
        rows, failed, empty = bytearray(), 0, 0
        failures: list[str] = []
        for answer in self._answers(self._safe(row["number"], given)):
            rows += self.encoding.encode(answer.to_row(self.predictor.card))
            if answer.error is not None:
                failed += 1
                empty += isinstance(answer.error, NoPictures)
                if len(failures) < SHOWN_FAILURES:
                    failures.append(str(answer.error))
        self.retries.done(row["number"])
        return {
            "rows": bytes(rows), "count": len(given), "failures": packed(failures), "failed": failed,
            "empty": empty,
            "began": began, "ended": time.time(),
            "engine": self.predictor.engine.name, "precision": self.predictor.engine.precision,
        }  # fmt: skip

    def _safe(self, part: int, given: list[Input]) -> list[Input]:
        """Replace each picture that ended processes by an error; find it where one has ended."""
        start, deadly = self.retries.begin(part)
        if start > MOST:
            raise ClusterError(f"{MOST} processes ended on the pictures from {name_of(given[0])} on.")
        for index in deadly:
            name = name_of(given[index])
            given[index] = PictureDamaged(name, f"{DEATHS} processes ended while they read it. Leave it out.")
        if start > 1:
            for index, picture in enumerate(given):
                self.retries.reading(part, index)
                for _ in self.predictor.predict_files([picture]):
                    pass
            self.retries.reading(part, None)
        return given

    def _answers(self, given: Iterable[Input]) -> Iterator[Any]:
        options = self.options
        return self.predictor.predict_files(given, options.batch_size, **options.requested)


def _go_to(folder: str) -> None:
    with suppress(OSError):  # on other machines there may be no such folder, and paths that are absolute
        os.chdir(folder)
