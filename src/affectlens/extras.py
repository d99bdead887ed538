"""Libraries that do not come with the package itself but with its extras: `pip install "affectlens[NAME]"`.

Each is imported where it is used; what needs one calls `require` before it begins.
"""

from dataclasses import dataclass
from importlib.util import find_spec

from affectlens.errors import MissingExtra


@dataclass(frozen=True)
class Extra:
    """An extra of the package.

    Attributes:
        name: as it is installed
        library: as it is imported; one of several stands for all
    """

    name: str
    library: str

    @property
    def is_installed(self) -> bool:
        """Whether its library can be found; nothing is imported."""
        return find_spec(self.library) is not None


ADAPT = Extra("adapt", "sklearn")
CLUSTER = Extra("cluster", "ray")
HEIF = Extra("heif", "pillow_heif")
MLFLOW = Extra("mlflow", "mlflow")
ONNX = Extra("export", "onnx")
PARQUET = Extra("parquet", "pyarrow")
SERVE = Extra("serve", "fastapi")
TENSORBOARD = Extra("tensorboard", "tensorboard")
TRAIN = Extra("train", "torch")
WANDB = Extra("wandb", "wandb")


def require(extra: Extra, what: str) -> None:
    """Raise `MissingExtra` where an extra is not installed; `what` needs it, and begins the sentence."""
    if not extra.is_installed:
        raise MissingExtra(what, extra.library, extra.name)
