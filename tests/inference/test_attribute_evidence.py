import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import attribute_models
from affectlens.attributes import LEVELS, MEASURED, Attribute
from affectlens.cli.main import main
from affectlens.emotions import Vocabulary
from affectlens.errors import SettingsError
from affectlens.inference.attribute_evidence import (
    EVIDENCE,
    PREDICTED,
    ExplainedAttributes,
    evidence_lines,
    evidence_of,
)
from affectlens.inference.engine import load_engine
from affectlens.inference.predictor import Predictor
from affectlens.models.saved import add_graph, load_model
from pictures import colour_set

SCENE = Attribute("scene", ("beach", "cemetery"))
OBJECT = Attribute("object", ("person", "skull"), several=True)
LIGHT = Attribute("brightness", ("0.0", "0.5", "1.0"))
WORDS = Vocabulary("three", ("awe", "fear", "sadness"))
LIKELY, UNLIKELY = 2.0, -2.0


def explanation(residual: float = 0.0, person: float = 0.0) -> ExplainedAttributes:
    """Sadness, for which a cemetery speaks with 2 and the dark with 1 in all; the beach speaks against it."""

    def towards_sadness(*parts: float) -> NDArray[np.float64]:
        nothing = np.zeros(len(parts))
        return np.stack([nothing, nothing, 1.5 * np.array(parts)])[None]

    return ExplainedAttributes(
        logits=np.array([[0.0, 1.0, 3.0]]),
        attributes={
            "scene": np.array([[UNLIKELY, LIKELY]]),
            "object": np.array([[UNLIKELY, LIKELY]]),
            "brightness": np.array([[LIKELY, 0.0, UNLIKELY]]),
        },
        contributions={
            "scene": towards_sadness(-0.5, 2.0),
            "object": towards_sadness(person, 0.0),
            "brightness": towards_sadness(0.75, 0.5, -0.25),
        },
        residual=towards_sadness(residual)[:, :, 0],
        usual=np.zeros(3),
        usual_residual=np.zeros(3),
        usual_words={"scene": np.array([0.5, 0.5]), "object": np.array([0.6, 0.1]),
                     "brightness": np.array([0.2, 0.5, 0.3])},
    )  # fmt: skip


def test_reasons_are_shares_of_all_that_speaks_for_the_first_emotion() -> None:
    (evidence,) = evidence_of(explanation(residual=1.0), [LIGHT, SCENE, OBJECT], WORDS)
    first, second, unnamed = evidence[EVIDENCE]
    assert (first["attribute"], first["word"], first["share"]) == ("scene", "cemetery", 0.5)
    assert (second["attribute"], second["word"], second["share"]) == ("brightness", "0.0", 0.25)
    assert (unnamed["attribute"], unnamed["word"], unnamed["share"]) == (None, None, 0.25)
    assert {reason["emotion"] for reason in evidence[EVIDENCE]} == {"sadness"}


def test_a_residual_that_speaks_against_the_emotion_is_no_reason_for_it() -> None:
    (evidence,) = evidence_of(explanation(residual=-1.0), [SCENE], WORDS)
    assert [(reason["word"], reason["share"]) for reason in evidence[EVIDENCE]] == [("cemetery", 1.0)]


def test_what_adds_to_all_emotions_alike_is_no_reason() -> None:
    same = explanation()
    same.contributions["scene"][:] += np.array([[[9.0, 0.0]] * 3])
    assert evidence_of(same, [SCENE], WORDS) == evidence_of(explanation(), [SCENE], WORDS)


def test_that_something_usual_is_missing_is_a_reason() -> None:
    (evidence,) = evidence_of(explanation(person=4.0), [SCENE, OBJECT], WORDS)
    assert evidence[EVIDENCE][0]["word"] == "person" and evidence[EVIDENCE][0]["absent"]
    assert evidence_lines(evidence)[1] == "sadness because of no object person (67%), scene cemetery (33%)"


def test_one_word_comes_with_its_probability_and_several_where_they_are_likely() -> None:
    (evidence,) = evidence_of(explanation(), [SCENE, OBJECT], WORDS)
    likely = round(1 / (1 + math.exp(-LIKELY)), 3)
    assert evidence[PREDICTED]["scene"] == {"word": "cemetery", "probability": pytest.approx(0.982)}
    assert evidence[PREDICTED]["object"] == [{"word": "skull", "probability": pytest.approx(likely)}]
    assert evidence_lines(evidence)[0] == "seen: scene cemetery (98%), object skull (88%)"


def test_words_that_are_hardly_seen_are_in_the_data_and_not_named_to_people() -> None:
    words = Attribute("scene", tuple(f"scene {n}" for n in range(50)))
    unsure = replace(explanation(), attributes={"scene": np.linspace(0, 0.1, 50)[None]}, contributions={})
    (evidence,) = evidence_of(unsure, [words], WORDS)
    assert evidence[PREDICTED]["scene"]["probability"] == pytest.approx(0.02, abs=0.005)
    assert evidence_lines(evidence) == []


def test_a_network_that_predicts_from_features_sees_attributes_but_has_no_reasons() -> None:
    (evidence,) = evidence_of(replace(explanation(), contributions={}), [SCENE], WORDS)
    assert evidence[PREDICTED]["scene"]["word"] == "cemetery"
    assert evidence[EVIDENCE] == []
    assert len(evidence_lines(evidence)) == 1
    assert evidence_lines({}) == []


# In use. ------------------------------------------------------------------------------------------

NAMED = (Attribute("brightness", LEVELS), OBJECT, SCENE)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small untrained network that predicts attributes and emotions from them."""
    return attribute_models.write(tmp_path_factory.mktemp("models") / "namer", NAMED)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = colour_set(tmp_path_factory.mktemp("photos"), ("awe", "fear", "sadness"), each=1)
    return sorted(root.rglob("*.png"))


def test_the_same_emotions_with_and_without_attributes_and_reasons_that_come_to_one(
    model: Path, photos: list[Path]
) -> None:
    predictor = Predictor.load(str(model), device="cpu", precision="float32")
    assert predictor.attribute_names == (*MEASURED, PREDICTED, EVIDENCE)
    plain, named = (list(predictor.predict_files([*photos, "gone.jpg"], attributes=a)) for a in (False, True))
    for without, answer in zip(plain, named, strict=True):
        assert without.attributes is None and answer.attributes is not None
        if answer.emotions is None or without.emotions is None:
            assert answer.attributes == {}
            continue
        assert answer.emotions.probabilities == pytest.approx(without.emotions.probabilities, abs=1e-6)
        assert tuple(answer.attributes) == predictor.attribute_names
        assert set(answer.attributes[PREDICTED]) == {"brightness", "object", "scene"}
        reasons = answer.attributes[EVIDENCE]
        assert {reason["emotion"] for reason in reasons} == {answer.emotions.top}
        assert 0 < sum(reason["share"] for reason in reasons) <= 1.001
    assert len({json.dumps(answer.attributes) for answer in named}) == len(named), "pictures must differ"


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_graph_gives_the_same_attributes_and_reasons(
    model: Path, photos: list[Path], tmp_path: Path, engine: str
) -> None:
    folder = tmp_path / "namer"
    shutil.copytree(model, folder)
    add_graph(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    by_graph, by_network = (load_engine(str(folder), each, "cpu", "float32") for each in (engine, "torch"))
    assert by_graph.explains and by_network.explains
    (answers, ours), (expected, theirs) = by_graph.explain(pixels), by_network.explain(pixels)
    np.testing.assert_allclose(answers.probabilities, expected.probabilities, atol=1e-5)
    np.testing.assert_allclose(ours.residual, theirs.residual, atol=1e-4)
    for kind in ("attributes", "contributions", "usual_words"):
        found, right = getattr(ours, kind), getattr(theirs, kind)
        assert found.keys() == right.keys() == {a.name for a in NAMED}
        for name, each in right.items():
            np.testing.assert_allclose(found[name], each, rtol=1e-3, atol=1e-4)
    assert float(np.abs(theirs.contributions["scene"]).max()) > 1e-3


def test_an_older_graph_without_attributes_is_an_error_that_names_the_command_for_a_new_one(
    with_graph: Path, photos: list[Path]
) -> None:
    engine = load_engine(str(with_graph), "onnxruntime")
    engine.card = replace(engine.card, attributes=NAMED)  # type: ignore[misc]
    with pytest.raises(SettingsError, match=r"`affectlens models graph FOLDER`"):
        Predictor(engine).predict_files(photos, attributes=True)


def test_a_loaded_card_has_the_words(model: Path) -> None:
    assert load_model(model).card.attributes == NAMED


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_what_is_seen_is_written_and_continued_to_the_same_rows(
    model: Path, photos: list[Path], tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"out.{suffix}"
    words = ["predict", *map(str, photos), "--attributes", "--out", str(file), "--model", str(model)]
    assert status(words) == 0
    complete = rows(file)
    assert status([*words, "--resume"]) == 0
    assert rows(file) == complete
    for row in complete:
        seen, reasons = row[PREDICTED], row[EVIDENCE]
        if suffix != "jsonl":
            seen, reasons = json.loads(seen), json.loads(reasons)
        assert seen["scene"]["word"] in SCENE.words
        assert reasons


def status(words: list[str]) -> object:
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code


def rows(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".jsonl":
        found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return [row["attributes"] for row in found]
    if file.suffix == ".csv":
        with file.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    import pyarrow.parquet as pq

    table: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return table


def test_the_command_prints_what_was_seen_and_why(
    model: Path, photos: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    assert status(["predict", str(photos[0]), "--attributes", "--model", str(model)]) == 0
    shown = capfd.readouterr().out
    assert "seen: brightness" in shown and "scene" in shown
    assert "because of" in shown
