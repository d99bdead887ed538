"""Wheels of emotions: angles, areas, words, files."""

import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from affectlens.emotions import EKMAN, MIKELS, MIKELS_CIRCLE, PLUTCHIK, Vocabulary
from affectlens.errors import OutputError
from affectlens.report.emotion_colours import COLOURS
from affectlens.report.wheel import PLUTCHIK_WHEEL, NoWheel, draw_wheel, require_wheel, write_wheel
from heat import EMOTIONS


def petals(figure: Figure) -> list[Rectangle]:
    (axes,) = figure.axes
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def texts(figure: Figure) -> str:
    return " ".join(" ".join(found.get_text().split()) for found in figure.findobj(Text))


def middle(petal: Rectangle) -> float:
    return petal.get_x() + petal.get_width() / 2


def area(petal: Rectangle) -> float:
    return petal.get_height() ** 2  # of sectors of the same angle


def test_petals_stand_at_the_angles_of_mikels_circle() -> None:
    found = petals(draw_wheel(EMOTIONS))
    assert len(found) == 8
    for number, petal in enumerate(found, start=1):
        assert middle(petal) == pytest.approx((2 * number - 1) * math.pi / 8)


def test_the_area_of_a_petal_is_its_probability() -> None:
    found = petals(draw_wheel(EMOTIONS))
    unit = area(found[MIKELS_CIRCLE.index("fear")]) / EMOTIONS["fear"]
    for word, petal in zip(MIKELS_CIRCLE, found, strict=True):
        assert area(petal) == pytest.approx(unit * EMOTIONS[word])


def test_every_emotion_is_named_with_its_probability_next_to_its_petal() -> None:
    text = texts(draw_wheel(EMOTIONS, name="night street.jpg"))
    assert "night street.jpg" in text
    assert "fear 50 %" in text
    assert "amusement 1 %" in text
    assert "in people on average" in text


LONG_NAME = f"{'a picture with a long name ' * 4}{'w' * 80}.jpg"
TOPS = [(MIKELS, word, plutchik) for word in MIKELS_CIRCLE for plutchik in (False, True)]
TOPS += [(PLUTCHIK, word, True) for word in PLUTCHIK_WHEEL]


@pytest.mark.parametrize(("vocabulary", "top", "plutchik"), TOPS)
def test_no_text_leaves_the_figure_or_overlaps_another(
    vocabulary: Vocabulary, top: str, plutchik: bool
) -> None:
    emotions = vocabulary.distribution({word: 5.0 if word == top else 1.0 for word in vocabulary.words})
    figure = draw_wheel(emotions, plutchik=plutchik, name=LONG_NAME)
    found = [text for text in figure.findobj(Text) if text.get_text()]
    assert len(found) > 8 + 2
    boxes = [text.get_window_extent() for text in found]
    for box in boxes:
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1
    for index, box in enumerate(boxes):
        assert not [found[other] for other in range(index) if box.overlaps(boxes[other])]


def test_on_plutchiks_wheel_the_mapping_and_its_loss_are_stated_and_nothing_is_spread() -> None:
    figure = draw_wheel(EMOTIONS, plutchik=True)
    text = texts(figure)
    assert (
        "by a mapping from mikels-8 that loses something: amusement, contentment and excitement all become"
        in text
    )
    assert "12 % of the answer has no counterpart on this wheel." in text  # awe
    assert "fear 50 %" in text
    assert "joy 6 %" in text
    by_word = dict(zip(PLUTCHIK_WHEEL, petals(figure), strict=True))
    assert area(by_word["joy"]) / area(by_word["fear"]) == pytest.approx(0.06 / 0.5)
    assert area(by_word["trust"]) == 0


def test_opposites_face_each_other_on_plutchiks_wheel() -> None:
    found = dict(zip(PLUTCHIK_WHEEL, petals(draw_wheel(EMOTIONS, plutchik=True)), strict=True))
    for one, other in [
        ("joy", "sadness"),
        ("trust", "disgust"),
        ("fear", "anger"),
        ("surprise", "anticipation"),
    ]:
        apart = abs(middle(found[one]) - middle(found[other])) % (2 * math.pi)
        assert apart == pytest.approx(math.pi)


def test_plutchiks_own_emotions_lose_nothing_and_no_mapping_is_mentioned() -> None:
    figure = draw_wheel(PLUTCHIK.distribution({"trust": 1, "joy": 3}), plutchik=True)
    assert "joy 75 %" in texts(figure)
    assert "mapping" not in texts(figure)


def test_emotions_without_a_circle_are_refused_with_those_that_have_one() -> None:
    with pytest.raises(NoWheel, match="There are wheels of mikels-8 and plutchik-8"):
        draw_wheel(EKMAN.only("joy"))
    with pytest.raises(NoWheel, match="No conversion from ekman-6 to plutchik-8"):
        draw_wheel(EKMAN.only("joy"), plutchik=True)


def test_an_answer_without_any_counterpart_on_plutchiks_wheel_is_refused() -> None:
    with pytest.raises(NoWheel, match="no counterpart"):
        draw_wheel(MIKELS.only("awe"), plutchik=True)


def test_every_emotion_of_both_wheels_has_a_colour_of_its_own_on_it() -> None:
    for words in (MIKELS_CIRCLE, PLUTCHIK_WHEEL):
        assert len({COLOURS[word] for word in words}) == 8


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_wheel_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("one", "two"):
        write_wheel(tmp_path / f"{name}{suffix}", EMOTIONS, name="a.jpg")
    written = [(tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two")]
    assert written[0] == written[1]
    assert len(written[0]) > 5000


def test_another_suffix_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Use \.png"):
        write_wheel(tmp_path / "wheel.gif", EMOTIONS)


def test_words_without_a_wheel_are_known_before_there_is_an_answer() -> None:
    require_wheel(MIKELS)
    require_wheel(MIKELS, plutchik=True)
    for plutchik in (False, True):
        with pytest.raises(NoWheel):
            require_wheel(Vocabulary("moods", ("cosy", "odd")), plutchik=plutchik)
