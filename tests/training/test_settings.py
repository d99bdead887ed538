from pathlib import Path

import pytest

from affectlens.errors import SettingsError, UnknownName
from affectlens.preprocess import Preprocessing
from affectlens.training.settings import Settings, override, read_settings

CHANGED = Settings(
    network="pair",
    network_options={"drop_path": 0.05},
    epochs=3,
    preprocessing=Preprocessing(height=96, width=64, fit="pad"),
    seed=7,
)


def test_settings_come_back_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(CHANGED.to_toml())
    assert read_settings(file, Settings()) == CHANGED
    assert Settings.from_dict(CHANGED.to_dict()) == CHANGED


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("batch_size = 8\n[augmentation]\nflip = 0.25\n")
    made = read_settings(file, CHANGED)
    assert (made.batch_size, made.augmentation.flip) == (8, 0.25)
    assert made.preprocessing == CHANGED.preprocessing
    assert made.augmentation.crop_scale == CHANGED.augmentation.crop_scale


def test_an_assignment_reaches_inside() -> None:
    made = override(CHANGED, ["epochs = 0.5", "preprocessing.fit=crop", "network_options.dropout=0.1"])
    assert (made.epochs, made.preprocessing.fit) == (0.5, "crop")
    assert made.network_options == {"drop_path": 0.05, "dropout": 0.1}


def test_a_word_needs_no_quotes_in_an_assignment() -> None:
    assert override(CHANGED, ["weights=some/folder"]).weights == "some/folder"
    assert override(CHANGED, ['weights="some/folder"']).weights == "some/folder"


def test_a_later_assignment_counts() -> None:
    assert override(CHANGED, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("assignment", "near"),
    [("learnin_rate=1", "learning_rate"), ("augmentation.flop=1", "augmentation.flip")],
)
def test_a_misspelt_setting_is_an_error_with_the_right_one(assignment: str, near: str) -> None:
    with pytest.raises(UnknownName, match=f"Did you mean '{near}'"):
        override(CHANGED, [assignment])


@pytest.mark.parametrize(
    "assignment",
    [
        "batch_size=2.5", "batch_size=true", "learning_rate=true", "network=3", "learning_rate=fast",
        "augmentation=3", "network_options=3", "network_options=[1]", "epochs.x=3",
        "preprocessing.fit=stretch", "preprocessing.mean=0.5", "preprocessing.mean=[0.5]", "precision=1",
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_an_error(assignment: str) -> None:
    with pytest.raises(SettingsError, match=assignment.partition("=")[0].partition(".x")[0].split(".")[-1]):
        override(CHANGED, [assignment])


@pytest.mark.parametrize(
    "assignment",
    [
        "epochs=0", "batch_size=0", "accumulate=-1", "learning_rate=-1", "learning_rate=nan", "epochs=inf",
        "weight_decay=nan", "label_smoothing=1", "warmup=-0.1", "mix_share=1.1", "average=1", "clip=-1",
        "select_by=loss", "workers=-2", "cache_side=-3", "low_side=-1", "augmentation.flip=2",
        "preprocessing.height=0", "momentum=1", "momentum=-0.1", "step_epochs=0", "step_factor=0",
        "step_factor=1.5", "new_layers_rate=0", "optimizer=lion", "schedule=step", "augmentation.lighting=-1",
        "augmentation.squash=-1",
    ],
)  # fmt: skip
def test_an_impossible_value_is_an_error(assignment: str) -> None:
    name = assignment.partition("=")[0].split(".")[-1]
    with pytest.raises(SettingsError, match=name):
        override(CHANGED, [assignment])


def test_a_whole_number_does_where_a_fraction_may_stand() -> None:
    made = override(CHANGED, ["epochs=2"])
    assert made.epochs == 2.0
    assert isinstance(made.epochs, float)


@pytest.mark.parametrize("assignment", ["epochs", "", "=3"])
def test_what_assigns_nothing_is_an_error(assignment: str) -> None:
    with pytest.raises((SettingsError, UnknownName)):
        override(CHANGED, [assignment])


@pytest.mark.parametrize("content", [b"epochs = = 3", b"\xff\xfe", b"epochs = 3\nepochs = 4"])
def test_a_file_that_is_no_toml_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"settings\.toml"):
        read_settings(file, Settings())


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml"):
        read_settings(tmp_path / "none.toml", Settings())
