"""Predictions for the sampled frames of a film, while the next ones are decoded."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, suppress

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
from affectlens.video import frames_at

ProbabilityRows = list[tuple[float, ...]]  # (E,) probabilities each


def predict_batches(
    sampler: FrameSampler, engine: Engine, record: FilmRecord
) -> Generator[tuple[FrameBatch, list[FramePrediction]], None, None]:
    """Predict batches in order, while the next ones are decoded."""
    last = record.predictions[-1].emotions if record.predictions else None

    def predict(batch: FrameBatch) -> tuple[FrameBatch, ProbabilityRows]:
        known = record.known.get(batch.number)
        if known is not None and [each.second for each in known] == batch.seconds:
            return batch, [p.emotions for p, x in zip(known, batch.pixels, strict=True) if x is not None]
        fresh = batch.fresh
        return batch, _probabilities(engine, fresh) if fresh else []

    with ExitStack() as closed:
        batches = closed.enter_context(closing(sampler.batches()))
        results: Iterator[tuple[FrameBatch, ProbabilityRows]]
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
                predictions.append(FramePrediction(second, frame, last, pixels is None))
            yield batch, predictions


def _probabilities(engine: Engine, pixels: list[Pixels]) -> ProbabilityRows:
    rows = engine(np.stack(pixels)).tolist()
    return [tuple(round(value, DIGITS) for value in row) for row in rows]


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
    found = list(record.late.values())
    # A shot of which no frame can be decoded, or whose middle is black, is joined to the one before it.
    with suppress(VideoDamaged):
        frames = frames_at(sampler.request.source, middles, sampler.preprocessing.at_least)
        for middle, (second, pixels) in zip(middles, frames, strict=False):
            if is_black(resize(pixels, ROWS, COLUMNS)):
                continue
            rows = _probabilities(engine, [sampler.fitted(pixels)])
            prediction = FramePrediction(second, None, rows[0])
            record.write_late(middle, prediction)
            found.append(prediction)
    state.predicted += len(found)
    return found
