"""Many pictures judged by several processes and machines: Ray Data moves them, `inference.predictor` judges.

    list        one task expands the words of the command, lazily, into parts of some hundred pictures
    judge       each of `workers` actors loads the model once and turns parts into encoded rows
    write       the caller puts the rows of each part into the file, in the order of the parts

A part is a whole number of batches, and pictures are at the same place in the same batch as in one process.
So the file has the rows that `affectlens predict` without workers writes, in the same order, and either of
them goes on with what the other left (`inference.output`).

What an actor that dies was judging, another judges again; only what arrived whole is written, and only by the
caller. So each picture has one row, whatever was killed (`attempts` has what kills). Ray lists and judges no
further ahead than its share of memory allows, so the number of pictures does not matter.

Pictures must be reachable from every machine under the names that are given: a shared folder, or URLs.
"""

import io
import os
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

from affectlens.cluster.event_queue import packed, unpacked
from affectlens.cluster.resources import cores_for_each, cpus_of, on_gpus
from affectlens.cluster.retries import DEATHS, MOST, Attempts, Remote, Tally
from affectlens.errors import ClusterError, PictureDamaged
from affectlens.inference.inputs import STANDARD_INPUT, Input, name_of, pictures

LARGEST_PART = 512  # pictures; a restarted actor judges at most this many again
PARTS_EACH = 8  # for each worker, of a job whose size is known: so that all end at about the same time
SHOWN = 10  # failures of a part that are told by name


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of every picture.

    Attributes:
        model: as in the command; found anew by every actor, so a folder must be on every machine
        suffix: of the result file, which says how rows are encoded
        folder: in which the command was called: relative names are of it
    """

    model: str
    device: str = "auto"
    precision: str = "auto"
    batch_size: int = 32
    attributes: bool = False
    suffix: str = ".jsonl"
    folder: str = field(default_factory=os.getcwd)


@dataclass(frozen=True)
class Listing:
    """The pictures of a job, in an order that is the same each time it is listed.

    Attributes:
        words: of the command
        given: what was on standard input, if `-` is among the words
        column: of tables
        skip: so many at the beginning were judged before
    """

    words: tuple[str, ...]
    given: bytes = b""
    column: str | None = None
    skip: int = 0

    @classmethod
    def of(cls, words: Sequence[str], column: str | None) -> "Listing":
        """The listing of a command; reads standard input to its end where it is among the words."""
        given = sys.stdin.buffer.read() if STANDARD_INPUT in words else b""
        return cls(tuple(words), given, column)

    def __iter__(self) -> Iterator[Input]:
        return islice(pictures(self.words, io.BytesIO(self.given), self.column), self.skip, None)


@dataclass(frozen=True)
class Part:
    """Answers to some pictures that follow one another.

    Attributes:
        rows: encoded, one after the other
        count: of pictures
        failures: of the first few that could not be read
        failed: how many could not
        began, ended: when it was judged, in seconds since 1970 by the clock of whoever did
    """

    rows: bytes
    count: int
    failures: tuple[str, ...]
    failed: int
    began: float
    ended: float


def part_size(total: int | None, workers: int, batch_size: int) -> int:
    """Pictures of a part: a multiple of the batch size, small enough that every worker has several.

    >>> part_size(None, 2, 32), part_size(100, 2, 32), part_size(4000, 2, 32), part_size(4000, 2, 1000)
    (512, 32, 256, 1000)
    """
    most = max(1, LARGEST_PART // batch_size)
    if total is None:
        return most * batch_size
    share = -(-total // (workers * PARTS_EACH * batch_size))
    return max(1, min(most, share)) * batch_size


def judge_on_ray(
    question: Question, listing: Listing, workers: int, total: int | None = None
) -> Generator[Part, None, None]:
    """Yield the answers to all pictures, part by part in their order; Ray must be connected.

    `total` is the number of pictures, if it is known. Raises `ClusterError` where Ray cannot start so many
    workers, or where the same pictures ended many of them.
    """
    import ray

    gpu = on_gpus(question.device, ray.cluster_resources().get("GPU", 0.0), workers)
    cores = cores_for_each(cpus_of(ray.nodes()), workers)
    try:
        for row in _pipeline(question, listing, workers, total, gpu, cores).iter_rows():
            yield Part(**{**row, "failures": tuple(unpacked(row["failures"]))})
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"Some pictures could not be judged: {_reason(error)} The rows before them are kept; go on with "
            "--resume."
        ) from error


def _pipeline(
    question: Question, listing: Listing, workers: int, total: int | None, gpu: bool, cores: int
) -> Any:
    import logging

    import ray
    from ray.data import ActorPoolStrategy, DataContext

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    # Of one part each, or Ray would gather a thousand parts into a block before anyone judges one.
    context.target_max_block_size = 1
    context.target_min_block_size = 1
    at_once = part_size(total, workers, question.batch_size)
    source = _source(listing, at_once, question.folder)
    listed = ray.data.read_datasource(
        source, override_num_blocks=1, num_cpus=0, label_selector={"ray.io/node-id": _here()}
    )
    tally = Remote(ray.remote(num_cpus=0)(Attempts).remote())
    return listed.map(
        Judge,
        fn_constructor_kwargs={"question": question, "gpu": gpu, "tally": tally},
        compute=ActorPoolStrategy(size=workers),
        num_cpus=cores,
        num_gpus=1 if gpu else 0,
    )


def _here() -> str:
    """The list is made where the command was called: there its names are known to mean something."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _source(listing: Listing, at_once: int, folder: str) -> Any:
    """What Ray Data reads: one task that yields a part after the other, and waits while enough are listed."""
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


def _listed(listing: Listing, at_once: int, folder: str) -> Iterator[Any]:
    _go_to(folder)
    yield from parts_of(listing, at_once)


def parts_of(listing: Iterable[Input], at_once: int) -> Iterator[Any]:
    """Yield tables of one row each: a part's number, from 0, and its pictures as bytes."""
    import pyarrow as pa

    left = iter(listing)
    for number in count():
        part = list(islice(left, at_once))
        if not part:
            return
        yield pa.table({"number": [number], "pictures": [packed(part)]})


class Judge:
    """An actor: loads a model, and turns parts of pictures into encoded rows."""

    def __init__(self, question: Question, gpu: bool, tally: Tally) -> None:
        from affectlens.inference.output import encoding_of
        from affectlens.inference.predictor import Predictor

        _go_to(question.folder)
        device = "cpu" if question.device == "auto" and not gpu else question.device
        self.question = question
        self.tally = tally
        self.predictor = Predictor.load(question.model, device, question.precision)
        names = self.predictor.attribute_names if question.attributes else ()
        self.encoding = encoding_of(question.suffix, self.predictor.vocabulary, names)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        given: list[Input] = unpacked(row["pictures"])
        began = time.time()
        rows, failed = bytearray(), 0
        failures: list[str] = []
        for answer in self._answers(self._safe(row["number"], given)):
            rows += self.encoding.encode(answer.to_row(self.predictor.card.name))
            if answer.error is not None:
                failed += 1
                if len(failures) < SHOWN:
                    failures.append(str(answer.error))
        self.tally.done(row["number"])
        return {
            "rows": bytes(rows), "count": len(given), "failures": packed(failures), "failed": failed,
            "began": began, "ended": time.time(),
        }  # fmt: skip

    def _safe(self, part: int, given: list[Input]) -> list[Input]:
        """Put an error in the place of each picture that ended processes; find it where one has ended."""
        attempt, deadly = self.tally.begin(part)
        if attempt > MOST:
            raise ClusterError(f"{MOST} processes ended on the pictures from {name_of(given[0])} on.")
        for place in deadly:
            name = name_of(given[place])
            given[place] = PictureDamaged(name, f"{DEATHS} processes ended while they read it. Leave it out.")
        if attempt > 1:
            for place, picture in enumerate(given):
                self.tally.reading(part, place)
                for _ in self.predictor.predict_files([picture]):
                    pass
            self.tally.reading(part, None)
        return given

    def _answers(self, given: Iterable[Input]) -> Iterator[Any]:
        question = self.question
        return self.predictor.predict_files(given, question.batch_size, attributes=question.attributes)


def _go_to(folder: str) -> None:
    with suppress(OSError):  # on other machines there may be no such folder, and names that are whole
        os.chdir(folder)


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".") + "."
