"""A model folder of ours as other programs see it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from affectlens.emotions import MIKELS
from affectlens.images import read_pixels
from affectlens.inference.predictor import Predictor
from affectlens.model_folder import Card
from affectlens.models import catalog
from affectlens.models.saved import save_model
from affectlens.preprocess import Fit, Preprocessing

SIDE = 160


def save(
    folder: Path, network_name: str, fit: Fit = "squash", crop_fraction: float = 1.0, dtype: str = "float32"
) -> Path:
    torch.manual_seed(0)
    network = catalog.build(network_name, len(MIKELS))
    torch.nn.init.normal_(network.get_classifier().weight, std=1.0)  # type: ignore[operator]
    preprocessing = Preprocessing(
        height=SIDE, width=SIDE, fit=fit, crop_fraction=crop_fraction, interpolation="bicubic",
        mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3),
    )  # fmt: skip
    card = Card(
        name="m", network=network_name, vocabulary=MIKELS, preprocessing=preprocessing, temperature=2.5
    )
    save_model(folder, network, card, "A model.\n", dtype)
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photo") / "photo.png"
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((400, 300), Image.Resampling.BICUBIC).save(file)
    return file


@pytest.mark.parametrize("network", ["test_vit", "test_resnet", "test_efficientnet"])
def test_timm_loads_a_plain_network_with_its_weights(tmp_path: Path, photo: Path, network: str) -> None:
    folder = save(tmp_path / "m", network)
    theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    predictor = Predictor.load(str(folder), "cpu", "float32")
    pixels = predictor.card.preprocessing.fit_pixels(read_pixels(photo))
    with torch.no_grad():
        probabilities = theirs(
            torch.from_numpy(predictor.card.preprocessing.normalise(pixels[None]))
        ).softmax(dim=1)[0]
    expected = torch.tensor(predictor(photo).probabilities)
    torch.testing.assert_close(probabilities, expected, rtol=0, atol=1e-4)
    described: Any = theirs.pretrained_cfg
    assert described["label_names"] == list(MIKELS.words)


@pytest.mark.parametrize("network", ["test_vit", "test_efficientnet"])
@pytest.mark.parametrize(
    ("fit", "crop_fraction"), [("squash", 1.0), ("crop", 1.0), ("crop", 0.9), ("pad", 1.0)]
)
def test_the_pipeline_of_transformers_predicts_what_we_predict(
    tmp_path: Path, photo: Path, network: str, fit: Fit, crop_fraction: float
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = save(tmp_path / "m", network, fit, crop_fraction)
    pipeline = transformers.pipeline("image-classification", str(folder), top_k=8)
    theirs = {answer["label"]: answer["score"] for answer in pipeline(str(photo))}
    ours = Predictor.load(str(folder), "cpu", "float32")(photo).weights
    assert theirs.keys() == ours.keys()
    assert max(abs(theirs[word] - ours[word]) for word in ours) < 0.02  # Pillow resizes a level differently


def test_weights_stored_in_half_precision_load_elsewhere_too(tmp_path: Path, photo: Path) -> None:
    folder = save(tmp_path / "m", "test_vit", dtype="float16")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.pipeline("image-classification", str(folder), top_k=8)(str(photo))
    ours = Predictor.load(str(folder), "cpu", "float32")(photo)
    assert theirs[0]["label"] == ours.top
    assert timm.create_model(f"local-dir:{folder}", pretrained=True).num_classes == 8
