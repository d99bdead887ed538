"""Timelines made on the spot, for tests of what is drawn and written of films."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from affectlens.emotions import MIKELS, Vocabulary
from affectlens.film.timeline import Counts, Moment, Sample, Shot, Timeline
from affectlens.video import Film

# Seconds and the emotion that leads, shot by shot.
SCRIPT = (
    (4.0, "awe"),
    (3.0, "awe"),
    (5.0, "fear"),
    (2.5, "sadness"),
    (6.0, "contentment"),
    (1.5, "amusement"),
)


# Each shot evokes something of its own, as shots of a film do.
CUT_SCRIPT = tuple((2.0 + number % 3, MIKELS.words[number % 8]) for number in range(8))


def film_of(duration: float, **changes: Any) -> Film:
    given = {"name": "films/night train.mp4", "duration": duration, "width": 640, "height": 360,
             "frame_rate": 25.0, "codec": "h264"}  # fmt: skip
    return Film(**{**given, **changes})


def led_by(emotion: str, lead: float, vocabulary: Vocabulary = MIKELS) -> tuple[float, ...]:
    """Probabilities of which one is `lead` and the others are alike."""
    rest = (1 - lead) / (len(vocabulary) - 1)
    return tuple(lead if word == emotion else rest for word in vocabulary.words)


def timeline_of(
    script: Sequence[tuple[float, str]] = SCRIPT,
    *,
    every: float = 0.5,
    vocabulary: Vocabulary = MIKELS,
    film: Film | None = None,
    **changes: Any,
) -> Timeline:
    """A timeline in which every shot has a lead that swells to 0.8 at its middle and ebbs to 0.4."""
    samples: list[Sample] = []
    shots: list[Shot] = []
    start = 0.0
    for number, (length, emotion) in enumerate(script, start=1):
        first = len(samples)
        for index in range(max(1, math.ceil(length / every - 1e-9))):
            second = start + index * every
            lead = 0.4 + 0.4 * math.sin(math.pi * (second - start) / length)
            answer = led_by(emotion, lead, vocabulary)
            samples.append(
                Sample(second=second, frame=round(second * 25), shot=number, emotions=answer, smoothed=answer,
                       uncertainty=1 - lead)
            )  # fmt: skip
        shots.append(
            Shot(number=number, start=start, end=start + length, begins="cut" if start else "start",
                 emotions=led_by(emotion, 0.65, vocabulary), error=tuple(0.02 for _ in vocabulary.words),
                 key_second=samples[(first + len(samples)) // 2].second, first=first,
                 count=len(samples) - first)
        )  # fmt: skip
        start += length
    total = tuple(
        math.fsum(shot.duration * shot.emotions[index] for shot in shots) / start
        for index in range(len(vocabulary))
    )
    signed = {word: 1 if word in ("amusement", "awe", "contentment", "excitement", "positive") else -1
              for word in vocabulary.words}  # fmt: skip
    given: dict[str, Any] = {
        "film": film or film_of(start),
        "model": "tiny",
        "vocabulary": vocabulary,
        "settings": {"sampling": "time", "every": every},
        "samples": tuple(samples),
        "shots": tuple(shots),
        "moments": moments_of(shots, script),
        "emotions": total,
        "polarity": tuple(
            math.fsum(signed[word] * p for word, p in zip(vocabulary.words, s.smoothed, strict=True))
            for s in samples
        ),
        "counts": Counts(decoded=round(start * 25), predicted=len(samples)),
    }
    return Timeline(**{**given, **changes})


def moments_of(shots: Sequence[Shot], script: Sequence[tuple[float, str]]) -> tuple[Moment, ...]:
    """A peak in each shot, a turn at each change, a mood for each stretch of one emotion, and frames."""
    found = [
        Moment(kind="peak", emotion=emotion, second=shot.key_second, value=0.8, shot=shot.number,
               start=shot.start, end=shot.end, prominence=0.3)
        for shot, (_, emotion) in zip(shots, script, strict=True)
    ]  # fmt: skip
    stretches: list[list[Any]] = []
    for shot, (_, emotion) in zip(shots, script, strict=True):
        if stretches and stretches[-1][0] == emotion:
            stretches[-1][2] = shot.end
        else:
            stretches.append([emotion, shot.start, shot.end, shot.number])
    for (before, *_), (emotion, start, _, number) in pairwise(stretches):
        found.append(Moment(kind="turn", emotion=emotion, second=start, value=0.4, shot=number, start=start,
                            end=start, before=before))  # fmt: skip
    for emotion, start, end, number in sorted(stretches, key=lambda s: s[1] - s[2]):
        found.append(Moment(kind="mood", emotion=emotion, second=start, value=0.6, shot=number, start=start,
                            end=end))  # fmt: skip
    seen = set()
    for shot, (_, emotion) in zip(shots, script, strict=True):
        if emotion not in seen:
            seen.add(emotion)
            here: dict[str, Any] = {"emotion": emotion, "second": shot.key_second, "shot": shot.number,
                                    "start": shot.key_second, "end": shot.key_second}  # fmt: skip
            found += [Moment(kind="typical", value=0.7, **here), Moment(kind="extreme", value=0.8, **here)]
    return tuple(found)


def shortened(timeline: Timeline, *numbers: int) -> Timeline:
    """Another cut: some shots taken out, and the rest moved together."""
    samples: list[Sample] = []
    shots: list[Shot] = []
    start = 0.0
    for number, shot in enumerate((shot for shot in timeline.shots if shot.number not in numbers), start=1):
        first, moved = len(samples), start - shot.start
        samples += [replace(s, second=s.second + moved, shot=number) for s in timeline.samples_of(shot)]
        shots.append(replace(shot, number=number, start=start, end=start + shot.duration, first=first,
                             key_second=shot.key_second + moved))  # fmt: skip
        start += shot.duration
    polarity = (0.0,) * len(samples)
    return replace(timeline, samples=tuple(samples), shots=tuple(shots), moments=(), polarity=polarity)
