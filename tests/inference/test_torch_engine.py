from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from affectlens import machine
from affectlens.emotions import MIKELS
from affectlens.errors import SettingsError
from affectlens.images import Pixels
from affectlens.inference.engine import CPU_BATCH
from affectlens.inference.predictor import Predictor
from affectlens.inference.torch_engine import TorchEngine, fold_batch_norms
from affectlens.model_folder import Card
from affectlens.models import catalog
from affectlens.models.saved import Model, load_model
from affectlens.preprocess import Preprocessing

SIDE = 160


def pictures(count: int, side: int = SIDE) -> Pixels:
    """uint8 (count, side, side, 3)"""
    coarse = np.random.default_rng(1).integers(0, 255, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2)


def with_used_norms(network: nn.Module) -> nn.Module:
    """Give batch norms statistics and weights as training leaves them; folding zeros proves nothing."""
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.3, generator=generator)
    return network.eval()


def model_of(name: str, temperature: float = 1.0) -> Model:
    torch.manual_seed(0)
    network = with_used_norms(catalog.build(name, len(MIKELS)))
    head = network.get_classifier()  # type: ignore[operator]
    nn.init.normal_(head.weight, std=1.0)
    preprocessing = Preprocessing(height=SIDE, width=SIDE)
    return Model(network, Card(name="m", network=name, vocabulary=MIKELS, preprocessing=preprocessing,
                               temperature=temperature))  # fmt: skip


NETWORKS = ["test_vit", "test_resnet", "test_efficientnet"]


@pytest.mark.parametrize("name", NETWORKS)
def test_probabilities_are_those_of_the_network_at_the_temperature(name: str) -> None:
    model = model_of(name, temperature=2.5)
    pixels = pictures(3)
    with torch.no_grad():
        logits = model.network(torch.from_numpy(model.card.preprocessing.normalise(pixels)))
    expected = (logits / 2.5).softmax(dim=1).numpy()
    np.testing.assert_allclose(TorchEngine(model, "cpu", "float32")(pixels), expected, rtol=1e-3, atol=1e-4)


def test_the_hardware_does_not_choose_the_precision_of_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu_multiplies_bfloat16", lambda: True)
    model = model_of("test_vit")
    automatic, exact = (TorchEngine(model, "cpu", each) for each in ("auto", "float32"))
    assert automatic.precision == "float32"
    assert np.array_equal(automatic(pictures(3)), exact(pictures(3)))


@pytest.mark.parametrize("name", NETWORKS)
def test_bfloat16_differs_from_float32_by_two_hundredths_at_most(name: str) -> None:
    model = model_of(name, temperature=4.0)
    pixels = pictures(8)
    exact = TorchEngine(model, "cpu", "float32")(pixels)
    assert (exact.max(axis=1) > 0.2).any()
    assert np.abs(TorchEngine(model, "cpu", "bfloat16")(pixels) - exact).max() < 0.02


def test_rows_sum_to_one_and_are_float32(tiny_model: Path) -> None:
    probabilities = TorchEngine(load_model(tiny_model), "cpu")(pictures(CPU_BATCH + 3, 96))
    assert probabilities.dtype == np.float32
    assert probabilities.shape == (CPU_BATCH + 3, 8)
    np.testing.assert_allclose(probabilities.sum(axis=1, dtype=float), 1, rtol=0, atol=1e-6)


def test_a_picture_is_predicted_the_same_alone_and_in_a_batch(tiny_model: Path) -> None:
    engine = TorchEngine(load_model(tiny_model), "cpu", "float32")
    pixels = pictures(2 * CPU_BATCH + 1, 96)
    together = engine(pixels)
    alone = np.concatenate([engine(picture[None]) for picture in pixels])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


def test_the_models_own_network_stays_as_it_was() -> None:
    model = model_of("test_resnet")
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    TorchEngine(model, "cpu")
    after = model.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.requires_grad for parameter in model.network.parameters())


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_every_batch_norm_behind_a_convolution_is_folded(name: str) -> None:
    network = with_used_norms(catalog.build(name, 8))
    copy = fold_batch_norms(network, SIDE, SIDE)
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copy.modules())


class Residual(nn.Module):
    """Uses what the convolution gives a second time, past the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.convolution(images)
        out: Tensor = (self.norm(maps) + maps).mean(dim=(2, 3))
        return out


class Shared(nn.Module):
    """Uses one convolution in front of two norms."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.first(self.convolution(images)) * self.second(self.convolution(images.flip(3)))
        out: Tensor = maps.mean(dim=(2, 3))
        return out


class Unfollowed(nn.Module):
    """Has a norm in front, with nothing to be folded into."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.convolution(self.norm(images)).mean(dim=(2, 3))
        return out


@pytest.mark.parametrize("build", [Residual, Shared, Unfollowed])
def test_a_norm_that_cannot_be_folded_is_kept(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network = with_used_norms(build())
    copy = fold_batch_norms(network, 16, 16)
    images = torch.randn(2, 3, 16, 16)
    assert any(isinstance(module, nn.BatchNorm2d) for module in copy.modules())
    torch.testing.assert_close(copy(images), network(images))


def test_an_unknown_precision_or_device_is_an_error(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    with pytest.raises(SettingsError, match="precision"):
        TorchEngine(model, "cpu", "float8")
    with pytest.raises(SettingsError, match="quantum"):
        TorchEngine(model, "quantum")


@pytest.mark.gpu
def test_a_gpu_predicts_what_the_cpu_predicts(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    pixels = pictures(40, 96)
    exact = TorchEngine(model, "cpu", "float32")(pixels)
    np.testing.assert_allclose(TorchEngine(model, "cuda", "float32")(pixels), exact, rtol=0, atol=1e-3)
    assert np.abs(TorchEngine(model, "cuda", "bfloat16")(pixels) - exact).max() < 0.01


# ------------------------------------------------------------------------------------------ in a predictor


def test_torch_uses_as_many_cores_after_a_job_as_before(tiny_model: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    predictor = Predictor.load(str(tiny_model), "cpu", "float32")
    Image.fromarray(pictures(1, 96)[0]).save(photo := tmp_path / "photo.png")
    first, second = predictor.predict_files(cycle([photo])), predictor.predict_files([photo] * 90)
    next(first)
    list(second)
    first.close()
    assert torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before


def test_a_model_in_memory_can_be_used(tiny_model: Path) -> None:
    (photo,) = pictures(1, 96)
    mine = Predictor(load_model(tiny_model), "cpu", "float32")
    assert mine(photo) == Predictor.load(str(tiny_model), "cpu", "float32")(photo)
