"""Networks saved and loaded: the same weights, nothing that does not fit, and nothing but our errors."""

import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

import model_folders
from affectlens.emotions import EKMAN, MIKELS
from affectlens.errors import AffectLensError, BadModelFolder, ModelNotFound, SettingsError
from affectlens.model_folder import load_card
from affectlens.models import catalog
from affectlens.models.saved import load_model, save_model
from model_folders import mutated, restock, rewrite

# Without a temperature, which would be folded into the weights.
CARD = replace(model_folders.CARD, temperature=1.0)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return catalog.build(CARD.network, len(MIKELS)).eval()


@pytest.fixture
def folder(tmp_path: Path, network: nn.Module) -> Path:
    save_model(tmp_path / "model", network, CARD, "# small\n")
    return tmp_path / "model"


def weights(folder: Path) -> dict[str, Tensor]:
    return load((folder / "model.safetensors").read_bytes())


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0.0), ("float16", 2**-11), ("bfloat16", 2**-8)])
def test_a_model_comes_back_as_it_was_saved(
    tmp_path: Path, network: nn.Module, dtype: str, tolerance: float
) -> None:
    save_model(tmp_path / "model", network, CARD, "# small\n", dtype)
    model = load_model(tmp_path / "model")
    assert replace(model.card, weights_hash="", version="") == CARD
    assert load_card(tmp_path / "model") == model.card
    assert not model.network.training
    assert (tmp_path / "model" / "README.md").read_text() == "# small\n"
    for name, weight in network.state_dict().items():
        loaded = model.network.state_dict()[name]
        assert loaded.dtype == weight.dtype
        torch.testing.assert_close(loaded, weight, rtol=tolerance, atol=1e-7 if tolerance else 0)


def test_half_precision_takes_half_the_room(tmp_path: Path, network: nn.Module) -> None:
    sizes = []
    for dtype in ("float32", "float16"):
        save_model(tmp_path / dtype, network, CARD, "", dtype)
        sizes.append((tmp_path / dtype / "model.safetensors").stat().st_size)
    assert sizes[1] < 0.55 * sizes[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_weights_that_are_not_finite_once_stored_are_not_written(
    tmp_path: Path, folder: Path, network: nn.Module, value: float
) -> None:
    broken = catalog.build(CARD.network, len(MIKELS))
    with torch.no_grad():
        next(broken.parameters())[0] = value
    with pytest.raises(BadModelFolder, match=r"not finite.*Nothing was written"):
        save_model(folder, broken, CARD, "", "float16")
    assert load_card(folder) == load_model(folder).card, "the old model is still complete"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_another_number_format_is_an_error(tmp_path: Path, network: nn.Module) -> None:
    with pytest.raises(SettingsError, match="not as 'int8'"):
        save_model(tmp_path / "model", network, CARD, "", "int8")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"vocabulary": {"name": "ekman-6", "words": list(EKMAN.words)}}, "has the shape"),
        ({"network": "test_resnet"}, "names differ"),
        ({"network": "no_such_network"}, "no_such_network"),
        ({"network_options": {"dropout": "much"}}, "cannot be built"),
        ({"network_options": {"dropuot": 0.1}}, "dropuot"),
        ({"network_options": {"weights": "/etc"}}, "other weights"),
        ({"network_options": {"num_emotions": 3}}, "cannot be built"),
    ],
)
def test_a_card_that_the_weights_do_not_fit_is_refused_and_named(
    folder: Path, change: dict[str, Any], reason: str
) -> None:
    rewrite(folder, lambda ours: ours.update(change))
    with pytest.raises(BadModelFolder, match=reason):
        load_model(folder)


def test_a_card_of_a_giant_network_is_refused_without_building_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, devices = catalog.build, []

    def noted(*given: Any, **options: Any) -> nn.Module:
        devices.append(torch.empty(0).device.type)
        return build(*given, **options)

    monkeypatch.setattr(catalog, "build", noted)
    rewrite(folder, lambda ours: ours.update({"network": "vit_giant_patch14_dinov2"}))
    with pytest.raises(BadModelFolder, match="names differ"):
        load_model(folder)
    assert devices == ["meta"]  # shapes alone: of its 4.5 GB nothing is allocated


FIRST = "conv_stem.weight"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: {n: v for n, v in w.items() if n != FIRST}, f"1 names differ, as '{FIRST}'"),
        (lambda w: {**w, "extra": torch.zeros(1)}, "1 names differ, as 'extra'"),
        (lambda w: {**w, FIRST: w[FIRST][:, :, :2].contiguous()}, "has the shape"),
        (lambda w: {**w, FIRST: w[FIRST].double()}, "stored as torch.float64"),
        (lambda w: {**w, FIRST: w[FIRST].to(torch.int32)}, "is of torch.int32"),
        (lambda w: {**w, FIRST: w[FIRST] * float("nan")}, "not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_named(
    folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], reason: str
) -> None:
    restock(folder, save(change(weights(folder))))
    with pytest.raises(BadModelFolder, match=reason):
        load_model(folder)


def test_a_file_that_only_claims_to_hold_weights_is_refused(folder: Path) -> None:
    for data in (
        b"",
        b"\x80\x04pickle",
        b"\xff" * 8,
        (10**15).to_bytes(8, "little") + b"{}",
        b"\2\0\0\0\0\0\0\0{}",
    ):
        restock(folder, data)
        with pytest.raises(BadModelFolder):
            load_model(folder)


def test_the_order_of_words_is_kept_by_the_file_that_others_read(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["label_names"] == list(MIKELS.words)
    assert config["architecture"] == "test_efficientnet"


def test_no_mutated_config_gives_another_error_though_its_hash_is_right(
    folder: Path, network: nn.Module
) -> None:
    rng = random.Random(1)
    file = folder / "config.json"
    original = file.read_bytes()
    rehashed = 0
    for _ in range(150):
        file.write_bytes(mutated(original, rng))
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            rewrite(folder, lambda ours: None)
            rehashed += 1
        try:
            model = load_model(folder)
        except AffectLensError as error:
            assert isinstance(error, (BadModelFolder, ModelNotFound))
        else:
            # A name that is not known is that of a vocabulary of one's own, with the words that are there.
            assert model.card.vocabulary.words == MIKELS.words
            wanted = network.state_dict()
            assert all(torch.equal(w, wanted[name]) for name, w in model.network.state_dict().items())
    assert rehashed > 20


def test_no_mutated_weights_are_ever_loaded(folder: Path) -> None:
    rng = random.Random(2)
    file = folder / "model.safetensors"
    original = file.read_bytes()
    for _ in range(150):
        data = mutated(original, rng)
        file.write_bytes(data)
        if data != original:
            with pytest.raises(BadModelFolder):
                load_model(folder)


def test_no_mutated_header_of_weights_gives_another_error_though_the_hash_is_right(folder: Path) -> None:
    rng = random.Random(3)
    original = (folder / "model.safetensors").read_bytes()
    header = 8 + int.from_bytes(original[:8], "little")
    fine = 0
    for _ in range(300):
        restock(folder, mutated(original[:header], rng) + original[header:])
        try:
            load_model(folder)
        except BadModelFolder:
            continue
        fine += 1
    assert fine < 150


def test_a_temperature_is_part_of_the_weights_of_networks_that_other_programs_build(
    tmp_path: Path, network: nn.Module
) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    save_model(tmp_path / "model", network, model_folders.CARD, "# small\n")
    saved_model = load_model(tmp_path / "model")
    assert saved_model.card.temperature == 1
    assert saved_model.card.training["folded_temperature"] == model_folders.CARD.temperature
    images = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(
            saved_model.network(images), network(images) / model_folders.CARD.temperature
        )
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
