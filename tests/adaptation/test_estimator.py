"""The embedding as a transformer of scikit-learn."""

import copy
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from affectlens import Embedding, PictureError
from affectlens.errors import ModelNotFound, SettingsError
from pictures import colour_set

WORDS = ("cosy", "uncanny")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sorted(colour_set(tmp_path_factory.mktemp("data"), WORDS, each=6).rglob("*.png"))


def test_pictures_become_rows_in_a_pipeline_that_is_cloned_and_copied(paths: list[Path]) -> None:
    labels = [path.parent.name for path in paths]
    pipeline = clone(make_pipeline(Embedding(), LogisticRegression())).fit(paths, labels)
    assert list(pipeline.predict([str(path) for path in paths])) == labels
    again = copy.deepcopy(pipeline)
    np.testing.assert_allclose(again.predict_proba(paths), pipeline.predict_proba(paths))


def test_rows_are_in_the_order_of_the_pictures_whatever_else_is_given(paths: list[Path]) -> None:
    embedding = Embedding()
    together = embedding.fit_transform(paths)
    assert together.shape[0] == len(paths) and together.dtype == np.float32
    np.testing.assert_allclose(embedding.transform(np.array([str(paths[3])])), together[3:4], atol=1e-4)


def test_what_is_not_a_list_of_paths_is_refused(paths: list[Path], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not one path"):
        Embedding().transform(str(paths[0]))
    with pytest.raises(SettingsError, match="empty"):
        Embedding().transform([])
    with pytest.raises(SettingsError, match="not NoneType"):
        Embedding().transform(None)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="not by float"):
        Embedding().transform([0.5])  # type: ignore[list-item]
    with pytest.raises(PictureError, match=r"nothing\.png"):
        Embedding().transform([paths[0], tmp_path / "nothing.png"])
    with pytest.raises(ModelNotFound):
        Embedding(model="no such model").fit()


def test_features_have_names_by_which_they_become_data_frames(paths: list[Path]) -> None:
    pandas = pytest.importorskip("pandas")
    table = Embedding().set_output(transform="pandas").fit_transform(paths[:3])
    assert isinstance(table, pandas.DataFrame) and len(table) == 3
    assert list(table.columns[:2]) == ["embedding0", "embedding1"]
    np.testing.assert_array_equal(table.to_numpy(), Embedding().fit_transform(paths[:3]))
    assert list(Embedding().get_feature_names_out()) == list(table.columns)
