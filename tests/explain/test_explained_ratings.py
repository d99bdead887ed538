"""Ratings explained: by the explainer, in words, in figures and on the page."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from affectlens import Explainer, Predictor
from affectlens.errors import SettingsError, UnknownName
from affectlens.explain import figures, page
from affectlens.explain.colour_scale import scale_of
from affectlens.explain.core.engine_model import EngineModel
from affectlens.explain.core.question import ImageAnswers, RatingQuestion
from affectlens.explain.explainer import Explanation, ExplanationRequest
from affectlens.explain.faithfulness.curves import RemovalOptions
from affectlens.explain.methods.occlusion import Occlusion
from affectlens.explain.text import ends_of, how_made, reading, title, why
from affectlens.inference.engine import ONNX_RUNTIME, load_engine
from affectlens.inference.stores import PictureBytes
from affectlens.preprocess import Images
from affectlens.report.circumplex import NoCircumplex
from pages import Outline
from rated import SCALES, RatedEngine

REQUEST = ExplanationRequest(
    emotions=("valence", "fear"), effects=True, removal=RemovalOptions(steps=4, random_maps=2)
)


@pytest.fixture(scope="module")
def explainer(rated_graph: Path) -> Explainer:
    return Explainer.load(str(rated_graph), "occlusion", engine=ONNX_RUNTIME, patch=0.5, stride=0.5)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey noise of 120 x 150 pixels whose upper left quarter is bright."""
    rows = np.random.default_rng(0).integers(60, 120, (120, 150, 3), dtype=np.uint8)
    rows[:60, :75] += 120
    file = tmp_path_factory.mktemp("photos") / "a.png"
    Image.fromarray(rows).save(file)
    return file


@pytest.fixture(scope="module")
def both(explainer: Explainer, photo: Path) -> Explanation:
    """Valence and fear of the photograph."""
    return next(explainer.explain_files(photo, REQUEST))


def test_the_rating_explained_is_the_one_predicted(
    explainer: Explainer, rated_graph: Path, photo: Path
) -> None:
    predicted = Predictor.load(str(rated_graph), engine=ONNX_RUNTIME).predict_file(photo)
    for name, rating in predicted.ratings.items():
        found = explainer(photo, name)
        assert found.rating == pytest.approx(rating.mean, abs=1e-5)
        assert (found.probability, found.log_odds) == (None, None)


def test_what_raises_valence_is_the_quarter_that_it_reads(explainer: Explainer, photo: Path) -> None:
    covered = Occlusion(replacement="black", patch=0.5, stride=0.5)
    heatmap = Explainer(explainer.model, covered)(photo, "valence")
    assert heatmap.question == RatingQuestion(explainer.ratings[0], 0)
    assert heatmap.seen()[:40, :40].min() > 0.5
    assert float(np.abs(heatmap.seen()[60:, 60:]).max()) < 0.05


def test_a_rating_beyond_its_scale_is_shown_at_its_end(tmp_path: Path) -> None:
    import graphs

    folder = graphs.write_rated(tmp_path / "tiny", temperature=1.0)
    white = Image.new("RGB", (96, 96), "white")
    found = Explainer.load(str(folder), "occlusion", engine=ONNX_RUNTIME, patch=0.5, stride=0.5)(
        white, "valence"
    )
    assert found.answer > 9 and found.rating == 9
    assert title(found) == "valence 9.0 of 1 to 9"
    plain = found.to_json()
    assert (plain["rating"], plain["value"], plain["scale"]) == ("valence", 9.0, [1.0, 9.0])
    assert plain["before_cut_off"] == pytest.approx(found.answer, abs=1e-5)


def test_impossible_questions_about_ratings_are_errors_before_a_picture_is_read(
    explainer: Explainer, graph_model: Path
) -> None:
    with pytest.raises(SettingsError, match="valence is a rating"):
        explainer("no such picture.jpg", "valence", "fear")
    without = Explainer.load(str(graph_model), "occlusion", engine=ONNX_RUNTIME)
    with pytest.raises(UnknownName, match="Known: amusement"):
        without("no such picture.jpg", "valence")


@pytest.mark.needs("torch")
def test_without_a_method_a_rating_gets_one_that_explains_it(tmp_path: Path, photo: Path) -> None:
    import rated_networks
    from affectlens.explain.methods.catalog import default_for

    folder = str(rated_networks.write(tmp_path / "rated"))
    explainer = Explainer.load(folder, device="cpu")
    assert explainer(photo).method == default_for(explainer.model) == "cam"
    found = explainer(photo, "valence")
    assert found.method == default_for(explainer.model, ratings=True) == "occlusion"
    assert found.rating is not None
    assert Explainer.load(folder, "cam", device="cpu")(photo, "valence").sums_up
    graph = str(rated_networks.write(tmp_path / "graph", graph=True))
    by_graph = Explainer.load(graph, "cam", engine=ONNX_RUNTIME)
    with pytest.raises(SettingsError, match=r"cam cannot explain valence.*Methods that can: occlusion, rise"):
        by_graph("no such picture.jpg", "valence")


def test_two_ratings_and_an_emotion_are_answered_by_the_same_perturbed_pictures(
    explainer: Explainer, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    perturbed: list[int] = []
    answer_images = EngineModel.answer_images

    def counting(model: EngineModel, images: Images) -> ImageAnswers:
        perturbed.append(len(images))
        return answer_images(model, images)

    monkeypatch.setattr(EngineModel, "answer_images", counting)
    counts = []
    for emotions in (("valence",), ("valence", "arousal", "fear")):
        list(explainer.explain_files(photo, ExplanationRequest(emotions=emotions, keep_pixels=False)))
        counts.append(sum(perturbed))
        perturbed.clear()
    assert counts[0] == counts[1] > 4


def test_sentences_about_a_rating_are_in_points_and_not_in_percents(both: Explanation) -> None:
    valence, fear = both.heatmaps
    number = f"{valence.rating:.1f}"
    assert (title(valence), why(valence), why(fear)) == (
        f"valence {number} of 1 to 9", "Why this valence?", "Why fear?"
    )  # fmt: skip
    first, where, how = both.story(0)[:3]
    assert first == f"On average people are predicted to give this picture valence {number} of 1 to 9."
    assert where.startswith(("What raises valence most is", "No single region raises valence"))
    assert how.startswith(("Valence falls by", "Valence rises by", "Changing its colours"))
    assert both.story(1)[0].startswith("On average this picture is most likely to evoke")


def test_what_raises_a_rating_is_named_with_what_it_falls_by(both: Explanation) -> None:
    found = both.effects[0]
    effects = [
        replace(each, effect={"the top third": -0.62, "the bottom third": 0.5}.get(each.name, 0.0))
        for each in found.perturbations
    ]
    planted = replace(found, answer=4.83, noise=0.05, perturbations=tuple(effects))
    _, where, how = replace(both, effects=(planted, both.effects[1])).story(0)[:3]
    assert where == (
        "What raises valence most is the top third: with that blurred, it falls by 0.6 to 4.2; "
        "the bottom third lowers it: with that blurred, it rises by 0.5 to 5.3."
    )
    assert how.startswith("Changing its colours, its fine detail or its brightness moves the answer no more")


def test_colours_of_a_rating_mean_what_raises_and_what_lowers_it(both: Explanation) -> None:
    valence, fear = both.heatmaps
    assert reading([valence]) == "Orange raises valence, blue lowers it, the stronger the more."
    assert reading([fear]).startswith("Orange speaks for the answer")
    assert "raises a rating" in reading([valence, fear])
    assert ends_of([valence]) == ("lowers", "raises")
    assert ends_of([fear]) == ("against", "for")


def test_faithfulness_of_a_rating_is_stated_on_its_scale(both: Explanation) -> None:
    alone, together = (" ".join(how_made(maps)) for maps in (both.heatmaps[:1], both.heatmaps))
    assert "its parts bring valence to a mean of " in alone and "of 1 to 9, in a random order" in alone
    assert "probability" not in alone
    assert "by the order of the map of valence" in together and "mean probability" in together


def test_json_has_the_rating_where_that_of_an_emotion_has_a_probability(both: Explanation) -> None:
    rating, emotion = json.loads(json.dumps(both.to_json()))["explanations"]
    assert not {"probability", "log_odds", "favour"} & set(rating)
    assert {"probability", "log_odds", "favour"} <= set(emotion) and "rating" not in emotion
    assert rating["influences"]["rating"] == pytest.approx(rating["before_cut_off"], abs=1e-3)
    assert rating["details"]["faithfulness"]["scale"] == [1.0, 9.0]


def test_a_figure_and_a_page_show_a_rating_without_percents(both: Explanation, tmp_path: Path) -> None:
    figures.write_figure(tmp_path / "a.png", both)
    text = page.render_page(both)
    section = text[text.index('<section id="valence">') : text.index('<section id="fear">')]
    assert "Why this valence?" in section and "raises +" in section and "points of 1 to 9" in section
    assert "log-odds" not in section
    cells = section[section.index("<tbody>") : section.index("</tbody>")]
    assert ">as it is</th><td>" in cells and "%</td>" not in cells
    assert "Map of what raises and what lowers valence" in section


@pytest.fixture(scope="module")
def by_either(graph_model: Path, photo: Path) -> list[Explainer]:
    """Explainers of a model with ratings that finds a bright picture unusual, and of one with neither."""
    rated = EngineModel(RatedEngine(load_engine(str(graph_model), ONNX_RUNTIME)))
    plain = EngineModel(load_engine(str(graph_model), ONNX_RUNTIME))
    return [Explainer(model, "occlusion", patch=0.5, stride=0.5) for model in (rated, plain)]


def explained(explainer: Explainer, pixels: int) -> Explanation:
    file = io.BytesIO()
    Image.new("RGB", (96, 96), (pixels,) * 3).save(file, "PNG")
    return next(explainer.explain_files([PictureBytes(f"{pixels}.png", file.getvalue())]))


def test_an_explanation_has_the_intervals_and_the_mark_that_a_prediction_has(
    by_either: list[Explainer], tmp_path: Path
) -> None:
    model = by_either[0].model
    assert isinstance(model, EngineModel)
    for pixels, is_unusual, half in ((120, False, 2.0), (255, True, 2.5)):
        found = explained(by_either[0], pixels)
        Image.new("RGB", (96, 96), (pixels,) * 3).save(tmp_path / "a.png")
        predicted = Predictor(model.engine).predict_file(tmp_path / "a.png")
        assert found.ratings == predicted.ratings and found.unusual is predicted.unusual is is_unusual
        assert found.ratings["valence"].mean - found.ratings["valence"].low == pytest.approx(half)
        row = predicted.to_row(model.engine.card)
        assert {name: found.to_json()[name] for name in ("valence", "arousal", "unusual")} == {
            name: row[name] for name in ("valence", "arousal", "unusual")
        }


def test_a_picture_that_cannot_be_read_has_the_same_keys_and_a_model_without_ratings_none_of_them(
    by_either: list[Explainer], tmp_path: Path
) -> None:
    rows = [
        [next(each.explain_files([tmp_path / "no.png"])).to_json(), explained(each, 120).to_json()]
        for each in by_either
    ]
    assert set(rows[0][0]) == set(rows[0][1]) >= {"valence", "arousal", "unusual"}
    assert set(rows[1][0]) == set(rows[1][1]) == set(rows[0][0]) - {"valence", "arousal", "unusual"}
    assert rows[0][0]["valence"] is rows[0][0]["unusual"] is None


def test_page_and_figure_show_intervals_the_plane_and_the_mark(by_either: list[Explainer]) -> None:
    usual, unusual, plain = (
        explained(explainer, pixels)
        for explainer, pixels in ((by_either[0], 120), (by_either[0], 255), (by_either[1], 255))
    )
    pages = [Outline(page.render_page(each)) for each in (usual, unusual, plain)]
    warning = "Unlike the photographs that the model was made for"
    assert [warning in each.text for each in pages] == [False, True, False]
    assert ["Valence and arousal" in each.text for each in pages] == [True, True, False]
    low, high = usual.ratings["valence"].low, usual.ratings["valence"].high
    assert f"{low:.1f} to {high:.1f}" in pages[0].text
    planes = [each for each in pages[0].all("img") if each.get("class") == "circumplex"]
    assert len(planes) == 1 and "Valence and arousal of 120.png" in (planes[0]["alt"] or "")
    texts = [
        " ".join(" ".join(found.get_text() for found in figures.draw_figure(each).findobj(Text)).split())
        for each in (usual, unusual, plain)
    ]
    assert [warning in each for each in texts] == [False, True, False]
    assert ["arousal" in each for each in texts] == [True, True, False]
    with pytest.raises(NoCircumplex, match="predicts no ratings"):
        figures.draw_plane(plain)


def test_a_model_of_other_ratings_has_them_on_its_page_without_a_plane(
    graph_model: Path,
) -> None:
    engine = RatedEngine(load_engine(str(graph_model), ONNX_RUNTIME), SCALES[:1])
    engine.answer = lambda pixels: RatedEngine.answer(engine, pixels)._replace(  # type: ignore[method-assign]
        ratings=np.full((len(pixels), 1), 4, np.float32)
    )
    found = explained(Explainer(EngineModel(engine), "occlusion", patch=0.5, stride=0.5), 120)
    outline = Outline(page.render_page(found))
    assert "Valence" in outline.text and "2.0 to 6.0" in outline.text
    assert not [each for each in outline.all("img") if each.get("class") == "circumplex"]


def test_maps_in_different_units_do_not_share_a_scale(both: Explanation) -> None:
    exact = [replace(each, sums_up=True) for each in both.heatmaps]
    assert "points of 1 to 9" in exact[0].unit and "log-odds" in exact[1].unit
    assert scale_of(exact[:1]).full > 0
    assert scale_of(exact).full == 0
