import csv
from pathlib import Path

import pytest
from PIL import Image

from affectlens.errors import OutputError
from affectlens.inference.inputs import pictures
from affectlens.inference.job import SHOWN_FAILURES, JobCounts, PredictionJob
from affectlens.inference.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(graph_model: Path) -> Predictor:
    return Predictor.load(str(graph_model))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(5):
        Image.new("RGB", (40, 30), (50 * number, 90, 200)).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes(b"torn")
    return folder


def job_of(predictor: Predictor, photos: Path) -> PredictionJob:
    return PredictionJob(predictor, pictures([str(photos)]), batch_size=2)


def test_a_notebook_has_what_the_command_has(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []

    def show(counts: JobCounts) -> None:
        seen.append((counts.kept, counts.done, counts.failed))

    file = tmp_path / "emotions.csv"
    counts = job_of(predictor, photos).write(file, progress=show)
    assert seen == [(0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 3, 1), (0, 4, 1), (0, 5, 1)]
    assert counts.summary().startswith("5 pictures, 1 could not be read, ")
    (failure,) = counts.failure_lines()
    assert failure.startswith(f"Not read: {photos / '2.png'}: ")
    rows = list(csv.DictReader(file.open(newline="")))
    assert [row["image"] for row in rows] == [str(photos / f"{number}.png") for number in range(5)]


def test_a_job_is_resumed_with_the_counts_of_what_is_kept(
    predictor: Predictor, photos: Path, tmp_path: Path
) -> None:
    file = tmp_path / "emotions.jsonl"
    job_of(predictor, photos).write(file)
    complete = file.read_bytes()
    with pytest.raises(OutputError):
        job_of(predictor, photos).write(file)
    file.write_bytes(complete[:-100])
    counts = job_of(predictor, photos).write(file, resume=True)
    assert (counts.kept, counts.done, counts.failed, counts.total) == (4, 1, 1, 5)
    assert counts.summary().startswith("5 pictures, 4 of them before, 1 could not be read, ")
    assert file.read_bytes() == complete


def test_predictions_are_those_of_the_predictor(predictor: Predictor, photos: Path) -> None:
    job = job_of(predictor, photos)
    found = list(job.predictions())
    expected = list(predictor.predict_files(pictures([str(photos)]), 2))
    assert [each.emotions for each in found] == [each.emotions for each in expected]
    assert (job.counts.done, job.counts.failed) == (5, 1)


def test_the_picture_of_a_job_that_has_one_is_predicted_alone(predictor: Predictor, photos: Path) -> None:
    for name, failed in (("0.png", 0), ("2.png", 1)):
        job = PredictionJob(predictor, pictures([str(photos / name)]), attributes=True)
        (expected,) = predictor.predict_files([str(photos / name)], attributes=True)
        found = job.alone()
        assert found is not None
        assert (found.emotions is None) == bool(failed)
        if found.emotions and expected.emotions:
            probabilities = expected.emotions.probabilities
            assert found.emotions.probabilities == pytest.approx(probabilities, abs=1e-5)
        assert (found.image, found.attributes) == (expected.image, expected.attributes)
        assert type(found.error) is type(expected.error)
        assert (found.engine, found.precision) == (expected.engine, expected.precision)
        assert (job.counts.done, job.counts.failed, len(job.counts.failures)) == (1, failed, failed)


def test_of_a_job_of_several_pictures_or_of_none_nothing_is_lost(predictor: Predictor, photos: Path) -> None:
    job = job_of(predictor, photos)
    assert job.alone() is None and job.counts.done == 0
    assert len(list(job.predictions())) == 5
    assert PredictionJob(predictor, iter([])).alone() is None


def test_only_the_first_failures_are_kept_as_text() -> None:
    counts = JobCounts()
    counts.add(20, 12, (f"{number}\x1b.jpg" for number in range(12)))
    counts.add(5, 5, ["more.jpg"] * 5)
    lines = counts.failure_lines()
    assert len(lines) == SHOWN_FAILURES + 1
    assert lines[0] == "Not read: 0\\x1b.jpg" and lines[-1] == "Not read: 7 more."


def test_an_empty_folder_is_a_row_and_no_picture(predictor: Predictor, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    given = [str(tmp_path / "empty"), str(photos), str(tmp_path / "no*.jpg")]
    for suffix in (".jsonl", ".csv"):
        file = tmp_path / f"rows{suffix}"
        counts = PredictionJob(predictor, pictures(given), batch_size=2).write(file)
        expected = "5 pictures, 1 could not be read, 2 inputs without pictures, "
        assert counts.total == 7 and counts.summary().startswith(expected)
        resumed = PredictionJob(predictor, pictures(given), batch_size=1).write(file, resume=True)
        assert resumed.summary().startswith("5 pictures, 7 of them before, 1 could not be read, 2 inputs")
