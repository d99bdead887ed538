"""Two checkouts' files are compared by what they mean, and a difference is found wherever it is."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from compare_outputs import (
    WORDING,
    compare_npz,
    compare_pages,
    compare_pixels,
    compare_text,
    compare_values,
    compare_weights,
)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"learning_rate": 0.1, "seconds": 1.0}, {"lr": 0.1, "seconds": 2.0}, ""),
        ({"loss": [{"focus": float("nan")}]}, {"loss": [{"focal_gamma": float("nan")}]}, ""),
        ({"rate": 24.0}, {"rate": 24.0}, ""),
        ({"rate": 24.0}, {}, ".rate is only in the old"),
        ({"a": [1, 2]}, {"a": [1, 3]}, ".a[1]: 2 -> 3"),
        ({"a": 1}, {"b": 1}, ".a is only in the old"),
        ({"a": [1]}, {"a": [1, 2]}, ".a has 1 and 2 items"),
        (
            {"a": "12 seen", "b": 1},
            {"a": "12 predicted", "b": 1},
            f"{WORDING}.a: 12 seen -> 12 predicted",
        ),
        ({"a": "12 seen", "b": 1}, {"a": "12 predicted", "b": 2}, ".b: 1 -> 2"),
        ({"about": '{"x": 1}'}, {"about": '{"x": 2}'}, ".about.x: 1 -> 2"),
    ],
)
def test_values_are_compared_by_value_and_numbers_before_words(
    old: object, new: object, expected: str
) -> None:
    assert compare_values(old, new) == expected


def test_times_of_a_log_do_not_count_and_its_numbers_do() -> None:
    assert compare_text(b"loss 2.1, 14 pictures/s\n", b"loss 2.1, 9 pictures/s\n") == ""
    assert compare_text(b"loss 2.1\n", b"loss 2.2\n") == "line 1: loss 2.1 -> loss 2.2"


def png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def test_pictures_that_differ_report_how_much_and_where() -> None:
    pixels = np.full((20, 30, 3), 7, dtype=np.uint8)
    changed = pixels.copy()
    changed[4:6, 10] = 9
    assert compare_pixels(png(pixels), png(pixels)) == ""
    assert "largest difference 2" in compare_pixels(png(pixels), png(changed))
    assert "rows 4 to 5, columns 10 to 10 of 20 x 30" in compare_pixels(png(pixels), png(changed))


def test_arrays_are_compared_to_the_last_bit() -> None:
    files = []
    for value in (1.0, float(np.nextafter(1.0, 2.0))):
        file = io.BytesIO()
        np.savez(file, map=np.array([value]))
        files.append(file.getvalue())
    assert compare_npz(files[0], files[0]) == ""
    assert "1 of 1" in compare_npz(files[0], files[1])


def test_pages_are_compared_as_a_reader_sees_them() -> None:
    page = b"<style>p {}</style><p>awe 12 %</p>"
    assert compare_pages(page, b"<style>q {}</style><main><p>awe\n12 %</p></main>") == ""
    assert compare_pages(page, b"<p>Awe 12 %</p>").startswith(WORDING)
    assert compare_pages(page, b"<p>awe 13 %</p>") == "awe 12 % -> awe 13 %"


def weights(values: bytes, notes: dict[str, str]) -> bytes:
    tensor = {"dtype": "U8", "shape": [len(values)], "data_offsets": [0, len(values)]}
    header = json.dumps({"__metadata__": notes, "a": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + values


def test_weights_are_compared_by_tensor_whatever_the_order_of_notes() -> None:
    one = weights(b"abc", {"x": "1", "y": "2"})
    assert compare_weights(one, weights(b"abc", {"y": "2", "x": "1"})) == ""
    assert compare_weights(one, weights(b"abd", {"x": "1", "y": "2"})) == "1 of 1 tensors differ, first a"
