"""Two films compared on one page of HTML, with the same curves as each film's own page.

What it shows is prepared here as plain values; how, and in which words, is `templates/film_compare.html`.
"""

from pathlib import Path
from typing import Any

from affectlens.film.compare.match import SAME_SHOT, Comparison
from affectlens.film.compare.text import summary
from affectlens.film.export.subtitles import LEFT_OUT
from affectlens.film.report import drawing
from affectlens.film.report.curves import curves
from affectlens.film.report.text import ON_AVERAGE, PHOTOGRAPHS, film_name
from affectlens.film.timeline import Shot, Timeline
from affectlens.report import html
from affectlens.report.text import likeliest

# Rows of shots that are in one film alone, at most.
MAX_SHOTS = 60


def write_page(file: Path, found: Comparison) -> None:
    """Write the page. Raises `OutputError`."""
    html.save_page(file, render_page(found))


def render_page(found: Comparison) -> str:
    """Return the page as text."""
    names = [film_name(found.one), film_name(found.other)]
    if names[0] == names[1]:
        names = [f"{name}, {which}" for name, which in zip(names, ("first", "second"), strict=True)]
    films = [
        _film(names[0], found.one, found.only_one),
        _film(names[1], found.other, found.only_other),
    ]
    values = {
        "films": films,
        "summary": summary(found),
        "on_average": ON_AVERAGE,
        "photographs": PHOTOGRAPHS,
        "emotion_style": drawing.style_of(found.one.vocabulary),
        "emotion_legend": drawing.legend(found.one.vocabulary),
        "links": _links(found),
        "means": [
            {
                "css": drawing.css_class(found.one.vocabulary, word),
                "emotion": word,
                "first": first,
                "second": second,
            }
            for word, first, second in found.means
        ],
        "polarity": None if None in found.polarities else found.polarities,
        "rated": found.ratings,
        "by_shots": found.alignment == "shots",
        "differences": found.spans,
        "same_shot": SAME_SHOT,
    }
    return html.render("film_compare.html", values)


def _film(name: str, timeline: Timeline, only_here: tuple[Shot, ...]) -> dict[str, Any]:
    found = curves(timeline)
    longest = sorted(only_here, key=lambda shot: -shot.duration)[:MAX_SHOTS]
    return {
        "name": name,
        "likeliest": likeliest(timeline.distribution(timeline.emotions).weights),
        "stack": drawing.stack(found, timeline),
        "gaps": drawing.gaps(found, timeline),
        "left_out": drawing.left_out(found, timeline),
        "ratings": drawing.ratings(timeline, found),
        "ribbon": drawing.ribbon(timeline),
        "axis": drawing.axis(found),
        "only_here": [
            {
                "number": shot.number,
                "start": shot.start,
                "duration": shot.duration,
                "likeliest": LEFT_OUT[left_out]
                if (left_out := timeline.left_out_as(shot))
                else likeliest(timeline.distribution(shot.emotions).weights),
            }
            for shot in sorted(longest, key=lambda shot: shot.start)
        ],
        "only_here_total": len(only_here),
    }


def _links(found: Comparison) -> str:
    """Return a path that joins each shot in both with itself; "" where films are compared by time."""
    films = curves(found.one), curves(found.other)
    first, second = ({shot.number: shot for shot in each.shots} for each in (found.one, found.other))
    spans = [((first[a].start, first[a].end), (second[b].start, second[b].end)) for a, b in found.pairs]
    return "".join(drawing.link(span, films) for span in spans)
