"""A picture with its emotions in a corner."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from affectlens.emotions import MIKELS, VOCABULARIES, EmotionDistribution, Vocabulary
from affectlens.errors import OutputError
from affectlens.report.legend import TITLE, draw_legend, write_legend

WEIGHTS = (0.02, 0.5, 0.2, 0.1, 0.0, 0.08, 0.06, 0.04)


def emotions(vocabulary: Vocabulary = MIKELS) -> EmotionDistribution:
    weights = WEIGHTS if vocabulary == MIKELS else (1 / len(vocabulary),) * len(vocabulary)
    return EmotionDistribution(vocabulary, weights)


def test_every_emotion_has_its_word_and_its_number_and_the_strongest_is_bold() -> None:
    (axes,) = draw_legend(np.zeros((300, 400, 3), np.uint8), emotions()).axes
    texts = [text.get_text() for text in axes.texts]
    assert texts[0] == TITLE
    assert texts[1::2] == list(MIKELS.words)
    assert texts[2::2] == ["2 %", "50 %", "20 %", "10 %", "under 0.1 %", "8 %", "6 %", "4 %"]
    assert [text.get_text() for text in axes.texts if text.get_fontweight() == "bold"] == ["awe", "50 %"]


@pytest.mark.parametrize("vocabulary", [MIKELS, VOCABULARIES["webemo-25"]], ids=lambda one: one.name)
@pytest.mark.parametrize("size", [(480, 640), (1600, 400), (100, 1600)])
def test_a_legend_lies_within_pictures_of_any_shape(size: tuple[int, int], vocabulary: Vocabulary) -> None:
    figure = draw_legend(np.zeros((*size, 3), np.uint8), emotions(vocabulary))
    (axes,) = figure.axes
    ground = axes.patches[0].get_window_extent()
    for text in axes.texts:
        box = text.get_window_extent()
        assert box.x0 >= ground.x0
        assert box.x1 <= ground.x1 + 1
        assert box.y0 >= ground.y0
        assert box.y1 <= ground.y1
    assert ground.x1 <= size[1]
    assert ground.y0 >= 0


def test_a_legend_leaves_the_rest_of_the_picture_as_it_was(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (333, 511, 3)).astype(np.uint8)
    write_legend(tmp_path / "a.png", picture, emotions())
    with Image.open(tmp_path / "a.png") as image:
        written = np.asarray(image.convert("RGB"))
    assert written.shape == picture.shape
    assert (written[:, 256:] == picture[:, 256:]).all()
    assert (written[:50, :50] != picture[:50, :50]).any()


def test_a_legend_of_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.png"):
        write_legend(tmp_path / "a.gif", np.zeros((8, 8, 3), np.uint8), emotions())


def test_no_word_touches_its_bar_and_a_note_stands_below_all_emotions() -> None:
    note = "Unlike the photographs that the model was made for: do not rely on this answer."
    vocabulary = Vocabulary("own", ("mmmmmmmmm", "illicit", "w"))
    found = EmotionDistribution(vocabulary, (0.9, 0.05, 0.05))
    (axes,) = draw_legend(np.zeros((600, 800, 3), np.uint8), found, note).axes
    bars = [patch.get_window_extent() for patch in axes.patches[1:]]
    texts = axes.texts
    boxes = [text.get_window_extent() for text in texts]
    for word, number, bar in zip(boxes[1:7:2], boxes[2:7:2], bars, strict=True):
        assert word.x1 < bar.x0 < bar.x1 < number.x0
    lines = [text.get_text() for text in texts[7:]]
    assert " ".join(lines) == note
    assert all(box.y1 <= boxes[5].y0 for box in boxes[7:])
    ground = axes.patches[0].get_window_extent()
    assert max(box.x1 for box in boxes) <= ground.x1
