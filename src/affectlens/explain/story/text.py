"""Three plain sentences about a picture, made from measurements, and only what these support.

What the picture evokes on average, as the model predicts; which region that comes from; what in its
appearance does it. The last two report only effects beyond noise (`effects.PictureEffects.noise`), of a
region also beyond what others of its area do, and where there is none, just that. A heat map is another
measurement, which may differ: `disagreement` has a sentence for that.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from affectlens.explain.core.question import AnyQuestion, Question, RatingQuestion, polarities
from affectlens.explain.story.effects import SAME_AREA, SHIFT, PerturbationEffect, PictureEffects, RegionShare
from affectlens.report.text import listed, percent, with_minus

NEARLY = 2 / 3  # of the strongest effect: of the regions that come so near, the smallest is named
CLEARLY = 0.1  # of a region's share of a map, in proportion to its area: less is neither for nor against


def story(found: PictureEffects) -> list[str]:
    """Describe in three sentences what a picture evokes, where that comes from, and what in it does it."""
    return [_what(found), _where(found), _how(found)]


def subject(question: AnyQuestion) -> str:
    """Name what a question is about in a sentence: `fear`, `a positive feeling`, `valence`."""
    return question.name if isinstance(question, RatingQuestion) else feeling(question, question.favour)


def rated(question: RatingQuestion, answer: float) -> str:
    """Write a rating with its scale: `valence 4.8 of 1 to 9`."""
    return f"{question.name} {points(question.shown(answer))} of {question.range}"


def points(number: float) -> str:
    """Write a rating, or a part of one, to a tenth, with a true minus.

    >>> points(4.8312)
    '4.8'
    """
    return with_minus(f"{number:.1f}")


def feeling(question: Question, words: tuple[str, ...]) -> str:
    """Name one side of a question in a sentence: `fear`, `a positive feeling`."""
    if len(words) == 1:
        return words[0]
    sides = {inside: side for side, inside in polarities(question.vocabulary).items()}
    return f"a {sides[words]} feeling" if words in sides else " or ".join(words)


def _what(found: PictureEffects) -> str:
    """State what the picture evokes, and where the question's emotion stands among the others."""
    question, emotions = found.question, found.emotions
    if isinstance(question, RatingQuestion):
        return f"On average people are predicted to give this picture {rated(question, found.answer)}."
    (first, most), (second, less) = emotions.ranked[:2]
    most_likely = f"most likely to evoke {first} ({percent(most)})"
    likely = percent(math.fsum(emotions[word] for word in question.favour))
    favoured = feeling(question, question.favour)
    if is_contrast(question):
        other = feeling(question, question.against)
        compared = percent(math.fsum(emotions[word] for word in question.against))
        return (
            f"On average this picture is {most_likely}; {favoured} ({likely}) is {_times(found.answer)} as "
            f"likely as {other} ({compared})."
        )
    if question.favour == (first,):
        return f"On average this picture is {most_likely}, then {second} ({percent(less)})."
    return f"On average this picture is {most_likely}; {favoured} has {likely}."


def disagreement(found: PictureEffects, parts_of_map: Sequence[RegionShare]) -> str:
    """Name the regions of the story of which a heat map shows the opposite; "" where there is none.

    `parts_of_map` are its regions, by `effects.divide_by_region`. A map that nowhere speaks against the
    answer, as those of some methods, cannot show the opposite of a region that does.
    """
    if not any(share.against for share in parts_of_map):
        parts_of_map = [replace(share, net=0.0) for share in parts_of_map]
    net = {share.region: share.net / share.area for share in parts_of_map}
    opposite = [
        region
        for region in _named(found)
        if region is not None and net.get(region.name, 0.0) * math.copysign(1, region.effect) > CLEARLY
    ]
    if not opposite:
        return ""
    favoured = subject(found.question)
    upwards, downwards = _verbs(found.question)
    parts = [
        f"{region.name} {downwards if region.effect < 0 else upwards} {favoured} in it, and "
        f"{upwards.split()[-1] if region.effect < 0 else downwards.split()[-1]} it when measured by blurring"
        for region in opposite
    ]
    return f"The map disagrees: {'; '.join(parts)}. Rely on neither there."


def _where(found: PictureEffects) -> str:
    """State which region carries the answer and which speaks against it."""
    carries, opposes = _named(found)
    favoured = subject(found.question)
    is_rating = isinstance(found.question, RatingQuestion)
    downwards = _verbs(found.question)[1]
    none = f"No single region {'raises' if is_rating else 'carries'} {favoured}"
    if carries is None and opposes is None:
        strong = found.beyond_noise("region")
        why = _LIKE_OTHERS if strong else f"blurring any of them {_LESS_THAN_NOISE}"
        return f"{none}{' or lowers it' if is_rating else ''}: {why}."
    if carries is None:
        begin = none
    else:
        moves = _moves(found, carries)
        most = f"raises {favoured} most" if is_rating else f"speaks most for {favoured}"
        begin = f"What {most} is {carries.name}: with that blurred, it {moves}"
    if opposes is None:
        return f"{begin}."
    return f"{begin}; {opposes.name} {downwards} it: with that blurred, it {_moves(found, opposes)}."


def _named(found: PictureEffects) -> tuple[PerturbationEffect | None, PerturbationEffect | None]:
    """Return the region that carries the answer, and the one that speaks against it, where there is one."""
    regions = [region for region in found.beyond_noise("region") if found.exceeds_control(region)]
    return (
        _most_precise([region for region in regions if region.effect < 0]),
        _most_precise([region for region in regions if region.effect > 0]),
    )


def _most_precise(regions: list[PerturbationEffect]) -> PerturbationEffect | None:
    """Of regions with nearly the strongest effect the smallest, which shows best where.

    Of several of its size it is the strongest. Thirds of 224 pixels have 75, 74 and 75: they are of one size,
    as they are in `PictureEffects.control`.
    """
    if not regions:
        return None
    strongest = max(abs(region.effect) for region in regions)
    near = [region for region in regions if abs(region.effect) >= NEARLY * strongest]
    smallest = min(region.area for region in near)
    alike = [region for region in near if region.area - smallest < SAME_AREA]
    return max(alike, key=lambda region: abs(region.effect))


def _how(found: PictureEffects) -> str:
    """State which of colour, detail and brightness matter."""
    strong = found.beyond_noise("appearance")
    weak = [each.name for each in found.perturbations if each.kind == "appearance" and each not in strong]
    if not strong:
        return f"Changing its colours, its fine detail or its brightness {_LESS_THAN_NOISE}."
    favoured = subject(found.question)
    moves = listed(_without_repeats([f"{_moves(found, each)} {each.name}" for each in strong]))
    hardly = f"; it hardly moves {listed(weak, 'or')}" if weak else ""
    return f"{favoured[0].upper()}{favoured[1:]} {moves}{hardly}."


_LIKE_OTHERS = "blurring others of the same size moves the answer as much"
_LESS_THAN_NOISE = f"moves the answer no more than cutting {percent(SHIFT)} off its sides does"


def _moves(found: PictureEffects, change: PerturbationEffect) -> str:
    """State to what a perturbation moves the answer: a verb and what follows it."""
    after = found.answer + change.effect
    if isinstance(found.question, RatingQuestion):
        way = "rises" if change.effect > 0 else "falls"
        return f"{way} by {points(abs(change.effect))} to {points(found.question.shown(after))}"
    if is_contrast(found.question):
        against = feeling(found.question, found.question.against)
        return f"becomes {_times(after)} as likely as {against}"
    verb = "rises" if change.effect > 0 else "falls"
    was, now = (percent(1 / (1 + math.exp(-odds))) for odds in (found.answer, after))
    if was == now:  # near the ends, where odds show more than percents
        return f"{verb} {math.exp(abs(change.effect)):.2g}-fold in its odds"
    return f"{verb} to {now}"


def is_contrast(question: Question) -> bool:
    """Whether a question compares some emotions with some others, and not with all others."""
    return len(question.favour) + len(question.against) < len(question.vocabulary)


def _verbs(question: AnyQuestion) -> tuple[str, str]:
    """What a region does that speaks for an answer, and one that speaks against it."""
    return ("raises", "lowers") if isinstance(question, RatingQuestion) else ("speaks for", "speaks against")


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
