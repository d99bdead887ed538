import io
import os
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from affectlens.errors import (
    DatasetError,
    NotAPicture,
    PictureDamaged,
    PictureDenied,
    PictureEmpty,
    PictureError,
    PictureIsFolder,
    PictureNotFound,
    PictureTooLarge,
    UnknownName,
)
from affectlens.images import read_pixels
from affectlens.inference import stores
from affectlens.inference.inputs import Input, count, load_rows, name_of, opened, pictures
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


@pytest.fixture
def store(photos: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the photographs in an object store, which is this machine's disk."""
    from pyarrow import fs

    local = fs.SubTreeFileSystem("/", fs.LocalFileSystem())
    monkeypatch.setattr(stores, "_store", lambda *_: local)
    return f"s3:/{photos}"


def test_a_file_of_a_store_is_itself_and_its_bytes_are_read(photos: Path, store: str) -> None:
    assert expand(f"{store}/b.png") == [f"{store}/b.png"]
    assert fetch(f"{store}/b.png") == (photos / "b.png").read_bytes()


def test_a_store_is_listed_as_a_disk_is(photos: Path, store: str) -> None:
    for word in ("", "/*.[pP]*", "/**/*.png", "/deep/*.png"):
        there = [name_of(given).removeprefix(store) for given in expand(f"{store}{word}")]
        assert there == [name_of(given).removeprefix(str(photos)) for given in expand(f"{photos}{word}")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("gone.png", PictureNotFound), ("deep", PictureIsFolder), ("empty.png", PictureEmpty)],
)
def test_what_cannot_be_fetched_is_the_error_that_a_file_would_give(
    photos: Path, store: str, name: str, kind: type[PictureError]
) -> None:
    (photos / "empty.png").touch()
    with pytest.raises(kind, match=name):
        fetch(f"{store}/{name}")


def test_a_picture_too_large_for_memory_is_not_fetched(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "MAX_BYTES", 20)
    with pytest.raises(PictureTooLarge, match=r"b\.png"):
        fetch(f"{store}/b.png")


def test_a_folder_without_pictures_is_an_error(tmp_path: Path, store: str) -> None:
    (tmp_path / "none").mkdir()
    (empty,) = expand(f"s3:/{tmp_path}/none")
    assert isinstance(empty, PictureNotFound)


@pytest.mark.parametrize("kind", ["ftp", "abfs", "hdfs", "viewfs", "https"])
def test_a_url_of_another_kind_is_an_error_and_nothing_is_opened(kind: str) -> None:
    (strange,) = expand(f"{kind}://somewhere/a.jpg")
    assert isinstance(strange, PictureDenied) and f"{kind}://somewhere/a.jpg" in str(strange)


def test_a_store_that_fails_or_does_not_answer_is_an_error_at_its_position(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where it fails while it looks why it failed, and with what is not an error of files."""
    answered = Event()

    class Failing:
        def get_file_info(self, _: object) -> None:
            raise OSError("no route to host")

        def open_input_file(self, _: str) -> None:
            raise OSError("no route to host")

    class Odd:
        def get_file_info(self, _: object) -> None:
            raise RuntimeError("a kind of its own")

    class Silent:
        def get_file_info(self, _: object) -> None:
            answered.wait(60)

    monkeypatch.setattr(stores, "SECONDS", 0.3)
    for store in (Failing(), Odd(), Silent()):
        monkeypatch.setattr(stores, "_store", lambda *_, given=store: given)
        first, error, last = expand("a.jpg", "s3://bucket/x", "b.jpg")
        assert (first, last) == ("a.jpg", "b.jpg")
        assert isinstance(error, PictureDenied) and error.path == "s3://bucket/x"
    answered.set()
    monkeypatch.setattr(stores, "_store", lambda *_: Failing())
    with pytest.raises(PictureDenied, match="no route"):
        fetch("s3://bucket/x")


@pytest.mark.parametrize("path", ["gs://b/x.png", "gs://b/folder", "gs://b/*.png", "gs://b/t.parquet"])
def test_a_store_that_does_not_answer_is_looked_at_once(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []

    class Silent:
        def get_file_info(self, at: str) -> None:
            looks.append(at)
            raise TimeoutError("no answer")

        open_input_file = get_file_info

    monkeypatch.setattr(stores, "_store", lambda *_: Silent())
    given = pictures([path, "b.jpg"])
    assert count([path, "b.jpg"]) == (2 if path.endswith("/x.png") else None)
    error, last = given
    assert isinstance(error, PictureDenied) and error.path == path and last == "b.jpg"
    assert len(looks) == 1


def test_a_picture_that_a_store_begins_and_never_ends_is_a_row_with_an_error(
    tiny_model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import fs

    ended = Event()
    local = fs.SubTreeFileSystem("/", fs.LocalFileSystem())

    class Silent(io.BytesIO):
        def size(self) -> int:
            return 1000

        def read(self, _: int | None = -1, /) -> bytes:
            ended.wait(5)
            return b""

    class Store:
        """All answers at once, but the bytes of one file."""

        def get_file_info(self, given: Any) -> Any:
            return local.get_file_info(given)

        def open_input_file(self, path: str) -> Any:
            return Silent() if path.endswith("b.png") else local.open_input_file(path)

    monkeypatch.setattr(stores, "_store", lambda *_: Store())
    monkeypatch.setattr(stores, "SECONDS", 0.3)
    given = expand(f"s3:/{photos}/*.[pP]*", f"s3:/{photos}/deep/c.png")
    first, silent, last = Predictor.load(str(tiny_model)).predict_files(given)
    ended.set()
    assert first.emotions is not None and last.emotions is not None
    assert silent.image == f"s3:/{photos}/b.png"
    assert isinstance(silent.error, PictureDenied) and "no answer within" in str(silent.error)


def test_a_file_of_ten_gigabytes_of_nothing_is_a_row_with_an_error(tiny_model: Path, photos: Path) -> None:
    for name in ("b.png", "nothing.png"):
        (photos / name).touch()
        os.truncate(photos / name, 10 * 10**9)  # which takes no room on the disk
    given = [url(photos / name) for name in ("b.png", "nothing.png", "deep/c.png")]
    picture, nothing, last = Predictor.load(str(tiny_model)).predict_files(expand(*given))
    assert isinstance(nothing.error, PictureError) and nothing.error.path == given[1]
    assert picture.emotions is not None, "what is behind the end of a picture is not read"
    assert last.emotions is not None


@pytest.mark.parametrize("name", ["a b.png", "100%.png", "a%20b.png", "caf\u00e9.png"])
def test_a_file_url_is_a_path_with_and_without_escapes(photos: Path, name: str) -> None:
    (photos / name).write_bytes((photos / "b.png").read_bytes())
    for address in ((photos / name).as_uri(), f"file://{photos}/{name}"):
        assert expand(address) == [address]
        assert read_pixels(opened(address)).shape == (20, 20, 3)


def test_a_file_url_of_a_pipe_is_refused_before_it_is_opened(photos: Path) -> None:
    os.mkfifo(photos / "pipe.png")
    with pytest.raises(PictureError, match="pipe"):
        read_pixels(opened(url(photos / "pipe.png")))


def test_the_options_of_a_url_are_kept_in_the_names_of_what_lies_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pyarrow import fs

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


@pytest.mark.parametrize(
    "path",
    [pa.array([7, None]), pa.array([b"a.png", None]), pa.array([["a.png"], None]), pa.array([None, None])],
    ids=lambda path: str(path.type),
)
def test_a_row_whose_path_is_not_text_goes_by_its_number(tmp_path: Path, path: pa.Array) -> None:
    images = pa.StructArray.from_arrays([pa.array([b"one", None]), path], ["bytes", "path"])
    table = table_of(tmp_path / "d.parquet", {"image": images})
    one, none = load_rows(expand(table))
    assert one == PictureBytes(f"{table}#0", b"one")
    assert isinstance(none, PictureEmpty) and none.path == f"{table}#1"


def test_a_structure_whose_bytes_are_not_bytes_holds_no_pictures(tmp_path: Path) -> None:
    images = [{"bytes": "a.png", "path": "a.png"}]
    table = table_of(tmp_path / "d.parquet", {"image": images, "other": [{"path": "a.png"}]})
    with pytest.raises(DatasetError, match="No column"):
        expand(table)


def test_the_column_can_be_named_and_must_be_where_it_is_not_plain(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.parquet", {"one": ["a.jpg"], "two": ["b.jpg"], "number": [1]})
    assert expand(table, column="two") == [str(tmp_path / "b.jpg")]
    with pytest.raises(DatasetError, match="--column: one, two"):
        expand(table)
    with pytest.raises(UnknownName, match="Did you mean 'two'"):
        expand(table, column="twoo")


def test_a_table_that_cannot_be_read_is_an_error_at_its_position(tmp_path: Path) -> None:
    (tmp_path / "no.parquet").write_bytes(b"no table")
    for name, kind in {"no.parquet": PictureDamaged, "gone.parquet": PictureNotFound}.items():
        first, error, last = expand("a.jpg", str(tmp_path / name), "b.jpg")
        assert (first, last) == ("a.jpg", "b.jpg")
        assert type(error) is kind and error.path == str(tmp_path / name)
        assert count([str(tmp_path / name)]) == 1


@pytest.mark.skipif(os.name == "nt", reason="every name there is text")
def test_columns_of_one_name_are_no_obstacle_unless_they_are_those_of_the_pictures(tmp_path: Path) -> None:
    cells = [pa.array(["p.png"]), pa.array(["left.png"]), pa.array(["right.png"])]

    def table(*names: str) -> str:
        file = tmp_path / f"{'-'.join(names)}.parquet"
        pq.write_table(pa.Table.from_arrays(cells, names=names), file)
        return str(file)

    assert expand(table("path", "x", "x")) == [f"{tmp_path}/p.png"]
    for names, column in ((("note", "path", "path"), None), (("path", "x", "x"), "x")):
        error, last = expand(table(*names), "b.jpg", column=column)
        assert isinstance(error, NotAPicture) and repr(names[-1]) in str(error) and last == "b.jpg"


def test_pictures_are_not_named_by_a_column_that_is_there_twice(tmp_path: Path) -> None:
    cells = [pa.array([b"one"]), pa.array(["left.png"]), pa.array(["right.png"])]
    pq.write_table(pa.Table.from_arrays(cells, names=["bytes", "path", "path"]), tmp_path / "t.parquet")
    rows = expand(str(tmp_path / "t.parquet"), column="bytes")
    assert list(map(name_of, rows)) == [f"{tmp_path}/t.parquet#0"]


def test_a_table_may_have_a_name_that_is_not_text(tmp_path: Path) -> None:
    named = tmp_path / os.fsdecode(b"caf\xe9.parquet")
    Path(table_of(tmp_path / "t.parquet", {"bytes": [b"one"]})).rename(named)
    (row,) = load_rows(expand(str(named)))
    assert isinstance(row, PictureBytes) and row.name == f"{named}#0" and row.data == b"one"


def test_a_table_without_rows_is_an_error_as_a_folder_without_pictures_is(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.parquet", {"path": pa.array([], pa.string())})
    first, error, last = expand("a.jpg", table, "b.jpg")
    assert (first, last) == ("a.jpg", "b.jpg")
    assert isinstance(error, PictureNotFound) and error.path == table and "no rows" in error.reason


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_paths_may_be_text_of_any_kind(tmp_path: Path, kind: pa.DataType) -> None:
    table = table_of(tmp_path / "t.parquet", {"photo": pa.array(["a.jpg", "b.jpg"], kind)})
    assert expand(table) == [f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_pictures_may_be_bytes_of_any_kind(tmp_path: Path, kind: pa.DataType) -> None:
    table = table_of(tmp_path / "t.parquet", {"photo": pa.array([b"one", b"two"], kind)})
    assert [given.data for given in load_rows(expand(table)) if isinstance(given, PictureBytes)] == [
        b"one", b"two"
    ]  # fmt: skip


def test_rows_of_a_table_are_counted(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.parquet", {"path": ["a", "b", "c"], "image": ["d", "e", "f"]})
    assert count([table], "path") == 3
    both = table_of(tmp_path / "u.parquet", {"one": ["a"], "two": ["b"]})
    assert count([both], "two") == 1


def test_a_row_with_a_path_and_no_bytes_is_the_picture_at_the_path(photos: Path, tmp_path: Path) -> None:
    images = [{"bytes": None, "path": "photos/b.png"}, {"bytes": None, "path": None}]
    table = table_of(tmp_path / "train.parquet", {"image": images})
    picture, empty = load_rows(expand(table))
    assert isinstance(picture, PictureBytes) and picture.name == "photos/b.png"
    assert read_pixels(opened(picture)).shape == (20, 20, 3)
    assert isinstance(empty, PictureEmpty)


@pytest.mark.parametrize("kind", ["bytes", "path"])
def test_a_damaged_part_of_a_table_costs_its_own_rows_alone(tmp_path: Path, kind: str) -> None:
    cells = [f"{number:03}" + "x" * 500 for number in range(40)]
    values: list[Any] = [cell.encode() for cell in cells] if kind == "bytes" else cells
    table = table_of(tmp_path / "t.parquet", {kind: values}, group=10)
    column = pq.ParquetFile(table).metadata.row_group(1).column(0)
    begin = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(Path(table).read_bytes())
    data[begin : begin + column.total_compressed_size] = bytes(column.total_compressed_size)
    Path(table).write_bytes(data)
    found = list(load_rows(expand(table)))
    assert len(found) == 40
    damaged = [number for number, given in enumerate(found) if isinstance(given, PictureError)]
    assert damaged == list(range(10, 20))
    assert name_of(found[10]) == f"{table}#10"
    assert count([table]) == 40


def test_what_unpacks_to_far_more_than_pictures_do_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "dense.parquet"
    cells = pa.table({"bytes": [bytes(70_000_000), b"a picture"]})
    pq.write_table(cells, file, row_group_size=1, compression="zstd", use_dictionary=False)
    assert file.stat().st_size < 100_000
    dense, read = load_rows(expand(str(file)))
    assert isinstance(dense, PictureDamaged) and "unpack to 70,0" in str(dense)
    assert isinstance(read, PictureBytes) and read.data == b"a picture"


def test_a_pattern_of_tables_means_the_rows_of_each(tmp_path: Path) -> None:
    for name in ("a", "b"):
        table_of(tmp_path / f"{name}.parquet", {"bytes": [name.encode()]})
    (tmp_path / "c.parquet").write_bytes(b"no table")
    one, other, bad = load_rows(expand(f"{tmp_path}/[!d].parquet"))
    assert (one.data, other.data) == (b"a", b"b")  # type: ignore[union-attr]
    assert isinstance(bad, PictureError) and bad.path == f"{tmp_path}/c.parquet"


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
