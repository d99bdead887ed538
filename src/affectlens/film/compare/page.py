"""Two films compared on one page of HTML, with the same curves as each film's own page.

What it shows is prepared here as plain values; how, and in which words, is `templates/film_compare.html`.
"""

from pathlib import Path
from typing import Any

from affectlens.film.compare.match import SAME_SHOT, Comparison
from affectlens.film.report import drawing
from affectlens.film.report.curves import curves
from affectlens.film.report.text import ON_AVERAGE, PHOTOGRAPHS, film_name
from affectlens.film.timeline import Shot, Timeline
from affectlens.report import html
from affectlens.report.text import duration, likeliest, percent

# Rows of shots that are in one film alone, at most.
MAX_SHOTS = 60
# Two means that differ by less are called the same.
_SAME_MEAN = 0.005


def write(file: Path, found: Comparison) -> None:
    """Write the page. Raises `OutputError`."""
    html.write(file, render(found))


def render(found: Comparison) -> str:
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
        "by_shots": found.alignment == "shots",
        "differences": found.spans,
        "same_shot": SAME_SHOT,
    }
    return html.render("film_compare.html", values)


def summary(found: Comparison) -> list[str]:
    """Describe in sentences how the films were aligned, and how far they differ."""
    lengths = [each.shots[-1].end - each.shots[0].start for each in (found.one, found.other)]
    return [
        f"{duration(lengths[0])} in {len(found.one.shots):,} shots, and {duration(lengths[1])} in "
        f"{len(found.other.shots):,}.",
        _alignment(found),
        _largest_difference(found),
        f"Mean total variation distance over {'shots in both' if found.alignment == 'shots' else 'time'}: "
        f"{percent(found.mean_distance)}.",
    ]


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


def _film(name: str, timeline: Timeline, only_here: tuple[Shot, ...]) -> dict[str, Any]:
    found = curves(timeline)
    longest = sorted(only_here, key=lambda shot: -shot.duration)[:MAX_SHOTS]
    return {
        "name": name,
        "likeliest": likeliest(timeline.distribution(timeline.emotions).weights),
        "stack": drawing.stack(found, timeline.vocabulary),
        "ribbon": drawing.ribbon(timeline),
        "axis": drawing.axis(found),
        "only_here": [
            {
                "number": shot.number,
                "start": shot.start,
                "duration": shot.duration,
                "likeliest": likeliest(timeline.distribution(shot.emotions).weights),
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
