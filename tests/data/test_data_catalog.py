"""Data sets by name: every spelling leads to its reader, every name has its licence."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from affectlens.data import catalog
from affectlens.data.catalog import DATA_SETS, UNKNOWN_LICENCE, licence, open_data
from affectlens.data.records import ALL
from affectlens.data.vocabularies import own_words
from affectlens.emotions import BadVocabulary
from affectlens.errors import DatasetError, DatasetNotFound, SettingsError, UnknownName


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "awe").mkdir()
    (tmp_path / "awe" / "1.jpg").touch()
    (tmp_path / "labels.csv").write_text("path,label\nawe/1.jpg,awe\n")
    (tmp_path / "labels.jsonl").write_text('{"path": "awe/1.jpg", "label": "awe"}\n')
    return tmp_path


@pytest.mark.parametrize("spec", ["fi:{}", "folder:{}", "csv:{}/labels.csv", "jsonl:{}/labels.jsonl",
                                  "{}", "{}/labels.csv", "{}/labels.jsonl", "csv:{0}/labels.csv@{0}",
                                  "{0}/labels.csv@{0}"])  # fmt: skip
def test_each_way_to_name_a_data_set_leads_to_its_pictures(root: Path, spec: str) -> None:
    records = open_data(spec.format(root)).split(ALL)
    assert [(record.key, record.path, record.target.top) for record in records] == [
        ("awe/1.jpg", root / "awe" / "1.jpg", "awe")
    ]


def test_a_bare_folder_with_a_list_of_splits_is_read_by_the_list(root: Path) -> None:
    (root / "splits.tsv").write_text("path\tlabel\tsplit\nawe/1.jpg\tawe\tval\n")
    assert list(open_data(str(root)).splits) == ["val"]


def test_an_at_sign_in_a_name_is_part_of_it(root: Path) -> None:
    (root / "me@home.csv").write_text("path,label\nawe/1.jpg,awe\n")
    assert open_data(f"csv:{root}/me@home.csv").root == root


def test_a_home_folder_may_be_short(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root))
    monkeypatch.setenv("USERPROFILE", str(root))
    assert open_data("folder:~").root == root


def test_a_misspelt_name_is_an_error_with_the_right_one(root: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'folder'"):
        open_data(f"foldr:{root}")


def test_what_is_neither_a_path_nor_a_name_is_an_error_with_the_names() -> None:
    with pytest.raises(SettingsError, match="NAME:PATH"):
        open_data("nothing-of-that-name")


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_path_that_is_not_there_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetNotFound, match="gone"):
        open_data(f"{name}:{tmp_path / 'gone'}")


@pytest.mark.parametrize("spec", ["", *(f"{name}:" for name in DATA_SETS), "csv:labels.csv@", "csv:@folder"])
def test_an_empty_path_is_an_error_and_not_the_working_folder(
    root: Path, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(SettingsError, match="empty path"):
        open_data(spec)


def test_published_data_sets_have_licences_of_their_own_and_others_whatever_their_makers_gave() -> None:
    own = {name for name in DATA_SETS if licence(name) != UNKNOWN_LICENCE}
    assert own == {"emoset", "fi"}
    assert licence("unheard-of") == UNKNOWN_LICENCE


def test_commercial_use_is_what_the_strictest_of_all_named_licences_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = replace(DATA_SETS["folder"], licence="CC0", commercial=True)
    monkeypatch.setattr(catalog, "DATA_SETS", {**DATA_SETS, "free": free})
    assert catalog.commercial_use("CC0") is True
    assert catalog.commercial_use(f"CC0; {licence('fi')}") is False
    for unknown in (UNKNOWN_LICENCE, f"CC0; {UNKNOWN_LICENCE}", "CC0; terms of my own", ""):
        assert catalog.commercial_use(unknown) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize(
    "spec", ["csv:{}/pipe.csv", "jsonl:{}/pipe.csv", "{}/pipe.csv", "csv:{0}/pipe.csv@{0}"]
)
def test_a_table_that_is_a_pipe_is_refused_before_it_is_opened(root: Path, spec: str) -> None:
    os.mkfifo(root / "pipe.csv")
    with pytest.raises(DatasetError, match="is a pipe or a device"):
        open_data(spec.format(root))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("spec", ["csv:{}/labels.csv", "folder:{}"])
def test_a_vocabulary_that_is_a_pipe_is_refused_before_it_is_opened(root: Path, spec: str) -> None:
    os.mkfifo(root / "vocabulary.toml")
    for reading in (lambda: open_data(spec.format(root)), lambda: own_words(f"{root}/vocabulary.toml")):
        with pytest.raises(BadVocabulary, match="is a pipe or a device"):
            reading()
