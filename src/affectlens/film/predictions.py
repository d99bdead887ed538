"""Predictions for the sampled frames of a film, while the next ones are decoded.

Letters: B frames of a batch, E emotions, R ratings.
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, suppress
from typing import NamedTuple

import numpy as np

from affectlens.data.prefetch import read_ahead
from affectlens.errors import VideoDamaged
from affectlens.film.analysis.build import FramePrediction, shots_without_samples
from affectlens.film.record import FilmRecord
from affectlens.film.sampler import FrameBatch, FrameSampler, is_black
from affectlens.film.shots import COLUMNS, ROWS
from affectlens.film.timeline import DIGITS
from affectlens.images import Pixels, resize
from affectlens.inference.engine import Engine
from affectlens.inference.unusual import UsualPictures
from affectlens.video import frames_at


class FrameAnswer(NamedTuple):
    """What a model answers for one frame: as a `FramePrediction` holds it."""

    emotions: tuple[float, ...]
    ratings: tuple[float, ...]
    unusual: bool | None


class FramePredictor:
    """Predicts frames that are fitted to the network, with all that the model's card promises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._scales = engine.card.ratings
        self._usual = UsualPictures.from_tensors(engine.heads) if engine.card.unusual else None

    def __call__(self, pixels: list[Pixels]) -> list[FrameAnswer]:
        """Predict frames, uint8 (H, W, 3) each; there is one at least."""
        answers = self._engine.answer(np.stack(pixels))
        emotions = [_rounded(row) for row in answers.probabilities.tolist()]
        ratings: list[tuple[float, ...]] = [()] * len(pixels)
        if answers.ratings is not None:
            ends = np.array([(scale.low, scale.high) for scale in self._scales]).T
            ratings = [_rounded(row) for row in answers.ratings.astype(np.float64).clip(*ends).tolist()]
        unusual: list[bool | None] = [None] * len(pixels)
        if self._usual is not None and answers.embedding is not None:
            unusual = list(self._usual.is_unusual(answers.embedding).tolist())
        return [FrameAnswer(*each) for each in zip(emotions, ratings, unusual, strict=True)]


def predict_batches(
    sampler: FrameSampler, engine: Engine, record: FilmRecord
) -> Generator[tuple[FrameBatch, list[FramePrediction]], None, None]:
    """Predict batches in order, while the next ones are decoded."""
    last = _answer_of(record.predictions[-1]) if record.predictions else None
    frame_predictor = FramePredictor(engine)

    def predict(batch: FrameBatch) -> tuple[FrameBatch, list[FrameAnswer]]:
        known = record.known.get(batch.number)
        if known is not None and [each.second for each in known] == batch.seconds:
            return batch, [_answer_of(p) for p, x in zip(known, batch.pixels, strict=True) if x is not None]
        fresh = batch.fresh
        return batch, frame_predictor(fresh) if fresh else []

    with ExitStack() as closed:
        batches = closed.enter_context(closing(sampler.batches()))
        results: Iterator[tuple[FrameBatch, list[FrameAnswer]]]
        # A live frame is predicted at once, not after the next one.
        if sampler.video.live:
            results = map(predict, batches)
        else:
            ahead = closed.enter_context(closing(read_ahead(batches)))
            results = closed.enter_context(closing(engine.map(predict, ahead)))
        for batch, rows in results:
            left = iter(rows)
            predictions = []
            for second, frame, pixels in zip(batch.seconds, batch.frames, batch.pixels, strict=True):
                last = last if pixels is None else next(left)
                assert last is not None, "the model sees the first sample"
                predictions.append(_prediction(second, frame, last, reused=pixels is None))
            yield batch, predictions


def _rounded(row: list[float]) -> tuple[float, ...]:
    return tuple(round(value, DIGITS) for value in row)


def _answer_of(known: FramePrediction) -> FrameAnswer:
    return FrameAnswer(known.emotions, known.ratings, known.unusual)


def _prediction(
    second: float, frame: int | None, answer: FrameAnswer, *, reused: bool = False
) -> FramePrediction:
    return FramePrediction(second, frame, answer.emotions, reused, answer.ratings, answer.unusual)


def predict_missing_shots(
    sampler: FrameSampler, engine: Engine, record: FilmRecord, predictions: list[FramePrediction]
) -> list[FramePrediction]:
    """Predict the middle of each shot without a sample: short ones between two dissolves."""
    if sampler.video.live or sampler.settings.sampling == "keyframes" or not predictions:
        return []
    state = sampler.state
    seconds = [each.second for each in predictions]
    middles = shots_without_samples(state.boundaries, seconds, sampler.begin, state.end)
    middles = [middle for middle in middles if middle not in record.late]
    found, frame_predictor = list(record.late.values()), FramePredictor(engine)
    # A shot of which no frame can be decoded, or whose middle is black, is joined to the one before it.
    with suppress(VideoDamaged):
        frames = frames_at(sampler.request.source, middles, sampler.preprocessing.at_least)
        for middle, (second, pixels) in zip(middles, frames, strict=False):
            if is_black(resize(pixels, ROWS, COLUMNS)):
                continue
            prediction = _prediction(second, None, frame_predictor([sampler.fitted(pixels)])[0])
            record.write_late(middle, prediction)
            found.append(prediction)
    state.predicted += len(found)
    return found
