"""A first stage for graphs: pictures as pixels, of any size, instead of what `Preprocessing` makes of them.

The graph then takes `pixels`, uint8 (B, H, W, 3), red, green, blue, of pictures of one size; it resizes with
antialiasing, and normalises. Resizing in ONNX Runtime differs from Pillow's by a level or two of 255.

Letters: B pictures, H x W pixels of the picture, h x w of the network's input.
"""

from typing import Any

import numpy as np

from affectlens.errors import SettingsError
from affectlens.model_folder import GRAPH_INPUT
from affectlens.preprocess import Preprocessing

PIXELS = "pixels"  # the input, uint8 (B, H, W, 3)
ANTIALIASED = 1  # as ONNX has it: whether what becomes smaller is averaged
_ANTIALIASING = 18  # the version of ONNX's operators from which on they can do so
RESIZE = "pixels/resize"  # the node that resizes
MODES = {"bilinear": "linear", "bicubic": "cubic"}  # how ONNX calls interpolations that it antialiases


def takes_pixels(preprocessing: Preprocessing) -> bool:
    """Whether a graph can begin with a model's preprocessing: it may not pad."""
    return preprocessing.fit != "pad" and preprocessing.interpolation in MODES


def require_pixels(preprocessing: Preprocessing) -> None:
    """Raise `SettingsError` for preprocessing that cannot be part of a graph."""
    if not takes_pixels(preprocessing):
        raise SettingsError(
            f"This model's preprocessing (fit {preprocessing.fit!r}, interpolation "
            f"{preprocessing.interpolation!r}) cannot be part of the graph. Leave --with-preprocessing out, "
            "and prepare pictures as the file's metadata states."
        )


def with_pixels(model: Any, preprocessing: Preprocessing) -> Any:
    """Return a graph with resizing and normalisation before it. Raises as `require_pixels`."""
    from onnx import TensorProto, helper, numpy_helper
    from onnx.version_converter import convert_version

    require_pixels(preprocessing)
    if model.opset_import[0].version < _ANTIALIASING:
        model = convert_version(model, _ANTIALIASING)
    stage = _Stage()
    channels = stage.add("Transpose", PIXELS, perm=[0, 3, 1, 2])
    fitted = {"squash": _squash, "crop": _crop}[preprocessing.fit]
    resized = fitted(stage, channels, preprocessing)
    values = stage.add("Cast", resized, to=TensorProto.FLOAT)
    # (x / 255 - mean) / std, as one product and one difference.
    mean, std = (
        np.array(each, np.float32).reshape(1, 3, 1, 1) for each in (preprocessing.mean, preprocessing.std)
    )
    scaled = stage.add("Mul", values, stage.constant((1 / (255 * std)).astype(np.float32)))
    stage.add("Sub", scaled, stage.constant((mean / std).astype(np.float32)), output=GRAPH_INPUT)
    graph, nodes = model.graph, list(model.graph.node)
    size: list[str | int | None] = ["batch", "height", "width", 3]
    others = [each for each in graph.input if each.name != GRAPH_INPUT]
    del graph.node[:], graph.input[:]
    graph.node.extend([*stage.nodes, *nodes])
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in stage.constants.items())
    graph.input.extend([helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, size), *others])
    return model


class _Stage:
    """Nodes and constants, named in order."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        from onnx import helper

        output = output or f"{PIXELS}/{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def constant(self, values: Any) -> str:
        """Add a constant; return its name."""
        name = f"{PIXELS}/constant/{len(self.constants)}"
        self.constants[name] = np.asarray(values)
        return name

    def whole(self, *numbers: int) -> str:
        """Add whole numbers (n,)."""
        return self.constant(np.array(numbers, np.int64))

    def resize(self, channels: str, rows_and_columns: str, preprocessing: Preprocessing) -> str:
        """Resize (B, 3, H, W), uint8, with antialiasing."""
        batch = self.add("Shape", channels, start=0, end=2)
        size = self.add("Concat", batch, rows_and_columns, axis=0)
        resized = self.add(
            "Resize", channels, "", "", size, mode=MODES[preprocessing.interpolation], antialias=ANTIALIASED,
            coordinate_transformation_mode="half_pixel", cubic_coeff_a=-0.5,
        )  # fmt: skip
        self.nodes[-1].name = RESIZE
        return resized


def _squash(stage: _Stage, channels: str, preprocessing: Preprocessing) -> str:
    size = stage.whole(preprocessing.height, preprocessing.width)
    return stage.resize(channels, size, preprocessing)


def _crop(stage: _Stage, channels: str, preprocessing: Preprocessing) -> str:
    """Cover (h, w) / crop_fraction and cut the centre out, as `Preprocessing` does.

    Ends of very long pictures, which that cuts off before it resizes, are resized here and cut off after.
    """
    from onnx import TensorProto

    cover_height, cover_width = (stage.whole(side) for side in preprocessing.at_least)
    height = stage.add("Shape", channels, start=2, end=3)
    width = stage.add("Shape", channels, start=3, end=4)
    rows = _longer(stage, cover_height, cover_width, height, width)
    columns = _longer(stage, cover_width, cover_height, width, height)
    size = stage.add("Concat", rows, columns, axis=0)
    resized = stage.resize(channels, size, preprocessing)
    wanted = stage.whole(preprocessing.height, preprocessing.width)
    surplus = stage.add("Cast", stage.add("Sub", size, wanted), to=TensorProto.DOUBLE)
    half = stage.add("Round", stage.add("Mul", surplus, stage.constant(np.array([0.5]))))
    begin = stage.add("Cast", half, to=TensorProto.INT64)
    return stage.add("Slice", resized, begin, stage.add("Add", begin, wanted), stage.whole(2, 3))


def _longer(stage: _Stage, cover: str, other_cover: str, side: str, other_side: str) -> str:
    """max(cover, other_cover * side / other_side): a side of what covers, the other being its own cover."""
    grown = stage.add("Div", stage.add("Mul", other_cover, side), other_side)
    return stage.add("Max", cover, grown)
