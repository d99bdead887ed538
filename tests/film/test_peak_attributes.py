"""What a model with attributes sees at a film's peaks."""

from pathlib import Path

import pytest
from PIL import Image

import attribute_models
from affectlens.attributes import LEVELS, Attribute
from affectlens.film.job import FilmJob, film_pictures
from affectlens.film.peak_attributes import peak_attributes
from affectlens.film.report.page import render_page
from affectlens.film.timeline import Moment
from affectlens.inference.attribute_evidence import EVIDENCE, PREDICTED
from affectlens.inference.engine import Engine
from affectlens.inference.onnx_engine import OnnxEngine
from affectlens.inference.predictor import Predictor
from affectlens.video import stills
from pages import Outline
from timelines import timeline_of

NAMED = (Attribute("brightness", LEVELS), Attribute("scene", ("beach", "cemetery")))
PEAKS = [
    Moment(kind="peak", emotion=word, second=second, value=0.5, shot=1, start=second, end=second)
    for second, word in ((3.0, "awe"), (1.0, "fear"), (1.0, "awe"))
]


@pytest.fixture(scope="module")
def namer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return attribute_models.write(tmp_path_factory.mktemp("models") / "namer", NAMED, graph=True)


@pytest.mark.needs("torch")
def test_a_peaks_frame_has_the_attributes_of_the_same_picture_once(
    four_scenes: Path, namer: Path, tmp_path: Path
) -> None:
    found = dict(peak_attributes(str(four_scenes), PEAKS, OnnxEngine.load(namer)))
    assert list(found) == [1.0, 3.0]
    predictor = Predictor.load(str(namer))
    for second, still in stills(str(four_scenes), [1.0, 3.0]):
        Image.fromarray(still).save(tmp_path / "still.png")
        as_picture = predictor.predict_file(tmp_path / "still.png", attributes=True).attributes
        assert as_picture is not None
        assert found[second][PREDICTED]["scene"]["word"] == as_picture[PREDICTED]["scene"]["word"]
        assert [r["word"] for r in found[second][EVIDENCE]] == [r["word"] for r in as_picture[EVIDENCE]]


@pytest.mark.needs("torch")
def test_the_page_names_them_below_the_peak(four_scenes: Path, namer: Path, tmp_path: Path) -> None:
    timeline = timeline_of(moments=tuple(PEAKS))
    steps = film_pictures(str(four_scenes), timeline, FilmJob(engine=OnnxEngine.load(namer), out=tmp_path))
    try:
        while True:
            next(steps)
    except StopIteration as ended:
        pictures = ended.value
    page = Outline(render_page(timeline, pictures))
    assert page.text.count(" because of ") == len(PEAKS)
    assert sum("evidence" in (row.get("class") or "") for row in page.all("tr")) == len(PEAKS)


def test_a_model_without_attributes_has_none(four_scenes: Path, engine: Engine) -> None:
    assert list(peak_attributes(str(four_scenes), PEAKS, engine)) == []
