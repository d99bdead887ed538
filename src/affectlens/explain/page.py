"""An explanation as one page of HTML that holds all it shows: it can be mailed, and opens without a network.

The picture with each map laid on it (a slider fades between the two), what it evokes as bars and as a wheel,
the story, what moves the answer, and how it all was made. Laid out for telephones and for desks; every image
has an alternative text. Here are the values; `report/templates/explain.html` is the page.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectlens.emotions import MIKELS, EmotionDistribution
from affectlens.explain.colour_scale import scale_of
from affectlens.explain.core.heatmap import Heatmap
from affectlens.explain.core.question import AnyQuestion, RatingQuestion
from affectlens.explain.figures import displayed, draw_plane, laid_on
from affectlens.explain.story.effects import SHIFT, PerturbationEffect, PictureEffects
from affectlens.explain.story.text import points
from affectlens.explain.text import (
    baseline,
    doubts,
    ends_of,
    how_made,
    reading,
    title,
    unusual_in_words,
    why,
)
from affectlens.images import Pixels
from affectlens.inference.attribute_evidence import evidence_lines
from affectlens.inference.text import ratings_text
from affectlens.ratings import COVERAGE
from affectlens.report import html, wheel
from affectlens.report.circumplex import NoCircumplex
from affectlens.report.emotion_colours import colours_of
from affectlens.report.figures import jpeg_url, themed_urls
from affectlens.report.heatmaps import AGAINST, FOR, ColourScale
from affectlens.report.text import ON_AVERAGE, headline, likeliest, percent, printable_in_files

if TYPE_CHECKING:
    from affectlens.explain.explainer import Explanation
    from affectlens.explain.story.contributions import Contributions

LONGEST = 1100  # pixels of the picture's longer side: sharp on a telephone and on a desk
QUALITY = 86  # of JPEG
_LEAST_SCALE = 3.0  # log-odds of the longest bar, unless some number on the page is larger
_LEAST_POINTS = 1.0  # so of a rating of 1 to 9

TemplateValues = dict[str, Any]


def write_page(file: Path, explanation: "Explanation") -> None:
    """Write the page of one picture. Raises `OutputError`."""
    html.save_page(file, render_page(explanation))


def render_page(explanation: "Explanation") -> str:
    """Make the page of one picture as text."""
    return html.render("explain.html", _values(explanation))


def _values(explanation: "Explanation") -> TemplateValues:
    heatmaps = explanation.heatmaps
    emotions = heatmaps[0].emotions
    pixels = displayed(explanation, LONGEST)
    scale = scale_of(heatmaps)
    name = printable_in_files(Path(explanation.image).name)
    return {
        "name": name,
        "why": why(heatmaps[0]),
        "headline": headline(emotions.weights),
        "top": emotions.top,
        "likeliest": likeliest(emotions.weights),
        "evidence": evidence_lines(explanation.attributes or {}),
        "on_average": ON_AVERAGE,
        "unusual": unusual_in_words(explanation),
        "colours": {"for": _channels(FOR), "against": _channels(AGAINST)},
        "picture": jpeg_url(pixels, QUALITY),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "scale": {"number": f"{scale.full or 1:.2g}", "unit": scale.unit},
        "sections": [_section(explanation, index, pixels, scale) for index in range(len(heatmaps))],
        "emotions": _emotions(emotions, name),
        "rated": _rated(explanation, name),
        "made": how_made(heatmaps),
        "numbers": json.dumps([each.to_json() for each in heatmaps], indent=1, ensure_ascii=False),
    }


def _longest_bar(explanation: "Explanation", question: AnyQuestion) -> float:
    """Return the number of the longest bar: one scale for all in one unit, on which every number fits."""
    same = [index for index, each in enumerate(explanation.heatmaps) if each.question.unit == question.unit]
    effects = [each.effect for index in same if explanation.effects
               for each in explanation.effects[index].perturbations]  # fmt: skip
    divided = [explanation.parts[index] for index in same if explanation.parts]
    parts = [value for found in divided if found for value in found.by_kind().values()]
    least = _LEAST_POINTS * question.point if isinstance(question, RatingQuestion) else _LEAST_SCALE
    return max([least, *map(abs, effects + parts)])


def _section(explanation: "Explanation", index: int, pixels: Pixels, scale: ColourScale) -> TemplateValues:
    heatmap = explanation.heatmaps[index]
    longest = _longest_bar(explanation, heatmap.question)
    parts = explanation.parts[index] if explanation.parts else None
    return {
        "anchor": _anchor(heatmap),
        "title": title(heatmap),
        "why": why(heatmap),
        "map_of": _contrast(heatmap),
        "reading": reading([heatmap]),
        "answer": heatmap.question.name if isinstance(heatmap.question, RatingQuestion) else "the answer",
        "unit": heatmap.question.unit,
        "ends": ends_of([heatmap]),
        "longest_bar": longest,
        "doubt": doubts([heatmap]),
        "map": jpeg_url(laid_on(heatmap, pixels, scale), QUALITY),
        "effects": _effects(explanation.effects[index], explanation.story(index), longest)
        if explanation.effects
        else None,
        "parts": _parts(parts, longest) if parts else None,
    }


def _contrast(heatmap: Heatmap) -> str:
    """State what a map shows, for those who cannot see it."""
    if heatmap.rating is not None:
        return f"what raises and what lowers {title(heatmap)}"
    return f"what speaks for {title(heatmap)} and against it"


def _effects(found: PictureEffects, story: list[str], longest: float) -> TemplateValues:
    """What was tried: ninths as a picture of nine, by what each adds; the rest as rows of changes."""
    question = found.question
    ninths = [each for each in found.perturbations if each.name.endswith(" ninth")]
    rows = [each for each in found.perturbations if not each.name.endswith(" ninth")]
    return {
        "story": story,
        "favour": _favoured(question),
        "answer": _answer(found, 0.0, found.emotions),
        "shift": SHIFT,
        "noise": found.least,
        "ninths": [
            {
                "name": each.name,
                "adds": -each.effect,
                "side": _side(-each.effect),
                "opacity": _opacity(each.effect, longest),
            }
            for each in ninths
        ],
        "rows": [
            {
                "name": _name_of(each),
                "answer": _answer(found, each.effect, each.emotions),
                "effect": each.effect,
                "exceeds_noise": found.exceeds_noise(each),
                "bar": _bar(each.effect, longest, "change"),
            }
            for each in rows
        ],
    }


def _parts(found: "Contributions", longest: float) -> TemplateValues:
    return {
        "rows": [
            {"kind": kind, "log_odds": value, "bar": _bar(value, longest, _side(value))}
            for kind, value in found.by_kind().items()
        ],
        "baseline": baseline(found.reference),
        "error": abs(found.error),
    }


def _emotions(emotions: EmotionDistribution, name: str) -> TemplateValues:
    colours = colours_of(emotions.vocabulary)
    rows = [{"word": word, "probability": value, "colour": colours[word]} for word, value in emotions.ranked]
    if emotions.vocabulary != MIKELS:
        return {"rows": rows, "wheel": None}
    every = likeliest(emotions.weights, len(emotions.vocabulary))
    alternative = f"Wheel of emotions of {name}: {every}"
    return {
        "rows": rows,
        "wheel": {**_wheel(emotions), "alternative": alternative},
        "plutchik": _plutchik(emotions, name),
    }


def _rated(explanation: "Explanation", name: str) -> TemplateValues | None:
    """Ratings with their intervals, and the plane of valence and arousal where the model has both."""
    if not explanation.ratings:
        return None
    rows = [
        {"name": scale.name, "rating": explanation.ratings[scale.name], "scale": scale}
        for scale in explanation.scales
    ]
    found: TemplateValues = {"rows": rows, "coverage": COVERAGE, "plane": None}
    if explanation.unusual:
        found["coverage"] = min(scale.stricter(COVERAGE) for scale in explanation.scales)
    try:
        drawn = draw_plane(explanation)
    except NoCircumplex:
        return found
    alternative = f"Valence and arousal of {name} in one plane: {ratings_text(explanation.ratings)}"
    return {**found, "plane": {**themed_urls(drawn), "alternative": alternative}}


def _plutchik(emotions: EmotionDistribution, name: str) -> TemplateValues | None:
    try:
        notes = " ".join(wheel.plutchik_notes(emotions))
    except wheel.NoWheel:  # nothing of the answer can be shown on it
        return None
    return {
        **_wheel(emotions, plutchik=True),
        "alternative": f"Plutchik's wheel of emotions of {name}",
        "notes": notes,
    }


def _wheel(emotions: EmotionDistribution, plutchik: bool = False) -> dict[str, str]:
    return themed_urls(wheel.draw_wheel(emotions, plutchik=plutchik, caption=False))


def _anchor(heatmap: Heatmap) -> str:
    return "-".join(str(heatmap.question).split())


def _name_of(perturbation: PerturbationEffect) -> str:
    is_region = perturbation.kind == "region"
    return f"with {perturbation.name} blurred" if is_region else perturbation.name


def _favoured(question: AnyQuestion) -> str:
    if isinstance(question, RatingQuestion) or len(question.favour) > 1:
        return str(question)
    return question.favour[0]


def _answer(found: PictureEffects, effect: float, emotions: EmotionDistribution) -> str:
    """Write what is predicted after a perturbation: how likely what is favoured is, or the rating."""
    if isinstance(found.question, RatingQuestion):
        return points(found.question.shown(found.answer + effect))
    return percent(math.fsum(emotions[word] for word in found.question.favour))


def _bar(value: float, longest: float, side: str) -> TemplateValues:
    """A bar from the middle, in percent of its cell: to the right for more than 0, to the left for less."""
    length = 50 * abs(value) / longest
    return {"side": side, "left": 50 - length if value < 0 else 50, "width": length}


def _side(contribution: float) -> str:
    """Whether what adds this much to the answer speaks for it or against it."""
    return "for" if contribution > 0 else "against"


def _opacity(effect: float, longest: float) -> float:
    return 0.6 * math.pow(abs(effect) / longest, 0.7)  # so that numbers on it can be read, in the dark too


def _channels(colour: tuple[float, float, float]) -> str:
    """Red, green and blue, as in CSS.

    >>> _channels((0.95, 0.52, 0.02))
    '242 133 5'
    """
    return " ".join(str(round(255 * level)) for level in colour)
