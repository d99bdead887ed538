"""The files that an explanation can be written as, by name. To add one, write its function and its entry.

What needs torch or matplotlib is imported when a format is written, so that a command can list them quickly.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from affectlens.emotions import Vocabulary
from affectlens.files import atomic_write, slug
from affectlens.report.text import printable

if TYPE_CHECKING:
    from affectlens.explain.explainer import Explanation, ExplanationRequest
    from affectlens.ratings import RatingScale


@dataclass(frozen=True, kw_only=True)
class ExplanationFormat:
    """One way to write the explanation of a picture.

    Attributes:
        name: as users give it
        suffix: of its files
        summary: one line for users: what is in it
        write: `(file, explanation)`; an existing file is replaced. Raises `OutputError`
        by_question: whether its files are named after the questions, not only after the picture
        pixels, effects, faithfulness: what it shows of `Explanation`, and so what has to be requested
        require: raises what `write` would, where a model's words, or its ratings, cannot be shown so
    """

    name: str
    suffix: str
    summary: str
    write: Callable[[Path, "Explanation"], None]
    by_question: bool = True
    pixels: bool = False
    effects: bool = False
    faithfulness: bool = False
    require: Callable[[Vocabulary, Sequence["RatingScale"]], None] = lambda _, _ratings: None


def _write_figure(file: Path, explanation: "Explanation") -> None:
    from affectlens.explain import figures

    figures.write_figure(file, explanation)


def _write_page(file: Path, explanation: "Explanation") -> None:
    from affectlens.explain import page

    page.write_page(file, explanation)


def _write_arrays(file: Path, explanation: "Explanation") -> None:
    import numpy as np

    heatmaps = explanation.heatmaps
    arrays: dict[str, Any] = {
        key if len(heatmaps) == 1 else f"{slug(str(each.question))}.{key}": value
        for each in heatmaps
        for key, value in each.to_arrays().items()
    }
    with atomic_write(file) as stream:
        np.savez_compressed(stream, **arrays)


def _write_json(file: Path, explanation: "Explanation") -> None:
    with atomic_write(file, "w") as stream:
        # Escaped where the name of a file is not text; nothing else is.
        stream.write(json.dumps(explanation.to_json(), indent=1) + "\n")


def _write_wheel(file: Path, explanation: "Explanation", *, plutchik: bool = False) -> None:
    from affectlens.report import wheel

    name = printable(Path(explanation.image).name)
    wheel.write_wheel(file, explanation.heatmaps[0].emotions, plutchik=plutchik, name=name)


def _require_wheel(
    vocabulary: Vocabulary, _ratings: Sequence["RatingScale"], *, plutchik: bool = False
) -> None:
    from affectlens.report import wheel

    wheel.require_wheel(vocabulary, plutchik=plutchik)


def _write_plutchik(file: Path, explanation: "Explanation") -> None:
    _write_wheel(file, explanation, plutchik=True)


def _write_plane(file: Path, explanation: "Explanation") -> None:
    from affectlens.explain import figures

    figures.write_plane(file, explanation)


def _require_plane(_vocabulary: Vocabulary, ratings: Sequence["RatingScale"]) -> None:
    from affectlens.report import circumplex

    circumplex.plane_of(ratings)


def _write_legend(file: Path, explanation: "Explanation") -> None:
    from affectlens.explain import figures

    figures.write_legend(file, explanation)


FORMATS: Mapping[str, ExplanationFormat] = MappingProxyType({
    entry.name: entry
    for entry in (
        ExplanationFormat(
            name="png", suffix=".png", summary="the picture and its maps, one sheet",
            write=_write_figure, pixels=True, faithfulness=True,
        ),
        ExplanationFormat(
            name="html", suffix=".html", summary="one page with everything",
            write=_write_page, pixels=True, effects=True, faithfulness=True,
        ),
        ExplanationFormat(
            name="npz", suffix=".npz", summary="the maps as arrays", write=_write_arrays,
        ),
        ExplanationFormat(
            name="json", suffix=".json", summary="all numbers but the maps",
            write=_write_json, effects=True, faithfulness=True,
        ),
        ExplanationFormat(
            name="wheel", suffix=".wheel.png", summary="the emotions on Mikels' circle",
            write=_write_wheel, by_question=False, require=_require_wheel,
        ),
        ExplanationFormat(
            name="plutchik", suffix=".plutchik.png", summary="the emotions on Plutchik's wheel, with a loss",
            write=_write_plutchik, by_question=False,
            require=partial(_require_wheel, plutchik=True),
        ),
        ExplanationFormat(
            name="legend", suffix=".legend.png", summary="the picture with all emotions in a corner",
            write=_write_legend, by_question=False, pixels=True,
        ),
        ExplanationFormat(
            name="circumplex", suffix=".circumplex.png",
            summary="valence and arousal with their intervals, in one plane",
            write=_write_plane, by_question=False, require=_require_plane,
        ),
    )
})  # fmt: skip


def request_for(
    formats: Iterable[str],
    *,
    emotions: tuple[str, ...] = (),
    all_emotions: bool = False,
    against: str | None = None,
    story: bool = False,
    faithfulness: bool = True,
) -> "ExplanationRequest":
    """Request what formats, by name, show, and no more.

    `story` requests effects, too; `faithfulness` permits to measure it where a format shows it.
    """
    from affectlens.explain.explainer import ExplanationRequest
    from affectlens.explain.faithfulness.curves import RemovalOptions

    shown = [FORMATS[name] for name in formats]
    measures = faithfulness and any(each.faithfulness for each in shown)
    return ExplanationRequest(
        emotions=emotions,
        all_emotions=all_emotions,
        against=against,
        effects=story or any(each.effects for each in shown),
        removal=RemovalOptions() if measures else None,
        keep_pixels=any(each.pixels for each in shown),
    )
