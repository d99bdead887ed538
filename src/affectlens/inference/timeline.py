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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import groupby, pairwise
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import EmotionDistribution, NoConversion, Vocabulary
from affectlens.errors import OutputError
from affectlens.inference.shots import Beginning, Boundary
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


# ------------------------------------------------------------------------------------------------ making


class Answer(NamedTuple):
    """What a model said of one frame: (E,) probabilities; `reused` where that of a frame that looks alike."""

    second: float
    frame: int | None
    emotions: tuple[float, ...]
    reused: bool = False


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How answers become curves and moments; see `film.FilmSettings`, which says what each setting means."""

    half_life: float = 0.5
    prominence: float = 0.1
    distance: float = 5.0
    shortest_mood: float = 2.0


MOODS = 20  # that are kept, the longest
Values = NDArray[np.float64]


def build(
    film: Film,
    vocabulary: Vocabulary,
    answers: Iterable[Answer],
    boundaries: Sequence[Boundary],
    reading: Reading,
    *,
    model: str,
    weights_hash: str = "",
    begin: float = 0.0,
    end: float | None = None,
    settings: Mapping[str, Any] | None = None,
    counts: Counts = Counts(),
    notes: Sequence[str] = (),
) -> Timeline:
    """Make a timeline of a model's answers and the places where shots begin.

    A shot of which nothing was judged is joined to the one before it. Raises `OutputError` where there is no
    answer at all.
    """
    ordered = sorted({answer.second: answer for answer in answers}.values())
    if not ordered:
        raise OutputError(f"Of {film.name} not one frame was judged: there is nothing to make a timeline of.")
    end = max(end or 0.0, ordered[-1].second)
    seconds = np.array([answer.second for answer in ordered])
    emotions = np.array([answer.emotions for answer in ordered], dtype=np.float64)
    starts = _with_answers(boundaries, seconds, begin)
    numbers = np.searchsorted([b.second for b in starts], seconds + 1e-9, side="right").clip(1)
    edges = [*(boundary.second for boundary in starts), end]
    weights = _weights(seconds, numbers, edges)
    smoothed = np.concatenate(
        [smooth(emotions[rows], seconds[rows], weights[rows], reading.half_life) for rows in _rows(numbers)]
    )
    samples = tuple(
        Sample(
            second=answer.second,
            frame=answer.frame,
            shot=int(number),
            emotions=answer.emotions,
            smoothed=_rounded(row),
            uncertainty=round(uncertainty(answer.emotions), DIGITS),
            reused=answer.reused,
        )
        for answer, number, row in zip(ordered, numbers, smoothed, strict=True)
    )
    shots = _shots(starts, edges, numbers, emotions, weights, seconds)
    lengths = np.array([shot.duration for shot in shots]) + 1e-9
    overall = np.average([shot.emotions for shot in shots], axis=0, weights=lengths)
    moments = [
        *sorted(
            peaks(smoothed, seconds, numbers, vocabulary, reading.prominence, reading.distance),
            key=lambda peak: -(peak.prominence or 0.0),
        ),
        *_moods_and_turns(smoothed, seconds, numbers, edges, vocabulary, reading.shortest_mood),
        *_examples(emotions, seconds, numbers, vocabulary),
    ]
    return Timeline(
        film=film,
        model=model,
        weights_hash=weights_hash,
        vocabulary=vocabulary,
        settings=dict(settings or {}),
        samples=samples,
        shots=shots,
        moments=tuple(moments),
        emotions=_rounded(overall),
        polarity=_polarity(samples, vocabulary),
        counts=counts,
        notes=tuple(notes),
    )


def shots_without_answers(
    boundaries: Sequence[Boundary], seconds: Sequence[float], begin: float, end: float
) -> list[float]:
    """Middles, in seconds, of the shots in which nothing was judged."""
    starts = [begin, *(b.second for b in boundaries if b.second > begin)]
    edges = np.array([*starts, end])
    counts = np.histogram(seconds, bins=edges)[0] if len(edges) > 1 and np.all(np.diff(edges) > 0) else [1]
    return [float(edges[i] + edges[i + 1]) / 2 for i, count in enumerate(counts) if not count]


def smooth(values: Values, seconds: Values, weights: Values, half_life: float) -> Values:
    """Smooth the answers of one shot both ways in time: (n, E) at (n,) seconds, weighted by (n,).

    A sample counts for another by its weight times 2 to the power of -(seconds between) / half_life: an
    exponential that looks ahead as far as back, so that a peak stays where it is. Rows that sum to 1 still
    do.
    """
    if half_life <= 0 or len(values) < 2:
        return values.copy()
    kept = 0.5 ** (np.diff(seconds) / half_life)  # of a sum, from one sample to the next
    weighted = np.concatenate([values * weights[:, None], weights[:, None]], axis=1)
    back, ahead = weighted.copy(), weighted.copy()
    for place in range(1, len(values)):
        back[place] += kept[place - 1] * back[place - 1]
        ahead[-place - 1] += kept[-place] * ahead[-place]
    sums = back + ahead - weighted
    result: Values = sums[:, :-1] / sums[:, -1:]
    return result


def uncertainty(emotions: Sequence[float]) -> float:
    """Entropy of (E,) probabilities by that of knowing nothing: 0 where sure, 1 where all are alike.

    >>> uncertainty((1.0, 0.0)), uncertainty((0.5, 0.5))
    (0.0, 1.0)
    """
    p = np.array([value for value in emotions if value > 0])
    return float(max(0.0, -(p * np.log(p)).sum() / np.log(max(2, len(emotions)))))


def error_of_mean(values: Values, weights: Values) -> Values:
    """Standard error of the weighted mean of a shot's (n, k) values: (k,). NaN of fewer than two.

    Frames that follow one another resemble one another, so that many of them say little more than a few: n is
    reduced by (1 - r) / (1 + r), r being their correlation with the next (Bayley and Hammersley, 1946),
    pooled over the k columns and bounded to 0..1.
    """
    if len(values) < 2:
        return np.full(values.shape[1], np.nan)
    share = weights / weights.sum()
    apart = values - share @ values
    effective = 1 / (share**2).sum()
    variance = (share[:, None] * apart**2).sum(axis=0) * effective / max(effective - 1, 1e-9)
    whole = (apart**2).sum()
    r = float((apart[1:] * apart[:-1]).sum() / whole) if whole > 0 else 0.0
    r = min(max(r, 0.0), 1 - 1e-9)
    independent = max(1.0, effective * (1 - r) / (1 + r))
    error: Values = np.sqrt(variance / independent)
    return error


def peaks(
    curves: Values,
    seconds: Values,
    shots: NDArray[np.int64],
    vocabulary: Vocabulary,
    prominence: float,
    distance: float,
) -> Iterator[Moment]:
    """Peaks of (S, E) curves, for each emotion the most prominent first.

    A peak's prominence is by how much it stands above the higher of the two valleys that part it from higher
    ground, or from the film's ends; there, the curve is taken to fall to its least value. Of two peaks that
    are less than `distance` seconds apart, the more prominent counts.
    """
    for place, word in enumerate(vocabulary.words):
        curve = curves[:, place]
        found = sorted(_prominences(curve), reverse=True)
        kept: list[int] = []
        for height, top in found:
            if height < prominence:
                break
            if all(abs(seconds[top] - seconds[other]) >= distance for other in kept):
                kept.append(top)
                first, last = _span(curve, top, curve[top] - height / 2)
                yield Moment(
                    kind="peak",
                    emotion=word,
                    second=float(seconds[top]),
                    value=round(float(curve[top]), DIGITS),
                    shot=int(shots[top]),
                    start=float(seconds[first]),
                    end=float(seconds[last]),
                    prominence=round(height, DIGITS),
                )


def _prominences(curve: Values) -> Iterator[tuple[float, int]]:
    """(prominence, place) of each local maximum; of a plateau, its first place."""
    least = float(curve.min())
    for top in range(len(curve)):
        value = curve[top]
        rises = top == 0 or curve[top - 1] < value
        after = top + 1
        while after < len(curve) and curve[after] == value:
            after += 1
        if not rises or (after < len(curve) and curve[after] > value):
            continue
        valleys = []
        for side in (curve[:top][::-1], curve[after:]):
            higher = np.flatnonzero(side > value)
            stretch = side[: higher[0]] if len(higher) else side
            valleys.append(float(stretch.min()) if len(higher) and len(stretch) else least)
        yield float(value - max(valleys)), top


def _span(curve: Values, top: int, level: float) -> tuple[int, int]:
    """First and last place around a peak that lie at a level or above."""
    below = np.flatnonzero(curve < level)
    before, after = below[below < top], below[below > top]
    return (int(before[-1]) + 1 if len(before) else 0), (int(after[0]) - 1 if len(after) else len(curve) - 1)


def _moods_and_turns(
    curves: Values,
    seconds: Values,
    shots: NDArray[np.int64],
    edges: Sequence[float],
    vocabulary: Vocabulary,
    shortest: float,
) -> Iterator[Moment]:
    """Stretches in which one emotion leads, the longest first, and the places where the lead changes."""
    borders = _borders(seconds, shots, edges)
    runs = _runs(curves, borders, shortest)
    moods, turns = [], []
    for number, (first, last, top) in enumerate(runs):
        part, word = curves[first:last], vocabulary.words[top]
        start, end = float(borders[first]), float(borders[last])
        strongest = first + int(part[:, top].argmax())
        moods.append(Moment(
            kind="mood", emotion=word, second=float(seconds[strongest]), shot=int(shots[strongest]),
            value=round(float(part[:, top].mean()), DIGITS), start=start, end=end,
        ))  # fmt: skip
        if number:
            old = runs[number - 1][2]
            turns.append(Moment(
                kind="turn", emotion=word, before=vocabulary.words[old], second=start, shot=int(shots[first]),
                value=round(float((part[:, top] - part[:, old]).mean()), DIGITS), start=start, end=end,
            ))  # fmt: skip
    yield from sorted(moods, key=lambda mood: -mood.duration)[:MOODS]
    yield from sorted(turns, key=lambda turn: -turn.value)


def _borders(seconds: Values, shots: NDArray[np.int64], edges: Sequence[float]) -> Values:
    """(S + 1,) seconds between samples, half-way or where a shot begins, and both ends of the film."""
    middles = (seconds[1:] + seconds[:-1]) / 2
    cut = shots[1:] != shots[:-1]
    middles[cut] = np.asarray(edges)[shots[1:][cut] - 1]
    return np.concatenate([[edges[0]], middles, [edges[-1]]])


def _runs(curves: Values, borders: Values, shortest: float) -> list[tuple[int, int, int]]:
    """(first, last + 1, emotion) of stretches with one leading emotion, none shorter than `shortest` seconds.

    The shortest is given to that neighbour whose emotion is stronger in it, until all are long enough.
    """
    leads = curves.argmax(axis=1)
    changes = (np.flatnonzero(np.diff(leads)) + 1).tolist()
    runs = [(first, last, int(leads[first])) for first, last in pairwise([0, *changes, len(leads)])]
    while len(runs) > 1:
        lengths = [borders[last] - borders[first] for first, last, _ in runs]
        least = int(np.argmin(lengths))
        if lengths[least] >= shortest:
            break
        first, last, _ = runs[least]
        sides = [side for side in (least - 1, least + 1) if 0 <= side < len(runs)]
        taker = max(sides, key=lambda side: float(curves[first:last, runs[side][2]].mean()))
        runs[least] = (first, last, runs[taker][2])
        runs = [
            (g[0][0], g[-1][1], top) for top, group in groupby(runs, lambda run: run[2]) if (g := list(group))
        ]
    return runs


def _examples(
    emotions: Values, seconds: Values, shots: NDArray[np.int64], vocabulary: Vocabulary
) -> Iterator[Moment]:
    """The most typical and the most extreme frame of each emotion."""
    tops = emotions.argmax(axis=1)
    typical, extreme = [], []
    for place, word in enumerate(vocabulary.words):
        chosen = np.flatnonzero(tops == place)
        most = int(emotions[:, place].argmax())
        extreme.append(_moment("extreme", word, most, emotions[most, place], seconds, shots))
        if len(chosen):
            near = hellinger(emotions[chosen], emotions[chosen].mean(axis=0))
            best = int(chosen[near.argmin()])
            typical.append(_moment("typical", word, best, emotions[best, place], seconds, shots))
    yield from sorted(typical, key=lambda moment: -moment.value)
    yield from sorted(extreme, key=lambda moment: -moment.value)


def _moment(
    kind: Kind, word: str, place: int, value: float, seconds: Values, shots: NDArray[np.int64]
) -> Moment:
    second = float(seconds[place])
    return Moment(
        kind=kind, emotion=word, second=second, start=second, end=second, shot=int(shots[place]),
        value=round(float(value), DIGITS),
    )  # fmt: skip


def hellinger(rows: Values, one: Values) -> Values:
    """Hellinger's distance of (n, E) distributions from one: (n,), in 0..1."""
    apart: Values = np.sqrt(((np.sqrt(rows) - np.sqrt(one)) ** 2).sum(axis=1) / 2)
    return apart


def _with_answers(boundaries: Sequence[Boundary], seconds: Values, begin: float) -> list[Boundary]:
    """The shots' beginnings, the film's first; without those in which nothing was judged."""
    starts = [Boundary(begin, "start"), *(b for b in sorted(boundaries) if b.second > begin)]
    ends = [*(b.second for b in starts[1:]), float("inf")]
    kept = [
        start
        for start, end in zip(starts, ends, strict=True)
        if start.begins == "start" or np.any((seconds >= start.second - 1e-9) & (seconds < end - 1e-9))
    ]
    if len(kept) > 1 and not np.any(seconds < kept[1].second - 1e-9):  # nothing in the first one
        kept = [kept[0], *kept[2:]]
    return kept


def _weights(seconds: Values, numbers: NDArray[np.int64], edges: Sequence[float]) -> Values:
    """Seconds that each sample stands for: what lies nearer to it than to others of its shot."""
    borders = _borders(seconds, numbers, edges)
    result: Values = np.maximum(np.diff(borders), 1e-6)
    return result


def _rows(numbers: NDArray[np.int64]) -> Iterator[slice]:
    """The samples of each shot in turn."""
    edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    for first, last in pairwise(edges):
        yield slice(first, last)


def _shots(
    starts: Sequence[Boundary],
    edges: Sequence[float],
    numbers: NDArray[np.int64],
    emotions: Values,
    weights: Values,
    seconds: Values,
) -> tuple[Shot, ...]:
    means, errors, rows = [], [], list(_rows(numbers))
    apart = []
    for row in rows:
        mean = np.average(emotions[row], axis=0, weights=weights[row])
        means.append(mean)
        errors.append(error_of_mean(emotions[row], weights[row]))
        apart.append(emotions[row] - mean)
    several = [part for part in apart if len(part) > 1]
    # Of a shot with one frame it is not known how its frames differ: as those of other shots do, or at most.
    usual = np.sqrt((np.concatenate(several) ** 2).mean(axis=0)) if several else None
    shots = []
    for place, (row, mean, error) in enumerate(zip(rows, means, errors, strict=True)):
        alone = np.sqrt(mean * (1 - mean)) if usual is None else usual
        shots.append(
            Shot(
                number=place + 1,
                start=float(edges[place]),
                end=float(edges[place + 1]),
                begins=starts[place].begins,
                transition=round(starts[place].transition, 3),
                emotions=_rounded(mean),
                error=_rounded(np.where(np.isnan(error), alone, error)),
                key_second=float(seconds[row][hellinger(emotions[row], mean).argmin()]),
                first=row.start,
                count=row.stop - row.start,
            )
        )
    return tuple(shots)


def _polarity(samples: Sequence[Sample], vocabulary: Vocabulary) -> tuple[float, ...] | None:
    try:
        found = [EmotionDistribution(vocabulary, s.smoothed).polarity.probabilities for s in samples]
    except NoConversion:
        return None
    return tuple(round(positive - negative, DIGITS) for positive, negative in found)


def _rounded(values: Values) -> tuple[float, ...]:
    return tuple(round(float(value), DIGITS) for value in values)
