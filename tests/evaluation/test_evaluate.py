"""Evaluations of models: whatever answers, with and without torch."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import attribute_models
import graphs
import without_torch
from affectlens.attributes import Attribute
from affectlens.data import emoset, folder
from affectlens.data.records import ALL, DataSource, digest
from affectlens.emotions import MIKELS
from affectlens.errors import EmptySplit, SettingsError, VocabularyMismatch
from affectlens.evaluation.attributes import score_attributes
from affectlens.evaluation.evaluate import evaluate
from affectlens.evaluation.scores import Scores, score
from affectlens.inference.engine import ONNX_RUNTIME, OPENVINO, TORCH, load_engine
from affectlens.inference.predictions import predict_attributes as by_engine
from affectlens.model_folder import load_card
from emoset_tree import emoset_tree
from pictures import colour_set

SCENE = Attribute("scene", ("beach", "cemetery"))
WITH_SCENES = replace(
    graphs.CARD,
    attributes=(SCENE,),
    network_options={"attributes": {"scene": {"words": 2, "several": False}}},
)
BROKEN = "awe/broken.png"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    """Six pictures of each emotion, and one that cannot be read."""
    root = colour_set(tmp_path_factory.mktemp("data"), MIKELS.words, each=6)
    (root / BROKEN).write_bytes(b"not a picture")
    return folder.read(root)


def assert_equal_to_rounding(found: Scores, expected: Scores) -> None:
    """Counts are equal, and so are first emotions; probabilities agree to 1e-4."""
    assert (found.count, found.unreadable, found.temperature) == (48, 1, expected.temperature)
    assert found.confusion == expected.confusion and found.per_emotion == expected.per_emotion
    assert found.accuracy == expected.accuracy and found.polarity_accuracy == expected.polarity_accuracy
    for name in ("negative_log_likelihood", "brier", "expected_calibration_error"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-4), name
    assert found.intervals.keys() == expected.intervals.keys()
    for name, interval in found.intervals.items():
        assert interval == pytest.approx(expected.intervals[name], abs=1e-4), name


@pytest.mark.needs("torch")
@pytest.mark.parametrize("engine", [ONNX_RUNTIME, OPENVINO, TORCH])
def test_scores_are_those_of_the_network_itself_whatever_answers(
    with_graph: Path, source: DataSource, engine: str
) -> None:
    import torch

    from affectlens.inference.labelled import predict_labelled
    from affectlens.inference.labelled_batches import EvaluationSet, evaluation_batches, file_reader
    from affectlens.models.saved import load_model

    model = load_model(with_graph)
    size = model.card.preprocessing
    batches = evaluation_batches(EvaluationSet(source.split(ALL), size, file_reader(size)), 16, 0)
    direct = predict_labelled(model.network, batches, size, torch.device("cpu"), torch.float32)
    expected = score(direct.logits, direct.targets, MIKELS, temperature=model.card.temperature, unreadable=1)
    assert len({row.argmax() for row in direct.logits}) > 2, "or first emotions are not compared"
    found = evaluate(load_engine(str(with_graph), engine, "cpu", "float32"), source, ALL)
    assert_equal_to_rounding(found.scores, expected)
    assert (found.by.model, found.by.engine, found.by.precision) == ("tiny", engine, "float32")
    assert [bad.key for bad in found.unreadable] == [bad.key for bad in direct.unreadable] == [BROKEN]


def test_a_model_with_a_graph_is_evaluated_where_torch_is_not_installed(
    graph_model: Path, source: DataSource, tmp_path: Path
) -> None:
    out = tmp_path / "scores.json"
    words = ("evaluate", graph_model, "--data", f"folder:{source.root}", "--split", ALL, "--out", out)
    ended = without_torch.run(without_torch.COMMAND, *words)
    assert ended.returncode == 1, ended.stderr  # of the picture that cannot be read
    assert "broken.png" in ended.stderr and "1 pictures could not be read" in ended.stderr
    assert "48 pictures, 8 emotions of mikels-8" in ended.stdout
    written = json.loads(out.read_text(encoding="utf-8"))
    expected = evaluate(load_engine(str(graph_model)), source, ALL)
    assert_equal_to_rounding(Scores.from_json(written["scores"]), expected.scores)
    card = load_card(graph_model)
    assert (written["model"], written["weights"]) == ("tiny", card.weights_hash)
    assert (written["engine"], written["precision"]) == (ONNX_RUNTIME, "float32")
    assert written["data"] == {"name": "folder", "split": ALL, "hash": digest(source.split(ALL))}
    assert [bad["image"] for bad in written["unreadable"]] == [BROKEN]
    assert "predictions" not in written


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    """A small EmoSet, with one picture that cannot be read."""
    root = emoset_tree(tmp_path_factory.mktemp("emoset"), each=4)
    broken = emoset.read(root).split("val")[0].path
    broken.write_bytes(b"not a picture")
    return emoset.read(root)


@pytest.fixture(scope="module")
def with_attributes(annotated: DataSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, graph included, of an untrained network that predicts emotions from EmoSet's attributes."""
    folder_of_it = tmp_path_factory.mktemp("models") / "namer"
    return attribute_models.write(folder_of_it, annotated.attributes, graph=True)


@pytest.mark.needs("torch")
@pytest.mark.parametrize("engine", [ONNX_RUNTIME, OPENVINO, TORCH])
def test_attributes_are_scored_as_those_of_the_network_itself_whatever_answers(
    with_attributes: Path, annotated: DataSource, engine: str
) -> None:
    import torch

    from affectlens.inference.labelled import predict_attributes
    from affectlens.inference.labelled_batches import EvaluationSet, evaluation_batches, file_reader
    from affectlens.models.saved import load_model

    model = load_model(with_attributes)
    size, records = model.card.preprocessing, annotated.split("val")
    pictures = EvaluationSet(records, size, file_reader(size), annotated.attributes)
    batches = evaluation_batches(pictures, 16, 0)
    direct = predict_attributes(model.network, batches, size, torch.device("cpu"), torch.float32)
    assert len(direct.logits) == len(records) - 1 and np.abs(direct.usual_residual).max() > 0.1
    loaded = load_engine(str(with_attributes), engine, "cpu", "float32")
    steps: list[int] = []
    found = by_engine(loaded, records, annotated.attributes, 5, steps.append)
    assert sum(steps) == len(records)
    for name in ("logits", "targets", "residual", "usual", "usual_residual"):
        np.testing.assert_allclose(getattr(found, name), getattr(direct, name), atol=1e-3, err_msg=name)
    for a in annotated.attributes:
        np.testing.assert_allclose(found.words[a.name], direct.words[a.name], rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(found.truth[a.name], direct.truth[a.name])
    scores = evaluate(loaded, annotated, "val", attributes=True).attribute_scores
    expected = score_attributes(direct, annotated.attributes)
    assert scores is not None and scores.concepts == expected.concepts
    assert {each.pictures for each in scores.attributes.values()} == {
        each.pictures for each in expected.attributes.values()
    }


@pytest.mark.needs("torch")
def test_attributes_are_scored_where_torch_is_not_installed(
    with_attributes: Path, annotated: DataSource
) -> None:
    words = ("evaluate", with_attributes, "--data", f"emoset:{annotated.root}", "--attributes")
    ended = without_torch.run(without_torch.COMMAND, *words)
    assert ended.returncode == 1, ended.stderr  # of the picture that cannot be read
    expected = evaluate(load_engine(str(with_attributes)), annotated, "val", attributes=True).attribute_scores
    assert expected is not None and expected.markdown() in ended.stdout


def test_attributes_of_a_model_without_any_are_wrong_use(graph_model: Path) -> None:
    words = ("evaluate", graph_model, "--data", "folder:nowhere", "--attributes")
    ended = without_torch.run(without_torch.COMMAND, *words)
    assert ended.returncode == 2 and "does not predict attributes" in ended.stderr


def test_a_graph_without_attributes_of_a_model_with_some_is_an_error_that_names_the_command_for_a_new_one(
    tmp_path: Path, source: DataSource
) -> None:
    model = graphs.write(tmp_path / "model", WITH_SCENES)
    with_scenes = replace(source, attributes=(SCENE,))
    with pytest.raises(SettingsError, match="`affectlens models graph FOLDER`"):
        evaluate(load_engine(str(model), ONNX_RUNTIME), with_scenes, ALL, attributes=True)


def test_data_of_other_emotions_and_an_empty_split_are_refused(
    graph_model: Path, source: DataSource, tmp_path: Path
) -> None:
    engine = load_engine(str(graph_model))
    other = folder.read(colour_set(tmp_path, ("joy", "surprise"), each=1))
    with pytest.raises(VocabularyMismatch, match=r"amusement.*surprise"):
        evaluate(engine, other, ALL)
    with pytest.raises(EmptySplit):
        evaluate(engine, source, "test")
