"""A graph as OpenVINO's own format: `model.xml`, and `model.bin` with the weights.

OpenVINO's reader of ONNX takes no notice of antialiasing, so a graph that resizes pictures itself has that
step replaced by OpenVINO's own, which resizes as Pillow does. Metadata are `rt_info` of the model, below
`affectlens`.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from affectlens.errors import MissingExtra, SettingsError, first_line
from affectlens.export.graph_file import METADATA, serialised
from affectlens.export.pixels import RESIZE
from affectlens.machine import import_openvino

XML = "model.xml"
_PILLOW = {"linear": "bilinear_pillow", "cubic": "bicubic_pillow"}


def write_openvino(folder: Path, model: Any, metadata: Mapping[str, str], halve: bool) -> None:
    """Write a graph into a folder; `halve` stores weights in float16.

    Raises `MissingExtra`, and `SettingsError` for a graph that OpenVINO does not read.
    """
    try:
        openvino = import_openvino()
    except ImportError as error:
        raise MissingExtra("Exporting as OpenVINO's format", error.name or "openvino", "openvino") from None
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "model.onnx"
        file.write_bytes(serialised(model))
        try:
            read = openvino.Core().read_model(str(file))
            _resize_as_pillow(read)
            for key, text in metadata.items():
                read.set_rt_info(text, [METADATA, key])
            openvino.save_model(read, str(folder / XML), compress_to_fp16=halve)
        except Exception as error:  # the library raises RuntimeError for whatever it does not know
            raise SettingsError(f"OpenVINO does not read this graph: {first_line(error)}.") from None


def _resize_as_pillow(model: Any) -> None:
    from openvino import opset11

    for node in model.get_ops():
        if node.get_type_name() != "Interpolate" or not node.get_friendly_name().startswith(RESIZE):
            continue
        attributes = node.get_attributes()
        mode = {"linear_onnx": "linear", "linear": "linear", "cubic": "cubic"}[attributes["mode"]]
        images = node.input_value(0)
        # Sizes of all four axes: the last two are those that change.
        size = opset11.gather(node.input_value(1), [2, 3], 0)
        resized = opset11.interpolate(images, size, _PILLOW[mode], "sizes", axes=[2, 3], cube_coeff=-0.5)
        node.output(0).replace(resized.output(0))
