"""What a session makes of settings and data: statistics of images, and a validation split."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from affectlens.data import folder
from affectlens.data.catalog import open_data
from affectlens.data.records import ALL, Record
from affectlens.data.splits import stratified
from affectlens.errors import DatasetError
from affectlens.models import backbones
from affectlens.models.saved import load_model
from affectlens.preprocess import IMAGENET_MEAN, IMAGENET_STD
from affectlens.training.run import fit
from affectlens.training.run_folder import MODEL, TrainingRequest, read_run_settings
from affectlens.training.session import open_session, with_statistics
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
    made = with_statistics(Settings(network=network, network_options=options))
    assert made.preprocessing.mean == mean


def test_what_settings_state_counts_and_without_weights_it_is_imagenets() -> None:
    stated = override(Settings(network="tf_efficientnet_lite2"), ["preprocessing.mean=[0.1, 0.2, 0.3]"])
    made = with_statistics(stated).preprocessing
    assert (made.mean, made.std) == ((0.1, 0.2, 0.3), HALF)
    bare = with_statistics(Settings(network="tf_efficientnet_lite2", weights="none")).preprocessing
    assert (bare.mean, bare.std) == (IMAGENET_MEAN, IMAGENET_STD)


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
