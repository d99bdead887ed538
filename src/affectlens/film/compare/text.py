"""How two films compare, in sentences and as a table of plain text."""

from collections.abc import Iterator

from affectlens.film.compare.match import Comparison
from affectlens.film.timeline import Timeline
from affectlens.model_folder import WEIGHTS_ID_DIGITS
from affectlens.report.text import duration, listed, padded, percent, signed, terminal_columns

# Two means that differ by less are called the same.
_SAME_MEAN = 0.005


def summary(found: Comparison) -> list[str]:
    """Describe in sentences how the films were aligned, and how far they differ."""
    return [
        f"The first has {_length(found.one)}, the second {_length(found.other)}.",
        _alignment(found),
        _largest_difference(found),
        f"Mean total variation distance over {'shots in both' if found.alignment == 'shots' else 'time'}: "
        f"{percent(found.mean_distance)}.",
        *_ratings(found),
        *_left_out(found),
        _models(found),
    ]


def _ratings(found: Comparison) -> list[str]:
    """Write how far ratings differ, moment by moment; nothing for films without."""
    known = [each for each in found.ratings if each.distance is not None]
    apart = listed([f"{each.name} {each.distance:.1f}" for each in known])
    return [f"Mean absolute difference over the same: {apart}."] if known else []


def _left_out(found: Comparison) -> list[str]:
    """State which part of the time is not compared, and of which film all is what a model does not know."""
    lines = []
    if found.compared < 1:
        lines.append(
            "Unusual frames and frames that a fade dims are left out: of the time, "
            f"{percent(found.compared)} is compared."
        )
    for which, each in (("first", found.one), ("second", found.other)):
        if all(sample.is_left_out for sample in each.samples):
            lines.append(
                f"All sampled frames of the {which} are unusual or faded: do not rely on what differs."
            )
    return lines


def _models(found: Comparison) -> str:
    """Name what predicted the films: of two models, differences may be theirs."""
    answers = found.one.answers_hash, found.other.answers_hash
    differ = "" not in answers and answers[0] != answers[1]
    are_same_weights = found.one.weights_hash == found.other.weights_hash
    by_answers = differ and are_same_weights
    first, second = (_model(each, by_answers) for each in (found.one, found.other))
    if are_same_weights and first == second:
        return f"Both are predicted by {first}."
    return (
        f"The first is predicted by {first}, the second by {second}: what differs may be of these, not of "
        "the films. Watch both with one."
    )


def _model(timeline: Timeline, by_answers: bool) -> str:
    """Name a model, and of two with the same weights what else decides its answers."""
    weights = timeline.weights_hash[:WEIGHTS_ID_DIGITS] or "not known"
    if by_answers:
        weights += f", with temperature, sets and ratings {timeline.answers_hash[:WEIGHTS_ID_DIGITS]}"
    version = f"AffectLens {timeline.version}" if timeline.version else "AffectLens before 0.2"
    return f"the model {timeline.model} (weights {weights}, {version})"


def _length(timeline: Timeline) -> str:
    """Write how long a film is: `30 s in 4 shots`."""
    seconds, shots = timeline.shots[-1].end - timeline.shots[0].start, len(timeline.shots)
    return f"{duration(seconds)} in {shots:,} shot{'s' * (shots != 1)}"


def _alignment(found: Comparison) -> str:
    if found.alignment == "time":
        return "Compared by relative position: the first tenth with the first tenth, and so on."
    return (
        f"Taken for two cuts of one film and compared shot by shot: {len(found.pairs):,} shots are in both, "
        f"{len(found.only_one):,} only in the first, {len(found.only_other):,} only in the second."
    )


def _largest_difference(found: Comparison) -> str:
    word, first, second = max(found.means, key=lambda row: abs(row[2] - row[1]))
    if abs(second - first) < _SAME_MEAN:
        return "Overall both evoke the same, to within half a percentage point."
    more = "more" if second > first else "less"
    return f"Overall the second evokes {more} {word}: {percent(second)} compared with {percent(first)}."


def means_table(found: Comparison) -> Iterator[str]:
    """Yield a line for each emotion, polarity and ratings where known: both means, and their difference."""
    width = max(map(terminal_columns, (*found.one.vocabulary.words, *(each.name for each in found.ratings))))
    for word, first, second in found.means:
        yield f"{padded(word, width)} {first:>6.1%} {second:>6.1%}  {signed(100 * (second - first), 1):>6}"
    first_polarity, second_polarity = found.polarities
    if first_polarity is not None and second_polarity is not None:
        difference = signed(second_polarity - first_polarity)
        both = f"{signed(first_polarity):>6} {signed(second_polarity):>6}"
        yield f"{padded('polarity', width)} {both}  {difference:>6}"
    for each in found.ratings:
        means = f"{each.one:>6.1f} {each.other:>6.1f}"
        yield f"{padded(each.name, width)} {means}  {signed(each.other - each.one, 1):>6}"
