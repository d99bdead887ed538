"""A film in, its `Timeline` out; events on the way.

On disk, in the folder `out`:
    film.json         what is watched and how: film, its fingerprint, model, settings
    samples.jsonl     predictions as they come, a batch a line, appended
    state.json        the sampler's state, up to which all predictions are there; removed at the end
    timeline.json     the finished `Timeline`

A killed run continues from its state: it seeks a few seconds before it, and decodes up to it without
predicting. Batches that were predicted beyond the state are found in samples.jsonl, and are not predicted
again. Frames make up the same batches either way, so that the timeline comes out the same, bit by bit.

    settings.py       the request, and the events
    sampler.py        shots, and which frames are sampled
    predictions.py    predictions for them
    record.py         the files
    analysis/         the timeline made of both
"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np

from affectlens.errors import RunError, SettingsError, VideoDamaged
from affectlens.film.analysis.build import AnalysisSettings, FramePrediction, build
from affectlens.film.events import WatchEvent, WatchFinished, WatchProgress, WatchRequest, WatchStarted
from affectlens.film.predictions import predict_batches, predict_missing_shots
from affectlens.film.record import FilmRecord
from affectlens.film.sampler import FrameBatch, FrameSampler
from affectlens.film.settings import FilmSettings
from affectlens.film.shots import FadeSpan
from affectlens.film.timeline import Counts, Timeline
from affectlens.inference.engine import Engine
from affectlens.video import Film, Video, is_live, without_password

# Seconds of a live source without a prediction that are reported.
LIVE_GAP = 2.0


def watch(request: WatchRequest) -> Generator[WatchEvent, None, None]:
    """Watch a film; yield what happens. The first event is `WatchStarted`, the last `WatchFinished`.

    Stopping the iteration anywhere leaves what `resume` continues from; the timeline then comes out the same.
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
    if is_live(request.source):
        _warm_up(request.engine)
    with Video(
        request.source, threads=request.threads, keyframes=keyframes, hardware=request.hardware
    ) as video:
        _check_begin(settings, video.film, video.film.duration)
        engine = request.engine
        record = FilmRecord.open(request, video, engine)
        with closing(record):
            yield WatchStarted(
                film=video.film,
                device=engine.device,
                precision=engine.precision,
                resumed_at=record.watched_until,
            )
            timeline = record.finished
            if timeline is None:
                timeline = yield from _watch(request, video, engine, record)
        yield WatchFinished(timeline=timeline, folder=request.out)


def _watch(
    request: WatchRequest, video: Video, engine: Engine, record: FilmRecord
) -> Generator[WatchEvent, None, Timeline]:
    sampler = FrameSampler(request, video, engine, record.state)
    predictions = list(record.predictions)
    with closing(predict_batches(sampler, engine, record)) as batches:
        for batch, found in batches:
            predictions += found
            record.write(batch, found)
            # Of a live source each prediction is reported once: its last batch may hold none.
            if found or not video.live:
                yield _progress(sampler, batch, predictions, found)
    predictions += predict_missing_shots(sampler, engine, record, predictions)
    if not predictions:
        _check_begin(request.settings, video.film, sampler.video.decoded.end)
        if sampler.state.black:
            raise VideoDamaged(video.name, _all_black(request.settings))
    timeline = _timeline(request, engine, sampler, predictions)
    record.finish(timeline)
    return timeline


def _all_black(settings: FilmSettings) -> str:
    """Return what was looked at and why nothing is predicted."""
    frames = "keyframe" if settings.sampling == "keyframes" else "frame"
    part = "of it" if settings.begin is None and settings.end is None else "of the part that was watched"
    return f"every {frames} {part} is black: there is nothing to predict."


def _warm_up(engine: Engine) -> None:
    """Predict once, which may take seconds the first time: a live source would go on meanwhile."""
    preprocessing = engine.card.preprocessing
    engine.answer(np.zeros((1, preprocessing.height, preprocessing.width, 3), np.uint8))


def _check_begin(settings: FilmSettings, film: Film, end: float | None) -> None:
    """Raise `SettingsError` where a film ends before its watched part begins."""
    if settings.begin is not None and end is not None and settings.begin >= end:
        raise SettingsError(
            f"{film.name} ends at {end:.2f} s, before the second {settings.begin:g} from which it was to be "
            "watched. Choose an earlier begin."
        )


def _progress(
    sampler: FrameSampler,
    batch: FrameBatch,
    predictions: list[FramePrediction],
    found: list[FramePrediction],
) -> WatchProgress:
    state, begin, end = batch.state, sampler.begin, sampler.end
    share = None
    if end is not None and end > begin:
        share = min(1.0, (state.end - begin) / (end - begin))
    newest = predictions[-1] if predictions else None
    names = [scale.name for scale in sampler.request.engine.card.ratings]
    return WatchProgress(
        second=max(state.second, begin),
        share=share,
        decoded=state.frames,
        predicted=state.predicted,
        reused=state.reused,
        shots=len(state.boundaries) + 1,
        broken=state.broken,
        dropped=sampler.video.decoded.dropped,
        newest=newest.emotions if newest else None,
        ratings=dict(zip(names, newest.ratings, strict=True)) if newest else {},
        unusual=newest.unusual if newest else None,
        predictions=found,
    )


def _timeline(
    request: WatchRequest, engine: Engine, sampler: FrameSampler, predictions: list[FramePrediction]
) -> Timeline:
    settings, card = request.settings, engine.card
    film, counts = _film_as_seen(sampler), _counts(sampler)
    gaps = _gaps(sorted(each.second for each in predictions)) if film.live else []
    analysis = AnalysisSettings(
        half_life=settings.half_life,
        prominence=settings.prominence,
        distance=settings.distance,
        shortest_mood=settings.shortest_mood,
    )
    return build(
        film,
        card.vocabulary,
        predictions,
        sampler.state.boundaries,
        analysis,
        model=card.name,
        weights_hash=card.weights_hash,
        answers_hash=card.answers_hash if card.is_more_than_weights else "",
        scales=card.ratings,
        begin=sampler.begin,
        end=_end(sampler, film),
        settings=asdict(settings),
        gaps=gaps,
        counts=counts,
        notes=[
            *_notes(sampler, film, counts, gaps),
            *_left_out_notes(sampler.state.fades, predictions),
        ],
        fades=sampler.state.fades,
    )


def _end(sampler: FrameSampler, film: Film) -> float:
    """The second at which the last shot ends."""
    settings, end = sampler.settings, sampler.state.end
    # The last keyframe stands for all that follows it.
    if settings.sampling == "keyframes" and film.duration:
        end = max(end, film.duration)
    return end if settings.end is None else min(end, settings.end)


def _counts(sampler: FrameSampler) -> Counts:
    state = sampler.state
    return Counts(
        decoded=state.frames,
        predicted=state.predicted,
        reused=state.reused,
        broken=state.broken,
        undated=state.undated,
        dropped=sampler.video.decoded.dropped,
        black=state.black,
    )


def _film_as_seen(sampler: FrameSampler) -> Film:
    """The film as its file describes it, corrected by what was decoded."""
    film, state, settings = sampler.video.film, sampler.state, sampler.settings
    complete = settings.end is None and not sampler.ended_early and settings.sampling != "keyframes"
    duration = state.end if complete and not film.live else film.duration
    return replace(
        film,
        duration=duration,
        variable=not state.even,
        interlaced=state.interlaced,
        bars=sampler.bars if any(sampler.bars) else None,
    )


def _gaps(seconds: list[float]) -> list[tuple[float, float]]:
    """The long stretches of a live source without a prediction."""
    lengths = sorted(after - before for before, after in pairwise(seconds))
    usual = lengths[len(lengths) // 2] if lengths else 0.0
    long = max(LIVE_GAP, 4 * usual)
    return [(before, after) for before, after in pairwise(seconds) if after - before > long]


def _left_out_notes(fades: list[FadeSpan], predictions: list[FramePrediction]) -> list[str]:
    """What is left out of means, moods and peaks: unusual frames, and those that a fade dims."""
    unusual = [each.unusual is True for each in predictions]
    faded = [any(fade.holds(each.second) for fade in fades) for each in predictions]
    total = len(predictions)
    is_left = not all(one or other for one, other in zip(unusual, faded, strict=True))
    then = "left out of means, moods and peaks" if is_left else "counted, for there are no others"
    unlike = "unlike the photographs that the model was made for"
    notes = []
    if all(unusual):
        notes.append(f"All sampled frames are unusual, {unlike}: do not rely on what it predicts for them.")
    elif any(unusual):
        notes.append(f"Unusual frames, {unlike}: {sum(unusual):,} of {total:,} sampled. They are {then}.")
    if any(faded):
        notes.append(f"Frames that a fade dims: {sum(faded):,} of {total:,} sampled. They are {then}.")
    return notes


def _live_notes(counts: Counts, gaps: list[tuple[float, float]]) -> list[str]:
    notes = []
    if gaps:
        begin, end = max(gaps, key=lambda gap: gap[1] - gap[0])
        further = len(gaps) - 1
        also = f", nor in {further} shorter stretch{'es' if further > 1 else ''}" if further else ""
        notes.append(
            f"Live: from {begin:.1f} s to {end:.1f} s nothing was predicted{also}; what it showed is unknown."
        )
    if counts.dropped:
        notes.append(
            f"Live: {counts.dropped:,} frames came while others were processed, and were passed over."
        )
    return notes


def _notes(sampler: FrameSampler, film: Film, counts: Counts, gaps: list[tuple[float, float]]) -> list[str]:
    notes = []
    if film.hdr:
        notes.append(f"HDR ({film.hdr}): tone mapped to sRGB for a screen of 203 cd/m2 for the model.")
    if film.interlaced:
        notes.append("Interlaced: the model saw frames as stored, with both fields interwoven.")
    if film.variable:
        notes.append("Frames follow one another at uneven times; times are those of the frames.")
    if counts.broken:
        notes.append(
            f"Packets that could not be decoded: {counts.broken:,}. The model did not see what they showed."
        )
    if counts.undated:
        notes.append(
            f"Frames without a usable timestamp: {counts.undated:,}. They were dated by the frame rate."
        )
    if any(sampler.bars):
        notes.append(f"Black bars: {sampler.bars.in_words()}. The model saw what lies between them.")
    if counts.black:
        notes.append(f"Black frames: {counts.black:,}. They show nothing, and the model did not see them.")
    notes += _live_notes(counts, gaps)
    if sampler.settings.sampling == "keyframes":
        notes.append("Only keyframes were decoded: shots begin at one, and cuts between them are not found.")
    if sampler.ended_early:
        notes.append(sampler.ended_early)
    return notes
