"""Two films beside one another as one page of HTML, with the same curves as each film's own page."""

from html import escape
from pathlib import Path

from affectlens.files import atomic_write
from affectlens.film.compare.match import ALIKE, Comparison
from affectlens.film.report import drawing
from affectlens.film.report.curves import curves
from affectlens.film.report.page import document
from affectlens.film.report.text import ON_AVERAGE, PHOTOGRAPHS, polarity_of, says
from affectlens.film.timeline import Shot, Timeline
from affectlens.report.text import clock, duration, percent, signed
from affectlens.report.text import printable_in_files as printable

SHOTS = 60  # rows of shots that are in one film alone, at most


def write(file: Path, found: Comparison) -> None:
    """Write the page. Raises `OutputError`."""
    with atomic_write(file, "w") as out:
        out.write(render(found))


def render(found: Comparison) -> str:
    """The page as text."""
    names = [name_of(each) for each in (found.one, found.other)]
    if names[0] == names[1]:
        names = [f"{name}, {which}" for name, which in zip(names, ("first", "second"), strict=True)]
    body = [
        f"<header><p class=file>{escape(names[0])} and {escape(names[1])}</p><h1>Two films beside one "
        "another</h1>"
        f"{''.join(f'<p>{escape(line)}</p>' for line in sentences(found))}"
        f"<p class=note>{escape(ON_AVERAGE)} {escape(PHOTOGRAPHS)}</p></header>",
        _charts(found, names),
        _means(found, names),
        _places(found),
        _alone(found.only_one, found.one, names[0]),
        _alone(found.only_other, found.other, names[1]),
    ]
    return document(f"{names[0]} and {names[1]}", "\n".join(filter(None, body)), found.one.vocabulary, {}, "")


def sentences(found: Comparison) -> list[str]:
    """Say in words how they were laid beside one another, and how far they differ."""
    lengths = [each.shots[-1].end - each.shots[0].start for each in (found.one, found.other)]
    said = [f"{duration(lengths[0])} in {len(found.one.shots):,} shots, and {duration(lengths[1])} in "
            f"{len(found.other.shots):,}."]  # fmt: skip
    if found.alignment == "shots":
        said.append(
            f"Taken for two cuts of one film, and compared shot by shot: {len(found.pairs):,} shots are in "
            "both, "
            f"{len(found.only_one):,} in the first alone, {len(found.only_other):,} in the second alone."
        )
    else:
        said.append("Compared by share of their time: the first tenth with the first tenth, and so on.")
    word, first, second = max(found.means, key=lambda row: abs(row[2] - row[1]))
    if abs(second - first) < 0.005:
        said.append("On the whole both evoke the same, within half a percentage point.")
    else:
        more = "more" if second > first else "less"
        said.append(
            f"On the whole the second evokes {more} {word}: {percent(second)} against {percent(first)}."
        )
    over = "shots in both" if found.alignment == "shots" else "time"
    said.append(f"Over {over}, {percent(found.arc)} of the answers would have to change for them to agree.")
    return said


def name_of(timeline: Timeline) -> str:
    """A film's name for people."""
    return printable(Path(timeline.film.name).name or timeline.film.name)


def _charts(found: Comparison, names: list[str]) -> str:
    films = []
    for name, timeline in zip(names, (found.one, found.other), strict=True):
        shape = curves(timeline)
        likely = escape(f"{name} evokes {says(timeline.vocabulary, timeline.emotions)}", quote=True)
        films.append(
            f"<h3>{escape(name)}</h3><div class=chart style=cursor:auto role=img "
            f'aria-label="Emotions over time: {likely}">'
            f"<div class=stack style=height:180px>{drawing.stack(shape, timeline.vocabulary)}</div>"
            f"{drawing.ribbon(timeline)}</div>{drawing.axis(shape)}"
        )
    return (
        "<section><h2>Over "
        f"time</h2>{films[0]}{_links(found)}{films[1]}{drawing.legend(found.one.vocabulary)}"
        "<p class=note>An area is as thick as its emotion is likely; hatched ones are negative."
        f"{' Grey: shots that are in both.' if found.alignment == 'shots' else ''}</p></section>"
    )


def _links(found: Comparison) -> str:
    """Shots that are in both, as areas from one film's time to the other's."""
    if found.alignment != "shots":
        return ""
    shapes = curves(found.one), curves(found.other)
    by_number = [{shot.number: shot for shot in each.shots} for each in (found.one, found.other)]
    areas = []
    for first, second in found.pairs:
        one, other = by_number[0][first], by_number[1][second]
        a, b = (1000 * shapes[0].share(second) for second in (one.start, one.end))
        c, d = (1000 * shapes[1].share(second) for second in (other.start, other.end))
        areas.append(f"M{a:.1f} 0L{b:.1f} 0L{d:.1f} 60L{c:.1f} 60Z")
    return (
        '<svg viewBox="0 0 1000 60" preserveAspectRatio="none" style="width:100%;height:60px;display:block" '
        f'aria-hidden="true"><path d="{"".join(areas)}" fill="var(--pale)" fill-opacity=".35" '
        'stroke="var(--page)" vector-effect="non-scaling-stroke"/></svg>'
    )


def _means(found: Comparison, names: list[str]) -> str:
    rows = "".join(
        '<tr><th scope=row><i class="swatch h '
        f'{drawing.kind(found.one.vocabulary, word)}"></i>{escape(word)}</th>'
        f"<td>{percent(first)}</td><td>{percent(second)}</td><td>{_points(second - first)}</td></tr>"
        for word, first, second in found.means
    )
    tones = [polarity_of(each.vocabulary, each.emotions) for each in (found.one, found.other)]
    if tones[0] is not None and tones[1] is not None:
        rows += (
            f"<tr><th scope=row>polarity, \N{MINUS SIGN}1 to 1</th><td>{signed(tones[0])}</td>"
            f"<td>{signed(tones[1])}</td><td>{signed(tones[1] - tones[0])}</td></tr>"
        )
    return (
        "<section><h2>On the whole</h2><div class=scroll><table><thead><tr><th scope=col>Emotion</th>"
        f"<th scope=col>{escape(names[0])}</th><th scope=col>{escape(names[1])}</th><th "
        "scope=col>Difference</th>"
        f"</tr></thead><tbody>{rows}</tbody></table></div><p class=note>Means over each film's whole time; "
        "the "
        "difference in percentage points.</p></section>"
    )


def _places(found: Comparison) -> str:
    if not found.places:
        return ""
    rows = "".join(
        f"<tr><td class=left>{_span(place.one)}</td><td class=left>{_span(place.other)}</td>"
        f"<td>{percent(place.difference)}</td><td class=left>{escape(place.more)}</td>"
        f"<td class=left>{escape(place.less)}</td></tr>"
        for place in found.places
    )
    what = "Shots in both that differ most" if found.alignment == "shots" else "Where they differ most"
    note = (
        f"Shots are taken for the same where answers differ by less than {percent(ALIKE)}; pictures are not "
        "compared. "
        if found.alignment == "shots"
        else ""
    )
    return (
        f"<section><h2>{what}</h2><div class=scroll><table><thead><tr><th scope=col>In the first</th>"
        "<th scope=col class=left>In the second</th><th scope=col>Differs by</th>"
        "<th scope=col class=left>The second has more</th><th scope=col class=left>and less</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div><p class=note>{note}Differs by: the share of the probabilities "
        "that "
        "would have to move for both to be alike.</p></section>"
    )


def _alone(shots: tuple[Shot, ...], timeline: Timeline, name: str) -> str:
    if not shots:
        return ""
    longest = sorted(shots, key=lambda shot: -shot.duration)[:SHOTS]
    rows = "".join(
        "<tr><th "
        f"scope=row>{shot.number}</th><td>{clock(shot.start, 1)}</td><td>{duration(shot.duration)}</td>"
        f"<td class=left>{escape(says(timeline.vocabulary, shot.emotions))}</td></tr>"
        for shot in sorted(longest, key=lambda shot: shot.start)
    )
    more = f"<p class=note>The {SHOTS} longest of {len(shots):,}.</p>" if len(shots) > SHOTS else ""
    return (
        f"<section><h2>Only in {escape(name)}</h2>{more}<div class=scroll><table><thead><tr><th "
        "scope=col>Shot</th>"
        "<th scope=col>From</th><th scope=col>Lasts</th><th scope=col class=left>Evokes</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _span(span: tuple[float, float]) -> str:
    return f"{clock(span[0], 1)}\N{EN DASH}{clock(span[1], 1)}"


def _points(difference: float) -> str:
    return signed(100 * difference, 0)
