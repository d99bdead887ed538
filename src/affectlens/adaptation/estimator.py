"""What a model reads of pictures, as a transformer of scikit-learn, for pipelines and notebooks.

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from affectlens import Embedding
make_pipeline(Embedding(), LogisticRegression()).fit(paths, labels)
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from affectlens import library
from affectlens.adaptation.embeddings import Features, embed_files
from affectlens.errors import SettingsError
from affectlens.extras import ADAPT, require
from affectlens.inference.engine import MANY, ONNX_RUNTIME, Engine, load_engine
from affectlens.model_folder import GRAPH_EMBEDDING

try:
    from sklearn.base import BaseEstimator, TransformerMixin
except ImportError:  # the name is there all the same, and names what it needs once it is used

    class BaseEstimator:  # type: ignore[no-redef]
        """Stands for scikit-learn's."""

    class TransformerMixin:  # type: ignore[no-redef]
        """Stands for scikit-learn's."""


class Embedding(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Pictures to the features that a model reads its answer from.

    Nothing is fitted: `fit` loads the model. Of scikit-learn's checks of estimators those apply that give no
    table of numbers, for its input is names of files.
    """

    def __init__(self, model: str = library.DEFAULT, engine: str = ONNX_RUNTIME) -> None:
        """Name a model, by name or folder, and what answers: onnxruntime or openvino.

        Raises `MissingExtra` without scikit-learn.
        """
        require(ADAPT, "Embedding")
        self.model = model
        self.engine = engine

    def fit(self, pictures: Any = None, labels: Any = None) -> Self:
        """Load the model; pictures and labels are not looked at.

        Raises what `inference.engine.load_engine` does, and `SettingsError` for a model without an embedding.
        """
        self.features_of_ = _loaded(self.model, self.engine, many=False)
        return self

    def transform(self, pictures: Iterable[Path | str]) -> Features:
        """Embed files: N paths -> float32 (N, D), in their order.

        Raises `PictureError` for the first file that cannot be read.
        """
        files = list(_paths(pictures))
        engine = self.features_of_ if hasattr(self, "features_of_") else None
        if engine is None or len(files) >= MANY:
            engine = _loaded(self.model, self.engine, many=len(files) >= MANY)
        if not files:
            raise SettingsError("There is no picture to embed: the list is empty.")
        features, errors = embed_files(engine, files)
        if errors:
            raise errors[0]
        return features

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Name the features, embedding0 and so on, (D,): for data frames (`set_output`) and compositions.

        `input_features` are not looked at. Raises what `fit` does.
        """
        engine = getattr(self, "features_of_", None) or _loaded(self.model, self.engine, many=False)
        size = engine.card.preprocessing
        blank = size.normalise(np.zeros((1, size.height, size.width, 3), dtype=np.uint8))
        number = engine.output(blank, GRAPH_EMBEDDING).shape[1]
        return np.array([f"embedding{feature}" for feature in range(number)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        """Nothing is learned from pictures, which are not a table."""
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the engine, which is loaded again where it is needed."""
        return {key: value for key, value in self.__dict__.items() if key != "features_of_"}


def _loaded(model: str, name: str, *, many: bool) -> Engine:
    engine = load_engine(model, name, precision="float32", many=many)
    if GRAPH_EMBEDDING not in engine.outputs:
        raise SettingsError(
            f"The model {engine.card.name} has no embedding in its graph. Use another, as default."
        )
    return engine


def _paths(pictures: Iterable[Path | str]) -> Sequence[Path | str]:
    if isinstance(pictures, (str, Path, bytes)):
        raise SettingsError(f"Pictures are a list of paths, not one path: write [{str(pictures)!r}].")
    if not isinstance(pictures, Iterable):
        raise SettingsError(f"Pictures are a list of paths, not {type(pictures).__name__}.")
    found = [str(each) if isinstance(each, np.str_) else each for each in pictures]
    strange = next((each for each in found if not isinstance(each, (str, Path))), None)
    if strange is not None:
        raise SettingsError(f"A picture is named by its path here, not by {type(strange).__name__}.")
    return found
