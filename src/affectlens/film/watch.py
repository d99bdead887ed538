"""A film in, its `Timeline` out; events on the way.

On disk, in the folder `out`:
    film.json         what is watched and how: film, its fingerprint, model, settings
    samples.jsonl     answers as they come, a batch a line, appended
    place.json        up to where that is all there is, and what is needed to go on from there
    timeline.json     the finished `Timeline`

A killed run goes on at its place: the film is sought a few seconds before it, and decoded up to it without
being judged. Batches that were judged beyond the place are found in samples.jsonl, and are not judged again.
Frames make up the same batches either way, so that the timeline comes out the same, bit by bit.

film_settings.py    what is asked, and the events
film_looking.py     shots, and which frames are judged
film_judging.py     judging them
film_record.py      the files
"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, replace

from affectlens.errors import RunError, SettingsError
from affectlens.film.analysis.build import Answer, Reading, build
from affectlens.film.predictions import judge_missing, judged
from affectlens.film.record import Record
from affectlens.film.sampler import Batch, Looking
from affectlens.film.settings import Event as Event
from affectlens.film.settings import FilmSettings as FilmSettings
from affectlens.film.settings import Finished as Finished
from affectlens.film.settings import Progress as Progress
from affectlens.film.settings import Request as Request
from affectlens.film.settings import Started as Started
from affectlens.film.timeline import Counts, Film, Timeline
from affectlens.inference.engine import Engine
from affectlens.video import Video, is_live, without_password


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
        record = Record.open(request, video, engine)
        with closing(record):
            resumed_at = record.place.second if request.resume else None
            precision = str(engine.precision).removeprefix("torch.")
            yield Started(
                film=video.film, device=str(engine.device), precision=precision, resumed_at=resumed_at
            )
            if record.finished is not None:
                yield Finished(timeline=record.finished, folder=request.out)
                return
            looking = Looking(request, video, engine, record.place)
            answers = list(record.answers)
            with closing(judged(looking, engine, record)) as batches:
                for batch, rows in batches:
                    answers += rows
                    record.write(batch, rows)
                    yield _progress(looking, batch, answers)
            answers += judge_missing(looking, engine, record, answers)
            timeline = _timeline(request, engine, looking, answers)
            record.finish(timeline)
        yield Finished(timeline=timeline, folder=request.out)


def _progress(looking: Looking, batch: Batch, answers: list[Answer]) -> Progress:
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


def _timeline(request: Request, engine: Engine, looking: Looking, answers: list[Answer]) -> Timeline:
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


def _film_as_seen(looking: Looking) -> Film:
    """What the file says of itself, put right by what was seen."""
    film, place = looking.video.film, looking.place
    whole = (
        looking.settings.end is None and not looking.ended_early and looking.settings.sampling != "keyframes"
    )
    duration = place.end if whole and not film.live else film.duration
    return replace(film, duration=duration, variable=not place.even, interlaced=place.interlaced)


def _notes(looking: Looking, film: Film, counts: Counts) -> list[str]:
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
