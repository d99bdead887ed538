"""An explanation as one page of HTML that holds all it shows: it can be mailed, and opens without a network.

The picture with each map laid on it (a slider fades between the two), what it evokes as bars and as a wheel,
the story, what moves the answer, and how it all was made. Laid out for telephones and for desks; every image
has a text in its place. The only script is that of the slider; without it the map is shown.
"""

import base64
import io
import json
import math
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.image
import numpy as np
from numpy.typing import NDArray

from affectlens.emotions import MIKELS, EmotionDistribution
from affectlens.explain.core.heatmap import Heatmap
from affectlens.explain.explainer import Explanation
from affectlens.explain.story.branches import Contributions
from affectlens.explain.story.influences import LEAST_EFFECT, SHIFT, Change, Influences
from affectlens.explain.story.text import story
from affectlens.explain.text import ON_AVERAGE, READING, doubts, evokes, how_made, title
from affectlens.files import atomic_write
from affectlens.images import Pixels, Source
from affectlens.report import wheel
from affectlens.report.heatmaps import AGAINST, FOR, Scale, overlay, scale_of, shown
from affectlens.report.text import percent
from affectlens.report.text import printable_in_files as _printable

LONGEST = 1100  # pixels of the picture's longer side: sharp on a telephone and on a desk
QUALITY = 86  # of JPEG
_STRONG_EFFECT = 3.0  # log-odds that fill a bar; more is cut


def write(file: Path, explanation: Explanation, picture: Source) -> None:
    """Write the page of one picture. Raises `OutputError`, and `PictureError` where it cannot be read."""
    text = render(explanation, shown(picture, explanation.heatmaps[0].size, LONGEST))
    with atomic_write(file, "w") as out:
        out.write(text)


def render(explanation: Explanation, pixels: Pixels) -> str:
    """Write a page about a picture, uint8 (3, H, W) upright, as text."""
    first = explanation.heatmaps[0]
    name = _printable(Path(explanation.image).name)
    top = first.emotions.top
    scale = scale_of(explanation.heatmaps)
    parts = [
        f"<header><p class=file>{escape(name)}</p><h1>Most likely to evoke <em>{escape(top)}</em></h1>"
        f"<p>{escape(evokes(first.emotions))}. {escape(ON_AVERAGE)}</p></header>",
        _contents(explanation.heatmaps),
        *(_answer(explanation, place, pixels, scale) for place in range(len(explanation.heatmaps))),
        _emotions(first.emotions, name),
        _made(explanation.heatmaps),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}: why {escape(str(first.question))}?</title><style>{_STYLE}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


# ------------------------------------------------------------------------------------------------- parts


def _contents(heatmaps: Iterable[Heatmap]) -> str:
    links = [f'<a href="#{_anchor(each)}">{escape(title(each))}</a>' for each in heatmaps]
    return f'<nav aria-label="Explanations">{"".join(links)}</nav>' if len(links) > 1 else ""


def _answer(explanation: Explanation, place: int, pixels: Pixels, scale: Scale) -> str:
    heatmap = explanation.heatmaps[place]
    found = explanation.influences[place] if explanation.influences else None
    parts = [
        f'<section id="{_anchor(heatmap)}"><h2>Why {escape(str(heatmap.question))}?</h2>',
        _doubts(heatmap),
        "<div class=pair>",
        _figure(heatmap, pixels, scale),
        "<div>",
        _story(found) if found else "",
        _places(found, pixels) if found else "",
        "</div></div>",
        _changes(found) if found else "",
        _parts(explanation.parts[place]) if explanation.parts else "",
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _doubts(heatmap: Heatmap) -> str:
    said = doubts([heatmap])
    return f"<p class=doubt role=note>{escape(said)}</p>" if said else ""


def _figure(heatmap: Heatmap, pixels: Pixels, scale: Scale) -> str:
    height, width = pixels.shape[1:]
    name = escape(_printable(Path(heatmap.image).name), quote=True)
    laid = _jpeg(overlay(heatmap, pixels, scale))
    number = f"{scale.full or 1:.2g}"
    caption = f"{scale.unit}. {READING}"
    alternative = escape(
        f"Map of what speaks for {title(heatmap)} and against it, laid on the picture", quote=True
    )
    strongest = f"aspect-ratio:{width}/{height};--wide:{width / height:.4f}"
    return (
        f'<figure><div class=stage style="{strongest}"><img src="{_jpeg(pixels.permute(1, 2, 0).numpy())}" '
        f'alt="The picture {name}"><img class=map src="{laid}" alt="{alternative}"></div>'
        "<label class=fade><span>picture</span><input type=range min=0 max=1 step=0.01 value=1 "
        "aria-label=\"From the picture to the map\" oninput=\"this.closest('figure').querySelector('.map')"
        '.style.opacity=this.value"><span>map</span></label>'
        f"<figcaption><span class=ramp></span><span class=ends><span>\N{MINUS SIGN}{number} against</span>"
        f"<span>0</span><span>for +{number}</span></span>{escape(caption)}</figcaption></figure>"
    )


def _story(found: Influences) -> str:
    return "<div class=story>" + "".join(f"<p>{escape(each)}</p>" for each in story(found)) + "</div>"


def _places(found: Influences, pixels: Pixels) -> str:
    """What each ninth of the picture does, as a picture of nine."""
    ninths = [change for change in found.changes if change.name.endswith(" ninth")]
    height, width = pixels.shape[1:]
    cells = "".join(
        f'<span style="{_tint(change.effect)}" title="{escape(change.name, quote=True)}">'
        f"{_signed(change.effect)}</span>"
        for change in ninths
    )
    return (
        f'<h3>When a ninth is blurred</h3><div class=ninths style="aspect-ratio:{width}/{height}" role=img '
        f'aria-label="{escape(_listed(ninths), quote=True)}">{cells}</div>'
        "<p class=note>Change of the answer, in log-odds. Orange: what is there spoke for the answer.</p>"
    )


def _changes(found: Influences) -> str:
    """All that was tried, with bars; what stays within noise is pale."""
    rows = [change for change in found.changes if not change.name.endswith(" ninth")]
    asked = found.question.favour

    def likely(emotions: EmotionDistribution) -> str:
        return percent(math.fsum(emotions[word] for word in asked))

    lines = "".join(
        f"<tr{'' if found.is_told(change) else ' class=noise'}><th scope=row>{escape(_done(change))}</th>"
        f"<td>{likely(change.emotions)}</td><td>{_signed(change.effect)}</td>"
        f"<td class=bar>{_bar(change.effect)}</td></tr>"
        for change in rows
    )
    return (
        "<h3>What moves the answer</h3>"
        f"{_head('The picture', _name(found), 'log-odds')}<tbody><tr><th scope=row>as it is</th>"
        f"<td>{likely(found.emotions)}</td><td></td><td class=bar></td></tr>{lines}</tbody></table>"
        f"<p class=note>Pale: no more than cutting {percent(SHIFT)} off its sides does "
        f"({max(found.noise, LEAST_EFFECT):.2f} in log-odds), and not told above.</p>"
    )


def _parts(found: Contributions) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(kind)}</th><td>{_signed(value)}</td>"
        f"<td class=bar>{_bar(-value)}</td></tr>"
        for kind, value in found.by_kind().items()
    )
    return (
        f"<h3>What the network's parts say</h3>{_head('Part', 'log-odds')}<tbody>{rows}</tbody></table>"
        f"<p class=note>Compared with: {escape(found.reference)}. Their sum is off the whole by "
        f"{abs(found.error):.2g}.</p>"
    )


def _head(*names: str) -> str:
    cells = "".join(f"<th scope=col>{escape(name)}</th>" for name in names)
    return f"<table><thead><tr>{cells}<th class=bar aria-hidden=true></th></tr></thead>"


def _emotions(emotions: EmotionDistribution, name: str) -> str:
    bars = "".join(
        f"<tr><th scope=row>{escape(word)}</th><td>{percent(value)}</td>"
        f'<td class=bar><i style="left:0;width:{100 * value:.1f}%;'
        f'background:{wheel.COLOURS.get(word, wheel.OTHER)}"></i></td></tr>'
        for word, value in emotions.ranked
    )
    table = f"<table class=emotions><tbody>{bars}</tbody></table>"
    if emotions.vocabulary != MIKELS:
        return f"<section><h2>What it evokes</h2>{table}</section>"
    said = f"Wheel of emotions of {name}: {evokes(emotions, len(emotions.vocabulary))}"
    return (
        f"<section><h2>What it evokes</h2><div class=pair>{_wheel(emotions, said)}{table}</div>"
        "<p class=note>Mikels' emotions: alike ones are neighbours, positive ones on the left. The area "
        f"of a petal is its probability.</p>{_plutchik(emotions, name)}</section>"
    )


def _plutchik(emotions: EmotionDistribution, name: str) -> str:
    try:
        notes = " ".join(wheel.plutchik_notes(emotions))
    except wheel.NoWheel:  # nothing of the answer has a place on it
        return ""
    drawn = _wheel(emotions, f"Plutchik's wheel of emotions of {name}", plutchik=True)
    return (
        f"<details><summary>On Plutchik's wheel, with a loss</summary>{drawn}"
        f"<p class=note>{escape(notes)}</p></details>"
    )


def _wheel(emotions: EmotionDistribution, alternative: str, plutchik: bool = False) -> str:
    file = io.BytesIO()
    with matplotlib.rc_context(wheel.FONT):
        figure = wheel.draw(emotions, plutchik=plutchik, caption=False)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    source = f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
    return f'<img class=wheel src="{source}" alt="{escape(alternative, quote=True)}">'


def _made(heatmaps: tuple[Heatmap, ...]) -> str:
    sentences = "".join(f"<p>{escape(each)}</p>" for each in how_made(heatmaps))
    details = json.dumps([each.to_json() for each in heatmaps], indent=1, ensure_ascii=False)
    return (
        f"<section><h2>How this was made</h2>{sentences}<details><summary>All numbers</summary>"
        f"<pre>{escape(_printable(details, keep=chr(10)))}</pre></details></section>"
    )


# --------------------------------------------------------------------------------------------- small ones


def _anchor(heatmap: Heatmap) -> str:
    return "-".join(str(heatmap.question).split())


def _name(found: Influences) -> str:
    return " or ".join(found.question.favour) if len(found.question.favour) == 1 else str(found.question)


def _done(change: Change) -> str:
    return change.name if change.kind == "look" else f"with {change.name} blurred"


def _listed(changes: Iterable[Change]) -> str:
    return "; ".join(f"{change.name}: {_signed(change.effect)}" for change in changes)


def _signed(value: float) -> str:
    """A number with its sign, as text: a true minus.

    >>> _signed(-1.25), _signed(0.001)
    ('\N{MINUS SIGN}1.25', '0.00')
    """
    rounded = f"{abs(value):.2f}"
    return rounded if float(rounded) == 0 else f"{'+' if value > 0 else chr(0x2212)}{rounded}"


def _bar(effect: float) -> str:
    """A bar from the middle: to the left where the answer falls."""
    length = 50 * min(1.0, abs(effect) / _STRONG_EFFECT)
    begin = 50 - length if effect < 0 else 50
    colour = _css(FOR if effect < 0 else AGAINST)
    return f'<i style="left:{begin:.1f}%;width:{length:.1f}%;background:{colour}"></i>'


def _tint(effect: float) -> str:
    """Background of a place: orange where it spoke for the answer, which fell without it."""
    strength = min(1.0, abs(effect) / _STRONG_EFFECT) ** 0.7
    red, green, blue = (round(255 * level) for level in (FOR if effect < 0 else AGAINST))
    return f"background:rgba({red},{green},{blue},{0.75 * strength:.2f})"


def _css(colour: tuple[float, float, float]) -> str:
    return f"rgb({','.join(str(round(255 * level)) for level in colour)})"


def _jpeg(picture: NDArray[np.uint8]) -> str:
    """A picture (H, W, 3) as an address that holds it."""
    file = io.BytesIO()
    options: dict[str, Any] = {"quality": QUALITY, "optimize": True}
    matplotlib.image.imsave(file, np.ascontiguousarray(picture), format="jpg", pil_kwargs=options)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


_STYLE = f"""
:root{{color-scheme:light;--ink:#1a1a1a;--pale:#5c5c5c;--line:#e2e2e2}}
*{{box-sizing:border-box}}
body{{margin:0;background:#fff;color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}}
main{{max-width:1120px;margin:0 auto;padding:20px 16px 48px}}
h1{{font-size:1.7rem;line-height:1.2;margin:.1em 0 .3em}} h1 em{{font-style:normal;color:#a34f00}}
h2{{font-size:1.3rem;margin:1.6em 0 .6em}} h3{{font-size:1rem;margin:1.4em 0 .4em}}
.file{{color:var(--pale);margin:0;overflow-wrap:anywhere}}
nav{{display:flex;flex-wrap:wrap;gap:8px;margin:14px 0}}
nav a{{border:1px solid #b9b9b9;border-radius:999px;padding:6px 14px;color:inherit;text-decoration:none}}
nav a:hover,nav a:focus{{background:#f2f2f2}}
section{{border-top:1px solid var(--line);margin-top:28px}}
.pair{{display:grid;gap:24px;align-items:start}}
figure{{margin:0}}
.stage{{position:relative;width:min(100%,calc(78vh*var(--wide)));margin:0 auto;min-height:24px;
background:#eee}}
.stage img{{position:absolute;inset:0;width:100%;height:100%;display:block;border-radius:4px}}
.fade{{display:flex;gap:12px;align-items:center;margin:10px 0 4px}} .fade input{{flex:1;min-height:32px}}
figcaption,.note{{color:var(--pale);font-size:.86rem}}
.ramp{{display:block;height:12px;border-radius:3px;margin-top:6px;
background:linear-gradient(90deg,{_css(AGAINST)},#9b9b9b 47%,#9b9b9b 53%,{_css(FOR)})}}
.ends{{display:flex;justify-content:space-between;color:var(--ink)}}
.doubt{{border-left:4px solid #a34f00;padding:4px 12px;margin:0 0 16px;font-weight:600}}
.story p{{margin:0 0 .7em;font-size:1.06rem}}
.ninths{{display:grid;grid-template:repeat(3,1fr)/repeat(3,1fr);gap:2px;width:min(100%,340px);min-height:96px;
max-height:340px}}
.ninths span{{display:grid;place-items:center;border:1px solid var(--line);font-size:.86rem;
font-variant-numeric:tabular-nums}}
table{{border-collapse:collapse;width:100%;font-size:.94rem;font-variant-numeric:tabular-nums}}
th,td{{padding:5px 8px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}}
th{{font-weight:400}} th[scope=row],thead th:first-child{{text-align:left;white-space:normal}}
thead th{{color:var(--pale);font-size:.86rem}}
td.bar,th.bar{{position:relative;width:34%;min-width:72px}}
td.bar i{{position:absolute;top:7px;bottom:7px;border-radius:2px}}
.noise{{color:#767676}} .noise i{{opacity:.3}}
.wheel{{width:100%;max-width:440px;margin:0 auto;display:block}}
details{{margin:12px 0}} summary{{cursor:pointer;padding:6px 0}}
pre{{overflow:auto;max-height:60vh;background:#f6f6f6;padding:12px;font-size:.8rem}}
@media(min-width:860px){{.pair{{grid-template-columns:minmax(0,3fr) minmax(0,2fr)}}}}
@media print{{.fade{{display:none}}section{{break-inside:avoid}}}}
"""
