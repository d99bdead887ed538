"""A film's timeline as one page of HTML that holds all it shows: it can be mailed, and needs no network.

Emotions over time, the strongest one as a ribbon, polarity with its uncertainty, a picture of each shot,
tables of peaks, moods and frames. The film itself stays where it is: the page names it by a path relative
to its own place, or asks for it; a click, a tap or a key then shows what lies at a moment.

The page's size is bounded, whatever the film's length: curves have `film_curves.MOST` points, the strip
`STRIP` pictures, tables the rows below; the page says what it leaves out. Everything is in the other
formats.
"""

import base64
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import matplotlib.image
import numpy as np
from numpy.typing import NDArray

from affectlens.explain.text import READING
from affectlens.files import atomic_write
from affectlens.film.report import drawing
from affectlens.film.report.curves import Curves, curves, strip
from affectlens.film.report.text import (
    ON_AVERAGE,
    PHOTOGRAPHS,
    from_top_to_bottom,
    polarity_of,
    says,
    summary,
)
from affectlens.film.timeline import Moment, Shot, Timeline
from affectlens.images import Pixels
from affectlens.preprocess import resize
from affectlens.report.text import clock, duration, percent, signed
from affectlens.report.text import printable_in_files as printable

STRIP, PEAKS, MOODS, SHOTS = 120, 20, 40, 1000  # pictures of the strip, and rows of tables, at most
LONGEST = 360  # pixels of the longer side of a picture in a table
STRIP_LONGEST = 200
_QUALITY, _STRIP_QUALITY = 78, 66  # of JPEG
_PIN, _LANES = 0.075, 2  # width of a numbered mark by that of a telephone's chart, and rows of them


@dataclass(frozen=True)
class Pictures:
    """Pictures of a film.

    Attributes:
        stills: by second, uint8 (3, H, W), for those of `needed`; those that are not there are left out
        maps: by second and emotion, heat maps laid on peaks' frames, uint8 (H, W, 3)
    """

    stills: Mapping[float, Pixels] = field(default_factory=dict)
    maps: Mapping[tuple[float, str], NDArray[np.uint8]] = field(default_factory=dict)


def needed(timeline: Timeline) -> list[float]:
    """The seconds of which the page shows a picture, in the order of time."""
    shown = [shot.key_second for shot in strip(timeline, STRIP)]
    moments = [*timeline.of("peak")[:PEAKS], *_frames(timeline)]
    return sorted({*shown, *(each.second for each in moments)})


def shrunk(pixels: Pixels, longest: int = LONGEST) -> Pixels:
    """A picture whose longer side is at most so long: uint8 (3, H, W) -> (3, h, w)."""
    height, width = pixels.shape[1:]
    share = min(1.0, longest / max(height, width))
    return resize(pixels, max(1, round(height * share)), max(1, round(width * share)))


def write(file: Path, timeline: Timeline, pictures: Pictures, film: Path | None = None) -> None:
    """Write the page; `film` is where the film lies, if it is a file. Raises `OutputError`."""
    text = render(timeline, pictures, address(film, file.parent) if film else None)
    with atomic_write(file, "w") as out:
        out.write(text)


def address(film: Path, folder: Path) -> str:
    """A film as a page in a folder names it: by a relative path; absolute where it is on another drive.

    >>> address(Path("/films/a b.mp4"), Path("/films/out/a b"))
    '../../a%20b.mp4'
    """
    try:
        relative = os.path.relpath(film.absolute(), folder.absolute())
    except ValueError:  # another drive of Windows
        return film.absolute().as_uri()
    return quote(os.fsencode(Path(relative).as_posix()))


def render(timeline: Timeline, pictures: Pictures, film: str | None = None) -> str:
    """The page as text; `film` is the film's address relative to it."""
    found = curves(timeline)
    name = printable(Path(timeline.film.name).name or timeline.film.name)
    body = [
        _header(timeline, name),
        _watch(timeline, name, film),
        _over_time(timeline, found),
        _strip(timeline, pictures),
        _peaks(timeline, pictures),
        _moods(timeline),
        _typical(timeline, pictures),
        _shots(timeline),
        _made(timeline, found),
    ]
    return document(
        f"{name}: what it evokes",
        "\n".join(part for part in body if part),
        timeline.vocabulary,
        _data(timeline, found),
        script("film.js"),
    )


def document(title: str, body: str, vocabulary: Any, data: Mapping[str, Any], code: str) -> str:
    """A whole page around its body. Its policy forbids whatever would need a network."""
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "media-src 'self' file: blob:"
    )
    plain = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{escape(title)}</title>\n<style>\n{script('film.css')}{drawing.style_of(vocabulary)}\n"
        "</style>"
        f"</head>\n<body>\n<main>\n{body}\n</main>\n"
        '<script type="application/json" '
        f'id="data">{plain}</script>\n<script>\n{code}</script>\n</body></html>\n'
    )


def script(name: str) -> str:
    """Text of a file that lies beside this one."""
    return (files("affectlens.report") / "templates" / name).read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------- parts


def _header(timeline: Timeline, name: str) -> str:
    top = timeline.distribution(timeline.emotions).top
    lines = "".join(f"<p>{escape(line)}</p>" for line in summary(timeline))
    return (
        "<a class=skip href=#chart>To the chart</a>"
        f"<header><p class=file>{escape(name)}</p><h1>Most likely to evoke <em>{escape(top)}</em></h1>{lines}"
        f"<p class=note>{escape(ON_AVERAGE)} {escape(PHOTOGRAPHS)}</p></header>"
    )


def _watch(timeline: Timeline, name: str, film: str | None) -> str:
    source = f' src="{escape(film, quote=True)}"' if film else ""
    hidden = " hidden" if film else ""
    told = (
        "The film is not shown: it does not lie where it lay when this page was made, or this browser does "
        "not "
        "play its format. Choose it below; it stays on this machine."
    )
    rows = "".join(
        f'<tr><th scope=row>{escape(word)}</th><td>{percent(value)}</td><td class=bar><i class="h '
        f'{drawing.kind(timeline.vocabulary, word)}" style="width:{100 * value:.1f}%"></i></td></tr>'
        for word, value in timeline.distribution(timeline.emotions).weights.items()
    )
    return (
        '<section id=watch class=watch aria-label="The film"><div>'
        f"<p id=missing{hidden}>{told}</p>"
        f"<video id=film controls playsinline preload=metadata{source} "
        f'aria-label="{escape(name, quote=True)}">'
        "</video><label class=pick>Choose the film on this machine: <input type=file id=pick "
        'accept="video/*,.mkv"></label></div>'
        "<div><p class=now><b id=when>The whole film, on average</b></p>"
        '<table id=now><thead><tr><th scope=col>Emotion</th><th scope=col>Probability</th><th class="bar" '
        f"aria-hidden=true></th></tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _over_time(timeline: Timeline, found: Curves) -> str:
    vocabulary = timeline.vocabulary
    likely = escape(says(vocabulary, timeline.emotions, 2), quote=True)
    slider = (
        'id=chart role=slider tabindex=0 aria-orientation=horizontal aria-label="Moment of the film" '
        f'aria-valuemin="{found.begin:.2f}" aria-valuemax="{found.end:.2f}" '
        f'aria-valuenow="{found.begin:.2f}" '
        f'aria-valuetext="The whole film: {likely}" aria-describedby=keys'
    )
    toned = drawing.polarity(timeline, found)
    drawn = [
        f"<div class=stack>{drawing.stack(found, vocabulary)}</div>",
        drawing.ribbon(timeline),
        drawing.cuts(found, timeline),
        f"<div class=polarity>{toned}</div>" if toned else "",
        "<div class=head style=left:0></div>",
    ]
    notes = [
        "Above: an area is as thick as its emotion is likely; hatched ones are negative. Below it: the "
        "strongest "
        "emotion, and marks where shots begin."
    ]
    if toned:
        notes.append(
            "Polarity: the probability of a positive feeling less that of a negative one. Thin line: frame "
            "by "
            "frame, smoothed. Thick line: each shot's mean; the grey area around it holds that mean in 95 "
            "of 100 "
            "cases, as far as the choice of frames is what varies."
        )
    return (
        f"<section><h2>Over time</h2>{_pins(timeline, found)}<div class=chart {slider}>{''.join(drawn)}</div>"
        f"{drawing.axis(found)}{_KEYS}{drawing.legend(vocabulary)}"
        f"{''.join(f'<p class=note>{each}</p>' for each in notes)}</section>"
    )


_KEYS = (
    "<p id=keys class='note help'>Click or drag to go to a moment. Keys on the chart: left and right for a "
    "judged "
    "frame, with shift for a shot, page up and down for a tenth of the film, home and end, space to play.</p>"
)


def _pins(timeline: Timeline, found: Curves) -> str:
    """Numbered marks of peaks above the chart; those that would lie on another are in the table alone."""
    peaks = timeline.of("peak")[:PEAKS]
    lanes = drawing.spread_out([found.share(peak.second) for peak in peaks], _PIN, _LANES)
    used = max((lane + 1 for lane in lanes if lane is not None), default=0)
    pins = "".join(
        f'<button type=button tabindex=-1 class="{drawing.kind(timeline.vocabulary, peak.emotion)}" '
        f'data-second="{peak.second:.3f}" title="{escape(_said(peak), quote=True)}" '
        f'style="left:{100 * found.share(peak.second):.2f}%;--drop:{4 + 28 * lane}px">'
        f"{number}</button>"
        for number, (peak, lane) in enumerate(zip(peaks, lanes, strict=True), start=1)
        if lane is not None
    )
    return f'<div class=pins aria-hidden=true style="--lanes:{used}">{pins}</div>' if pins else ""


def _strip(timeline: Timeline, pictures: Pictures) -> str:
    shown = strip(timeline, STRIP)
    if not shown:
        return ""
    shape = f"{timeline.film.width or 16}/{timeline.film.height or 9}"
    tiles = "".join(_tile(timeline, shot, pictures, place == 0) for place, shot in enumerate(shown))
    left_out = len(timeline.shots) - len(shown)
    rule = (
        f"{left_out:,} of {len(timeline.shots):,} shots are not shown: of each {STRIP}th of the film's "
        "time, the "
        "longest shot is. "
        if left_out
        else ""
    )
    return (
        f'<section><h2>Shots</h2><div id=strip class=strip role=group aria-label="Shots of the film" '
        f'style="--shape:{shape}">{tiles}</div><p class=note>{rule}A picture is the judged frame that is '
        "most like its shot's mean.</p></section>"
    )


def _tile(timeline: Timeline, shot: Shot, pictures: Pictures, first: bool) -> str:
    emotions = timeline.distribution(shot.emotions)
    said = f"{emotions.top} {percent(emotions[emotions.top])}"
    kind = drawing.kind(timeline.vocabulary, emotions.top)
    label = f"Shot {shot.number} at {clock(shot.start)}, {duration(shot.duration)}: {said}"
    return (
        f'<button type=button tabindex={0 if first else -1} data-second="{shot.start:.3f}" '
        f'aria-label="{escape(label, quote=True)}">'
        f"{_picture(pictures, shot.key_second, '', STRIP_LONGEST, _STRIP_QUALITY)}"
        f'<span class="bar h {kind}"></span><span>{clock(shot.start)} {escape(said)}</span></button>'
    )


def _peaks(timeline: Timeline, pictures: Pictures) -> str:
    peaks = timeline.of("peak")
    if not peaks:
        return "<section><h2>Peaks</h2><p>No emotion stands out for a while.</p></section>"
    rows = "".join(
        f"<tr><td class='still left'>{_picture(pictures, each.second, f'Frame at {clock(each.second, 1)}')}"
        f"{_map(pictures, each)}</td><th scope=row><span class=number>{number}</span>"
        f"{_swatch(timeline, each.emotion)}{escape(each.emotion)}</th><td>{_seek(each.second)}</td>"
        f"<td>{percent(each.value)}</td><td class=wide>{percent(each.prominence or 0.0)}</td>"
        f"<td class=wide>{clock(each.start, 1)}\N{EN DASH}{clock(each.end, 1)}</td></tr>"
        for number, each in enumerate(peaks[:PEAKS], start=1)
    )
    more = f"{len(peaks) - PEAKS:,} more stand out less and are not shown. " if len(peaks) > PEAKS else ""
    maps = f"Heat maps: {READING} " if pictures.maps else ""
    return (
        "<section><h2>Peaks</h2><div class=scroll><table><thead><tr><th scope=col>Frame</th>"
        "<th scope=col class=left>Emotion</th><th scope=col>At</th><th scope=col>Probability</th>"
        "<th scope=col class=wide>Stands out by</th><th scope=col class=wide>Lasts</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div><p class=note>{more}{maps}A peak is a moment at which an "
        "emotion is "
        "more likely than before and after; it need not be the strongest one there.</p></section>"
    )


def _moods(timeline: Timeline) -> str:
    moods = timeline.of("mood")
    if not moods:
        return ""
    shown = sorted(moods[:MOODS], key=lambda mood: mood.start)
    rows = "".join(
        "<tr><th "
        f"scope=row>{_swatch(timeline, each.emotion)}{escape(each.emotion)}</th><td>{_seek(each.start)}</td>"
        f"<td>{clock(each.end, 1)}</td><td>{duration(each.duration)}</td><td>{percent(each.value)}</td></tr>"
        for each in shown
    )
    more = f" {len(moods) - len(shown):,} shorter ones are not shown." if len(moods) > len(shown) else ""
    return (
        "<section><h2>Moods</h2><div class=scroll><table><thead><tr><th scope=col>Emotion</th><th "
        "scope=col>From</th>"
        "<th scope=col>To</th><th scope=col>Lasts</th><th scope=col>Mean</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div><p class=note>A mood is a stretch in which one emotion is the "
        f"strongest.{more}</p></section>"
    )


def _frames(timeline: Timeline) -> list[Moment]:
    """The most typical and the most extreme frame of each emotion that has any."""
    return [
        found[0]
        for kind in ("typical", "extreme")
        for word in timeline.vocabulary.words
        if (found := timeline.of(kind, word))
    ]


def _typical(timeline: Timeline, pictures: Pictures) -> str:
    frames = {(each.kind, each.emotion): each for each in _frames(timeline)}
    rows = ""
    for word in from_top_to_bottom(timeline.vocabulary):
        cells = [_frame(frames.get((kind, word)), pictures) for kind in ("typical", "extreme")]
        if any(cells):
            rows += (
                f"<tr><th scope=row>{_swatch(timeline, word)}{escape(word)}</th>"
                + "".join(f"<td class='still left'>{cell}</td>" for cell in cells)
                + "</tr>"
            )
    if not rows:
        return ""
    return (
        "<section><h2>Frames</h2><div class=scroll><table><thead><tr><th scope=col>Emotion</th>"
        "<th scope=col class=left>Most typical</th><th scope=col class=left>Most extreme</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div><p class=note>Typical: the judged frame that is nearest to the "
        "mean of "
        "all frames that evoke this emotion most. Extreme: the one that evokes it most.</p></section>"
    )


def _frame(moment: Moment | None, pictures: Pictures) -> str:
    if moment is None:
        return ""
    alternative = f"Frame at {clock(moment.second, 1)}, the most {moment.kind} of {moment.emotion}"
    return f"{_picture(pictures, moment.second, alternative)}{_seek(moment.second)} {percent(moment.value)}"


def _shots(timeline: Timeline) -> str:
    longest = sorted(timeline.shots, key=lambda shot: -shot.duration)[:SHOTS]
    rows = "".join(_shot_row(timeline, shot) for shot in sorted(longest, key=lambda shot: shot.start))
    more = f"<p class=note>The {SHOTS:,} longest.</p>" if len(timeline.shots) > SHOTS else ""
    return (
        f"<section><h2>All shots</h2><details><summary>{len(timeline.shots):,} shots as a "
        f"table</summary>{more}"
        "<div class=scroll><table><thead><tr><th scope=col>Shot</th><th scope=col>From</th><th "
        "scope=col>Lasts</th>"
        "<th scope=col class=wide>Begins with</th><th scope=col>Polarity</th><th scope=col "
        "class=left>Evokes</th>"
        f"</tr></thead><tbody>{rows}</tbody></table></div></details></section>"
    )


def _shot_row(timeline: Timeline, shot: Shot) -> str:
    polarity = polarity_of(timeline.vocabulary, shot.emotions)
    return (
        f"<tr><th scope=row>{shot.number}</th><td>{_seek(shot.start)}</td><td>{duration(shot.duration)}</td>"
        f"<td class=wide>{shot.begins}</td><td>{'' if polarity is None else signed(polarity)}</td>"
        f"<td class=left>{escape(says(timeline.vocabulary, shot.emotions))}</td></tr>"
    )


def _made(timeline: Timeline, found: Curves) -> str:
    film, counts = timeline.film, timeline.counts
    averaged = (
        f"each point is the mean over {duration(found.averaged)}" if found.averaged else "each judged frame"
    )
    facts = {
        "Model": timeline.model + (f" ({timeline.weights_hash[:12]})" if timeline.weights_hash else ""),
        "Judged": sampling(timeline.settings),
        "Frames": f"{counts.decoded:,} decoded, {counts.judged:,} judged, {counts.reused:,} looked the same",
        "Curves": averaged,
        "Film": f"{film.width} x {film.height}, {film.codec}"
        + (f", {film.frame_rate:.3f} frames/s" if film.frame_rate else "")
        + (", at uneven times" if film.variable else ""),
    }
    if counts.broken:
        facts["Broken"] = f"{counts.broken:,} packets could not be decoded"
    if counts.dropped:
        facts["Dropped"] = f"{counts.dropped:,} frames came while others were at work"
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    settings = json.dumps(dict(timeline.settings), indent=1, ensure_ascii=False, default=str)
    return (
        f"<section><h2>How this was made</h2><dl>{rows}</dl><p class=note>{escape(ON_AVERAGE)} "
        f"{escape(PHOTOGRAPHS)} Shots are found from the pictures, and are no editor's list.</p>"
        "<details><summary>All "
        f"settings</summary><pre>{escape(printable(settings, keep=chr(10)))}</pre></details>"
        "</section>"
    )


def sampling(settings: Mapping[str, Any]) -> str:
    """Say which frames were judged.

    >>> sampling({"sampling": "time", "every": 0.5})
    'a frame every 0.5 s, and one where a shot begins'
    """
    if settings.get("sampling") == "keyframes":
        return "frames that are stored whole"
    if settings.get("sampling") == "shots":
        return "a few frames of each shot"
    every = settings.get("every", 0)
    return f"a frame every {every:g} s, and one where a shot begins" if every else "every frame"


# --------------------------------------------------------------------------------------------- small ones


def _data(timeline: Timeline, found: Curves) -> dict[str, Any]:
    """What the script needs: times, probabilities in thousandths, where shots begin."""
    return {
        "begin": found.begin,
        "end": found.end,
        "words": list(timeline.vocabulary.words),
        "seconds": [round(second, 3) for second in found.seconds.tolist()],
        "values": np.rint(1000 * found.emotions).astype(int).tolist(),
        "shots": [round(shot.start, 3) for shot in timeline.shots] or [0.0],
        "first": timeline.shots[0].number if timeline.shots else 1,
    }


def _seek(second: float) -> str:
    return f'<button type=button data-second="{second:.3f}">{clock(second, 1)}</button>'


def _said(peak: Moment) -> str:
    return f"{peak.emotion} {percent(peak.value)} at {clock(peak.second, 1)}"


def _swatch(timeline: Timeline, word: str) -> str:
    return f'<i class="swatch h {drawing.kind(timeline.vocabulary, word)}"></i>'


def _picture(
    pictures: Pictures, second: float, alternative: str, longest: int = LONGEST, quality: int = _QUALITY
) -> str:
    if second not in pictures.stills:
        return "<div class=blank></div>"
    pixels = shrunk(pictures.stills[second], longest)
    source = jpeg(pixels.permute(1, 2, 0).numpy(), quality)
    return f'<img src="{source}" alt="{escape(alternative, quote=True)}">'


def _map(pictures: Pictures, peak: Moment) -> str:
    if (peak.second, peak.emotion) not in pictures.maps:
        return ""
    alternative = f"Heat map: what in this frame speaks for {peak.emotion}, and what against it"
    source = jpeg(pictures.maps[peak.second, peak.emotion], _QUALITY)
    return f'<img src="{source}" alt="{escape(alternative, quote=True)}">'


def jpeg(picture: NDArray[np.uint8], quality: int) -> str:
    """A picture (H, W, 3) as an address that holds it."""
    file = io.BytesIO()
    options: dict[str, Any] = {"quality": quality, "optimize": True}
    matplotlib.image.imsave(file, np.ascontiguousarray(picture), format="jpg", pil_kwargs=options)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
