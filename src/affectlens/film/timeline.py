"""What a film evokes, second by second and shot by shot: plain data, as JSON and back.

A `Timeline` says what each moment of a film is likely to evoke in those who watch it, on average, judged by
its pictures alone: not its sound, not its story, and nothing of any person's feelings.

    timeline.samples[i].emotions       what the model said of the frame at `second`
    timeline.samples[i].smoothed       the same, smoothed within its shot
    timeline.shots                     what each shot evokes, and how sure that is
    timeline.of("peak"), .of("turn")   where to look first

Seconds are the film's own, as a player shows them: true timestamps of frames, 0 where the film begins.

Letters: S samples, E emotions, in the order of the vocabulary's words.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from affectlens.emotions import EmotionDistribution, Vocabulary
from affectlens.errors import OutputError
from affectlens.film.shots import Beginning
from affectlens.video import Film as Film  # a part of a timeline, and named with it

VERSION = 1
DIGITS = 6  # of probabilities; times keep what their time base has
Kind = Literal["peak", "turn", "mood", "typical", "extreme"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a film evokes at one moment.

    Attributes:
        second: timestamp of the frame
        frame: its number in the order shown, from 0; None where frames were passed over before it
        shot: number of its shot, from 1
        emotions: (E,) probabilities as the model gave them
        smoothed: (E,) the same, smoothed within the shot
        uncertainty: entropy of `emotions` by that of knowing nothing, in 0..1
        reused: whether the answer is that of a frame before, which looks the same
    """

    second: float
    frame: int | None
    shot: int
    emotions: tuple[float, ...]
    smoothed: tuple[float, ...]
    uncertainty: float
    reused: bool = False


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What a film evokes between two cuts.

    Attributes:
        number: from 1
        start, end: seconds; a shot ends where the next begins. A fade's middle, its darkest moment, parts two
            shots, and so does a dissolve's
        begins: how: the film's start, a cut, a fade or a dissolve
        transition: seconds that the transition at its beginning takes; 0 of a cut
        emotions: (E,) mean of the samples' distributions, each weighted by the time that it stands for
        error: (E,) standard error of that mean, allowing for neighbours that resemble one another; of
            a shot with one sample, what a typical sample of this film departs from its shot's mean
        key_second: timestamp of the judged frame that is most like the shot's mean: the one to show
        first, count: its samples are `timeline.samples[first : first + count]`; count is at least 1
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

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.end - self.start


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A place in a film that is worth looking at.

    `kind` and what `emotion`, `second`, `start`, `end` and `value` mean with it:
        peak      the emotion stands out: `second` of the greatest smoothed probability `value`, which exceeds
                  the valleys on both sides by `prominence` at least; it lasts from `start` to `end`, at half
                  of that prominence
        turn      the strongest emotion changes for a while, from `before` to `emotion`, at `second`; `value`
                  is by how much `emotion` leads `before` on average until the next turn
        mood      one emotion is the strongest from `start` to `end`; `value` is its mean probability
        typical   the judged frame that is most like what the film does with this emotion: nearest to the mean
                  of all frames that evoke it most; `value` is its probability there
        extreme   the judged frame with the greatest probability `value` of the emotion, unsmoothed
    `shot` is the number of the shot in which `second` lies.
    """

    kind: Kind
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
        """Length in seconds; 0 of a single frame."""
        return self.end - self.start


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was done with the frames of a film.

    Attributes:
        decoded: frames that came out of the decoder and were looked at for shots
        judged: frames that went through the network
        reused: samples whose answer is that of a frame that looks the same
        broken: packets that could not be decoded, which were passed over
        undated: frames without a timestamp, which got one by the frame rate
        dropped: frames of a live source that came while others were at work, and were passed over
    """

    decoded: int = 0
    judged: int = 0
    reused: int = 0
    broken: int = 0
    undated: int = 0
    dropped: int = 0


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What a film evokes over its time.

    Attributes:
        film: what was watched
        model, weights_hash: name of the model, and SHA-256 of its weights file
        vocabulary: the emotions, in the order of all tuples of E numbers
        settings: how it was watched, as plain data (`film.FilmSettings`)
        samples: in the order of time
        shots: in the order of time, without gaps
        moments: of all kinds; of each kind the weightiest first, see `of`
        emotions: (E,) what the film evokes over its whole time, each shot weighted by its length
        polarity: (S,) probability of a positive less that of a negative feeling, in -1..1, from the
            smoothed answers; None where the emotions' words do not say
        valence, arousal: (S,) smoothed, where the model answers them; else None
        counts: what was done with the frames
        notes: sentences for people: what is unusual about the film and what was done about it
    """

    film: Film
    model: str
    weights_hash: str = ""
    vocabulary: Vocabulary
    settings: Mapping[str, Any] = field(default_factory=dict)
    samples: tuple[Sample, ...]
    shots: tuple[Shot, ...]
    moments: tuple[Moment, ...] = ()
    emotions: tuple[float, ...]
    polarity: tuple[float, ...] | None = None
    valence: tuple[float, ...] | None = None
    arousal: tuple[float, ...] | None = None
    counts: Counts = Counts()
    notes: tuple[str, ...] = ()

    def of(self, kind: Kind, emotion: str | None = None) -> tuple[Moment, ...]:
        """Moments of a kind, and of one emotion if asked for, the weightiest first.

        Weight is the prominence of a peak, the lead of a turn, the length of a mood, and the probability of
        what is typical or extreme. Raises `UnknownName` for a word that is no emotion of the vocabulary.
        """
        word = None if emotion is None else self.vocabulary.word(emotion)
        return tuple(m for m in self.moments if m.kind == kind and word in (None, m.emotion))

    def distribution(self, probabilities: tuple[float, ...]) -> EmotionDistribution:
        """Name the E numbers of a sample or shot."""
        return EmotionDistribution(self.vocabulary, probabilities)

    def curve(self, emotion: str, *, smoothed: bool = True) -> tuple[float, ...]:
        """One emotion's probability at each sample: (S,). Raises `UnknownName`."""
        place = self.vocabulary.index(emotion)
        return tuple((s.smoothed if smoothed else s.emotions)[place] for s in self.samples)

    def samples_of(self, shot: Shot) -> tuple[Sample, ...]:
        """The samples that lie in a shot."""
        return self.samples[shot.first : shot.first + shot.count]

    def to_json(self) -> dict[str, Any]:
        """Write it as plain data for `json.dump`; `from_json` gives the same timeline back."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            "affectlens_timeline": VERSION,
            **plain,
            "film": asdict(self.film),
            "vocabulary": {"name": self.vocabulary.name, "words": list(self.vocabulary.words)},
            "settings": dict(self.settings),
            "samples": [asdict(sample) for sample in self.samples],
            "shots": [asdict(shot) for shot in self.shots],
            "moments": [asdict(moment) for moment in self.moments],
            "counts": asdict(self.counts),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Timeline":
        """Read what `to_json` wrote, whether it went through a file or not.

        Raises `OutputError` for anything else, or another version.
        """
        if plain.get("affectlens_timeline") != VERSION:
            raise OutputError(
                f"This is no timeline of version {VERSION} (affectlens_timeline is "
                f"{plain.get('affectlens_timeline')!r}). Expected what Timeline.to_json wrote."
            )
        try:
            values = {f.name: plain[f.name] for f in fields(cls)}
            vocabulary = Vocabulary(values["vocabulary"]["name"], tuple(values["vocabulary"]["words"]))
            return cls(
                **{
                    **values,
                    "film": Film(**values["film"]),
                    "vocabulary": vocabulary,
                    "samples": tuple(Sample(**_tuples(sample)) for sample in values["samples"]),
                    "shots": tuple(Shot(**_tuples(shot)) for shot in values["shots"]),
                    "moments": tuple(Moment(**moment) for moment in values["moments"]),
                    "emotions": tuple(values["emotions"]),
                    "counts": Counts(**values["counts"]),
                    "notes": tuple(values["notes"]),
                    **{
                        name: None if values[name] is None else tuple(values[name])
                        for name in ("polarity", "valence", "arousal")
                    },
                }
            )
        except (KeyError, TypeError) as error:
            raise OutputError(f"This timeline is incomplete or was altered: {error!r}.") from error

    def to_text(self) -> str:
        """Write it as one JSON document."""
        return json.dumps(self.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n"

    @classmethod
    def from_text(cls, text: str) -> "Timeline":
        """Read what `to_text` wrote. Raises `OutputError` for anything else."""
        try:
            plain = json.loads(text)
        except ValueError as error:
            raise OutputError(f"This is no timeline: it is no JSON ({error}).") from error
        if not isinstance(plain, dict):
            raise OutputError("This is no timeline: expected a JSON object.")
        return cls.from_json(plain)


def _tuples(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
