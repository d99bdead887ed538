"""The chart of a film."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from affectlens.emotions import EKMAN, Vocabulary
from affectlens.errors import OutputError
from affectlens.film.report.chart import draw_chart, write_chart
from rated import rated
from timelines import film_of, timeline_of


def test_a_chart_names_the_film_all_emotions_and_the_peaks_that_fit() -> None:
    figure = draw_chart(timeline_of())
    stack, ribbon, polarity = figure.axes
    assert stack.get_title(loc="left") == "night train.mp4"
    legend = stack.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == list(timeline_of().vocabulary.words)
    assert any(text.get_text().startswith("fear\n0:09") for text in stack.texts)
    assert len(ribbon.patches) == 5
    assert polarity.get_ylim()[0] < -1 < 1 < polarity.get_ylim()[1]


def test_the_more_prominent_of_two_peaks_too_close_for_both_names_keeps_its_name() -> None:
    given = timeline_of()
    first, second, *others = given.of("peak")
    small, large = replace(first, second=9.0, prominence=0.2), replace(second, second=9.5, prominence=0.6)
    chart = draw_chart(replace(given, moments=(large, small, *others[3:])))
    (name,) = [text for text in chart.axes[0].texts if text.get_text() == "awe\n0:09"]
    assert name.get_position() == pytest.approx((9.5 / 22, 1.02))


LONG = "uncanny and a little threatening, as of an empty house"
OWN_WORDS = Vocabulary("own", ("cosy", "\u9759\u3051\u3055", LONG, "premium", "ho-hum"))


def test_names_of_ones_own_neither_overlap_nor_leave_the_chart(tmp_path: Path) -> None:
    script = [(2.0, word) for word in (LONG, "cosy", LONG, "premium", "cosy", LONG)]
    timeline = timeline_of(script, vocabulary=OWN_WORDS, polarity=None)
    figure = draw_chart(timeline)
    figure.draw_without_rendering()
    stack = figure.axes[0]
    boxes = sorted(
        (text.get_window_extent().x0, text.get_window_extent().x1) for text in stack.texts if text.get_text()
    )
    assert len(boxes) >= 3 and any("\u2026" in text.get_text() for text in stack.texts)
    assert all(end < begin for (_, end), (begin, _) in pairwise(boxes))
    assert boxes[-1][1] <= stack.get_window_extent().x1 + 1
    legend = stack.get_legend()
    assert legend is not None and LONG in {text.get_text().replace("\n", " ") for text in legend.get_texts()}
    assert stack.get_window_extent().width > figure.bbox.width / 2


def test_many_words_have_a_legend_at_the_right_of_all_panels() -> None:
    many = Vocabulary("own", tuple(f"word {number}" for number in range(30)))
    figure = draw_chart(timeline_of([(2.0, "word 3")], vocabulary=many, polarity=None))
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(many.words)
    box, stack, ribbon = (each.get_window_extent() for each in (legend, *figure.axes))
    assert box.x0 > stack.x1 and box.y0 > 0 and box.y1 <= figure.bbox.height
    assert stack.y0 - ribbon.y1 < 0.1 * figure.bbox.height


def test_what_was_not_predicted_is_covered_in_every_panel() -> None:
    timeline = timeline_of()
    before = [len(axes.patches) for axes in draw_chart(timeline).axes]
    covered = draw_chart(replace(timeline, gaps=((3.0, 6.0), (9.0, 12.0)))).axes
    assert [len(axes.patches) for axes in covered] == [count + 2 for count in before]


def test_ratings_have_panels_on_their_full_scales_and_unusual_frames_are_veiled_in_every_panel() -> None:
    plain, timeline = draw_chart(rated(timeline_of())), rated(timeline_of(), 2, 4)
    figure = draw_chart(timeline)
    assert len(figure.axes) == 5
    assert [axes.get_ylim() for axes in figure.axes[-2:]] == [(1, 9), (1, 9)]
    assert "valence" in figure.axes[3].get_ylabel()
    for veiled, axes in zip(figure.axes, plain.axes, strict=True):
        assert len(veiled.patches) == len(axes.patches) + 2


def test_words_without_polarity_have_a_chart_without_it() -> None:
    own = Vocabulary("own", ("red", "blue"))
    assert len(draw_chart(timeline_of(((2.0, "red"),), vocabulary=own, polarity=None)).axes) == 2
    assert len(draw_chart(timeline_of(((2.0, "joy"),), vocabulary=EKMAN, polarity=(0.5,) * 4)).axes) == 3


def test_a_chart_is_written_whole_and_in_the_format_of_its_suffix(tmp_path: Path) -> None:
    write_chart(tmp_path / "a.png", timeline_of(film=film_of(22.0, name="$a_$.mp4")))
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == 1500
    with pytest.raises(OutputError, match=r"\.png"):
        write_chart(tmp_path / "a.txt", timeline_of())
