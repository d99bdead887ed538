"""Chapters, as libavformat reads them."""

import io
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av

from affectlens.film.export.chapters import ffmetadata
from affectlens.film.export.options import ExportOptions
from timelines import timeline_of

PLAIN = ExportOptions()


def test_chapters_are_read_by_ffmpeg_one_a_mood_and_odd_letters_survive() -> None:
    timeline = timeline_of()
    with av.open(io.BytesIO(ffmetadata(timeline, PLAIN).encode()), format="ffmetadata") as container:
        found: list[Any] = container.chapters()
    times = [(each["start"] * each["time_base"], each["end"] * each["time_base"]) for each in found]
    assert times == [(0, 7), (7, 12), (12, Fraction("14.5")), (Fraction("14.5"), Fraction("20.5")),
                     (Fraction("20.5"), 22)]  # fmt: skip
    assert [each["metadata"]["title"] for each in found][:2] == ["awe", "fear"]
    calm = replace(timeline, moments=())  # chapters of shots, whose titles have signs in them
    with av.open(io.BytesIO(ffmetadata(calm, PLAIN).encode()), format="ffmetadata") as container:
        assert container.chapters()[0]["metadata"]["title"] == "awe 65 %, amusement 5 %, contentment 5 %"
