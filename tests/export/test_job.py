"""Exported files: what they hold, that they answer as the model does, and that none is left that does not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import graphs
from affectlens.cli.main import main
from affectlens.errors import AffectLensError, DatasetError, OutputError, SettingsError
from affectlens.export import comparison
from affectlens.export.job import ExportReport, ExportRequest, export_model, format_of
from affectlens.images import Pixels
from affectlens.metrics import softmax
from affectlens.preprocess import Preprocessing
from pictures import colour_set

pytestmark = pytest.mark.needs("onnx")

SIZES = ((400, 300), (1500, 1000), (7, 5), (96, 96), (90, 1200))  # width, height


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Files of pictures, smooth as photographs are, of several sizes."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    files = []
    for number, size in enumerate(SIZES):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.png")
        files.append(str(folder / f"{number}.png"))
    return files


def export(model: Path | str, out: Path, **changes: Any) -> ExportReport:
    return export_model(ExportRequest(model=str(model), out=out, format=format_of(out), **changes))


def session(file: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def fitted(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (3, graphs.SIDE, graphs.SIDE, 3), dtype=np.uint8)


def test_a_file_alone_answers_with_probabilities_and_states_what_it_needs(
    graph_model: Path, tmp_path: Path
) -> None:
    report = export(graph_model, tmp_path / "elsewhere" / "m.onnx")
    assert report.size == (tmp_path / "elsewhere" / "m.onnx").stat().st_size and report.agreement is None
    opened, pixels = session(report.written), fitted()
    probabilities, logits = opened.run(
        ["probabilities", "logits"], {"images": graphs.CARD.preprocessing.normalise(pixels)}
    )
    np.testing.assert_allclose(logits, graphs.logits_of(pixels), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(probabilities, softmax(graphs.logits_of(pixels) / 1.5), atol=1e-5)
    metadata = opened.get_modelmeta().custom_metadata_map
    facts = json.loads(metadata["affectlens"])
    assert json.loads(metadata["labels"]) == list(graphs.CARD.vocabulary.words) == facts["labels"]
    assert Preprocessing.from_json(facts["preprocessing"]) == graphs.CARD.preprocessing
    assert (facts["temperature"], facts["precision"]) == (1.5, "float32")
    assert metadata["card"] == "A model for tests.\n"


@pytest.mark.parametrize(
    ("fit", "interpolation"), [("squash", "bilinear"), ("crop", "bicubic"), ("crop", "bilinear")]
)
@pytest.mark.parametrize("format_", ["onnx", "openvino"])
def test_pixels_of_any_size_are_prepared_by_the_graph(
    tmp_path: Path, photographs: list[str], fit: Any, interpolation: Any, format_: str
) -> None:
    if format_ == "openvino":
        pytest.importorskip("openvino")
    preprocessing = Preprocessing(
        height=graphs.SIDE, width=graphs.SIDE, fit=fit, interpolation=interpolation,
        crop_fraction=0.9 if fit == "crop" else 1.0, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3),
    )  # fmt: skip
    folder = graphs.write(tmp_path / "model", replace(graphs.CARD, preprocessing=preprocessing))
    out = tmp_path / ("m.onnx" if format_ == "onnx" else "m")
    found = export(folder, out, with_preprocessing=True, verify=photographs).agreement
    assert found is not None and found.pictures == len(SIZES)
    assert found.largest < 0.01  # a level of 255 of every pixel moves a probability by less


def test_a_graph_that_resizes_without_antialiasing_would_be_found(
    graph_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (960, 960, 3), dtype=np.uint8)).save(tmp_path / "fine.png")
    given = {"with_preprocessing": True, "verify": [str(tmp_path / "fine.png")]}
    right = export(graph_model, tmp_path / "right.onnx", **given).agreement
    monkeypatch.setattr("affectlens.export.pixels.ANTIALIASED", 0)
    wrong = export(graph_model, tmp_path / "wrong.onnx", **given).agreement
    assert right is not None and wrong is not None
    assert wrong.largest > 3 * right.largest


def test_half_the_room_and_nearly_the_same_answers(tmp_path: Path, photographs: list[str]) -> None:
    whole = export("default", tmp_path / "whole.onnx")
    half = export("default", tmp_path / "half.onnx", precision="float16", verify=photographs)
    assert half.size < 0.55 * whole.size
    assert half.agreement is not None and half.agreement.largest < 1e-3
    weights = export("default", tmp_path / "half.safetensors", precision="float16")
    assert weights.size < 0.52 * whole.size


def test_openvino_answers_as_the_model_does(
    graph_model: Path, tmp_path: Path, photographs: list[str]
) -> None:
    openvino = pytest.importorskip("openvino")
    report = export(graph_model, tmp_path / "ov", verify=photographs)
    assert {each.name for each in (tmp_path / "ov").iterdir()} == {"model.xml", "model.bin"}
    assert report.agreement is not None and report.agreement.largest < 1e-4
    read = openvino.Core().read_model(str(tmp_path / "ov" / "model.xml"))
    assert json.loads(read.get_rt_info(["affectlens", "labels"]).astype(str)) == list(
        graphs.CARD.vocabulary.words
    )


@pytest.mark.needs("torch")
def test_whole_numbers_of_eight_bits_answer_nearly_alike(with_graph: Path, tmp_path: Path) -> None:
    import onnx

    colour_set(tmp_path, ["a", "b"], 20)
    calibrate = (
        sorted(map(str, (tmp_path / "a").iterdir())) + sorted(map(str, (tmp_path / "b").iterdir()))[:12]
    )
    verify = sorted(map(str, (tmp_path / "b").iterdir()))[12:]
    report = export(with_graph, tmp_path / "m.onnx", precision="int8", calibrate=calibrate, verify=verify)
    assert report.agreement is not None and 0 < report.agreement.largest < 0.2
    operators = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert "DequantizeLinear" in operators and "BatchNormalization" not in operators
    metadata = session(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(metadata["affectlens"])["precision"] == "int8"


def test_what_answers_otherwise_is_not_kept(
    graph_model: Path, tmp_path: Path, photographs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "LEAST_SAME", 1.01)
    with pytest.raises(SettingsError, match=r"answers otherwise .* nothing was written"):
        export(graph_model, tmp_path / "m.onnx", verify=photographs)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("m.bin", {}, "ends in none of .onnx, .safetensors"),
        ("m.onnx", {"precision": "float8"}, "'float8'"),
        ("m.onnx", {"precision": "int8"}, "at least 32, and none that are used to --verify"),
        ("m.onnx", {"calibrate": ["a.jpg"]}, "--calibrate belongs to --precision int8"),
        ("m.safetensors", {"with_preprocessing": True}, "cannot have --with-preprocessing"),
        ("m.safetensors", {"precision": "int8", "calibrate": ["a.jpg"]}, "cannot have --precision int8"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(
    tmp_path: Path, name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(AffectLensError, match=message):
        export("no such model", tmp_path / name, **changes)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(graph_model: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("mine")
    with pytest.raises(OutputError, match="exists and is not overwritten"):
        export(graph_model, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_text() == "mine"


def test_preprocessing_that_pads_is_no_part_of_a_graph(tmp_path: Path) -> None:
    padding = Preprocessing(height=graphs.SIDE, width=graphs.SIDE, fit="pad")
    folder = graphs.write(tmp_path / "model", replace(graphs.CARD, preprocessing=padding))
    with pytest.raises(SettingsError, match=r"fit 'pad'.*cannot be part of the graph"):
        export(folder, tmp_path / "m.onnx", with_preprocessing=True)


def test_pictures_that_cannot_be_read_are_reported_and_the_rest_is_compared(
    graph_model: Path, tmp_path: Path, photographs: list[str]
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    report = export(graph_model, tmp_path / "m.onnx", verify=[str(tmp_path / "bad.jpg"), *photographs])
    assert [error.path for error in report.not_read] == [str(tmp_path / "bad.jpg")]
    assert report.agreement is not None and report.agreement.pictures == len(photographs)
    with pytest.raises(DatasetError, match="Not one picture could be read"):
        export(graph_model, tmp_path / "other.onnx", verify=[str(tmp_path / "bad.jpg")])
    assert not (tmp_path / "other.onnx").exists()


def test_weights_keep_their_numbers_whatever_they_are_stored_in(tmp_path: Path) -> None:
    import safetensors.numpy

    from affectlens.export.weights_file import weights_file

    values = np.array([[1.0, -2.5], [3.0e38, 0.15625]], np.float32)
    bfloat16 = (values.view(np.uint32) >> 16).astype(np.uint16)
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}).encode()
    stored = len(header).to_bytes(8, "little") + header + bfloat16.tobytes()
    found = safetensors.numpy.load(weights_file(stored, {"name": "m"}, "float32"))["w"]
    np.testing.assert_array_equal(found, ((bfloat16.astype(np.uint32) << 16).view(np.float32)).reshape(2, 2))
    with pytest.raises(SettingsError, match="w has numbers that float16 does not hold"):
        weights_file(stored, {"name": "m"}, "float16")


def test_the_command_states_what_it_wrote(
    graph_model: Path, tmp_path: Path, photographs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    pictures = (photographs[0], tmp_path / "bad.jpg")
    given = [str(part) for picture in pictures for part in ("--verify", picture)]
    with pytest.raises(SystemExit) as ended:
        main(["models", "export", str(graph_model), "--out", str(tmp_path / "m.onnx"), *given])
    shown = capsys.readouterr()
    assert ended.value.code == 1 and "On 1 pictures" in shown.out and "Written to" in shown.out
    assert "bad.jpg" in shown.err
