"""Where the time goes: what is measured, what follows from it, and that every unreadable picture is named."""

import json
from pathlib import Path

import pytest

from affectlens.cli.main import main
from affectlens.errors import DatasetError
from affectlens.inference.inputs import pictures
from affectlens.inference.predictor import Predictor
from affectlens.inference.stages import DECODE, NETWORK, STAGES, StageReport, measure_stages
from pictures import colour_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = colour_set(tmp_path_factory.mktemp("pictures"), ["a", "b"], 5, side=300)
    (root / "a" / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return root


def report(**changes: object) -> StageReport:
    given = {
        "pictures": 10, "unreadable": (), "cores": 2, "engine": "onnxruntime", "precision": "float32",
        "device": "cpu", "milliseconds": dict.fromkeys(STAGES, 2.0), "job": 6.25, "megapixels": 0.3,
        "megabytes": 0.1,
    }  # fmt: skip
    return StageReport(**{**given, **changes})  # type: ignore[arg-type]


def test_what_stages_allow_together_follows_from_each_alone() -> None:
    found = report()
    assert found.rate(NETWORK) == 1000  # two cores of 2 ms
    assert found.limit == 200 == pytest.approx(1 / sum(1 / found.rate(stage) for stage in STAGES))
    assert found.achieved == pytest.approx(0.8)
    assert found.advice() == []


def test_advice_is_about_the_stage_that_takes_most() -> None:
    slow = dict.fromkeys(STAGES, 1.0)
    assert "--engine openvino" in report(milliseconds={**slow, NETWORK: 40.0}).advice()[0]
    large = report(milliseconds={**slow, DECODE: 40.0}, megabytes=6.0).advice()
    assert len(large) == 1 and "6.0 MB" in large[0] and "copies" in large[0]


def test_every_stage_of_real_pictures_is_measured(graph_model: Path, folder: Path) -> None:
    doing: list[str] = []
    predictor = Predictor.load(str(graph_model), engine="onnxruntime")
    found = measure_stages(predictor, pictures([str(folder)]), 8, doing.append)
    assert found.pictures == 7 and [error.path for error in found.unreadable] == [
        str(folder / "a" / "bad.jpg")
    ]
    assert set(found.milliseconds) == set(STAGES) and all(value > 0 for value in found.milliseconds.values())
    assert found.megapixels == pytest.approx(0.09) and found.megabytes > 0.05
    assert len(doing) == 3


def test_nothing_is_measured_where_nothing_can_be_read(graph_model: Path, folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"Not one picture could be read.*bad\.jpg"):
        measure_stages(Predictor.load(str(graph_model)), pictures([str(folder / "a" / "bad.jpg")]), 8)


def test_the_command_prints_all_stages_or_json(
    graph_model: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", str(folder), "--model", str(graph_model), "--engine", "onnxruntime"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    shown = capsys.readouterr()
    assert ended.value.code == 1 and "bad.jpg" in shown.err
    assert "All stages together allow" in shown.out and all(
        word in shown.out for word in ("decode", "network")
    )
    with pytest.raises(SystemExit):
        main([*words, "--json"])
    plain = json.loads(capsys.readouterr().out)
    assert plain["pictures"] == 10 and plain["achieved"] == pytest.approx(
        plain["pictures_per_second"] / plain["limit"]
    )
