"""A network that names attributes, trained for real on a small EmoSet."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from affectlens.attributes import Attribute
from affectlens.cli.main import main
from affectlens.data import emoset, folder
from affectlens.data.records import DataSource
from affectlens.errors import RunError, SettingsError
from affectlens.evaluation.attributes import score_attributes
from affectlens.inference.labelled import predict_attributes
from affectlens.inference.labelled_batches import EvaluationSet, evaluation_batches, file_reader
from affectlens.models import catalog
from affectlens.models.saved import load_model
from affectlens.training.attributes import attributes_of, fingerprint, network_options, word_frequencies
from affectlens.training.checkpoints import load_state
from affectlens.training.finish import RunFinished
from affectlens.training.loop import Step
from affectlens.training.run import fit
from affectlens.training.run_folder import LAST, MODEL, STEPS, TrainingRequest
from affectlens.training.settings import Loss, Settings, override
from affectlens.training.state import State
from emoset_tree import emoset_tree
from pictures import colour_set

# Everything that touches attributes is on: mixing, learned weights, words that are seldom known.
TINY = override(
    Settings(
        network="vit_attributes", network_options={"backbone": "test_vit"}, weights="none", epochs=16,
        batch_size=16, num_workers=0, lr=0.003, precision="float32",
        loss=Loss(attributes=1.0, attribute_weights="learned", attribute_balance=0.5),
    ),
    ["preprocessing.height=32", "preprocessing.width=32", "ema_decay=0.9", "augmentation.crop_scale=0.5",
     "mixup=0.2", "mix_prob=0.3"],
)  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DataSource:
    """Six pictures of each emotion in every split; each emotion has a colour, and attributes go with it."""
    return emoset.read(emoset_tree(tmp_path_factory.mktemp("data") / "emoset", each=6))


def run(source: DataSource, out: Path, settings: Settings = TINY, resume: bool = False) -> TrainingRequest:
    return TrainingRequest(
        name="tiny",
        data="emoset",
        source=source,
        settings=settings,
        out=out,
        resume=resume,
        graph=False,
    )


@pytest.fixture(scope="module")
def finished(source: DataSource, tmp_path_factory: pytest.TempPathFactory) -> RunFinished:
    """What training came to, in 48 steps."""
    last = list(fit(run(source, tmp_path_factory.mktemp("runs") / "undisturbed")))[-1]
    assert isinstance(last, RunFinished)
    return last


def test_emotions_and_attributes_of_pictures_not_seen_before_are_named(finished: RunFinished) -> None:
    assert finished.scores.accuracy > 0.6, "by chance an eighth"
    assert finished.attribute_scores is not None
    scores = finished.attribute_scores.attributes
    for name in ("scene", "object", "facial_expression", "human_action"):
        value, guess = scores[name].value, scores[name].guess
        assert value is not None and guess is not None
        assert value > guess + 0.2, name
    assert 0 < scores["facial_expression"].pictures < scores["brightness"].pictures == 48


def test_the_words_alone_come_to_the_right_emotions(source: DataSource, finished: RunFinished) -> None:
    # Of the last step: the model is of the first epoch that had all right, when words had hardly begun.
    network = catalog.build(TINY.network, 8, **network_options(TINY, source.attributes))
    state = State.start(network, TINY)
    load_state(finished.model.parent / LAST, state)
    size = TINY.preprocessing.resolved()
    pictures = EvaluationSet(source.split("val"), size, file_reader(size), source.attributes)
    batches = evaluation_batches(pictures, 48, 0)
    predicted = predict_attributes(state.best_network, batches, size, torch.device("cpu"), torch.float32)
    named = score_attributes(predicted, source.attributes)
    assert named.concepts is not None
    assert named.concepts.by_attributes > 0.6, "by chance an eighth"


def test_the_card_has_the_words_and_what_they_are_worth_and_needs_no_data(
    finished: RunFinished, source: DataSource
) -> None:
    model = load_model(finished.model)
    card, network = model.card, model.network
    assert card.attributes == source.attributes
    assert finished.attribute_scores is not None
    assert (
        card.scores["attributes"]["scene"]["value"]
        == finished.attribute_scores.to_json()["attributes"]["scene"]["value"]
    )
    assert card.scores["concepts"]["accuracy"] == pytest.approx(finished.scores.accuracy)
    assert "## Attributes" in (finished.model / "README.md").read_text(encoding="utf-8")
    with torch.inference_mode():
        explained = network.explain(torch.randn(2, 3, 32, 32))  # type: ignore[operator]
    assert explained.attributes["scene"].shape == (2, 8)
    parts = sum(part.sum(dim=2) for part in explained.contributions.values())
    torch.testing.assert_close(explained.usual + parts + explained.residual, explained.logits)
    for attribute in source.attributes:
        usual = network._by_name(network.usual_words)[attribute.name]  # type: ignore[operator]
        if not attribute.several:
            torch.testing.assert_close(usual.sum(), torch.tensor(1.0), rtol=0, atol=0.01)


def test_the_log_has_a_loss_for_each_attribute_and_learned_weights_moved(finished: RunFinished) -> None:
    rows = [json.loads(line) for line in (finished.model.parent / STEPS).read_text().splitlines()]
    unmixed = [row for row in rows if "attributes" in row]
    assert 0 < len(unmixed) < len(rows), "some batches were mixed"
    assert unmixed[-1]["attributes.scene"] < unmixed[0]["attributes.scene"]
    network = load_model(finished.model).network
    start = torch.tensor([2 * torch.tensor(float(words)).log() for words in network.words.values()]).log()  # type: ignore[operator]
    assert (network.task_log_variances - start).abs().min() > 1e-3  # type: ignore[operator]


def test_evaluation_scores_attributes_where_they_are_requested(
    source: DataSource, finished: RunFinished, tmp_path: Path
) -> None:
    words = ["evaluate", str(finished.model), "--data", f"emoset:{source.root}", "--split", "test"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--attributes", "--out", str(tmp_path / "scores.json")])
    assert ended.value.code == 0
    stored = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert stored["attributes"]["scene"]["value"] > stored["attributes"]["scene"]["guess"]
    assert stored["concepts"]["accuracy"] == pytest.approx(stored["scores"]["accuracy"], abs=0.05)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    source: DataSource, finished: RunFinished, tmp_path: Path
) -> None:
    for event in fit(run(source, tmp_path / "parts", replace(TINY, checkpoint_every=5))):
        if isinstance(event, Step) and event.number == 16:
            break
    assert (tmp_path / "parts" / LAST).is_file()
    list(fit(run(source, tmp_path / "parts", replace(TINY, checkpoint_every=5), resume=True)))
    resumed, undisturbed = load_model(tmp_path / "parts" / MODEL), load_model(finished.model)
    assert resumed.card.weights_hash == undisturbed.card.weights_hash


def test_a_run_is_not_resumed_on_other_attributes(source: DataSource, tmp_path: Path) -> None:
    next(fit(run(source, tmp_path / "run")))
    with pytest.raises(RunError, match="other pictures or labels"):
        next(fit(run(reworded(source), tmp_path / "run", resume=True)))


def reworded(source: DataSource) -> DataSource:
    """The same data set whose scenes are listed in another order."""
    return replace(
        source, attributes=tuple(_reversed(a) if a.name == "scene" else a for a in source.attributes)
    )


def _reversed(attribute: Attribute) -> Attribute:
    return replace(attribute, words=tuple(reversed(attribute.words)))


def test_a_data_set_without_attributes_is_refused_with_what_to_do(tmp_path: Path) -> None:
    plain = folder.read(colour_set(tmp_path / "data", ("awe", "fear"), each=2))
    with pytest.raises(SettingsError, match=r"has none\. Train on emoset, or choose a network without"):
        next(fit(run(plain, tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_words_without_a_loss_are_refused(source: DataSource) -> None:
    with pytest.raises(SettingsError, match="its words would mean nothing"):
        attributes_of(replace(TINY, loss=Loss()), source)


def test_options_that_follow_from_the_data_are_not_settings(source: DataSource) -> None:
    given = replace(TINY, network_options={"attributes": {"scene": {"words": 3, "several": False}}})
    with pytest.raises(SettingsError, match=r"network_options\.attributes follows from the data set"):
        attributes_of(given, source)


def test_a_network_without_attributes_learns_none_and_is_built_as_ever(source: DataSource) -> None:
    plain = Settings(network="resnet50", network_options={"dropout": 0.1})
    assert attributes_of(plain, source) == ()
    assert network_options(plain, ()) == {"dropout": 0.1}


def test_the_fingerprint_is_of_words_and_of_the_pictures_that_have_them(source: DataSource) -> None:
    names = source.attributes
    assert fingerprint(source, names) == fingerprint(source, names)
    assert fingerprint(source, names) != fingerprint(source, reworded(source).attributes)
    record, *rest = source.splits["train"]
    changed = replace(record, attributes={**record.attributes, "object": ()})
    other = replace(source, splits={**source.splits, "train": [changed, *rest]})
    assert fingerprint(other, names) != fingerprint(source, names)


def test_frequencies_are_those_among_pictures_with_an_answer(source: DataSource) -> None:
    records = source.split("train")
    found = word_frequencies(source.attributes, records)
    assert set(found) == {"object"}
    known = [record for record in records if "object" in record.attributes]
    person = source.attributes[[a.name for a in source.attributes].index("object")].index("Person")
    expected = sum("Person" in record.attributes["object"] for record in known) / len(known)
    assert 0 < len(known) < len(records)
    assert float(found["object"][person]) == pytest.approx(expected)
