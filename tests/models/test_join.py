"""Several models become one: its answer is the mean of theirs, its card names all."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from affectlens.data.catalog import licence
from affectlens.emotions import EKMAN, MIKELS
from affectlens.errors import SettingsError
from affectlens.library.licences import licences
from affectlens.model_folder import Card
from affectlens.models import backbones, catalog
from affectlens.models.join import join, joined_readme
from affectlens.models.network_input import normalise
from affectlens.models.saved import Model, add_graph, load_model, save_model
from affectlens.preprocess import Preprocessing

# Their pretrained weights expect images of different mean and standard deviation.
TRANSFORMER, CONVOLUTIONAL = "test_vit.r160_in1k", "test_efficientnet.r160_in1k"


def model_of(network: str, temperature: float, seed: int, data: str = "folder", **changes: Any) -> Model:
    """An untrained model whose answers differ from picture to picture."""
    torch.manual_seed(seed)
    built = catalog.build(network, len(MIKELS)).eval()
    with torch.no_grad():
        for parameter in built.get_classifier().parameters():  # type: ignore[operator]
            parameter.mul_(50).add_(torch.randn_like(parameter) * 0.3)
    mean, std = backbones.statistics(network)
    card = Card(
        name=network.split(".")[0],
        network=network,
        vocabulary=MIKELS,
        preprocessing=Preprocessing(height=64, width=64, mean=mean, std=std),
        temperature=temperature,
        licences=licences(data),
        limits=("It predicts the average.", f"Trained on {data}."),
    )
    return Model(built, replace(card, **changes))


def with_preprocessing(model: Model, **changes: Any) -> Model:
    shape = replace(model.card.preprocessing, **changes)
    return Model(model.network, replace(model.card, preprocessing=shape))


@pytest.fixture
def transformer() -> Model:
    return model_of(TRANSFORMER, 0.8, seed=0, data="fi")


@pytest.fixture
def convolutional() -> Model:
    return model_of(CONVOLUTIONAL, 1.7, seed=1)


def calibrated(model: Model, pixels: Tensor) -> Tensor:
    """Log-probabilities of a model for uint8 pixels, as it would answer alone."""
    with torch.inference_mode():
        logits: Tensor = model.network(normalise(pixels, model.card.preprocessing))
    return (logits / model.card.temperature).log_softmax(dim=1)


def pixels_of(size: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8, generator=generator)


def test_the_answer_is_the_mean_of_both_models_calibrated_log_probabilities(
    transformer: Model, convolutional: Model
) -> None:
    before = {name: value.clone() for name, value in transformer.network.state_dict().items()}
    joined = join([transformer, convolutional], "both")
    pixels = pixels_of(64)
    one, other = calibrated(transformer, pixels), calibrated(convolutional, pixels)
    assert float((one - other).abs().max()) > 0.5 and float(one.std(dim=0).max()) > 1e-3
    expected = ((one + other) / 2).log_softmax(dim=1)
    torch.testing.assert_close(calibrated(joined, pixels), expected, rtol=0, atol=1e-5)
    assert all(value.equal(before[name]) for name, value in transformer.network.state_dict().items())


def test_a_joined_model_is_saved_and_answers_the_same_when_it_is_loaded(
    transformer: Model, convolutional: Model, tmp_path: Path
) -> None:
    joined = join([transformer, convolutional], "both")
    save_model(tmp_path / "both", joined.network, joined.card, joined_readme(joined.card))
    loaded, pixels = load_model(tmp_path / "both"), pixels_of(64)
    torch.testing.assert_close(calibrated(loaded, pixels), calibrated(joined, pixels), rtol=0, atol=1e-6)


def test_its_card_names_both_and_has_no_scores(transformer: Model, convolutional: Model) -> None:
    first = Model(transformer.network, replace(transformer.card, weights_hash="ab" * 32, version="0.2.0"))
    card = join([first, convolutional], "both").card
    assert (card.name, card.network, card.scores, card.temperature) == ("both", "ensemble", {}, 1.0)
    origins = card.training["joined"]
    assert (origins["test_vit"]["name"], origins["test_vit"]["weights_hash"]) == ("test_vit", "ab" * 32)
    assert origins["test_efficientnet"]["temperature"] == 1.7
    assert card.limits == ("It predicts the average.", "Trained on fi.", "Trained on folder.")
    assert card.licences["weights"].startswith("research use") and licence("fi") in card.licences["data"]
    text = joined_readme(card)
    assert "license_name: research-use" in text and "test_efficientnet" in text and "ab" * 32 in text


def test_all_members_see_one_size_where_it_is_given(transformer: Model, convolutional: Model) -> None:
    larger = with_preprocessing(convolutional, height=96, width=96)
    joined = join([transformer, larger], "both", size=96)
    assert (joined.card.preprocessing.height, joined.card.preprocessing.width) == (96, 96)
    pixels = pixels_of(96)
    mean = (calibrated(transformer, pixels) + calibrated(larger, pixels)) / 2
    torch.testing.assert_close(calibrated(joined, pixels), mean.log_softmax(dim=1), rtol=0, atol=1e-5)
    with pytest.raises(SettingsError, match="take no pictures of 50x50"):
        join([transformer, larger], "both", size=50)


def test_models_of_other_sizes_that_are_no_squares_need_one_for_all(
    transformer: Model, convolutional: Model
) -> None:
    wide = with_preprocessing(convolutional, height=64, width=96)
    with pytest.raises(SettingsError, match=r"test_vit sees 64x64 pixels and another model 96x64.*--size"):
        join([transformer, wide], "both")


def seen_smaller(model: Model, pixels: Tensor, side: int) -> Tensor:
    """Log-probabilities of a model for a picture that is normalised and then made smaller."""
    images = normalise(pixels, model.card.preprocessing)
    with torch.inference_mode():
        smaller = functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
        found: Tensor = model.network(smaller)
    return (found / model.card.temperature).log_softmax(dim=1)


def test_a_model_of_smaller_pictures_sees_the_same_picture_made_smaller(
    transformer: Model, convolutional: Model, tmp_path: Path
) -> None:
    small = with_preprocessing(convolutional, height=48, width=48)
    joined = join([transformer, small], "both")
    assert joined.card.preprocessing.height == 64 and joined.card.network_options["sizes"] == [0, 48]
    pixels = pixels_of(64)
    mean = (calibrated(transformer, pixels) + seen_smaller(small, pixels, 48)) / 2
    torch.testing.assert_close(calibrated(joined, pixels), mean.log_softmax(dim=1), rtol=0, atol=1e-5)
    save_model(tmp_path / "both", joined.network, joined.card, joined_readme(joined.card))
    loaded = load_model(tmp_path / "both")
    torch.testing.assert_close(calibrated(loaded, pixels), calibrated(joined, pixels), rtol=0, atol=1e-6)
    assert add_graph(tmp_path / "both") < 1e-4


def test_the_order_decides_by_whose_mean_pictures_are_normalised_and_nothing_else(
    transformer: Model, convolutional: Model
) -> None:
    small = with_preprocessing(convolutional, height=48, width=48)
    one, other = join([transformer, small], "both"), join([small, transformer], "both")
    assert other.card.preprocessing.mean == small.card.preprocessing.mean
    assert other.card.preprocessing.height == 64 and other.card.network_options["sizes"] == [48, 0]
    pixels = pixels_of(64)
    torch.testing.assert_close(calibrated(other, pixels), calibrated(one, pixels), rtol=0, atol=1e-4)


def test_of_three_models_each_counts_alike_and_two_may_be_of_one_network(
    transformer: Model, convolutional: Model
) -> None:
    third = with_preprocessing(model_of(CONVOLUTIONAL, 0.5, seed=2), height=48, width=48)
    joined = join([transformer, convolutional, third], "three")
    pixels = pixels_of(64)
    logs = [
        calibrated(transformer, pixels),
        calibrated(convolutional, pixels),
        seen_smaller(third, pixels, 48),
    ]
    mean = torch.stack(logs).mean(dim=0).log_softmax(dim=1)
    torch.testing.assert_close(calibrated(joined, pixels), mean, rtol=0, atol=1e-5)
    names = ["test_vit", "test_efficientnet", "test_efficientnet_2"]
    assert list(joined.card.training["joined"]) == names
    assert joined.card.network_options == {
        "members": [TRANSFORMER, CONVOLUTIONAL, CONVOLUTIONAL],
        "sizes": [0, 0, 48],
    }


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"fit": "crop", "crop_fraction": 0.9}, "fit is 'squash' for test_vit and 'crop'"),
        ({"interpolation": "bicubic"}, "interpolation is 'bilinear'"),
        ({"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}, "mean and standard deviation"),
    ],
)
def test_models_that_see_pictures_differently_are_not_joined(
    transformer: Model, convolutional: Model, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SettingsError, match=problem):
        join([transformer, with_preprocessing(convolutional, **changes)], "both")


def test_models_that_fill_with_other_colours_are_not_joined(transformer: Model, convolutional: Model) -> None:
    padded = [with_preprocessing(model, fit="pad") for model in (transformer, convolutional)]
    with pytest.raises(SettingsError, match="fit is pad"):
        join(padded, "both")


def test_a_network_of_the_catalogue_keeps_its_options(transformer: Model, tmp_path: Path) -> None:
    options: dict[str, Any] = {"backbone": CONVOLUTIONAL, "levels": [1, 2], "hidden": 8, "dropout": 0.2}
    torch.manual_seed(0)
    built = catalog.build("multilevel", len(MIKELS), **options).eval()
    mean, std = backbones.statistics(CONVOLUTIONAL)
    card = replace(transformer.card, name="levels", network="multilevel", network_options=options)
    levels = with_preprocessing(Model(built, card), mean=mean, std=std, height=48, width=48)
    joined = join([transformer, levels], "both")
    pixels = pixels_of(64)
    mean_of_both = (calibrated(transformer, pixels) + seen_smaller(levels, pixels, 48)) / 2
    torch.testing.assert_close(calibrated(joined, pixels), mean_of_both.log_softmax(1), rtol=0, atol=1e-5)
    save_model(tmp_path / "both", joined.network, joined.card, joined_readme(joined.card))
    loaded = load_model(tmp_path / "both")
    torch.testing.assert_close(calibrated(loaded, pixels), calibrated(joined, pixels), rtol=0, atol=1e-6)
    kept = {name: value for name, value in options.items() if name != "dropout"}
    assert loaded.card.network_options["member_options"] == [{}, kept]
    again = join([loaded, transformer], "three")
    assert again.card.network_options["member_options"] == [{}, kept, {}]


def test_only_networks_of_one_last_layer_and_vocabulary_are_joined(
    transformer: Model, convolutional: Model
) -> None:
    with pytest.raises(SettingsError, match="other emotions"):
        join(
            [transformer, Model(convolutional.network, replace(convolutional.card, vocabulary=EKMAN))], "both"
        )
    other = Model(convolutional.network, replace(convolutional.card, name="other", network="mlm_paper"))
    with pytest.raises(SettingsError, match="mlm_paper cannot be a member"):
        join([transformer, other], "three")
    with pytest.raises(SettingsError, match="Name two models or more"):
        join([transformer], "one")


def test_an_ensemble_gives_its_branches(transformer: Model, convolutional: Model) -> None:
    small = with_preprocessing(convolutional, height=48, width=48)
    third = model_of(CONVOLUTIONAL, 0.5, seed=2)
    at_once = join([transformer, small, third], "three")
    in_turn = join([join([transformer, small], "both"), third], "again")
    pixels = pixels_of(64)
    torch.testing.assert_close(calibrated(in_turn, pixels), calibrated(at_once, pixels), rtol=0, atol=1e-5)
    assert in_turn.card.network_options == at_once.card.network_options
    names = [origin["name"] for origin in in_turn.card.training["joined"].values()]
    assert names == ["both, its branch test_vit", "both, its branch test_efficientnet", third.card.name]


def test_how_branches_of_one_model_were_trained_stands_once_and_without_what_is_not_joined(
    transformer: Model, convolutional: Model
) -> None:
    both = join([transformer, convolutional], "both")
    training = {"command": "a command", "ratings": {"figures": {}}, "sets": {}}
    trained = Model(both.network, replace(both.card, training=training))
    third = model_of(CONVOLUTIONAL, 0.5, seed=2)
    first, second, other = join([trained, third], "three").card.training["joined"].values()
    assert first["training"] == {"command": "a command"} and second["training"] == {"as": "test_vit"}
    assert other["training"] == {}


def test_scores_of_the_validation_split_are_not_taken_for_those_of_untouched_pictures(
    transformer: Model, convolutional: Model
) -> None:
    card = join([transformer, convolutional], "both").card
    of_val, of_test = (
        joined_readme(replace(card, scores={"split": split}), "a table") for split in ("val", "test")
    )
    assert "expect\nsomewhat less" in of_val and "nothing learned from" not in of_val
    assert "nothing learned from" in of_test and "a table" in of_test
