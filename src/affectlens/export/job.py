"""Export a model as one file for other programs, and show that it answers as the model does.

onnx            FILE.onnx           ONNX Runtime, in any language, and in a browser
openvino        FOLDER              OpenVINO: model.xml, model.bin
safetensors     FILE.safetensors    weights alone, for a network that is built elsewhere
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from affectlens import library
from affectlens.errors import OutputError, PictureError, SettingsError, UnknownName
from affectlens.export import graph_file
from affectlens.export.comparison import Agreement, Exported, compare_answers, read_fitted
from affectlens.export.graph_file import CARD, METADATA, facts, serialised, standalone_graph
from affectlens.export.opened_files import OnnxFile, OpenVinoFile
from affectlens.export.openvino_file import XML, write_openvino
from affectlens.export.pixels import require_pixels, with_pixels
from affectlens.export.quantise import INT8, LEAST_PICTURES, quantised
from affectlens.export.weights_file import weights_file
from affectlens.files import atomic_folder, atomic_write
from affectlens.inference.engine import ONNX_RUNTIME, Engine, load_engine
from affectlens.inference.inputs import Input
from affectlens.locks import locked_file
from affectlens.model_folder import read_model, read_readme

ONNX, OPENVINO, SAFETENSORS = "onnx", "openvino", "safetensors"
SUFFIXES = {ONNX: ".onnx", OPENVINO: "", SAFETENSORS: ".safetensors"}
FORMATS = tuple(SUFFIXES)
PRECISIONS = (*graph_file.PRECISIONS, INT8)
_NOISE = 8  # pictures of noise: enough to find a file that cannot be used


def format_of(out: Path) -> str:
    """Return the format that a name's suffix stands for; a name without one is a folder, for OpenVINO.

    Raises `SettingsError` for another suffix.
    """
    for name, suffix in SUFFIXES.items():
        if out.suffix.lower() == suffix:
            return name
    known = ", ".join(suffix for suffix in SUFFIXES.values() if suffix)
    raise SettingsError(
        f"{out} ends in none of {known}, nor is it a name without a suffix, as for a folder of OpenVINO's "
        "format. Choose another name, or name the --format."
    )


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What is to be exported, and how.

    Attributes:
        model: a name, a folder, or owner/name on the hub
        out: file, or for OpenVINO folder, to write; it must not be there
        format: one of `FORMATS`
        precision: one of `PRECISIONS`: how weights are stored; int8 is also how products are computed
        with_preprocessing: whether the graph begins with pixels of any size
        calibrate: pictures that ranges of activations are found on, for int8
        verify: pictures that answers are compared on; none for noise alone
    """

    model: str
    out: Path
    format: str = ONNX
    precision: str = "float32"
    with_preprocessing: bool = False
    calibrate: Sequence[Input] = ()
    verify: Sequence[Input] = ()

    def require(self) -> None:
        """Raise `SettingsError` or `OutputError` for what does not go together, before anything is read."""
        for kind, value, known in (
            ("format", self.format, FORMATS),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise SettingsError(str(UnknownName("value", value, known, kind)))
        suffix = SUFFIXES[self.format]
        if self.out.suffix.lower() != suffix and suffix:
            raise OutputError(
                f"{self.out} does not end in {suffix}, as a file of the format {self.format} does."
            )
        if self.out.exists():
            raise OutputError(f"{self.out} exists and is not overwritten. Remove it, or choose another name.")
        if self.precision == INT8 and not self.calibrate:
            raise SettingsError(
                "int8 takes pictures that ranges of activations are found on: --calibrate PICTURES, at "
                f"least {LEAST_PICTURES}, and none that are used to --verify."
            )
        if self.calibrate and self.precision != INT8:
            raise SettingsError("--calibrate belongs to --precision int8.")
        if self.format == SAFETENSORS:
            self._require_weights_alone()

    def _require_weights_alone(self) -> None:
        for given, option in (
            (self.precision == INT8, "--precision int8"),
            (self.with_preprocessing, "--with-preprocessing"),
        ):
            if given:
                raise SettingsError(f"A file of weights alone cannot have {option}: use the format onnx.")


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written, and how it compares.

    Attributes:
        written: file or folder
        size: bytes
        agreement: on `ExportRequest.verify`; None where there were no pictures
        not_read: pictures for calibration or comparison that could not be read
    """

    written: Path
    size: int
    agreement: Agreement | None
    not_read: tuple[PictureError, ...] = field(default=(), repr=False)


def export_model(
    request: ExportRequest, progress: Callable[[str, int], None] = lambda doing, done: None
) -> ExportReport:
    """Write a model in another format, completely or not at all, once it is shown to answer alike.

    `progress` is called with what is being done and with how many pictures that step is done. Raises what
    `ExportRequest.require` does, `ModelNotFound`, `BadModelFolder`, `MissingExtra`, `OutputInUse`,
    `DatasetError` where no picture could be read, and `SettingsError` where answers differ by more than the
    precision lets expect, or the format cannot hold the model.
    """
    request.require()
    folder = library.find(request.model)
    engine = load_engine(str(folder), ONNX_RUNTIME)
    if request.with_preprocessing:
        require_pixels(engine.card.preprocessing)
    with locked_file(request.out):
        request.require()  # again: another process may have written it meanwhile
        return _export(request, folder, engine, progress)


def _export(
    request: ExportRequest, folder: Path, engine: Engine, progress: Callable[[str, int], None]
) -> ExportReport:
    not_read: list[PictureError] = []
    stored = "float32" if request.precision == INT8 else request.precision
    model = standalone_graph(folder, stored)
    if request.precision == INT8:
        model = quantised(model, _calibration_images(request, engine, not_read, progress))
    if request.with_preprocessing:
        model = with_pixels(model, engine.card.preprocessing)
    about = facts(engine.card, request.precision)
    graph_file.set_metadata(model, {METADATA: about, CARD: read_readme(folder)})
    with TemporaryDirectory() as scratch:
        made = Path(scratch) / "made"
        opened = _made(request, model, folder, about, made)
        _check_on_noise(engine, opened)
        agreement = None
        if request.verify:
            agreement = compare_answers(
                engine, opened, request.verify, lambda done: progress("comparing", done)
            )
            agreement.require(request.precision)
            not_read += agreement.unreadable
        size = _keep(made, request.out)
    return ExportReport(written=request.out, size=size, agreement=agreement, not_read=tuple(not_read))


def _calibration_images(
    request: ExportRequest, engine: Engine, not_read: list[PictureError], progress: Callable[[str, int], None]
) -> Any:
    preprocessing = engine.card.preprocessing
    fitted = []
    with closing(read_fitted(request.calibrate, preprocessing)) as pictures:  # type: ignore[type-var]
        for each in pictures:
            progress("calibrating", 1)
            if isinstance(each, PictureError):
                not_read.append(each)
            else:
                fitted.append(each)
    size = (0, preprocessing.height, preprocessing.width, 3)
    return preprocessing.normalise(np.stack(fitted) if fitted else np.zeros(size, np.uint8))


def _made(request: ExportRequest, model: Any, folder: Path, about: dict[str, Any], made: Path) -> Exported:
    """Write the format below a folder of its own; return it opened."""
    if request.format == OPENVINO:
        made.mkdir()
        texts = {entry.key: entry.value for entry in model.metadata_props}
        write_openvino(made, model, texts, halve=request.precision == "float16")
        return OpenVinoFile(made / XML)
    graph = serialised(model)
    made.write_bytes(graph)
    if request.format == SAFETENSORS:
        # What is compared is the graph with weights of the same numbers.
        made.write_bytes(weights_file(read_model(folder).weights, about, request.precision))
    return OnnxFile(graph)


def _check_on_noise(engine: Engine, opened: Exported) -> None:
    """Raise `SettingsError` for a file that does not answer, or whose answers are not probabilities."""
    size = engine.card.preprocessing
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (_NOISE, size.height, size.width, 3), dtype=np.uint8)
    found = opened.run(pixels if opened.takes_pixels else size.normalise(pixels))[graph_file.PROBABILITIES]
    if found.shape != (_NOISE, len(engine.card.vocabulary)) or not np.allclose(
        found.sum(axis=1), 1, atol=1e-3
    ):
        raise SettingsError(
            "The exported file returns something else than probabilities; nothing was written."
        )


def _keep(made: Path, out: Path) -> int:
    """Move what was made to its name; return its size in bytes."""
    if made.is_dir():
        with atomic_folder(out) as temporary:
            for each in sorted(made.iterdir()):
                shutil.copyfile(each, temporary / each.name)
        return sum(each.stat().st_size for each in out.iterdir())
    with atomic_write(out) as file:
        file.write(made.read_bytes())
    return out.stat().st_size
