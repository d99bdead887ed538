"""A prediction job: any number of pictures -> predictions, or a file of rows that can be resumed.

>>> from affectlens import Predictor
>>> from affectlens.inference.inputs import pictures
>>> job = PredictionJob(Predictor.load(), pictures(["photos/"]))    # doctest: +SKIP
>>> job.write(Path("emotions.csv"))                                 # doctest: +SKIP
>>> job.counts.summary()                                            # doctest: +SKIP
'1,204 pictures, 3 could not be read, 212 pictures/s'
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectlens.errors import NoPictures
from affectlens.inference.inputs import Input
from affectlens.inference.predictor import BATCH_SIZE, REQUESTS, Prediction, Predictor
from affectlens.report.text import printable

if TYPE_CHECKING:
    from affectlens.inference.output.resume import MadeBy
    from affectlens.inference.output.writer import RowWriter

SHOWN_FAILURES = 10


@dataclass
class JobCounts:
    """What a job has done so far.

    Attributes:
        done: pictures of this run, those that could not be read included
        kept: rows of an earlier run that was resumed
        failed: pictures of both that could not be read, and what is `empty`
        empty: inputs of both that have no picture, as an empty folder: each is a row with an error
        failures: the first errors, as text for a terminal
        kept_by: engine and precision of rows that were kept, None where they are not known
    """

    done: int = 0
    kept: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    kept_by: "MadeBy" = (None, None)
    empty: int = 0

    @property
    def total(self) -> int:
        """Rows of this run and of an earlier one."""
        return self.kept + self.done

    @property
    def speed(self) -> str:
        """Pictures a second since the job started, as text."""
        speed = self.done / max(time.monotonic() - self.started, 1e-9)
        return f"{speed:,.0f} pictures/s" if speed >= 10 else f"{speed:.1f} pictures/s"

    def add(self, done: int, failed: int, failures: Iterable[str], empty: int = 0) -> None:
        """Count some pictures; `failures` are the first few of those that failed."""
        self.done += done
        self.failed += failed
        self.empty += empty
        room = SHOWN_FAILURES - len(self.failures)
        self.failures += [printable(failure) for failure in islice(failures, room)]

    def failure_lines(self) -> list[str]:
        """Write the first failures for people, and how many more there are."""
        lines = [f"Not read: {failure}" for failure in self.failures]
        more = self.failed - len(self.failures)
        return [*lines, f"Not read: {more:,} more."] if more else lines

    def summary(self) -> str:
        """Write all counts and the speed for people."""
        kept = f", {self.kept:,} of them before" if self.kept else ""
        number = self.total - self.empty
        pictures = f"{number:,} picture{'s' * (number != 1)}{kept}"
        others = f", {self.empty:,} input{'s' * (self.empty != 1)} without pictures" if self.empty else ""
        return f"{pictures}, {self.failed - self.empty:,} could not be read{others}, {self.speed}"


Progress = Callable[[JobCounts], None]  # called first with nothing done, then after each picture or more


@dataclass
class PredictionJob:
    """Pictures to predict, and how.

    Attributes:
        inputs: as `inference.inputs.pictures` yields them
        bursts: as `inference.inputs.bursts` yields them, instead of `inputs`: each is predicted before the
            next is waited for
        attributes: whether rows have attributes as well as emotions
        coverage: of sets of emotions and of intervals; None for no sets, and intervals of 0.9
        min_confidence: probability below which rows name no first emotion
        counts: of what was done so far
    """

    predictor: Predictor
    inputs: Iterator[Input]
    batch_size: int = BATCH_SIZE
    attributes: bool = False
    coverage: float | None = None
    min_confidence: float | None = None
    counts: JobCounts = field(default_factory=JobCounts)
    bursts: Iterator[Iterable[Input]] | None = None

    @property
    def _requested(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in REQUESTS}

    def predictions(self, progress: Progress = lambda counts: None) -> Generator[Prediction, None, None]:
        """Predict the pictures in their order and count them."""
        self.counts.started = time.monotonic()
        progress(self.counts)
        for burst in self.bursts or (self.inputs,):
            answers = self.predictor.predict_files(burst, self.batch_size, **self._requested)
            with closing(answers):
                for prediction in answers:
                    yield prediction
                    self._count(prediction)
                    progress(self.counts)

    def alone(self) -> Prediction | None:
        """Predict and count the picture of a job that has one; None where it has more, none, or bursts.

        The answer is there sooner than by `predictions`, since no more is made ready than one picture needs.
        """
        if self.bursts is not None:
            return None
        first = list(islice(self.inputs, 2))
        if len(first) != 1:
            self.inputs = chain(first, self.inputs)
            return None
        self.counts.started = time.monotonic()
        prediction = self.predictor.predict_file(first[0], **self._requested)
        self._count(prediction)
        return prediction

    def _count(self, prediction: Prediction) -> None:
        error = prediction.error
        is_empty = isinstance(error, NoPictures)
        self.counts.add(1, int(error is not None), [] if error is None else [str(error)], int(is_empty))

    def write(
        self, file: Path, *, resume: bool = False, progress: Progress = lambda counts: None
    ) -> JobCounts:
        """Write a row for each picture to a file; the suffix is its format (`output.formats.FORMATS`).

        With `resume`, rows that an interrupted job wrote are kept. Raises `OutputError`, also for rows of
        another engine or precision.
        """
        card = self.predictor.card
        # The generator is closed at once after an interruption: files that were not begun are not decoded.
        engine = self.predictor.engine
        opened = self.open(file, resume=resume, by=(engine.name, engine.precision))
        with opened as writer, closing(self.predictions(progress)) as predictions:
            for prediction in predictions:
                writer.write(prediction.to_row(card))
        return self.counts

    def open(self, file: Path, *, resume: bool, by: "MadeBy" = (None, None)) -> "RowWriter":
        """Open the file of a job; leave what is left to predict among the inputs, and count what is kept.

        `by` are the engine and the precision that the rest will be predicted by, where they are known. Raises
        `OutputError`, also where others made what is there.
        """
        from affectlens.inference.output.writer import open_output

        writer, self.inputs, kept = open_output(
            file,
            self.predictor.card,
            self.inputs,
            resume=resume,
            batch_size=self.batch_size,
            schema=self.predictor.row_schema(**self._requested),
            by=by,
        )
        self.counts.kept, self.counts.failed, self.counts.kept_by = kept.rows, kept.failed, kept.by
        self.counts.empty = kept.empty
        return writer
