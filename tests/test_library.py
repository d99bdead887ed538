"""Model folders by name."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import graphs
from affectlens import hub, library
from affectlens.errors import BadModelFolder, ModelNotFound


def save(folder: Path, name: str) -> Path:
    return graphs.write(folder, replace(graphs.CARD, name=name))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shelf"
    monkeypatch.setenv(library.HOME_VARIABLE, str(folder))
    return folder


def test_a_model_is_found_by_its_folder_and_by_its_run(tmp_path: Path, shelf: Path) -> None:
    save(tmp_path / "run" / "model", "mine")
    for name in (str(tmp_path / "run" / "model"), str(tmp_path / "run")):
        assert library.card(name).name == "mine"


def test_a_model_on_the_users_shelf_is_found_by_name_and_listed(shelf: Path) -> None:
    save(shelf / "mine", "mine")
    assert library.card("mine").name == "mine"
    assert ("mine", shelf / "mine") in list(library.folders())


def test_the_bundled_default_is_not_replaced_by_one_of_the_same_name(shelf: Path) -> None:
    save(shelf / "default", "an impostor")
    assert library.find("default") == library.BUNDLED / "default"


def test_a_folder_here_does_not_take_the_name_of_a_bundled_model(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "default", "another")
    save(tmp_path / "mine", "mine")
    assert library.find("default") == library.BUNDLED / "default"
    assert library.card("./default").name == "another"
    assert library.card("mine").name == "mine"


def test_a_misspelt_path_is_not_looked_for_on_the_hub(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    wanted: list[str] = []

    def fetch_folder(name: str, _: object) -> Path:
        wanted.append(name)
        raise OSError("no network")

    monkeypatch.setattr(hub, "fetch_folder", fetch_folder)
    for name in ("runs/typo", "owner/name"):
        with pytest.raises(ModelNotFound):
            library.find(name)
    assert wanted == ["owner/name"]


def test_without_a_home_that_can_be_listed_there_are_the_bundled_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(library.HOME_VARIABLE, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert library.home() is None
    assert ("default", library.BUNDLED / "default") in list(library.folders())
    iterdir = Path.iterdir

    def refusing(folder: Path) -> Iterator[Path]:
        if folder != library.BUNDLED:
            raise PermissionError(13, "Permission denied")
        return iter(list(iterdir(folder)))

    monkeypatch.setenv(library.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(Path, "iterdir", refusing)
    assert library.find("default") == library.BUNDLED / "default"
    with pytest.raises(ModelNotFound):
        library.find("~no-such-user/model")


def test_an_unknown_name_is_an_error_that_lists_what_there_is(shelf: Path) -> None:
    save(shelf / "mine", "mine")
    with pytest.raises(ModelNotFound, match=r"mine"):
        library.find("yours")


def test_a_folder_that_is_not_a_model_is_named(tmp_path: Path, shelf: Path) -> None:
    with pytest.raises(ModelNotFound):
        library.card(str(tmp_path))


def test_a_card_for_people_that_is_missing_is_an_error(tmp_path: Path, shelf: Path) -> None:
    (save(tmp_path / "model", "mine") / "README.md").unlink()
    with pytest.raises(ModelNotFound, match=r"README\.md"):
        library.readme(str(tmp_path / "model"))


def test_a_cards_text_has_no_header(tmp_path: Path, shelf: Path) -> None:
    folder = save(tmp_path / "model", "mine")
    (folder / "README.md").write_text("---\nlicense: other\n---\n# A card\n\n---\n\nIts end\n")
    assert library.card_text(str(folder)) == "# A card\n\n---\n\nIts end\n"
    (folder / "README.md").write_text("# A card\n")
    assert library.card_text(str(folder)) == "# A card\n"


def test_a_damaged_model_does_not_keep_the_list_from_being_shown(shelf: Path) -> None:
    (save(shelf / "broken", "broken") / "config.json").write_text("{")
    with pytest.raises(BadModelFolder):
        library.card("broken")
    found = {each.name: each for each in library.summaries()}
    assert isinstance(found["broken"].error, BadModelFolder)
    default = found["default"]
    assert default.error is None and default.accuracy == library.card().scores["accuracy"]
    shown = subprocess.run(
        [sys.executable, "-m", "affectlens", "models"], capture_output=True, text=True, check=True
    ).stdout
    assert "broken" in shown and "unusable" in shown and "default" in shown


def test_a_name_on_the_hub_without_a_network_is_a_clear_error(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from affectlens import library\nfrom affectlens.errors import ModelNotFound\n"
        "try: library.card('no-one/no-such-model')\nexcept ModelNotFound as error: print(error)"
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "no-one/no-such-model is not on this machine and cannot be fetched" in shown


def test_a_folder_that_may_not_be_entered_is_named_with_its_rights(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def refusing(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.is_relative_to(tmp_path / "closed"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", refusing)
    with pytest.raises(ModelNotFound, match="closed may not be entered: Permission denied"):
        library.find(str(tmp_path / "closed"))
