"""Settings, as files and assignments change them."""

import os
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w

from affectlens import former_keys
from affectlens.errors import SettingsError, UnknownName
from affectlens.preprocess import PreprocessingSettings
from affectlens.training.settings import Loss, Settings, override, read_settings

CHANGED = Settings(
    network="pair",
    network_options={"drop_path": 0.05},
    epochs=3,
    preprocessing=PreprocessingSettings(height=96, width=64, fit="pad"),
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
    [("batch_sice=1", "batch_size"), ("augmentation.flop=1", "augmentation.flip")],
)
def test_a_misspelt_setting_is_an_error_with_the_right_one(assignment: str, near: str) -> None:
    with pytest.raises(UnknownName, match=f"Did you mean '{near}'"):
        override(CHANGED, [assignment])


@pytest.mark.parametrize(
    "assignment",
    [
        "batch_size=2.5", "batch_size=true", "lr=true", "network=3", "lr=fast",
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
        "epochs=0", "batch_size=0", "grad_accum_steps=-1", "lr=-1", "lr=nan", "epochs=inf",
        "weights=",
        "weight_decay=nan", "label_smoothing=1", "warmup=-0.1", "mix_prob=1.1", "ema_decay=1", "clip_grad=-1",
        "select_by=loss", "num_workers=-2", "cache_side=-3", "cache_side=4097",
        "low_res_size=-1", "low_res_size=4097", "preprocessing.width=4097", "augmentation.flip=2",
        "preprocessing.height=0", "momentum=1", "momentum=-0.1", "step_epochs=0", "step_factor=0",
        "step_factor=1.5", "head_lr_scale=0", "optimizer=lion", "schedule=step", "augmentation.lighting=-1",
        "augmentation.squash=-1", "num_workers=1000", "seed=-1", f"seed={2**63}", f"seed={10**22}",
        f"grad_accum_steps={10**400}", f"batch_size={10**12}", "frozen_epochs=-1",
    ],
)  # fmt: skip
def test_an_impossible_value_is_an_error(assignment: str) -> None:
    name = assignment.partition("=")[0].split(".")[-1]
    with pytest.raises(SettingsError, match=name):
        override(CHANGED, [assignment])


@pytest.mark.parametrize(
    "assignment", ["loss.similarity_of=logit", "loss.attribute_weights=learnt", "preprocessing.fit=crops"]
)
def test_a_misspelt_choice_is_an_error_with_the_right_one(assignment: str) -> None:
    with pytest.raises(SettingsError, match=assignment.partition("=")[0] + ".* Did you mean"):
        override(CHANGED, [assignment])


def test_an_integer_is_accepted_where_a_fraction_may_stand() -> None:
    made = override(CHANGED, ["epochs=2"])
    assert made.epochs == 2.0
    assert isinstance(made.epochs, float)


@pytest.mark.parametrize("depth", [200, 900, 3000])
def test_settings_that_no_run_folder_could_hold_are_refused(tmp_path: Path, depth: int) -> None:
    """Nested so deeply that merging or writing them would end in a traceback; else they read as they are."""
    name = "network_options." + ".".join("a" * depth)
    file = tmp_path / "settings.toml"
    file.write_text(f"{name} = 1\n")
    for by_file in (True, False):
        try:
            made = read_settings(file, Settings()) if by_file else override(Settings(), [f"{name}=1"])
        except SettingsError:
            continue
        again = tmp_path / "again.toml"
        again.write_text(made.to_toml())
        assert read_settings(again, Settings()) == made


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


# Files written before. ----------------------------------------------------------------------------


def test_every_former_key_of_the_table_is_read_as_the_setting_that_it_is_now(tmp_path: Path) -> None:
    """As format 1 wrote them: all keys, no version."""
    former = {now: before for before, now in former_keys.SETTINGS.items()}
    assert former.keys() <= {
        *Settings().to_dict(),
        *(f"loss.{name}" for name in Settings().to_dict()["loss"]),
    }
    plain = replace(CHANGED, lr=0.1, num_workers=3, loss=Loss(focal_gamma=2.5)).to_dict()
    old = {former.get(name, name): value for name, value in plain.items()}
    old["loss"] = {former.get(f"loss.{n}", n).removeprefix("loss."): v for n, v in plain["loss"].items()}
    file = tmp_path / "settings.toml"
    file.write_text(tomli_w.dumps(old))
    assert "learning_rate = 0.1" in file.read_text() and "focus = 2.5" in file.read_text()
    assert read_settings(file, Settings()) == Settings.from_dict(plain)


def test_a_former_key_is_read_in_an_assignment_and_never_written() -> None:
    assert override(CHANGED, ["learning_rate=0.1", "loss.focus=2"]).lr == 0.1
    assert not {*tomllib.loads(CHANGED.to_toml())} & {*former_keys.SETTINGS}
    assert tomllib.loads(CHANGED.to_toml())["format_version"] == 2


def test_a_setting_under_both_of_its_names_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("lr = 0.1\nlearning_rate = 0.2\n")
    with pytest.raises(SettingsError, match="lr is set twice"):
        read_settings(file, Settings())


@pytest.mark.parametrize("version", ["3", "0", '"2"', "[2]"])
def test_a_file_of_another_format_is_refused(tmp_path: Path, version: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"format_version = {version}\n")
    with pytest.raises(SettingsError, match="format"):
        read_settings(file, Settings())


@pytest.mark.parametrize("text", ["epochs = " + "[" * 100_000, "seed = " + "1" * 10_000])
def test_a_file_that_no_parser_takes_is_an_error_of_settings(text: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings(file, Settings())
    with pytest.raises(SettingsError):
        override(Settings(), [text.replace(" ", "")])


@pytest.mark.parametrize("assignment", ["vocabulary=caf\udce9.toml", "weights=/w/caf\udce9"])
def test_a_name_that_is_not_text_is_refused_before_there_is_a_run(assignment: str) -> None:
    with pytest.raises(SettingsError, match="not UTF-8 text"):
        override(Settings(), [assignment])


def test_half_a_surrogate_pair_is_an_error_of_settings() -> None:
    with pytest.raises(SettingsError, match="surrogates not allowed"):
        override(Settings(), ["epochs=\udc80"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "settings.toml")
    with pytest.raises(SettingsError, match=r"settings\.toml is a pipe or a device"):
        read_settings(tmp_path / "settings.toml", Settings())
