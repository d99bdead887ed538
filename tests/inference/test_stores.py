import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from affectlens.errors import (
    DatasetError,
    PictureDenied,
    PictureEmpty,
    PictureError,
    PictureIsFolder,
    PictureNotFound,
    UnknownName,
)
from affectlens.inference.inputs import Input, count, load_rows, name_of, pictures
from affectlens.inference.predictor import Predictor
from affectlens.inference.stores import PictureBytes, TableRow, fetch, pictures_at


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, name in enumerate(
        ("b.png", "a.PNG", "notes.txt", "deep/c.png", "deep/er/d.png", ".hidden.png")
    ):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (40 * number, 90, 200)).save(file, "PNG")
    return tmp_path / "photos"


def url(path: Path) -> str:
    return f"file://{path}"


def expand(*words: str, column: str | None = None) -> list[Input]:
    return list(pictures(words, io.BytesIO(), column))


def below(folder: Path, word: str) -> list[str]:
    return [name_of(given).removeprefix(url(folder) + "/") for given in expand(word)]


def table_of(file: Path, columns: dict[str, Any], group: int = 3) -> str:
    pq.write_table(pa.table(columns), file, row_group_size=group)
    return str(file)


# --------------------------------------------------------------------------------------- object stores


def test_a_folder_of_a_store_is_its_pictures_in_the_order_of_a_folder_on_disk(photos: Path) -> None:
    assert below(photos, url(photos)) == [
        str(p.relative_to(photos)) for p in map(Path, map(str, expand(str(photos))))
    ]


def test_a_pattern_in_a_store_matches_as_on_a_disk(photos: Path) -> None:
    assert below(photos, f"{url(photos)}/*.[pP]*") == ["a.PNG", "b.png"]
    assert below(photos, f"{url(photos)}/**/*.png") == ["b.png", "deep/c.png", "deep/er/d.png"]
    assert below(photos, f"{url(photos)}/deep/*.png") == ["deep/c.png"]


def test_a_file_of_a_store_is_itself_and_its_bytes_are_read(photos: Path) -> None:
    assert expand(url(photos / "b.png")) == [url(photos / "b.png")]
    assert fetch(url(photos / "b.png")) == (photos / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("gone.png", PictureNotFound), ("deep", PictureIsFolder), ("empty.png", PictureEmpty)],
)
def test_what_cannot_be_fetched_is_the_error_that_a_file_would_give(
    photos: Path, name: str, kind: type[PictureError]
) -> None:
    (photos / "empty.png").touch()
    with pytest.raises(kind, match=name):
        fetch(url(photos / name))


def test_a_folder_without_pictures_or_a_url_of_no_known_kind_is_an_error(
    tmp_path: Path,
) -> None:
    (empty,) = pictures_at(url(tmp_path))
    assert isinstance(empty, PictureNotFound)
    (strange,) = pictures_at("ftp://somewhere/a.jpg")
    assert isinstance(strange, PictureDenied) and "ftp://somewhere/a.jpg" in str(strange)


def test_the_options_of_a_url_are_kept_in_the_names_of_what_lies_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pyarrow import fs

    from affectlens.inference import stores

    memory = fs._MockFileSystem()
    memory.create_dir("bucket/deep", recursive=True)
    memory.open_output_stream("bucket/deep/a.png").close()
    wanted: list[tuple[str, str, str]] = []

    def opened(scheme: str, bucket: str, options: str) -> Any:
        wanted.append((scheme, bucket, options))
        return memory

    monkeypatch.setattr(stores, "_store", opened)
    assert list(pictures_at("s3://bucket/deep?region=eu-west-1")) == [
        "s3://bucket/deep/a.png?region=eu-west-1"
    ]
    assert wanted == [("s3", "bucket", "region=eu-west-1")]


# --------------------------------------------------------------------------------------- Parquet tables


def test_a_table_of_paths_is_its_files_relative_to_the_table(photos: Path, tmp_path: Path) -> None:
    table = table_of(tmp_path / "list.parquet", {"path": ["photos/b.png", None, "s3://bucket/x.png"]})
    first, missing, remote = expand(table)
    assert first == str(photos / "b.png") and remote == "s3://bucket/x.png"
    assert isinstance(missing, PictureNotFound) and missing.path == f"{table}#1"


@pytest.mark.parametrize("begin", [0, 1, 3, 5, 9])
def test_rows_with_bytes_are_read_from_wherever_one_begins(tmp_path: Path, begin: int) -> None:
    data = [bytes([65 + n]) * 5 for n in range(10)]
    table = table_of(tmp_path / "all.parquet", {"bytes": data, "label": list(range(10))})
    rows = expand(table)
    assert rows[0] == TableRow(f"{table}#0", table, "bytes", 0)
    assert list(load_rows(rows[begin:])) == [PictureBytes(f"{table}#{n}", data[n]) for n in range(begin, 10)]


def test_scattered_rows_and_paths_between_them_keep_their_positions(
    tmp_path: Path,
) -> None:
    table = table_of(tmp_path / "all.parquet", {"bytes": [b"a", b"b", b"", b"d"]})
    a, b, empty, d = expand(table)
    found = list(load_rows([d, "x.jpg", a, b, empty]))
    assert [getattr(given, "data", given) for given in found[:4]] == [b"d", "x.jpg", b"a", b"b"]
    assert isinstance(found[4], PictureEmpty)


def test_the_images_of_a_hugging_face_data_set_go_by_their_own_names(tmp_path: Path) -> None:
    images = [{"bytes": b"a", "path": "x.jpg"}, {"bytes": b"b", "path": None}]
    table = table_of(tmp_path / "train.parquet", {"label": [1, 2], "image": images})
    expected = [PictureBytes("x.jpg", b"a"), PictureBytes(f"{table}#1", b"b")]
    assert list(load_rows(expand(table))) == expected


def test_the_column_can_be_named_and_must_be_where_it_is_not_plain(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.parquet", {"one": ["a.jpg"], "two": ["b.jpg"], "number": [1]})
    assert expand(table, column="two") == [str(tmp_path / "b.jpg")]
    with pytest.raises(DatasetError, match="--column: one, two"):
        expand(table)
    with pytest.raises(UnknownName, match="Did you mean 'two'"):
        expand(table, column="twoo")
    (tmp_path / "no.parquet").write_bytes(b"no table")
    with pytest.raises(DatasetError, match=r"no\.parquet"):
        expand(str(tmp_path / "no.parquet"))


def test_rows_of_a_table_are_counted(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.parquet", {"path": ["a", "b", "c"]})
    assert count([table]) == 3


# ------------------------------------------------------------------------------------------- answers


def test_a_picture_is_answered_alike_from_a_file_a_store_and_a_table(
    tiny_model: Path, photos: Path, tmp_path: Path
) -> None:
    data = (photos / "b.png").read_bytes()
    table = table_of(tmp_path / "t.parquet", {"bytes": [data, b"no picture"], "path": ["good", "bad"]})
    predictor = Predictor.load(str(tiny_model), precision="float32")
    plain, remote, row, bad = predictor.predict_files(
        [str(photos / "b.png"), url(photos / "b.png"), *expand(table, column="bytes")]
    )
    assert plain.emotions == remote.emotions == row.emotions is not None
    assert (remote.image, row.image, bad.image) == (url(photos / "b.png"), "good", "bad")
    assert bad.error is not None and str(bad.error).startswith("bad: ")
