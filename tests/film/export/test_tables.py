"""Tables of samples and shots."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from affectlens.emotions import Vocabulary
from affectlens.film.export.tables import SUFFIXES, sample_rows, shot_rows, write_tables
from rated import rated
from timelines import timeline_of


@pytest.mark.needs("pyarrow")
def test_every_format_holds_the_same_rows(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    timeline = timeline_of()
    for kind in SUFFIXES:
        assert [file.name for file in write_tables(tmp_path, timeline, kind)] == [
            f"frames.{kind}",
            f"shots.{kind}",
        ]
    for name, length in (("frames", len(timeline.samples)), ("shots", len(timeline.shots))):
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            comma = list(csv.DictReader(file))
        columns = pq.read_table(tmp_path / f"{name}.parquet").to_pylist()
        lines = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        assert len(comma) == len(columns) == len(lines) == length
        assert list(comma[0]) == list(columns[0])
        for one, other, third in zip(comma, columns, lines, strict=True):
            assert float(one["awe"]) == other["awe"] == third["emotions"]["awe"]
            assert float(one["polarity"]) == other["polarity"] == third["polarity"]


def test_truth_is_written_in_csv_as_predict_has_it(tmp_path: Path) -> None:
    write_tables(tmp_path, rated(timeline_of(), 2), "csv")
    with (tmp_path / "frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["unusual"] for row in rows} == {"true", "false"}
    assert {row["reused"] for row in rows} == {"false"}


def test_a_row_holds_the_values_of_the_timeline() -> None:
    timeline = timeline_of()
    sample, shot = list(sample_rows(timeline))[9], list(shot_rows(timeline))[2]
    assert sample["second"] == timeline.samples[9].second
    assert sample["smoothed"]["awe"] == pytest.approx(timeline.samples[9].smoothed[1], abs=1e-6)
    assert (shot["shot"], shot["start"], shot["end"], shot["top"]) == (3, 7.0, 12.0, "fear")
    assert shot["polarity"] == pytest.approx(-0.6, abs=1e-6)  # 0.65 + 3 x 0.05, less 4 x 0.05
    assert set(shot["error"].values()) == {0.02}


def test_words_without_a_polarity_have_no_such_column_and_valence_one_where_it_is_predicted() -> None:
    own = Vocabulary("own", ("red", "blue"))
    timeline = timeline_of(((2.0, "red"),), vocabulary=own, polarity=None, valence=(0.1, 0.2, 0.3, 0.4))
    rows = list(sample_rows(timeline))
    assert "polarity" not in rows[0]
    assert [row["valence"] for row in rows] == [0.1, 0.2, 0.3, 0.4]
    assert "polarity" not in next(shot_rows(timeline))


@pytest.mark.needs("pyarrow")
def test_an_unfinished_frame_number_is_null_not_zero(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    timeline = timeline_of()
    timeline = replace(timeline, samples=tuple(replace(s, frame=None) for s in timeline.samples))
    write_tables(tmp_path, timeline, "parquet")
    assert pq.read_table(tmp_path / "frames.parquet")["frame"].null_count == len(timeline.samples)


def test_a_frame_has_its_ratings_with_intervals_and_whether_it_is_unusual() -> None:
    timeline = rated(timeline_of(), 2)
    first = next(row for row in sample_rows(timeline) if row["shot"] == 2)
    assert (first["valence_low"], first["valence_high"]) == pytest.approx(
        (first["valence"] - 2.5, first["valence"] + 2.5), abs=1e-5
    )
    assert first["unsmoothed_arousal"] == first["arousal"] and first["unusual"] is True
    shots = list(shot_rows(timeline))
    assert [row["unusual"] for row in shots] == [0, shots[1]["samples"], 0, 0, 0, 0]
    assert shots[1]["valence"] == pytest.approx(timeline.shots[1].ratings[0])
    plain = next(sample_rows(timeline_of()))
    named = ("valence", "arousal", "un", "faded")
    assert not any(name.startswith(named) for name in plain if name != "uncertainty")


def test_faded_frames_have_a_column_where_a_film_has_any() -> None:
    timeline = timeline_of()
    samples = tuple(replace(each, faded=each.shot == 2) for each in timeline.samples)
    timeline = replace(timeline, samples=samples)
    assert [row["faded"] for row in sample_rows(timeline)] == [each.faded for each in samples]
    shots = list(shot_rows(timeline))
    assert [row["faded"] for row in shots] == [0, shots[1]["samples"], 0, 0, 0, 0]
