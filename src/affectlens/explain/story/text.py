"""Three plain sentences about a picture, made from measurements, and only what these support.

What the picture evokes, as the model says; which place that comes from; what in its look does it. The last
two tell effects beyond noise alone (`influences.Influences.noise`), and where there is none, just that.
"""

import math
from collections.abc import Sequence

from affectlens.explain.core.question import Question, polarities
from affectlens.explain.story.influences import SHIFT, Change, Influences
from affectlens.report.text import percent

NEARLY = 2 / 3  # of the strongest effect: of the places that come so near, the smallest is told


def story(found: Influences) -> list[str]:
    """Tell in three sentences what a picture evokes, where that comes from, and what in its look does it."""
    return [_what(found), _where(found), _how(found)]


def feeling(question: Question, words: tuple[str, ...]) -> str:
    """Name one side of a question in a sentence: `fear`, `a positive feeling`."""
    sides = {tuple(inside): side for side, inside in polarities(question.vocabulary).items()}
    return f"a {sides[words]} feeling" if words in sides else " or ".join(words)


def _what(found: Influences) -> str:
    """Say what the picture evokes, and where the question's emotion stands among the others."""
    question, emotions = found.question, found.emotions
    (first, most), (second, less) = emotions.ranked[:2]
    most_likely = f"most likely to evoke {first} ({percent(most)})"
    likely = percent(math.fsum(emotions[word] for word in question.favour))
    asked = feeling(question, question.favour)
    if is_contrast(question):
        other = feeling(question, question.against)
        compared = percent(math.fsum(emotions[word] for word in question.against))
        return (
            f"On average this picture is {most_likely}; {asked} ({likely}) is {_times(found.log_odds)} as "
            f"likely as {other} ({compared})."
        )
    if question.favour == (first,):
        return f"On average this picture is {most_likely}, then {second} ({percent(less)})."
    return f"On average this picture is {most_likely}; {asked} has {likely}."


def _where(found: Influences) -> str:
    """Say which place carries the answer and which speaks against it."""
    told = found.told("place")
    carries = _most_precise([change for change in told if change.effect < 0])
    opposes = _most_precise([change for change in told if change.effect > 0])
    asked = feeling(found.question, found.question.favour)
    if carries is None and opposes is None:
        return f"No single place carries {asked}: blurring any of them {_LESS_THAN_NOISE}."
    if carries is None:
        said = f"No single place carries {asked}"
    else:
        said = (
            f"What speaks most for {asked} is {carries.name}: with that blurred, it {_moves(found, carries)}"
        )
    if opposes is None:
        return f"{said}."
    return f"{said}; {opposes.name} speaks against it: with that blurred, it {_moves(found, opposes)}."


def _most_precise(changes: list[Change]) -> Change | None:
    """Of places with nearly the strongest effect the smallest, which says best where."""
    if not changes:
        return None
    strongest = max(abs(change.effect) for change in changes)
    near = [change for change in changes if abs(change.effect) >= NEARLY * strongest]
    return min(near, key=lambda change: (round(change.area, 2), -abs(change.effect)))


def _how(found: Influences) -> str:
    """Say what of colour, detail and brightness matters."""
    told = found.told("look")
    rest = [change.name for change in found.changes if change.kind == "look" and change not in told]
    if not told:
        return f"Changing its colours, its fine detail or its brightness {_LESS_THAN_NOISE}."
    asked = feeling(found.question, found.question.favour)
    said = _listed(_without_repeats([f"{_moves(found, change)} {change.name}" for change in told]), "and")
    hardly = f"; it hardly moves {_listed(rest, 'or')}" if rest else ""
    return f"{asked[0].upper()}{asked[1:]} {said}{hardly}."


_LESS_THAN_NOISE = f"moves the answer no more than cutting {percent(SHIFT)} off its sides does"


def _moves(found: Influences, change: Change) -> str:
    """Say to what a change moves the answer: a verb and what follows it."""
    after = found.log_odds + change.effect
    if is_contrast(found.question):
        against = feeling(found.question, found.question.against)
        return f"becomes {_times(after)} as likely as {against}"
    verb = "rises" if change.effect > 0 else "falls"
    was, now = (percent(1 / (1 + math.exp(-odds))) for odds in (found.log_odds, after))
    if was == now:  # near the ends, where odds say more than percents
        return f"{verb} {math.exp(abs(change.effect)):.2g}-fold in its odds"
    return f"{verb} to {now}"


def is_contrast(question: Question) -> bool:
    """Whether a question asks about some emotions rather than some others, and not than all others."""
    return len(question.favour) + len(question.against) < len(question.vocabulary)


def _times(log_odds: float) -> str:
    """Odds in words: so many times, of "as likely"."""
    odds = math.exp(log_odds)
    if 0.95 < odds < 1.05:
        return "just"
    if odds >= 1000:
        return "over 1,000 times"
    if odds < 0.01:
        return "less than 0.01 times"
    return f"{odds:,.0f} times" if odds >= 10 else f"{odds:.2g} times"


def _without_repeats(phrases: Sequence[str]) -> list[str]:
    """Leave out a verb where the phrase before has it: falls to 2 % ..., to 4 % ..., rises to 9 % ..."""
    verbs = [phrase.split()[0] for phrase in phrases]
    return [
        phrase
        if number == 0 or verbs[number] != verbs[number - 1]
        else phrase.removeprefix(f"{verbs[number]} ")
        for number, phrase in enumerate(phrases)
    ]


def _listed(names: Sequence[str], last: str) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"
