"""What a film evokes, second by second and shot by shot: plain data, as JSON and back.

A `Timeline` holds what each moment of a film is likely to evoke in those who watch it, on average, predicted
from its pictures alone: not its sound, not its story, and nothing of any person's feelings.

    timeline.samples[i].emotions       the model's prediction for the frame at `second`
    timeline.samples[i].smoothed       the same, smoothed within its shot
    timeline.shots                     what each shot evokes, and how certain that is
    timeline.of("peak"), .of("turn")   where to look first

Seconds are the film's own, as a player shows them: true timestamps of frames, 0 where the film begins.

Letters: S samples, E emotions, in the order of the vocabulary's words, R ratings, in that of the scales.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from math import ceil, isfinite
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from affectlens.emotions import (
    VOCABULARIES,
    BadDistribution,
    EmotionDistribution,
    Vocabulary,
    is_known,
    to_plain,
    vocabulary_of_plain,
)
from affectlens.errors import OutputError, SettingsError
from affectlens.files import json_text, read_file
from affectlens.film.settings import FilmSettings
from affectlens.film.shots import Beginning
from affectlens.former_keys import FILM_COUNTS, current_keys
from affectlens.ratings import COVERAGE, BadRatings, Rating, RatingScale
from affectlens.video import MOST_SECONDS, Film

VERSION = 2
_MOST_FRAME_RATE = 1e9  # a nanosecond is the finest time base of files
DIGITS = 6  # of probabilities and ratings; times keep what their time base has
_ROUNDED = 1e-5  # by which rounding can carry a rating beyond the end of its scale
MomentKind = Literal["peak", "turn", "mood", "typical", "extreme"]
KINDS: tuple[MomentKind, ...] = get_args(MomentKind)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a film evokes at one moment.

    Attributes:
        second: timestamp of the frame
        frame: its number in the order shown, from 0; None where frames were passed over before it
        shot: number of its shot, from 1
        emotions: (E,) probabilities as the model returned them
        smoothed: (E,) the same, smoothed within the shot
        uncertainty: entropy of `emotions` divided by that of a uniform distribution, in 0..1
        reused: whether the prediction is that of a frame before, which looks the same
        ratings: (R,) as the model returned them, cut off at the ends of their scales
        smoothed_ratings: (R,) the same, smoothed within the shot
        unusual: whether the frame is unlike the pictures that the model was made for, as a title card; None
            where the model does not know
        faded: whether it is dimmed by a fade to or from nothing
    """

    second: float
    frame: int | None
    shot: int
    emotions: tuple[float, ...]
    smoothed: tuple[float, ...]
    uncertainty: float
    reused: bool = False
    ratings: tuple[float, ...] = ()
    smoothed_ratings: tuple[float, ...] = ()
    unusual: bool | None = None
    faded: bool = False

    @property
    def is_left_out(self) -> bool:
        """Whether it counts for nothing but itself: it is unusual, or faded."""
        return self.unusual is True or self.faded


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What a film evokes between two cuts.

    Attributes:
        number: from 1
        start, end: seconds; a shot ends where the next begins. A fade's middle, its darkest moment, separates
            two shots, and so does a dissolve's
        begins: how: the film's start, a cut, a fade or a dissolve
        transition: duration of the transition at its beginning in seconds; 0 for a cut
        emotions: (E,) mean of the samples' distributions, each weighted by the time that it stands for
        error: (E,) standard error of that mean, allowing for neighbours that resemble one another; for
            a shot with one sample, the typical distance of this film's samples from their shot's mean
        key_second: timestamp of the sample that is most like the shot's mean: the one to show
        first, count: its samples are `timeline.samples[first : first + count]`; count is at least 1
        ratings: (R,) mean of the samples' ratings, each weighted by the time that it stands for

    Samples that are left out do not count in a shot that has others (`film.analysis.build`).
    """

    number: int
    start: float
    end: float
    begins: Beginning
    transition: float = 0.0
    emotions: tuple[float, ...]
    error: tuple[float, ...]
    key_second: float
    first: int
    count: int
    ratings: tuple[float, ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end - self.start


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A moment or stretch of a film that is worth looking at.

    `kind` and what `emotion`, `second`, `start`, `end` and `value` mean with it:
        peak      the emotion is more likely than before and after: `second` of the greatest smoothed
                  probability `value`, which exceeds the valleys on both sides by `prominence` at least; it
                  lasts from `start` to `end`, at half of that prominence
        turn      the strongest emotion changes for a while, from `before` to `emotion`, at `second`; `value`
                  is by how much `emotion` leads `before` on average until the next turn
        mood      one emotion is the strongest from `start` to `end`; `value` is its mean probability
        typical   the sample that is most like what the film does with this emotion: nearest to the mean
                  of all samples that evoke it most; `value` is its probability there
        extreme   the sample with the greatest probability `value` of the emotion, unsmoothed
    `shot` is the number of the shot in which `second` lies.
    """

    kind: MomentKind
    emotion: str
    second: float
    value: float
    shot: int
    start: float
    end: float
    prominence: float | None = None
    before: str | None = None

    @property
    def duration(self) -> float:
        """Length in seconds; 0 for a single frame."""
        return self.end - self.start


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was done with the frames of a film.

    Attributes:
        decoded: frames that came out of the decoder and were checked for shots
        predicted: frames that went through the network
        reused: samples whose prediction is that of a frame that looks the same
        broken: packets that could not be decoded, which were passed over
        undated: frames without a timestamp, which got one from the frame rate
        dropped: frames of a live source that came while others were processed, and were passed over
        black: frames that show nothing, which the model does not see
    """

    decoded: int = 0
    predicted: int = 0
    reused: int = 0
    broken: int = 0
    undated: int = 0
    dropped: int = 0
    black: int = 0


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What a film evokes over its time.

    Attributes:
        film: what was watched
        model, weights_hash: name of the model, and SHA-256 of its weights file
        answers_hash: of all that decides what the model answers (`Card.answers_hash`), where that is more
            than its weights; "" of other models and of earlier timelines
        version: of the package; "" before 0.2
        vocabulary: the emotions, in the order of all tuples of E numbers
        settings: how it was watched, as plain data (`film.settings.FilmSettings`)
        samples: in the order of time
        shots: in the order of time, without gaps
        moments: of all kinds; of each kind the most important first, see `of`
        emotions: (E,) what the film evokes over all that was watched, each shot weighted by its length;
            unusual and faded frames are left out, unless there are no others
        ratings: (R,) the same for ratings
        scales: names and ranges of the ratings that the model predicts, and how wide the interval of a single
            picture is; empty of a model without ratings
        polarity: (S,) probability of a positive feeling minus that of a negative one, in -1..1, from the
            smoothed predictions; None where the emotions' words have no sign
        valence: (S,) what the model predicts, smoothed, on its scale, 1 to 9 for people's ratings. Of a model
            without this rating, the mean valence of its words, 1 to 9, from the smoothed predictions; None
            where they have none
        arousal: (S,) what the model predicts, smoothed; None of a model without this rating
        gaps: begin and end of stretches of a live source, in seconds, of which nothing was predicted
        counts: what was done with the frames
        notes: sentences for people: what is unusual about the film and what was done about it
    """

    film: Film
    model: str
    weights_hash: str = ""
    answers_hash: str = ""
    version: str = ""
    vocabulary: Vocabulary
    settings: Mapping[str, Any] = field(default_factory=dict)
    samples: tuple[Sample, ...]
    shots: tuple[Shot, ...]
    moments: tuple[Moment, ...] = ()
    emotions: tuple[float, ...]
    ratings: tuple[float, ...] = ()
    scales: tuple[RatingScale, ...] = ()
    polarity: tuple[float, ...] | None = None
    valence: tuple[float, ...] | None = None
    arousal: tuple[float, ...] | None = None
    gaps: tuple[tuple[float, float], ...] = ()
    counts: Counts = Counts()
    notes: tuple[str, ...] = ()

    def of(self, kind: MomentKind, emotion: str | None = None) -> tuple[Moment, ...]:
        """Moments of a kind, and of one emotion if given, the most important first.

        Importance is the prominence of a peak, the lead of a turn, the length of a mood, and the probability
        of what is typical or extreme. Raises `UnknownName` for a word that is not in the vocabulary.
        """
        word = None if emotion is None else self.vocabulary.word(emotion)
        return tuple(m for m in self.moments if m.kind == kind and word in (None, m.emotion))

    def distribution(self, probabilities: tuple[float, ...]) -> EmotionDistribution:
        """Name the E numbers of a sample or shot."""
        return EmotionDistribution(self.vocabulary, probabilities)

    def curve(self, emotion: str, *, smoothed: bool = True) -> tuple[float, ...]:
        """One emotion's probability at each sample: (S,). Raises `UnknownName`."""
        index = self.vocabulary.index(emotion)
        return tuple((s.smoothed if smoothed else s.emotions)[index] for s in self.samples)

    def samples_of(self, shot: Shot) -> tuple[Sample, ...]:
        """The samples that lie in a shot."""
        return self.samples[shot.first : shot.first + shot.count]

    def left_out_as(self, shot: Shot) -> Literal["unusual", "faded"] | None:
        """Return why what a shot evokes is not known: all of its samples are left out; else None.

        `faded` where a fade dims them all.
        """
        samples = self.samples_of(shot)
        if not all(sample.is_left_out for sample in samples):
            return None
        return "faded" if all(sample.faded for sample in samples) else "unusual"

    @property
    def rating_names(self) -> tuple[str, ...]:
        """Names of the ratings that the model predicts, as valence and arousal."""
        return tuple(scale.name for scale in self.scales)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data for `json.dump`; `from_json` returns the same timeline.

        What a model without ratings and without a score of unusual pictures lacks is left out.
        """
        apart = {"ratings", "scales", *([] if self.answers_hash else ["answers_hash"])}
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart}
        if self.scales:
            plain |= {"ratings": self.ratings, "scales": [scale.to_json() for scale in self.scales]}
        return {
            "affectlens_timeline": VERSION,
            **plain,
            "film": asdict(self.film),
            "vocabulary": to_plain(self.vocabulary),
            "settings": dict(self.settings),
            "samples": [_without_nothing(sample) for sample in self.samples],
            "shots": [_without_nothing(shot) for shot in self.shots],
            "moments": [asdict(moment) for moment in self.moments],
            "counts": asdict(self.counts),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Timeline":
        """Read what `to_json` returned, whether it went through a file or not; version 1 as well.

        Raises `OutputError` for anything else.
        """
        return _from_plain(plain)

    def to_text(self) -> str:
        """Return it as one JSON document."""
        return json_text(self.to_json(), separators=(",", ":")) + "\n"

    @classmethod
    def from_text(cls, text: str | bytes) -> "Timeline":
        """Read what `to_text` returned. Raises `OutputError` for anything else."""
        try:
            return _from_plain(_decoded(text))
        except (ValueError, RecursionError) as error:
            raise OutputError(f"This is not a timeline: it is not JSON ({error}).") from error

    @classmethod
    def read(cls, file: Path) -> "Timeline":
        """Read a `timeline.json`. Raises `OutputError`, with the file's name, where it holds no timeline."""
        try:
            return cls.from_text(read_file(file))
        except OSError as error:
            raise OutputError(f"{file} cannot be read: {error.strerror or error}.") from error
        except OutputError as error:
            raise OutputError(f"{file}: {error}") from error


def _without_nothing(part: Sample | Shot) -> dict[str, Any]:
    """Plain data of a sample or shot, without what is not there: of most models, and of most frames."""
    lacking = (("ratings", ()), ("smoothed_ratings", ()), ("unusual", None), ("faded", False))
    return {name: value for name, value in asdict(part).items() if (name, value) not in lacking}


def frame_interval(scale: RatingScale, value: float, *, unusual: bool = False) -> Rating:
    """Put the interval of a single picture around a rating; around a smoothed one or a mean as well.

    A smoothed value is not surer than that of a frame: what is wrong in one is wrong in its neighbours, which
    show the same. For an `unusual` frame it is the interval that misses half as often.
    """
    return scale.rating(value, scale.stricter(COVERAGE) if unusual else COVERAGE)


def up_to_milliseconds(seconds: float) -> float:
    """A time to go to in a film, in milliseconds, never before the frame that is meant.

    >>> up_to_milliseconds(1.2345), up_to_milliseconds(0.3)
    (1.235, 0.3)
    """
    return ceil(round(seconds * 1000, 4)) / 1000


def _decoded(text: str | bytes) -> Any:
    """Read JSON. Raises `ValueError` and `RecursionError`."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        # msgspec, which is several times faster, refuses the names of films that are not text.
        return json.loads(text, parse_constant=_no_number)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _from_plain(plain: Any) -> Timeline:
    if not isinstance(plain, Mapping):
        raise OutputError("This is not a timeline: expected a JSON object.")
    version = plain.get("affectlens_timeline")
    if type(version) is not int or version not in (1, VERSION):
        raise OutputError(
            f"This is not a timeline of version 1 or {VERSION} (affectlens_timeline is {version!r}). "
            "Expected what Timeline.to_json returned."
        )
    if version == 1 and isinstance(plain.get("counts"), Mapping):
        plain = {**plain, "counts": current_keys(plain["counts"], FILM_COUNTS)}
    try:
        words = _vocabulary(plain.get("vocabulary"))
        named = {"name": words.name, "words": words.words}
        timeline = replace(msgspec.convert({**plain, "vocabulary": named}, Timeline), vocabulary=words)
        msgspec.convert(dict(timeline.settings), FilmSettings)
        wrong = next(_contradictions(timeline), None)
    except (ValueError, BadDistribution, BadRatings, SettingsError, RecursionError) as error:
        raise OutputError(f"This timeline is incomplete or was altered: {error}") from error
    if wrong:
        raise OutputError(f"This timeline is incomplete or was altered: {wrong}.")
    return timeline


def _vocabulary(stored: Any) -> Vocabulary:
    """Read what `emotions.to_plain` returned. Raises `ValueError` and `BadVocabulary`."""
    plain = msgspec.convert(stored, dict[str, Any])
    if str(plain.get("name")) not in VOCABULARIES and not plain.keys() <= {"name", "words"}:
        return vocabulary_of_plain(plain)
    named = msgspec.convert({key: plain.get(key) for key in ("name", "words")}, Vocabulary)
    return VOCABULARIES[named.name] if is_known(named) else named


def _contradictions(timeline: Timeline) -> Iterator[str]:
    """What in a timeline disagrees with the rest of it. Raises `BadDistribution`."""
    yield from _wrong_samples(timeline)
    yield from _wrong_shots(timeline)
    yield from _wrong_ratings(timeline)
    for moment in timeline.moments:
        words = timeline.vocabulary.words
        known = moment.emotion in words and moment.before in (None, *words)
        if not known or not 1 <= moment.shot <= len(timeline.shots):
            yield f"a {moment.kind} is of an emotion or a shot that it does not have"
    yield from _impossible_numbers(timeline)


def _wrong_samples(timeline: Timeline) -> Iterator[str]:
    EmotionDistribution(timeline.vocabulary, timeline.emotions)
    for sample in timeline.samples:
        EmotionDistribution(timeline.vocabulary, sample.emotions)
        EmotionDistribution(timeline.vocabulary, sample.smoothed)
        if not 1 <= sample.shot <= len(timeline.shots):
            yield f"a sample lies in shot {sample.shot} of {len(timeline.shots)}"
    if any(one.second > other.second for one, other in pairwise(timeline.samples)):
        yield "its samples are not in the order of time"
    for name in ("polarity", "valence", "arousal"):
        curve = getattr(timeline, name)
        if curve is not None and len(curve) != len(timeline.samples):
            yield f"{name} has {len(curve)} values for {len(timeline.samples)} samples"


def _wrong_ratings(timeline: Timeline) -> Iterator[str]:
    names = timeline.rating_names
    if len(set(names)) != len(names):
        yield "two of its ratings have one name"
    rows = [timeline.ratings, *(shot.ratings for shot in timeline.shots)]
    for sample in timeline.samples:
        rows += [sample.ratings, sample.smoothed_ratings]
    for row in rows:
        if len(row) != len(names):
            yield f"ratings in it are {len(row)} numbers, and it has {len(names)} scales"
            return
        if not all(
            s.low - _ROUNDED <= value <= s.high + _ROUNDED
            for s, value in zip(timeline.scales, row, strict=True)
        ):
            yield "a rating in it lies outside its scale"
            return


def _wrong_shots(timeline: Timeline) -> Iterator[str]:
    after = 0
    for number, shot in enumerate(timeline.shots, start=1):
        EmotionDistribution(timeline.vocabulary, shot.emotions)
        if (shot.number, shot.first) != (number, after) or shot.count < 1:
            yield f"shot {number} does not hold the samples that follow those of the shot before"
        if len(shot.error) != len(timeline.vocabulary) or not shot.start <= shot.end + 1e-6:
            yield f"the numbers of shot {number} cannot be"
        after += shot.count
    if after != len(timeline.samples):
        yield f"its shots hold {after} samples of {len(timeline.samples)}"


def _impossible_numbers(timeline: Timeline) -> Iterator[str]:
    """Times and sizes that no film has; JSON from elsewhere may hold them."""
    film = timeline.film
    times = [
        *(sample.second for sample in timeline.samples),
        *(second for shot in timeline.shots for second in (shot.start, shot.end, shot.key_second)),
        *(second for moment in timeline.moments for second in (moment.second, moment.start, moment.end)),
        *(second for gap in timeline.gaps for second in gap),
        film.duration or 0.0,
    ]
    if any(begin >= end for begin, end in timeline.gaps):
        yield "a gap in it ends before it begins"
    if any(not isfinite(time) for time in times) or not 0 <= (film.frame_rate or 0.0) <= _MOST_FRAME_RATE:
        yield "a time or a frame rate in it cannot be"
    if max(map(abs, times)) > MOST_SECONDS:
        yield f"a time in it lies beyond {MOST_SECONDS / 3600:,.0f} hours, which no film has"
    if min(film.width, film.height) < 1:
        yield "a size in it cannot be"
