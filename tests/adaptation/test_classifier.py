"""A model folder's classifier, read from its graph and replaced."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affectlens import library, model_folder
from affectlens.adaptation.classifier import (
    Classifier,
    ClassifierFolder,
    NoLinearClassifier,
    open_classifier,
)
from affectlens.emotions import own_vocabulary
from affectlens.errors import BadModelFolder
from affectlens.inference.engine import ONNX_RUNTIME, TORCH, Engine, load_engine
from affectlens.metrics import softmax
from affectlens.model_folder import GRAPH_CLASS_MAPS, GRAPH_EMBEDDING, GRAPH_LOGITS

pytestmark = pytest.mark.needs("sklearn")

WORDS = own_vocabulary(["cosy", "uncanny", "ångest"])


def images(engine: Engine, count: int = 3) -> np.ndarray:
    size = engine.card.preprocessing
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, size.height, size.width, 3), dtype=np.uint8)
    found: np.ndarray = size.normalise(pixels)
    return found


def centred(logits: np.ndarray) -> np.ndarray:
    found: np.ndarray = logits - logits.mean(axis=1, keepdims=True)
    return found


def other_words(of: Classifier, count: int = 3) -> Classifier:
    rng = np.random.default_rng(1)
    return Classifier(rng.normal(0, 0.1, (count, of.weights.shape[1])), rng.normal(0, 1, count))


def write(opened: ClassifierFolder, classifier: Classifier, folder: Path) -> Path:
    card = replace(opened.card, vocabulary=WORDS, prediction_sets={})
    weights, graph = opened.replaced(classifier)
    heads = opened.heads
    model_folder.write_model(
        folder, card, weights, "", dtype=opened.dtype, for_others={}, graph=graph, heads=heads
    )
    return folder


def test_logits_are_what_the_classifier_reads_of_the_embedding() -> None:
    folder = library.find("default")
    engine, opened = load_engine(str(folder), ONNX_RUNTIME), open_classifier(folder)
    given = images(engine)
    read = opened.classifier.logits(engine.output(given, GRAPH_EMBEDDING))
    np.testing.assert_allclose(read, centred(engine.output(given, GRAPH_LOGITS)), atol=1e-4)


@pytest.mark.parametrize("engine", [ONNX_RUNTIME, pytest.param(TORCH, marks=pytest.mark.needs("torch"))])
def test_every_engine_answers_by_the_classifier_that_was_written(engine: str, tmp_path: Path) -> None:
    former = library.find("default")
    opened = open_classifier(former)
    new = other_words(opened.classifier)
    embedded = load_engine(str(former), ONNX_RUNTIME)
    expected = softmax(
        new.logits(embedded.output(images(embedded), GRAPH_EMBEDDING)) / opened.card.temperature
    )
    folder = write(opened, new, tmp_path / "own")
    loaded = load_engine(str(folder), engine, precision="float32")
    np.testing.assert_allclose(loaded.predict_images(images(loaded)), expected, atol=1e-4)
    assert loaded.card.vocabulary.words == WORDS.words


@pytest.mark.needs("torch")
def test_class_maps_are_those_of_the_new_words(with_graph: Path, tmp_path: Path) -> None:
    import torch

    from affectlens.models.graph_outputs import GraphNetwork
    from affectlens.models.saved import load_model

    opened = open_classifier(with_graph)
    folder = write(opened, other_words(opened.classifier), tmp_path / "own")
    engine = load_engine(str(folder), ONNX_RUNTIME)
    given = images(engine)
    network = GraphNetwork(load_model(folder).network, *given.shape[2:])
    with torch.inference_mode():
        expected = dict(zip(network.names, network(torch.from_numpy(given)), strict=True))[GRAPH_CLASS_MAPS]
    maps = engine.output(given, GRAPH_CLASS_MAPS)
    assert maps.shape[1] == len(WORDS)
    np.testing.assert_allclose(maps, expected.numpy(), atol=1e-4)


def test_a_folder_without_a_graph_is_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for file in library.find("default").iterdir():
        if file.name != "model.onnx":
            (folder / file.name).parent.mkdir(exist_ok=True)
            (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    ours = {
        key: value for key, value in config["affectlens"].items() if key not in ("graph", "config_sha256")
    }
    config["affectlens"] = {**ours, "config_sha256": model_folder._hash_of(ours)}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(BadModelFolder, match="affectlens models graph"):
        open_classifier(folder)


def test_a_model_that_answers_attributes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from affectlens.adaptation import classifier
    from affectlens.attributes import Attribute

    card = replace(library.card(), attributes=(Attribute("scene", ("beach", "street")),))
    monkeypatch.setattr(classifier, "read_graph", lambda folder: card)
    with pytest.raises(NoLinearClassifier, match="attributes"):
        open_classifier(library.find("default"))
