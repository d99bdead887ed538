"""Files of comparisons: read again as they were written, and refused where they were not."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from affectlens.errors import AffectLensError, RunError, SettingsError
from affectlens.explain.faithfulness.measurements import CENTRE, EDGES, RANDOM, Measurement
from affectlens.explain.faithfulness.results import decide, read_results, resume, summarise, write_results
from affectlens.explain.faithfulness.tables import checks_table, conclusions, curves_table

SETTINGS: dict[str, Any] = {
    "model": {"name": "tiny", "weights": "ab12"},
    "data": {"name": "folder", "split": "all", "hash": "cd34"},
    "options": {"replacements": ("blurred", "mean"), "cells": 14, "seed": 0},
    "options_of_methods": {"grad_cam": {}, "gradient": {"precision": "float32"}},
}


def measurements() -> list[Measurement]:
    """Of three pictures, with all controls and two methods."""
    return [
        Measurement(f"{picture}.jpg", method, "fear", {
            "deletion mean": 0.5 - gain, "insertion mean": 0.5 + gain, "faithfulness": 2 * gain,
            "seconds": 1.5,
        })
        for picture in range(3)
        for gain, method in enumerate((RANDOM, CENTRE, EDGES, "gradient", "grad_cam"))
    ]  # fmt: skip


def written(folder: Path) -> Path:
    """A complete file of these."""
    file = folder / "out.json"
    write_results(file, {**SETTINGS, "date": "2025-01-01T00:00+00:00", **summarise(measurements()).to_json()})
    return file


def test_measurements_come_back_but_for_those_of_pictures_that_were_not_completed(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert resume(read_results(file), SETTINGS) == measurements()
    document = json.loads(file.read_text())
    document["rows"].pop()
    del document["rows"][0]["figures"]["faithfulness"]
    write_results(file, document)
    assert resume(read_results(file), SETTINGS) == [row for row in measurements() if row.picture == "1.jpg"]


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="its options were"):
        resume(read_results(written(tmp_path)), {**SETTINGS, "options": {"cells": 7}})


def test_the_same_weights_with_another_calibration_are_refused_and_files_of_before_are_not(
    tmp_path: Path,
) -> None:
    now = {**SETTINGS, "model": {**SETTINGS["model"], "answers": "a" * 64}}
    assert resume(read_results(written(tmp_path)), now) == measurements()
    file = tmp_path / "out.json"
    write_results(file, {**json.loads(file.read_text()), "model": now["model"]})
    assert resume(read_results(file), now) == measurements()
    with pytest.raises(SettingsError, match="its model were"):
        resume(read_results(file), {**now, "model": {**now["model"], "answers": "b" * 64}})


def test_a_torn_file_is_an_error_of_ours_wherever_it_was_cut(tmp_path: Path) -> None:
    file = written(tmp_path)
    content = file.read_bytes()
    for length in range(0, len(content) - 2, 97):
        file.write_bytes(content[:length])
        with pytest.raises(RunError, match=r"out\.json cannot be read"):
            read_results(file)


@pytest.mark.parametrize(
    "content",
    [b"[]", b"{}", b"[" * 100_000, b'{"rows": [3]}', b"\xff\xfe", b'{"model": ' + b'{"a": ' * 100_000],
)
def test_what_is_not_a_comparison_is_an_error_of_ours(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_bytes(content)
    with pytest.raises(RunError, match=r"out\.json cannot be read"):
        read_results(tmp_path / "out.json")
    with pytest.raises(RunError, match="cannot be read"):
        read_results(tmp_path)


def test_an_altered_file_is_resumed_or_refused_with_an_error_of_ours(tmp_path: Path) -> None:
    file = written(tmp_path)
    content = file.read_bytes()
    chance = random.Random(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.choice(b'{}[]",:0e9\\-\x00\xff')
        file.write_bytes(damaged)
        try:
            rows = resume(read_results(file), SETTINGS)
        except AffectLensError:
            refused += 1
            continue
        if rows:
            summary = summarise(rows, resamples=20)
            assert curves_table(summary) and conclusions(summary, decide(summary))
            checks_table(summary)
    assert 0 < refused < 60


@pytest.mark.parametrize(
    "data", [{}, [], {"picture": "a", "method": "b", "question": "c", "figures": {"d": "e"}}]
)
def test_data_that_are_not_a_measurement_are_refused(data: Any) -> None:
    with pytest.raises(RunError, match="not a measurement"):
        Measurement.from_json(data)
