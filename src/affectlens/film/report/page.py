"""A film's timeline as one page of HTML that holds all it shows: it can be mailed, and needs no network.

Emotions over time, the strongest one as a ribbon, polarity with its uncertainty, a picture of each shot,
tables of peaks, moods and frames. The film itself stays where it is: the page names it by a path relative
to its own folder, or lets the reader pick it; a click, a touch or a key then goes to a moment of it.

The page's size is bounded, whatever the film's length: curves have `curves.MAX_POINTS` points, the strip
`MAX_STRIP` pictures, tables the rows below; the page reports what it leaves out. Everything is in the other
formats.

What it shows is prepared here as plain values; how, and in which words, is `templates/film_report.html`.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import by_polarity, polarity_score
from affectlens.explain.text import READING
from affectlens.film.report import drawing
from affectlens.film.report.circumplex import film_circumplex
from affectlens.film.report.curves import EmotionCurves, curves, strip_shots
from affectlens.film.report.text import (
    ON_AVERAGE,
    PHOTOGRAPHS,
    film_name,
    left_out_in_words,
    peak_in_words,
    summary,
    watched,
)
from affectlens.film.timeline import Moment, Shot, Timeline, up_to_milliseconds
from affectlens.images import Pixels, resize
from affectlens.inference.attribute_evidence import evidence_lines
from affectlens.ratings import AROUSAL, VALENCE
from affectlens.report import html
from affectlens.report.figures import jpeg_url, themed_urls
from affectlens.report.text import headline, likeliest, printable_in_files

# Pictures of the strip, and rows of tables, at most.
MAX_STRIP, MAX_PEAKS, MAX_MOODS, MAX_SHOTS = 120, 20, 40, 1000
# Pixels of the longer side of a picture in a table, and in the strip; their JPEG quality.
LONGEST, _STRIP_LONGEST = 360, 200
_QUALITY, _STRIP_QUALITY = 78, 66
# Width of a numbered mark by that of a phone's chart, and rows of them.
_PIN_WIDTH, _PIN_LANES = 0.075, 2
_MOSTLY = 0.5  # share of a point's time, from which on it is called unusual or faded


@dataclass(frozen=True)
class FilmPictures:
    """Pictures of a film.

    Attributes:
        stills: by second, uint8 (3, H, W), for those of `needed`; missing ones are left out
        maps: by second and emotion, heat maps laid over peaks' frames, uint8 (H, W, 3)
        evidence: by second, attributes of peaks' frames, as `inference.attribute_evidence` describes them
    """

    stills: Mapping[float, Pixels] = field(default_factory=dict)
    maps: Mapping[tuple[float, str], NDArray[np.uint8]] = field(default_factory=dict)
    evidence: Mapping[float, Mapping[str, Any]] = field(default_factory=dict)


def needed(timeline: Timeline) -> list[float]:
    """Return the seconds of which the page shows a picture, ascending."""
    strip = [shot.key_second for shot in strip_shots(timeline, MAX_STRIP)]
    moments = [*timeline.of("peak")[:MAX_PEAKS], *_shown_frames(timeline).values()]
    return sorted({*strip, *(moment.second for moment in moments)})


def shrunk(pixels: Pixels, longest: int = LONGEST) -> Pixels:
    """Return a picture whose longer side is at most so long: uint8 (H, W, 3) -> (h, w, 3)."""
    height, width, _ = pixels.shape
    share = min(1.0, longest / max(height, width))
    return resize(pixels, max(1, round(height * share)), max(1, round(width * share)))


def write_page(file: Path, timeline: Timeline, pictures: FilmPictures, film: Path | None = None) -> None:
    """Write the page; `film` is the film's path, if it is a file. Raises `OutputError`."""
    html.save_page(file, render_page(timeline, pictures, film_address(film, file.parent) if film else None))


def film_address(film: Path, folder: Path) -> str:
    """Return a film's address in a page of a folder: a relative path; absolute on another drive.

    >>> film_address(Path("/films/a b.mp4"), Path("/films/out/a b"))
    '../../a%20b.mp4'
    """
    try:
        relative = os.path.relpath(film.absolute(), folder.absolute())
    except ValueError:  # another drive of Windows
        return film.absolute().as_uri()
    return quote(os.fsencode(Path(relative).as_posix()))


def render_page(timeline: Timeline, pictures: FilmPictures, film_url: str | None = None) -> str:
    """Return the page as text; `film_url` is the film's address relative to it."""
    found = curves(timeline)
    emotions = timeline.distribution(timeline.emotions)
    values = {
        "name": film_name(timeline),
        "film": timeline.film,
        "film_url": film_url,
        "headline": headline(emotions.weights),
        "top": emotions.top,
        "likeliest": likeliest(emotions.weights, 2),
        "summary": summary(timeline),
        "watched": watched(timeline),
        "on_average": ON_AVERAGE,
        "photographs": PHOTOGRAPHS,
        "emotion_style": drawing.style_of(timeline.vocabulary),
        "emotions": [(_css(timeline, word), word, value) for word, value in emotions.weights.items()],
        "rated": list(zip(timeline.rating_names, timeline.ratings, strict=True)),
        "circumplex": _circumplex(timeline),
        "all_left_out": all(sample.is_left_out for sample in timeline.samples),
        "any_unusual": any(sample.unusual is True for sample in timeline.samples),
        "veiled": left_out_in_words(timeline),
        "chart": _chart(timeline, found),
        "strip": _strip(timeline, pictures),
        "peaks": _peaks(timeline, pictures),
        "heatmap_reading": READING if pictures.maps else None,
        "moods": _moods(timeline),
        "frames": _frames(timeline, pictures),
        "shots": _shots(timeline),
        "made": _made(timeline),
        "counts": timeline.counts,
        "data": html.json_for_script(_data(timeline, found)),
    }
    return html.render("film_report.html", values)


def sampling(settings: Mapping[str, Any]) -> str:
    """Describe which frames were sampled.

    >>> sampling({"sampling": "time", "every": 0.5})
    'a frame every 0.5 s, and one where a shot starts'
    """
    if settings.get("sampling") == "keyframes":
        return "the key frames of the file"
    if settings.get("sampling") == "shots":
        return "a few frames of each shot"
    every = settings.get("every", 0)
    return f"a frame every {every:g} s, and one where a shot starts" if every else "every frame"


# ----------------------------------------------------------------------------------------------- sections


def _chart(timeline: Timeline, found: EmotionCurves) -> dict[str, Any]:
    pins = _pins(timeline, found)
    return {
        "begin": found.begin,
        "end": found.end,
        "averaged_over": found.averaged_over,
        "pins": pins,
        "lanes": 1 + max((pin["lane"] for pin in pins), default=0),
        "stack": drawing.stack(found, timeline),
        "ribbon": drawing.ribbon(timeline),
        "cuts": drawing.cuts(found, timeline),
        "gaps": drawing.gaps(found, timeline),
        "left_out": drawing.left_out(found, timeline),
        "ratings": drawing.ratings(timeline, found),
        "polarity": drawing.polarity(timeline, found),
        "axis": drawing.axis(found),
        "legend": drawing.legend(timeline.vocabulary),
    }


def _pins(timeline: Timeline, found: EmotionCurves) -> list[dict[str, Any]]:
    """Number peaks above the chart; those that would cover another are in the table alone."""
    peaks = timeline.of("peak")[:MAX_PEAKS]
    positions = [found.position(peak.second) for peak in peaks]
    lanes = drawing.assign_lanes(positions, _PIN_WIDTH, _PIN_LANES)
    return [
        {
            "number": number,
            "css": _css(timeline, peak.emotion),
            "second": up_to_milliseconds(peak.second),
            "title": peak_in_words(peak),
            "x": 100 * position,
            "lane": lane,
            "drop": 4 + 28 * lane,
        }
        for number, (peak, position, lane) in enumerate(zip(peaks, positions, lanes, strict=True), start=1)
        if lane is not None
    ]


def _strip(timeline: Timeline, pictures: FilmPictures) -> dict[str, Any]:
    shown = strip_shots(timeline, MAX_STRIP)
    return {
        "tiles": [_tile(timeline, shot, pictures) for shot in shown],
        "shape": f"{timeline.film.width or 16}/{timeline.film.height or 9}",
        "left_out": len(timeline.shots) - len(shown),
        "parts": MAX_STRIP,
    }


def _tile(timeline: Timeline, shot: Shot, pictures: FilmPictures) -> dict[str, Any]:
    emotions = timeline.distribution(shot.emotions)
    return {
        "number": shot.number,
        "start": up_to_milliseconds(shot.start),
        "duration": shot.duration,
        "emotion": emotions.top,
        "value": emotions[emotions.top],
        "css": _css(timeline, emotions.top),
        "picture": _still(pictures, shot.key_second, _STRIP_LONGEST, _STRIP_QUALITY),
        "left_out": timeline.left_out_as(shot),
    }


def _peaks(timeline: Timeline, pictures: FilmPictures) -> dict[str, Any]:
    peaks = timeline.of("peak")
    rows = [
        {
            **_moment(timeline, peak),
            "prominence": peak.prominence or 0.0,
            "picture": _still(pictures, peak.second),
            "heatmap": _heatmap(pictures, peak),
            "evidence": evidence_lines(pictures.evidence.get(peak.second, {})),
        }
        for peak in peaks[:MAX_PEAKS]
    ]
    return {"rows": rows, "left_out": len(peaks) - len(rows)}


def _moods(timeline: Timeline) -> dict[str, Any]:
    moods = timeline.of("mood")
    shown = sorted(moods[:MAX_MOODS], key=lambda mood: mood.start)
    return {"rows": [_moment(timeline, mood) for mood in shown], "left_out": len(moods) - len(shown)}


def _frames(timeline: Timeline, pictures: FilmPictures) -> list[dict[str, Any]]:
    """Pair the most typical with the most extreme frame of each emotion that has either."""
    frames = _shown_frames(timeline)

    def cell(kind: str, word: str) -> dict[str, Any] | None:
        moment = frames.get((kind, word))
        if moment is None:
            return None
        return {**_moment(timeline, moment), "kind": kind, "picture": _still(pictures, moment.second)}

    rows = [
        {
            "emotion": word,
            "css": _css(timeline, word),
            "typical": cell("typical", word),
            "extreme": cell("extreme", word),
        }
        for word in by_polarity(timeline.vocabulary)
    ]
    return [row for row in rows if row["typical"] or row["extreme"]]


def _shots(timeline: Timeline) -> dict[str, Any]:
    longest = sorted(timeline.shots, key=lambda shot: -shot.duration)[:MAX_SHOTS]
    rows = [
        {
            "number": shot.number,
            "start": up_to_milliseconds(shot.start),
            "duration": shot.duration,
            "begins": shot.begins,
            "polarity": polarity_score(timeline.distribution(shot.emotions)),
            "likeliest": likeliest(timeline.distribution(shot.emotions).weights),
            "ratings": shot.ratings,
            "unusual": sum(sample.unusual is True for sample in timeline.samples_of(shot)),
            "faded": sum(sample.faded for sample in timeline.samples_of(shot)),
            "samples": shot.count,
        }
        for shot in sorted(longest, key=lambda shot: shot.start)
    ]
    with_polarity = any(row["polarity"] is not None for row in rows)
    with_unusual, with_faded = (any(row[name] for row in rows) for name in ("unusual", "faded"))
    return {
        "rows": rows,
        "total": len(timeline.shots),
        "polarity": with_polarity,
        "ratings": timeline.rating_names,
        "unusual": with_unusual,
        "faded": with_faded,
    }


def _circumplex(timeline: Timeline) -> dict[str, str] | None:
    """Draw the film's path through valence and arousal; None where the model does not predict both."""
    drawn = film_circumplex(timeline)
    if drawn is None:
        return None
    means = dict(zip(timeline.rating_names, timeline.ratings, strict=True))
    return {
        **themed_urls(drawn),
        "alternative": f"Path of the film through valence and arousal, around a mean of {means[VALENCE]:.1f} "
        f"and {means[AROUSAL]:.1f}",
    }


def _made(timeline: Timeline) -> dict[str, Any]:
    settings = json.dumps(dict(timeline.settings), indent=1, ensure_ascii=False, default=str)
    return {
        "model": timeline.model,
        "weights_hash": timeline.weights_hash,
        "version": timeline.version,
        "sampling": sampling(timeline.settings),
        "settings": printable_in_files(settings, keep="\n"),
    }


def _data(timeline: Timeline, found: EmotionCurves) -> dict[str, Any]:
    """Return what the script needs: times, probabilities in thousandths, where shots start."""
    return {
        "begin": found.begin,
        "end": found.end,
        "words": list(timeline.vocabulary.words),
        "seconds": [up_to_milliseconds(second) for second in found.seconds.tolist()],
        "values": np.rint(1000 * found.emotions).astype(int).tolist(),
        "shots": [up_to_milliseconds(shot.start) for shot in timeline.shots] or [0.0],
        "first": timeline.shots[0].number if timeline.shots else 1,
        **_rated_data(timeline, found),
    }


def _rated_data(timeline: Timeline, found: EmotionCurves) -> dict[str, Any]:
    """Return the ratings of each point, and which are unusual or faded, where there are any of these."""
    values: dict[str, Any] = {"ratings": np.round(found.ratings, 2).tolist()} if timeline.scales else {}
    for name, shares in (("unusual", found.unusual), ("faded", found.faded)):
        if shares.any():
            values[name] = (shares > _MOSTLY).astype(int).tolist()
    return values


# ------------------------------------------------------------------------------------------------- pieces


def _css(timeline: Timeline, word: str) -> str:
    return drawing.css_class(timeline.vocabulary, word)


def _moment(timeline: Timeline, moment: Moment) -> dict[str, Any]:
    return {
        "emotion": moment.emotion,
        "css": _css(timeline, moment.emotion),
        "second": up_to_milliseconds(moment.second),
        "value": moment.value,
        "start": up_to_milliseconds(moment.start),
        "end": moment.end,
        "duration": moment.duration,
    }


def _shown_frames(timeline: Timeline) -> dict[tuple[str, str], Moment]:
    """Return the most typical and the most extreme frame of each emotion that has any, by kind and word."""
    return {
        (kind, word): found[0]
        for kind in ("typical", "extreme")
        for word in timeline.vocabulary.words
        if (found := timeline.of(kind, word))
    }


def _still(
    pictures: FilmPictures, second: float, longest: int = LONGEST, quality: int = _QUALITY
) -> str | None:
    """Return a frame as the address of a picture; None where there is none."""
    if second not in pictures.stills:
        return None
    return jpeg_url(shrunk(pictures.stills[second], longest), quality)


def _heatmap(pictures: FilmPictures, peak: Moment) -> str | None:
    heatmap = pictures.maps.get((peak.second, peak.emotion))
    return None if heatmap is None else jpeg_url(heatmap, _QUALITY)
