"""A run that starts with a trained model has its weights, and rows of its classifiers by emotion."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from affectlens.cli.portable_command import portable_command
from affectlens.data import folder
from affectlens.data.records import DataSource
from affectlens.emotions import MIKELS, Vocabulary
from affectlens.errors import ModelNotFound, RunError, SettingsError
from affectlens.inference.labelled import predict_labelled
from affectlens.inference.labelled_batches import EvaluationSet, evaluation_batches, file_reader
from affectlens.model_folder import Card
from affectlens.models import catalog
from affectlens.models.saved import load_model, save_model
from affectlens.preprocess import Preprocessing
from affectlens.training.run import EpochEnd, RunStarted, fit
from affectlens.training.run_folder import (
    BEST,
    LAST,
    MODEL,
    RunRecord,
    TrainingRequest,
    portable_settings,
    read_run_settings,
)
from affectlens.training.session import open_session
from affectlens.training.settings import Settings, override
from affectlens.training.start import RowMixtures, load_start, with_start
from pictures import colour_set

CPU = torch.device("cpu")
SMALL = Preprocessing(height=32, width=48, mean=(0.4, 0.5, 0.6), fit="pad")
TINY = Settings(network="test_efficientnet", epochs=2, batch_size=5, num_workers=0, lr=0.003)
OF_NETWORKS: Mapping[str, dict[str, Any]] = {
    "test_efficientnet": {},
    "test_vit": {},
    "pair": {"transformer": "test_vit", "convolutional": "test_efficientnet", "mirror": True},
    "mlm_paper": {"backbone": "test_resnet"},
    "wscnet": {"backbone": "test_resnet"},
}
MOODS = Vocabulary("moods", ("gloom", "awe", "delight"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return colour_set(tmp_path / "data", ("awe", "anger"), each=8)


def trained(
    out: Path,
    network: str = "test_efficientnet",
    vocabulary: Vocabulary = MIKELS,
    preprocessing: Preprocessing = SMALL,
    **options: Any,
) -> Path:
    """Write a model whose weights are random but not near zero, so that it prefers some emotions."""
    torch.manual_seed(3)
    built = catalog.build(network, len(vocabulary), **options)
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.2)
    card = Card(
        name="before",
        network=network,
        network_options=options,
        vocabulary=vocabulary,
        preprocessing=preprocessing,
        temperature=2.0,
        licences={"code": "Apache-2.0", "data": "theirs, for research only", "weights": "research use"},
        limits=("It knows Mikels' emotions.",),
    )
    save_model(out, built, card, "A model.")
    return out


def source_of(data: Path, vocabulary: Vocabulary) -> DataSource:
    """The pictures of the folder, with words of their own: the n-th emotion has the n-th word."""
    source = folder.read(data)
    ordered = sorted(["awe", "anger"], key=source.vocabulary.words.index)
    words = dict(zip(ordered, vocabulary.words, strict=False))
    splits = {
        name: [replace(record, target=vocabulary.only(words[record.target.top])) for record in records]
        for name, records in source.splits.items()
    }
    return replace(source, vocabulary=vocabulary, splits=splits)


def started(data: Path, settings: Settings, vocabulary: Vocabulary) -> tuple[nn.Module, RowMixtures]:
    source = open_session(source_of(data, vocabulary), settings, "cpu").source
    torch.manual_seed(0)
    network = catalog.build(settings.network, len(vocabulary), **settings.network_options)
    return network, load_start(network, settings, source, (), CPU)


def tiny(model: Path, network: str = "test_efficientnet", **options: Any) -> Settings:
    return replace(TINY, network=network, network_options=options, start=str(model))


@pytest.mark.parametrize("network", OF_NETWORKS)
def test_with_the_same_words_every_weight_is_the_models(network: str, data: Path, tmp_path: Path) -> None:
    options = OF_NETWORKS[network]
    model = load_model(trained(tmp_path / "model", network, **options))
    made, rows = started(data, tiny(tmp_path / "model", network, **options), MIKELS)
    expected = model.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in made.state_dict().items())
    assert rows == {word: {word: 1.0} for word in MIKELS.words}


@pytest.mark.parametrize("network", ["test_efficientnet", "test_vit", "mlm_paper"])
def test_known_words_keep_their_logits_and_new_ones_have_mixtures_of_them(
    network: str, data: Path, tmp_path: Path
) -> None:
    options = OF_NETWORKS[network]
    model = load_model(trained(tmp_path / "model", network, **options))
    moods = Vocabulary("moods", ("gloom", "delight", "Awe".lower(), "disgust"))
    made, rows = started(data, tiny(tmp_path / "model", network, **options), moods)
    assert (rows["awe"], rows["disgust"]) == ({"awe": 1.0}, {"disgust": 1.0})
    mixing = torch.tensor([[rows[word].get(known, 0.0) for known in MIKELS.words] for word in moods.words])
    torch.testing.assert_close(mixing.sum(dim=1), torch.ones(4), atol=1e-4, rtol=0)
    images = torch.rand(3, 3, 32, 48)
    with torch.inference_mode():
        theirs, ours = model.network(images), made.eval()(images)
    torch.testing.assert_close(ours, theirs @ mixing.T, atol=1e-3, rtol=1e-3)


def test_a_mixture_is_the_mean_of_what_the_model_predicts_for_the_pictures_of_the_word(
    data: Path, tmp_path: Path
) -> None:
    model = load_model(trained(tmp_path / "model"))
    settings = tiny(tmp_path / "model")
    _, rows = started(data, settings, MOODS)
    session = open_session(source_of(data, MOODS), settings, "cpu")
    gloomy = [record for record in session.training if record.target.top == "gloom"]
    batches = evaluation_batches(EvaluationSet(gloomy, SMALL, file_reader(SMALL)), 64, 0)
    logits = predict_labelled(model.network, batches, SMALL, CPU, torch.float32).logits
    expected = torch.softmax(torch.from_numpy(logits) / model.card.temperature, dim=1).mean(dim=0)
    assert list(rows["gloom"]) == list(MIKELS.words)
    torch.testing.assert_close(torch.tensor(list(rows["gloom"].values())), expected, atol=1e-5, rtol=0)


def test_a_word_without_pictures_starts_anew(data: Path, tmp_path: Path) -> None:
    trained(tmp_path / "model")
    made, rows = started(data, tiny(tmp_path / "model"), MOODS)
    assert "delight" not in rows and set(rows) == {"gloom", "awe"}
    torch.manual_seed(0)
    fresh = catalog.build("test_efficientnet", 3)
    assert torch.equal(made.classifier.weight[2], fresh.classifier.weight[2])  # type: ignore[union-attr, index]


@pytest.mark.parametrize("network", ["pair", "wscnet"])
def test_every_branch_has_rows_and_what_has_none_starts_anew(
    network: str, data: Path, tmp_path: Path
) -> None:
    options = OF_NETWORKS[network]
    given = load_model(trained(tmp_path / "model", network, **options)).network.state_dict()
    made, rows = started(data, tiny(tmp_path / "model", network, **options), MOODS)
    found = made.state_dict()
    of_emotions = {name for name, value in found.items() if value.shape != given[name].shape}
    assert all(torch.equal(value, given[name]) for name, value in found.items() if name not in of_emotions)
    if network == "wscnet":
        assert rows == {} and len(of_emotions) > 2
        torch.manual_seed(0)
        fresh = catalog.build(network, 3, **options).state_dict()
        assert all(torch.equal(found[name], fresh[name]) for name in of_emotions)
    else:
        assert len(of_emotions) == 4  # weights and biases of both branches
        awe = MIKELS.index("awe")
        assert all(torch.equal(found[name][1], given[name][awe]) for name in of_emotions)


def test_another_network_or_other_options_are_refused_by_name(data: Path, tmp_path: Path) -> None:
    trained(tmp_path / "model", "mlm_paper", backbone="test_resnet")
    other = tiny(tmp_path / "model", "mlm_paper", backbone="test_resnet", reduction=2)
    with pytest.raises(SettingsError, match=r"before is the network mlm_paper.*have the network mlm_paper"):
        next(fit(request(data, tmp_path / "run", other)))
    with pytest.raises(SettingsError, match=r"before is the network mlm_paper \(.*network test_vit"):
        next(fit(request(data, tmp_path / "run", tiny(tmp_path / "model", "test_vit"))))
    with pytest.raises(ModelNotFound):
        next(fit(request(data, tmp_path / "run", tiny(tmp_path / "nothing"))))
    assert not (tmp_path / "run").exists()


def test_dropout_may_differ_and_weights_are_not_read(data: Path, tmp_path: Path) -> None:
    trained(tmp_path / "model", dropout=0.3)
    settings = replace(tiny(tmp_path / "model", dropout=0.1), weights="nowhere/at/all.safetensors")
    session = open_session(folder.read(data), settings, "cpu")
    assert session.start().rows["awe"] == {"awe": 1.0}


def test_pictures_come_as_the_card_has_them_unless_settings_state_it(data: Path, tmp_path: Path) -> None:
    settings = tiny(trained(tmp_path / "model"))
    assert open_session(folder.read(data), settings, "cpu").preprocessing == SMALL
    stated = override(settings, ["preprocessing.width=32", "preprocessing.fit=squash"])
    made = open_session(folder.read(data), stated, "cpu").preprocessing
    assert (made.height, made.width, made.fit, made.mean) == (32, 32, "squash", SMALL.mean)


def test_settings_with_a_start_have_the_models_network_and_input(data: Path, tmp_path: Path) -> None:
    options = OF_NETWORKS["pair"]
    model = trained(tmp_path / "model", "pair", **options)
    settings = with_start(override(TINY, ["preprocessing.height=64"]), str(model))
    assert (settings.network, settings.network_options, settings.lr) == ("pair", options, TINY.lr)
    session = open_session(folder.read(data), settings, "cpu")
    assert session.preprocessing == SMALL and session.start().rows


def request(data: Path, out: Path, settings: Settings, resume: bool = False) -> TrainingRequest:
    return TrainingRequest(
        name="after",
        data="folder",
        source=folder.read(data),
        settings=settings,
        out=out,
        resume=resume,
        graph=False,
    )


def test_the_card_has_what_training_started_with_and_its_licence_and_limits(
    data: Path, tmp_path: Path
) -> None:
    model = trained(tmp_path / "model")
    *_, finished = fit(request(data, tmp_path / "run", tiny(model)))
    card = load_model(tmp_path / "run" / MODEL).card
    start = card.training["start"]
    assert (start["name"], start["weights_hash"]) == ("before", load_model(model).card.weights_hash)
    assert start["rows"]["awe"] == {"awe": 1.0}
    assert "theirs, for research only" in card.licences["data"] and "research" in card.licences["weights"]
    assert card.limits[-1] == "Of before, with which its training started: It knows Mikels' emotions."
    assert "or of those of the model before" in card.limits[1]
    assert card.training["settings"]["start"] == "FOLDER"
    text = (tmp_path / "run" / MODEL / "README.md").read_text()
    assert f"Started with: before, weights {start['weights_hash']}.\n" in text and str(tmp_path) not in text
    assert finished is not None


def test_a_run_goes_on_without_the_model_that_it_started_with(data: Path, tmp_path: Path) -> None:
    settings = replace(tiny(trained(tmp_path / "model")), checkpoint_every=1)
    list(fit(request(data, tmp_path / "undisturbed", settings)))
    for event in fit(request(data, tmp_path / "parts", settings)):
        if isinstance(event, EpochEnd):
            break
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    stored = read_run_settings(tmp_path / "parts")
    list(fit(request(data, tmp_path / "parts", stored, resume=True)))
    for file in (BEST, LAST):
        one, other = load_file(tmp_path / "parts" / file), load_file(tmp_path / "undisturbed" / file)
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_run_without_a_checkpoint_starts_again_with_the_same_weights_or_not_at_all(
    data: Path, tmp_path: Path
) -> None:
    settings = tiny(trained(tmp_path / "model"))
    next(fit(request(data, tmp_path / "run", settings)))
    stored = read_run_settings(tmp_path / "run")
    assert isinstance(next(fit(request(data, tmp_path / "run", stored, resume=True))), RunStarted)
    trained(tmp_path / "model", preprocessing=SMALL, vocabulary=MOODS)
    with pytest.raises(RunError, match=r"begun with the model before, and .* has other weights now"):
        next(fit(request(data, tmp_path / "run", stored, resume=True)))


def test_records_of_runs_without_a_start_are_read_and_cards_have_none(data: Path, tmp_path: Path) -> None:
    settings = replace(override(TINY, ["preprocessing.height=32"]), weights="none")
    next(fit(request(data, tmp_path / "run", settings)))
    file = tmp_path / "run" / "run.json"
    stored = json.loads(file.read_text())
    del stored["start"]
    file.write_text(json.dumps(stored))
    assert "start" not in RunRecord.read(tmp_path / "run").to_card()


def test_names_of_models_are_shown_to_others_and_folders_are_not(tmp_path: Path) -> None:
    for name in ("", "default", "owner/name"):
        assert portable_settings(replace(TINY, start=name))["start"] == name
    assert portable_settings(replace(TINY, start=str(tmp_path)))["start"] == "FOLDER"
    words = ["train", "vit", "--set", f"start={tmp_path}", "--set=start=default"]
    assert portable_command(words) == "affectlens train vit --set start=FOLDER --set=start=default"


def first_rows(network: nn.Module) -> Tensor:
    found: Tensor = network.state_dict()["classifier.weight"]
    return found


def test_starting_weights_are_those_that_learn_and_their_average(data: Path, tmp_path: Path) -> None:
    settings = replace(tiny(trained(tmp_path / "model")), ema_decay=0.9)
    state = open_session(folder.read(data), settings, "cpu").start()
    given = first_rows(load_model(tmp_path / "model").network)
    assert torch.equal(first_rows(state.network), given)
    assert torch.equal(first_rows(state.best_network), given)
