import hashlib
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

from affectlens.emotions import EKMAN, MIKELS
from affectlens.errors import AffectLensError, BadModelFolder, ModelNotFound, OutputError, SettingsError
from affectlens.model_folder import Card, load_card
from affectlens.models import catalog
from affectlens.models.saved import load_model, save_model
from affectlens.preprocess import Preprocessing

CARD = Card(
    name="small",
    network="test_efficientnet",
    network_options={"dropout": 0.1},
    vocabulary=MIKELS,
    preprocessing=Preprocessing(height=64, width=48, fit="pad"),
    temperature=1.25,
    training={"seed": 0, "log": [{"epoch": 1, "accuracy": 0.5}]},
    scores={"split": "val", "accuracy": 0.5},
    licences={"code": "Apache-2.0", "weights": "none", "data": "none"},
    limits=("A sentence.", "Another, with \u00e4 and \U0001f5fb."),
)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return catalog.build(CARD.network, len(MIKELS)).eval()


@pytest.fixture
def folder(tmp_path: Path, network: nn.Module) -> Path:
    save_model(tmp_path / "model", network, CARD, "# small\n")
    return tmp_path / "model"


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None], keep_hash: bool = False) -> None:
    """Change our part of config.json, and its hash with it unless that is to be found wrong."""
    config = json.loads((folder / "config.json").read_text())
    ours = config["affectlens"]
    change(ours)
    if not keep_hash:
        ours.pop("config_sha256", None)
        ours["config_sha256"] = hash_of(ours)
    (folder / "config.json").write_text(json.dumps(config))


def hash_of(ours: dict[str, Any]) -> str:
    """The hash that `save_model` puts into a config, written anew from what it promises."""
    return hashlib.sha256(json.dumps(ours, sort_keys=True).encode()).hexdigest()


def restock(folder: Path, data: bytes) -> None:
    """Put other weights in, with a hash that says they are the right ones."""
    (folder / "model.safetensors").write_bytes(data)
    told = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "dtype": "float32"}
    rewrite(folder, lambda ours: ours.update(weights=told))


def weights(folder: Path) -> dict[str, Tensor]:
    return load((folder / "model.safetensors").read_bytes())


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0.0), ("float16", 2**-11), ("bfloat16", 2**-8)])
def test_a_model_comes_back_as_it_was_saved(
    tmp_path: Path, network: nn.Module, dtype: str, tolerance: float
) -> None:
    save_model(tmp_path / "model", network, CARD, "# small\n", dtype)
    model = load_model(tmp_path / "model")
    assert replace(model.card, weights_hash="") == CARD
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


def test_saving_again_replaces_the_model_and_leaves_nothing_else(
    tmp_path: Path, folder: Path, network: nn.Module
) -> None:
    save_model(folder, network, replace(CARD, name="second"), "# second\n")
    assert load_card(folder).name == "second"
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_weights_that_are_not_finite_once_stored_are_not_written(
    tmp_path: Path, folder: Path, network: nn.Module, value: float
) -> None:
    broken = catalog.build(CARD.network, len(MIKELS))
    with torch.no_grad():
        next(broken.parameters())[0] = value
    with pytest.raises(BadModelFolder, match=r"not finite.*Nothing was written"):
        save_model(folder, broken, CARD, "", "float16")
    assert load_card(folder) == load_model(folder).card, "the old model is still whole"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_of_other_things_is_never_replaced_by_a_model(tmp_path: Path, network: nn.Module) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "wedding.jpg").touch()
    with pytest.raises(OutputError, match="holds something else than a model"):
        save_model(tmp_path / "photos", network, CARD, "")
    assert (tmp_path / "photos" / "wedding.jpg").exists()


def test_another_number_format_is_an_error(tmp_path: Path, network: nn.Module) -> None:
    with pytest.raises(SettingsError, match="not as 'int8'"):
        save_model(tmp_path / "model", network, CARD, "", "int8")


@pytest.mark.parametrize("place", ["", "none"])
def test_a_folder_without_a_config_is_no_model(tmp_path: Path, place: str) -> None:
    with pytest.raises(ModelNotFound, match=r"has no config\.json"):
        load_model(tmp_path / place)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda f: (f / "model.safetensors").unlink(), "cannot be read"),
        (lambda f: cut(f / "model.safetensors"), "incomplete"),
        (lambda f: flip_a_bit(f / "model.safetensors"), "its hash differs"),
        (lambda f: (f / "config.json").write_text("{"), "damaged or not ours"),
        (lambda f: (f / "config.json").write_text("[]"), "damaged or not ours"),
        (lambda f: (f / "config.json").write_text('{"affectlens": 3}'), "damaged or not ours"),
        (lambda f: (f / "config.json").write_text("[" * 100_000), "damaged or not ours"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "damaged or not ours"),
        (lambda f: (f / "config.json").write_bytes(b" " * 10_000_001), "bytes long"),
        (lambda f: (f / "config.json").write_text('{"architectures": ["BertModel"]}'), "damaged or not ours"),
        (
            lambda f: rewrite(f, lambda ours: ours.update(temperature=1.26), keep_hash=True),
            "was changed after",
        ),
    ],
)
def test_damage_is_refused_and_named(folder: Path, damage: Callable[[Path], object], reason: str) -> None:
    damage(folder)
    with pytest.raises(BadModelFolder, match=reason):
        load_model(folder)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format_version": 2}, "of format 2; this version reads format 1"),
        ({"vocabulary": {"name": "mikels-8", "words": list(reversed(MIKELS.words))}}, "in another order"),
        ({"vocabulary": {"name": "mikels-9", "words": list(MIKELS.words)}}, "Did you mean 'mikels-8'"),
        ({"vocabulary": {"name": "ekman-6", "words": list(EKMAN.words)}}, "has the shape"),
        ({"vocabulary": None}, "lacks or spoils"),
        ({"network": "test_resnet"}, "names differ"),
        ({"network": "no_such_network"}, "no_such_network"),
        ({"network_options": {"dropout": "much"}}, "cannot be built"),
        ({"network_options": {"dropuot": 0.1}}, "dropuot"),
        ({"network_options": {"weights": "/etc"}}, "other weights"),
        ({"network_options": {"num_emotions": 3}}, "cannot be built"),
        ({"network_options": 3}, "lacks or spoils"),
        ({"temperature": 0}, "lacks or spoils"),
        ({"temperature": float("nan")}, "lacks or spoils"),
        ({"temperature": "warm"}, "lacks or spoils"),
        ({"preprocessing": {"version": 2}}, "version"),
        ({"preprocessing": {}}, "lacks or spoils"),
        ({"weights": {"bytes": 3}}, "lacks or spoils"),
        ({"weights": {"bytes": float("inf"), "sha256": ""}}, "does not say what"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_and_named(
    folder: Path, change: dict[str, Any], reason: str
) -> None:
    rewrite(folder, lambda ours: ours.update(change))
    with pytest.raises(BadModelFolder, match=reason):
        load_model(folder)


@pytest.mark.parametrize(
    "key",
    ["name", "network", "network_options", "vocabulary", "preprocessing", "temperature", "training", "scores",
     "licences", "limits", "weights"],
)  # fmt: skip
def test_an_entry_that_is_missing_is_refused(folder: Path, key: str) -> None:
    rewrite(folder, lambda ours: ours.pop(key))
    with pytest.raises(BadModelFolder, match=r"config\.json"):
        load_model(folder)


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


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change, cut, double or swap a few bytes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        place = rng.randrange(len(changed))
        match rng.randrange(5):
            case 0:
                changed[place] ^= 1 << rng.randrange(8)
            case 1:
                changed[place] = rng.choice(b'0123456789"{}[]:,. -eE\\\n\x00\xff')
            case 2:
                del changed[place : place + rng.randrange(1, 20)]
            case 3:
                changed[place:place] = changed[place : place + rng.randrange(1, 20)]
            case _:
                changed[place:place] = rng.choice(
                    (b"null", b"true", b"NaN", b"1e999", b"-1", b"[", b'{"a":', b'"')
                )
        changed = changed or bytearray(b" ")
    return bytes(changed)


def test_no_mutated_config_gives_another_error_or_another_model(folder: Path) -> None:
    rng = random.Random(0)
    file = folder / "config.json"
    whole = file.read_bytes()
    wanted = load_card(folder)
    refused = 0
    for _ in range(4000):
        file.write_bytes(mutated(whole, rng))
        try:
            card = load_card(folder)
        except (BadModelFolder, ModelNotFound):
            refused += 1
        else:
            assert card == wanted  # the mutation hit white space, or what only others read
    assert refused > 2000


def test_no_mutated_config_gives_another_error_though_its_hash_is_right(
    folder: Path, network: nn.Module
) -> None:
    rng = random.Random(1)
    file = folder / "config.json"
    whole = file.read_bytes()
    rehashed = 0
    for _ in range(150):
        file.write_bytes(mutated(whole, rng))
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            rewrite(folder, lambda ours: None)
            rehashed += 1
        try:
            model = load_model(folder)
        except AffectLensError as error:
            assert isinstance(error, (BadModelFolder, ModelNotFound))
        else:
            assert model.card.vocabulary == MIKELS
            wanted = network.state_dict()
            assert all(torch.equal(w, wanted[name]) for name, w in model.network.state_dict().items())
    assert rehashed > 20


def test_no_mutated_weights_are_ever_loaded(folder: Path) -> None:
    rng = random.Random(2)
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    for _ in range(150):
        data = mutated(whole, rng)
        file.write_bytes(data)
        if data != whole:
            with pytest.raises(BadModelFolder):
                load_model(folder)


def test_no_mutated_header_of_weights_gives_another_error_though_the_hash_is_right(folder: Path) -> None:
    rng = random.Random(3)
    whole = (folder / "model.safetensors").read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    fine = 0
    for _ in range(300):
        restock(folder, mutated(whole[:header], rng) + whole[header:])
        try:
            load_model(folder)
        except BadModelFolder:
            continue
        fine += 1
    assert fine < 150


def test_a_card_of_a_version_that_knew_no_attributes_is_read(folder: Path) -> None:
    rewrite(folder, lambda ours: ours.pop("attributes"))
    assert load_card(folder) == replace(CARD, weights_hash=load_card(folder).weights_hash)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ([{"name": "scene", "words": ["beach"], "several": False}], "words of other attributes"),
        ([{"name": "scene", "words": ["beach", "beach"], "several": False}], "twice"),
        ([{"name": "scene"}], "Expected an object with name, words and several"),
        (3, "lacks or spoils an entry"),
    ],
)
def test_attributes_that_the_network_does_not_answer_are_refused(
    folder: Path, stored: object, reason: str
) -> None:
    def change(ours: dict[str, Any]) -> None:
        ours["attributes"] = stored

    rewrite(folder, change)
    with pytest.raises(BadModelFolder, match=reason):
        load_card(folder)
