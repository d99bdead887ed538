"""What a session makes of settings and data: which input a network expects, and a validation split."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from affectlens.data import folder, groups
from affectlens.data.catalog import open_data
from affectlens.data.groups import Groups, Search, find_groups
from affectlens.data.records import ALL, Record
from affectlens.data.splits import stratified
from affectlens.errors import DatasetError
from affectlens.models import backbones
from affectlens.models.saved import load_model
from affectlens.preprocess import IMAGENET_MEAN, IMAGENET_STD
from affectlens.recipes.catalog import recipe
from affectlens.training import session
from affectlens.training.run import fit
from affectlens.training.run_folder import MODEL, TrainingRequest, read_run_settings
from affectlens.training.session import open_session, with_expected_input
from affectlens.training.settings import Settings, override
from pictures import colour_set

HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("network", "options", "mean"),
    [
        ("tf_efficientnet_lite2", {}, HALF),
        ("vit", {}, HALF),
        ("deit_tiny", {}, IMAGENET_MEAN),
        ("vit_base_patch16_clip_224.openai", {}, (0.48145466, 0.4578275, 0.40821073)),
        ("mlm_paper", {"backbone": "tf_efficientnet_lite2"}, HALF),
        ("mam_release", {}, IMAGENET_MEAN),
        ("vit_attributes", {}, HALF),
        ("pair", {}, IMAGENET_MEAN),
        ("pair", {"transformer": "vit_small_patch16_224.augreg_in21k_ft_in1k"}, HALF),
    ],
)
def test_images_are_normalised_as_the_weights_expect(
    network: str, options: dict[str, str], mean: tuple[float, ...]
) -> None:
    made = with_expected_input(Settings(network=network, network_options=options))
    assert made.preprocessing.mean == mean


def test_what_settings_state_counts_and_without_weights_it_is_imagenets() -> None:
    stated = override(Settings(network="tf_efficientnet_lite2"), ["preprocessing.mean=[0.1, 0.2, 0.3]"])
    made = with_expected_input(stated).preprocessing
    assert (made.mean, made.std) == ((0.1, 0.2, 0.3), HALF)
    bare = with_expected_input(Settings(network="tf_efficientnet_lite2", weights="none")).preprocessing
    assert (bare.mean, bare.std) == (IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.parametrize(
    ("network", "options", "size", "interpolation", "crop"),
    [
        ("bot", {}, 256, "bicubic", 0.95),
        ("tf_efficientnet_lite2", {}, 260, "bicubic", 0.89),
        ("resnet50", {}, 224, "bilinear", 0.875),
        ("mlm_paper", {"backbone": "tf_efficientnet_lite2"}, 260, "bicubic", 0.89),
        ("pair", {"convolutional": "tf_efficientnet_lite2"}, 224, "bicubic", 0.9),  # the transformer's
    ],
)
def test_pictures_have_the_size_that_the_backbone_was_trained_on_and_its_crop_where_they_are_cropped(
    network: str, options: dict[str, str], size: int, interpolation: str, crop: float
) -> None:
    settings = Settings(network=network, network_options=options)
    made = with_expected_input(settings).preprocessing
    assert (made.height, made.width, made.interpolation, made.crop_fraction) == (size, size, interpolation, 1)
    cropped = with_expected_input(override(settings, ["preprocessing.fit=crop"])).preprocessing
    assert cropped.crop_fraction == crop
    bare = with_expected_input(override(settings, ["weights=none"])).preprocessing
    assert bare.height == size  # some networks have no other


def test_a_size_and_an_interpolation_that_settings_state_count() -> None:
    stated = ["preprocessing.height=64", "preprocessing.width=96", "preprocessing.interpolation=bilinear"]
    made = with_expected_input(override(Settings(network="tf_efficientnet_lite2"), stated)).preprocessing
    assert (made.height, made.width, made.interpolation) == (64, 96, "bilinear")


@pytest.mark.parametrize("name", ["mlm_release", "mam_release", "pair", "vit_emoset_release"])
def test_recipes_that_repeat_what_others_trained_state_their_interpolation(name: str) -> None:
    made = with_expected_input(recipe(name)).preprocessing
    assert (made.height, made.width, made.interpolation, made.crop_fraction) == (224, 224, "bilinear", 1)


def test_the_run_and_the_card_hold_the_numbers_and_a_run_resumes(tmp_path: Path) -> None:
    data = colour_set(tmp_path / "data", ("awe", "anger"), each=6)
    save_file(backbones.classifier("test_vit", 1000).state_dict(), tmp_path / "test_vit.safetensors")
    settings = override(
        Settings(network="test_vit", weights=str(tmp_path), epochs=1, batch_size=4, num_workers=0),
        ["preprocessing.height=32", "preprocessing.width=32"],
    )
    request = TrainingRequest(
        name="tiny",
        data="folder",
        source=folder.read(data),
        settings=settings,
        out=tmp_path / "run",
        graph=False,
    )
    list(fit(request))
    assert read_run_settings(request.out).preprocessing.mean == HALF
    assert load_model(request.out / MODEL).card.preprocessing.mean == HALF


def test_training_samples_validation_so_that_copies_are_on_one_side(tmp_path: Path) -> None:
    data = colour_set(tmp_path / "data", ("awe", "anger"), each=10)
    for file in list(data.rglob("*.png")):
        shutil.copy(file, file.with_name(f"copy of {file.name}"))
    source, settings = folder.read(data), override(Settings(), ["weights=none", "val_fraction=0.3"])

    def copied_across(splits: Mapping[str, Sequence[Record]]) -> set[bytes]:
        train, val = ({record.path.read_bytes() for record in splits[name]} for name in ("train", "val"))
        assert train and val
        return train & val

    for seed in range(3):
        session = open_session(source, replace(settings, seed=seed), "cpu")
        assert not copied_across(session.source.splits)
        assert "40 pictures in 20 groups" in session.source.notes[-1]
        assert copied_across(stratified(source.split(ALL), {"val": 0.3}, seed)), "without groups some are"


def test_data_with_a_picture_in_train_and_val_is_not_trained_on(tmp_path: Path) -> None:
    data = colour_set(tmp_path / "data", ("awe", "anger"), each=4)
    rows = [f"{word}/{number}.png,{word},train" for word in ("awe", "anger") for number in range(4)]
    (data / "rows.csv").write_text("\n".join(["path,label,split", *rows, "awe/2.png,awe,val"]) + "\n")
    with pytest.raises(DatasetError, match=r"awe/2\.png in train and val"):
        open_session(open_data(f"csv:{data / 'rows.csv'}"), Settings(weights="none"), "cpu")


def test_a_pair_gives_each_branch_what_its_weights_expect() -> None:
    given, expected = (
        backbones.statistics(name) for name in ("deit_tiny_patch16_224", "tf_efficientnet_lite2")
    )
    pixels = torch.rand(2, 3, 4, 4)

    def normalised(statistics: backbones.Statistics) -> torch.Tensor:
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in statistics)
        return (pixels - mean) / std

    found = backbones.Renormalise(given, expected)(normalised(given))
    torch.testing.assert_close(found, normalised(expected))


@pytest.mark.parametrize(("limit", "wanted"), [(100, "thorough"), (11, "quick")])
def test_a_split_that_training_makes_looks_for_cut_copies_where_pictures_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, wanted: str
) -> None:
    searches: list[str] = []

    def noted(records: Sequence[Record], search: Search) -> Groups:
        searches.append(search)
        return find_groups(records, search)

    monkeypatch.setattr(groups, "THOROUGH_UP_TO", limit)
    monkeypatch.setattr(session, "find_groups", noted)
    source = folder.read(colour_set(tmp_path / "data", ("awe", "anger"), each=6))
    source = replace(source, splits={ALL: source.split(ALL)})
    session.open_session(source, Settings(network="test_vit", weights="none"), "cpu")
    assert searches == [wanted]
