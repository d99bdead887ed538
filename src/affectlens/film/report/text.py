"""What is said of a film in words: times, emotions, a summary, and what all of it does not mean."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice

from affectlens.emotions import POLARITY, EmotionDistribution, NoConversion, Vocabulary
from affectlens.film.timeline import Moment, Timeline
from affectlens.report.text import clock, duration, percent, signed

ON_AVERAGE = (
    "This is what the pictures are likely to evoke in people on average, as one model judges them, frame by "
    "frame: not the sound, not the story, and not what any person feels."
)
PHOTOGRAPHS = (
    "The model learned from still photographs: it does not see movement, nor what came before a frame."
)
SHOWN_EMOTIONS = 3
_EVEN = 0.1  # polarity within this of 0 is called neither


@lru_cache(maxsize=32)
def signs(vocabulary: Vocabulary) -> Mapping[str, int]:
    """For each word 1 where it is a positive feeling, -1 where a negative one, 0 where nobody says.

    >>> from affectlens.emotions import EKMAN
    >>> dict(signs(EKMAN))["joy"], dict(signs(EKMAN))["surprise"]
    (1, 0)
    """
    found = {}
    for word in vocabulary.words:
        try:
            found[word] = 1 if vocabulary.only(word).polarity.top == POLARITY.words[0] else -1
        except NoConversion:
            found[word] = 0
    return found


def from_top_to_bottom(vocabulary: Vocabulary) -> list[str]:
    """The words as they are stacked and listed: positive ones above, negative ones below."""
    sign = signs(vocabulary)
    return sorted(vocabulary.words, key=lambda word: -sign[word])


def polarity_of(vocabulary: Vocabulary, probabilities: Sequence[float]) -> float | None:
    """Probability of a positive less that of a negative feeling, in -1..1; None where words do not say."""
    try:
        weights = EmotionDistribution(vocabulary, tuple(probabilities)).polarity.weights
    except NoConversion:
        return None
    return weights["positive"] - weights["negative"]


def says(vocabulary: Vocabulary, probabilities: Sequence[float], shown: int = SHOWN_EMOTIONS) -> str:
    """Name the likeliest emotions with their probabilities: `fear 62 %, sadness 17 %`."""
    ranked = EmotionDistribution(vocabulary, tuple(probabilities)).ranked
    return ", ".join(f"{word} {percent(value)}" for word, value in ranked[:shown])


def toned(polarity: float | None) -> str:
    """Say a polarity: `mostly positive (+0.43)`; nothing where there is none.

    >>> toned(0.43), toned(-0.05)
    ('mostly positive (+0.43)', 'neither positive nor negative (\N{MINUS SIGN}0.05)')
    """
    if polarity is None:
        return ""
    tone = "neither positive nor negative" if abs(polarity) < _EVEN else (
        "mostly positive" if polarity > 0 else "mostly negative")  # fmt: skip
    return f"{tone} ({signed(polarity)})"


def summary(timeline: Timeline, shown: int = 5) -> list[str]:
    """Say in a few sentences what a film evokes, and where to look first."""
    film = timeline.film
    length = timeline.shots[-1].end - timeline.shots[0].start if timeline.shots else 0.0
    shots = len(timeline.shots)
    lines = [
        f"{duration(length)} in {shots:,} shot{'s' * (shots != 1)}, most likely to evoke "
        f"{says(timeline.vocabulary, timeline.emotions)}.",
    ]
    overall = toned(polarity_of(timeline.vocabulary, timeline.emotions))
    if overall:
        lines.append(f"On the whole {overall}.")
    if len(timeline.of("mood")) > 1:
        moods = "; ".join(_mood(each) for each in islice(timeline.of("mood"), shown))
        lines.append(f"Longest moods: {moods}.")
    if timeline.of("peak"):
        peaks = "; ".join(_peak(each) for each in islice(timeline.of("peak"), shown))
        lines.append(f"Peaks that stand out most: {peaks}.")
    else:
        lines.append("No emotion stands out for a while: there are no peaks.")
    if film.live:
        lines.append(f"Watched live: {timeline.counts.dropped:,} frames were passed over.")
    return [*lines, *timeline.notes]


def _mood(mood: Moment) -> str:
    return f"{mood.emotion} {clock(mood.start)}\N{EN DASH}{clock(mood.end)}"


def _peak(peak: Moment) -> str:
    return f"{peak.emotion} {percent(peak.value)} at {clock(peak.second, 1)}"
