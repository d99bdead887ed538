"""What a film evokes in a few sentences, and what the prediction does not cover."""

from itertools import islice
from pathlib import Path

from affectlens.emotions import EmotionDistribution, Vocabulary, polarity_score
from affectlens.film.events import WatchProgress
from affectlens.film.report.curves import left_out_kinds
from affectlens.film.timeline import Moment, Timeline
from affectlens.ratings import RatingScale
from affectlens.report.text import clock, duration, likeliest, listed, percent, printable_in_files, signed

ON_AVERAGE = (
    "This is what the pictures are likely to evoke in people on average, as one model predicts it frame by "
    "frame: not the sound, not the story, and not what any one person feels."
)
PHOTOGRAPHS = (
    "The model was trained on still photographs: it does not see movement, nor what came before a frame."
)
# A polarity closer to 0 is called neither positive nor negative.
_NEUTRAL = 0.1
# Seconds by which the end that a file states may differ from that of its last frame.
_SAME_END = 0.1


def film_name(timeline: Timeline) -> str:
    """Return the name of the film's file, printable."""
    return printable_in_files(Path(timeline.film.name).name or timeline.film.name)


def polarity_in_words(polarity: float) -> str:
    """Describe a polarity of -1..1.

    >>> polarity_in_words(0.43), polarity_in_words(-0.05)
    ('mostly positive (+0.43)', 'neither positive nor negative (\N{MINUS SIGN}0.05)')
    """
    if abs(polarity) < _NEUTRAL:
        tone = "neither positive nor negative"
    else:
        tone = "mostly positive" if polarity > 0 else "mostly negative"
    return f"{tone} ({signed(polarity)})"


def peak_in_words(peak: Moment) -> str:
    """Name a peak's emotion, its probability and its time: `fear 80 % at 0:09.5`."""
    return f"{peak.emotion} {percent(peak.value)} at {clock(peak.second, 1)}"


def part_of_film(timeline: Timeline) -> str | None:
    """Name the part of a film that was watched: `0:00\N{EN DASH}0:08 of the film`; None for all of it."""
    if not timeline.shots or timeline.film.duration is None:
        return None
    begin, end = timeline.shots[0].start, timeline.shots[-1].end
    if begin <= 0 and end >= timeline.film.duration - _SAME_END:
        return None
    digits = 0 if float(begin).is_integer() and float(end).is_integer() else 1
    return f"{clock(begin, digits)}\N{EN DASH}{clock(end, digits)} of the film"


def watched(timeline: Timeline) -> str:
    """Name what a timeline is of: `The whole film`, `0:00\N{EN DASH}0:08 of the film`, `What was watched`."""
    if timeline.film.duration is None:
        return "What was watched"
    return part_of_film(timeline) or "The whole film"


def summary(timeline: Timeline, shown: int = 5) -> list[str]:
    """Describe in a few sentences what a film evokes, and where to look first."""
    emotions = timeline.distribution(timeline.emotions)
    length = timeline.shots[-1].end - timeline.shots[0].start if timeline.shots else 0.0
    shots = len(timeline.shots)
    part = part_of_film(timeline)
    watched_length = f"{duration(length)} ({part})" if part else duration(length)
    lines = [
        f"{watched_length} in {shots:,} shot{'s' * (shots != 1)}, most likely to evoke "
        f"{likeliest(emotions.weights)}."
    ]
    polarity = polarity_score(emotions)
    if polarity is not None:
        lines.append(f"Overall {polarity_in_words(polarity)}.")
    if timeline.scales:
        lines.append(f"{ratings_in_words(timeline)}.")
    moods, peaks = timeline.of("mood"), timeline.of("peak")
    if len(moods) > 1:
        lines.append(f"Longest moods: {'; '.join(_mood(each) for each in islice(moods, shown))}.")
    if peaks:
        lines.append(f"Most prominent peaks: {'; '.join(peak_in_words(each) for each in peaks[:shown])}.")
    else:
        lines.append("No peaks: no emotion rises clearly above what comes before and after.")
    if timeline.film.live:
        lines.append(f"Watched live: {timeline.counts.dropped:,} frames were dropped.")
    return [*lines, *timeline.notes]


def ratings_in_words(timeline: Timeline) -> str:
    """Name a film's mean ratings, with half the interval of a single picture: a mean's own is not known."""
    rated = zip(timeline.scales, timeline.ratings, strict=True)
    if timeline.samples and all(sample.unusual is True for sample in timeline.samples):
        # The interval was measured on photographs alone.
        means = [f"{printable_in_files(s.name)} {value:.1f} ({s.low:g} to {s.high:g})" for s, value in rated]
        return f"Mean {listed(means)}: how far that is off is not known of unusual frames"
    means = [f"{printable_in_files(scale.name)} {value:.1f} ({_range(scale)})" for scale, value in rated]
    return f"Mean {listed(means)}: predictions for nine of ten photographs are off by no more than that"


def _range(scale: RatingScale) -> str:
    return f"{scale.low:g} to {scale.high:g}, \N{PLUS-MINUS SIGN}{scale.half_width():.1f}"


def left_out_in_words(timeline: Timeline) -> str:
    """Name the kinds of frames that are left out; "" where there are none."""
    are_unusual, are_faded = left_out_kinds(timeline)
    kinds = [
        *(["unusual frames, unlike the photographs that the model was made for, as title cards"]
          if are_unusual else []),
        *(["frames that a fade dims"] if are_faded else []),
    ]  # fmt: skip
    return "; ".join(kinds)


def live_line(progress: WatchProgress, vocabulary: Vocabulary) -> str:
    """Write the newest prediction for a live source on one line; there must be one."""
    assert progress.newest is not None
    emotions = EmotionDistribution(vocabulary, progress.newest)
    polarity = polarity_score(emotions)
    parts = [clock(progress.second, 1), likeliest(emotions.weights)]
    parts += [f"polarity {signed(polarity)}"] if polarity is not None else []
    parts += [f"{printable_in_files(name)} {value:.1f}" for name, value in progress.ratings.items()]
    parts += ["unusual"] if progress.unusual else []
    parts += [f"{progress.dropped:,} frames dropped"] if progress.dropped else []
    return "  ".join(parts)


def _mood(mood: Moment) -> str:
    return f"{mood.emotion} {clock(mood.start)}\N{EN DASH}{clock(mood.end)}"
