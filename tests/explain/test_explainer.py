"""The explainer: questions, files, kept pixels, methods."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from affectlens import Explainer, Heatmap, Predictor
from affectlens.emotions import MIKELS
from affectlens.errors import PictureError, PictureNotFound, SettingsError, UnknownName
from affectlens.explain.core.attribution import Attribution, ExplainedModel
from affectlens.explain.core.engine_model import EngineModel
from affectlens.explain.core.question import Question, make_question
from affectlens.explain.explainer import DISPLAYED, ExplanationRequest
from affectlens.explain.faithfulness.curves import RemovalOptions
from affectlens.explain.methods.occlusion import Occlusion
from affectlens.images import read_pixels
from affectlens.inference.engine import ONNX_RUNTIME
from affectlens.machine import WAIT_POLICY
from affectlens.preprocess import Images


def reddest(subject: ExplainedModel, image: Images, question: Question) -> Attribution:
    """Whatever is red speaks for the answer, in a unit of its own."""
    return Attribution(image[0, 0] - image[0, 1:].mean(axis=0), details={"steps": 3})


def quarters(subject: ExplainedModel, image: Images, question: Question) -> Attribution:
    """What is lost with each quarter of the picture, of which no two questions have the same."""
    return replace(Occlusion(patch=1 / 2, stride=1 / 2)(subject, image, question), sums_up=True)


@pytest.fixture(scope="module")
def explainer(graph_model: Path) -> Explainer:
    return Explainer.load(str(graph_model), quarters, engine=ONNX_RUNTIME)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey photograph of 173 x 251 pixels, upright, with a red patch; stored on its side."""
    rows = np.random.default_rng(0).integers(90, 160, (173, 251, 1), dtype=np.uint8).repeat(3, axis=2)
    rows[101:121, 31:61] = (250, 20, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path_factory.mktemp("photos") / "a.jpg"
    Image.fromarray(np.rot90(rows, 1)).save(file, exif=exif.tobytes(), quality=95)
    return file


def test_a_patch_is_found_in_the_upright_photograph(graph_model: Path, photo: Path) -> None:
    found = Explainer.load(str(graph_model), reddest, engine=ONNX_RUNTIME)(photo)
    assert found.size == (173, 251)
    row, column = divmod(int(found.at(173, 251).argmax()), 251)
    assert 101 <= row < 121 and 31 <= column < 61


def test_without_an_emotion_the_most_likely_one_is_explained(explainer: Explainer, photo: Path) -> None:
    found = explainer(photo)
    assert isinstance(found, Heatmap)
    assert found.question.favour == (found.emotions.top,)
    assert found.model == "tiny"
    assert found.method == "quarters"
    assert found.sums_up


def test_the_answer_explained_is_the_one_predicted(
    explainer: Explainer, graph_model: Path, photo: Path
) -> None:
    assert_explains_what_is_predicted(explainer, Predictor.load(str(graph_model), engine=ONNX_RUNTIME), photo)


@pytest.mark.needs("torch")
@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_so_it_is_of_a_network_whatever_answers(with_graph: Path, photo: Path, engine: str) -> None:
    predictor = Predictor.load(str(with_graph), precision="float32", engine=engine)
    assert_explains_what_is_predicted(
        Explainer.load(str(with_graph), quarters, engine=engine), predictor, photo
    )


def assert_explains_what_is_predicted(explainer: Explainer, predictor: Predictor, photo: Path) -> None:
    predicted, found = predictor(photo), explainer(photo, "fear")
    assert found.probability == pytest.approx(predicted["fear"], abs=1e-5)
    assert found.log_odds == pytest.approx(np.log(predicted["fear"] / (1 - predicted["fear"])), abs=1e-3)
    assert found.emotions.probabilities == pytest.approx(predicted.probabilities, abs=1e-5)


def test_each_emotion_requested_by_name_has_a_map_of_its_own(explainer: Explainer, photo: Path) -> None:
    maps = [explainer(photo, word) for word in MIKELS.words]
    assert [m.question.favour for m in maps] == [(word,) for word in MIKELS.words]
    for one in range(len(maps)):
        for other in range(one):
            assert not np.allclose(maps[one].values, maps[other].values, rtol=0.1)


def test_an_emotion_rather_than_another_and_a_polarity_can_be_explained(
    explainer: Explainer, photo: Path
) -> None:
    assert str(explainer(photo, "fear", "anger").question) == "fear rather than anger"
    found = explainer(photo, "negative")
    assert found.question.favour == ("anger", "disgust", "fear", "sadness")
    assert found.probability == pytest.approx(found.emotions.polarity["negative"])


def test_against_the_most_likely_emotion_the_next_one_is_explained(explainer: Explainer, photo: Path) -> None:
    (first, _), (second, _) = explainer(photo).emotions.ranked[:2]
    assert explainer(photo, against=first).question.favour == (second,)


def test_a_picture_in_memory_is_explained_like_its_file(explainer: Explainer, photo: Path) -> None:
    with Image.open(photo) as opened:
        found = explainer(opened, "awe")
    np.testing.assert_allclose(found.values, explainer(photo, "awe").values, rtol=1e-6)
    assert found.size == (173, 251)


@pytest.mark.parametrize(
    ("emotion", "against", "error", "words"),
    [("fera", None, UnknownName, "Did you mean 'fear'"), ("fear", "angre", UnknownName, "anger"),
     ("fear", "fear", SettingsError, "in common"), ("fear", "negative", SettingsError, "in common")],
)  # fmt: skip
def test_an_impossible_question_is_an_error_before_the_picture_is_read(
    explainer: Explainer, emotion: str, against: str | None, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        explainer("no such picture.jpg", emotion, against)


# -------------------------------------------------------------------------------------------- many files


def test_files_are_explained_in_order_and_one_that_cannot_be_read_is_an_answer_with_its_error(
    explainer: Explainer, photo: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.jpg"
    empty.touch()
    missing = PictureNotFound("*.tif", "no file matches this pattern.")
    found = list(explainer.explain_files([photo, empty, missing, str(photo)]))
    assert [e.image for e in found] == [str(photo), str(empty), "*.tif", str(photo)]
    assert [type(e.error).__name__ for e in found] == [
        "NoneType",
        "PictureEmpty",
        "PictureNotFound",
        "NoneType",
    ]
    assert [len(e.heatmaps) for e in found] == [1, 0, 0, 1]
    assert found[1].to_json()["error"]["type"] == "PictureEmpty"


def test_files_are_read_only_as_far_as_answers_are_taken(explainer: Explainer, photo: Path) -> None:
    taken = []

    def endless() -> Iterator[Path]:
        while True:
            taken.append(photo)
            yield photo

    answers = explainer.explain_files(endless())
    next(answers)
    next(answers)
    assert len(taken) == 2


def test_what_cannot_be_requested_is_an_error_before_any_file_is_read(explainer: Explainer) -> None:
    def never() -> Iterator[Path]:
        yield from map(pytest.fail, ["a file was read"])

    with pytest.raises(UnknownName, match="Did you mean 'fear'"):
        explainer.explain_files(never(), ExplanationRequest(emotions=("fera",)))
    with pytest.raises(UnknownName, match="angst"):
        explainer.explain_files(never(), ExplanationRequest(against="angst"))


def test_every_emotion_is_explained_where_all_are_requested(explainer: Explainer, photo: Path) -> None:
    (found,) = explainer.explain_files([photo], ExplanationRequest(all_emotions=True))
    assert [h.question.favour for h in found.heatmaps] == [(word,) for word in MIKELS.words]
    (found,) = explainer.explain_files([photo], ExplanationRequest(all_emotions=True, against="fear"))
    assert [h.question.favour[0] for h in found.heatmaps] == [w for w in MIKELS.words if w != "fear"]


def test_effects_and_faithfulness_are_measured_where_they_are_requested(
    explainer: Explainer, photo: Path
) -> None:
    removal = RemovalOptions(cells=4, steps=4, random_maps=2)
    request = ExplanationRequest(emotions=("fear", "awe"), effects=True, removal=removal)
    (found,) = explainer.explain_files([photo], request)
    assert [i.question.favour for i in found.effects] == [("fear",), ("awe",)]
    assert found.effects[0].answer == pytest.approx(found.heatmaps[0].log_odds, abs=1e-4)
    fear = json.loads(json.dumps(found.to_json()))["explanations"][0]
    assert fear["details"]["faithfulness"]["random_maps"] == 2
    assert len(fear["story"]) == 3
    assert {share["place"] for share in fear["places"]} >= {"the inner half", "the top third"}
    (plain,) = explainer.explain_files([photo], ExplanationRequest(emotions=("fear",)))
    assert "faithfulness" not in plain.heatmaps[0].details
    assert not plain.effects


@pytest.mark.needs("torch")
def test_an_answer_by_an_engine_is_divided_among_the_parts_of_its_network(photo: Path) -> None:
    divided = []
    for engine in (ONNX_RUNTIME, "auto"):
        explainer = Explainer.load("default", reddest, "cpu", engine)
        prepared = explainer.prepare(photo)
        (found,) = explainer.parts(prepared, [make_question(explainer.vocabulary, "fear")])
        assert found is not None
        divided.append(found.by_kind())
    assert len(divided[0]) > 1
    assert divided[0] == pytest.approx(divided[1], abs=1e-5)


def test_boxes_of_a_detector_are_regions_too(explainer: Explainer, photo: Path) -> None:
    prepared = explainer.prepare(photo)
    (found,) = explainer.effects(prepared, [explainer(photo).question], {"the faces": [(0.1, 0.1, 0.4, 0.3)]})
    assert "the faces" in {each.name for each in found.perturbations}


# -------------------------------------------------------------------------------------------- kept pixels


def test_an_explanation_keeps_the_upright_picture(explainer: Explainer, photo: Path) -> None:
    (found,) = explainer.explain_files([photo])
    assert found.pixels is not None
    assert np.array_equal(found.pixels, read_pixels(photo))


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(1500, 2000, (1200, 1600)), (9, 4000, (4, 1600)), (30, 20, (30, 20))]
)
def test_a_large_picture_is_kept_at_display_size(
    explainer: Explainer, tmp_path: Path, height: int, width: int, expected: tuple[int, int]
) -> None:
    file = tmp_path / "large.jpg"  # of which the network gets a reduced decoding
    Image.new("RGB", (width, height), (200, 30, 90)).save(file, quality=95)
    (found,) = explainer.explain_files([file])
    assert found.pixels is not None
    assert max(expected) <= DISPLAYED
    assert found.pixels.shape[:2] == expected
    assert found.pixels.dtype == np.uint8
    assert found.pixels.mean(axis=(0, 1)).tolist() == pytest.approx([200, 30, 90], abs=3)


def test_no_pixels_are_kept_where_they_are_not_wanted(explainer: Explainer, photo: Path) -> None:
    (found,) = explainer.explain_files([photo], ExplanationRequest(keep_pixels=False))
    assert found.pixels is None


# ----------------------------------------------------------------------------------------------- methods


def test_a_method_is_made_by_name_with_its_options(graph_model: Path, photo: Path) -> None:
    def load(method: str, **options: Any) -> Explainer:
        return Explainer.load(str(graph_model), method, engine=ONNX_RUNTIME, **options)

    found = load("occlusion", patch=0.5, stride=0.5, replacement="black")(photo)
    assert found.method == "occlusion"
    assert found.details["replacement"] == "black" and found.details["patch"] == 48
    with pytest.raises(SettingsError, match="has no option 'strid'"):
        load("occlusion", strid=0.5)
    with pytest.raises(UnknownName, match="Did you mean 'occlusion'"):
        load("oclusion")


@pytest.mark.needs("torch")
def test_a_method_of_gradients_is_made_by_name_with_its_options(tiny_model: Path, photo: Path) -> None:
    found = Explainer.load(str(tiny_model), "gradient_times_input", baseline="black")(photo)
    assert found.method == "gradient_times_input"
    assert found.details["baselines"] == ["black"]
    with pytest.raises(SettingsError, match="has no option 'basline'"):
        Explainer.load(str(tiny_model), "gradient_times_input", basline="black")


def test_a_method_that_an_engine_cannot_run_is_refused_with_those_that_it_can(explainer: Explainer) -> None:
    with pytest.raises(SettingsError, match=r"grad_cam cannot explain tiny.*that can: occlusion, rise\."):
        Explainer(explainer.model, "grad_cam")


@pytest.mark.needs("torch")
def test_a_method_that_cannot_explain_the_network_is_refused_with_those_that_can(tiny_model: Path) -> None:
    with pytest.raises(SettingsError, match=r"token_maps cannot explain tiny.*Methods that can: gradient"):
        Explainer.load(str(tiny_model), "token_maps")


@pytest.mark.needs("torch")
def test_the_network_explained_is_the_callers_and_stays_in_evaluation_mode(
    tiny_model: Path, photo: Path
) -> None:
    from affectlens.explain.core.differentiable import DifferentiableModel
    from affectlens.models import saved

    model = saved.load(str(tiny_model))
    explained = DifferentiableModel.of(model, "cpu")
    assert explained.network is model.network
    Explainer(explained, "gradient")(photo)
    assert not model.network.training


def test_a_picture_that_cannot_be_read_is_a_picture_error(explainer: Explainer, tmp_path: Path) -> None:
    with pytest.raises(PictureError):
        explainer(tmp_path / "gone.jpg")


@pytest.mark.parametrize("method", ["rise", "occlusion"])
def test_all_emotions_are_explained_by_the_same_perturbations(
    graph_model: Path, photo: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    options = {"masks": 64} if method == "rise" else {"patch": 0.5, "stride": 0.25}
    explainer = Explainer.load(str(graph_model), method, engine="onnxruntime", **options)
    single = {word: explainer(photo, word) for word in ("fear", "awe")}
    perturbed = []
    whole = EngineModel.predict_images

    def counting(model: EngineModel, images: Images) -> Any:
        perturbed.append(len(images))
        return whole(model, images)

    monkeypatch.setattr(EngineModel, "predict_images", counting)
    request = ExplanationRequest(emotions=("fear", "awe"), keep_pixels=False)
    (both,) = explainer.explain_files([photo], request)
    counted = sum(perturbed)
    for heatmap in both.heatmaps:
        np.testing.assert_array_equal(heatmap.values, single[heatmap.question.favour[0]].values)
    perturbed.clear()
    list(explainer.explain_files([photo], ExplanationRequest(emotions=("fear",), keep_pixels=False)))
    assert counted == sum(perturbed), "a second question costs no answer of the model"


@pytest.mark.needs("torch")
@pytest.mark.parametrize(("given", "wanted"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_sleep_while_a_picture_is_explained_unless_the_user_wants_otherwise(
    tiny_model: Path, given: str | None, wanted: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != WAIT_POLICY}
    if given is not None:
        environment[WAIT_POLICY] = given
    code = (
        "import os, sys\nfrom affectlens.explain.explainer import Explainer\n"
        "assert 'torch' not in sys.modules\nExplainer.load(sys.argv[1], 'cam')\n"
        f"print(os.environ[{WAIT_POLICY!r}])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, tiny_model], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == wanted
