"""Cards and weights on disk: complete, checked, and nothing but our errors."""

import hashlib
import json
import os
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from affectlens.emotions import MIKELS
from affectlens.errors import BadModelFolder, ModelNotFound, OutputError
from affectlens.former_keys import FORMAT_VERSION
from affectlens.model_folder import (
    CALIBRATED,
    Card,
    load_card,
    read_graph,
    read_heads,
    read_model,
    read_readme,
    store_graph,
    write_model,
)
from affectlens.ratings import RatingHead, RatingScale
from affectlens.version import VERSION
from model_folders import CARD, hash_of, mutated, rewrite

WEIGHTS = b"bytes that only a network understands"


def save(folder: Path, card: Card = CARD, readme: str = "# small\n") -> None:
    write_model(folder, card, WEIGHTS, readme, dtype="float32", for_others={"architecture": "small"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "model")
    return tmp_path / "model"


def test_card_weights_and_readme_come_back_as_they_were_written(folder: Path) -> None:
    card, weights, _ = read_model(folder)
    assert replace(card, weights_hash="", version="") == CARD and weights == WEIGHTS
    assert card.version == VERSION and card.weights_id == hashlib.sha256(WEIGHTS).hexdigest()[:12]
    assert load_card(folder) == card
    assert read_readme(folder) == "# small\n"


def test_all_that_decides_answers_is_hashed_and_nothing_else(tmp_path: Path) -> None:
    scale = RatingScale(name="valence", coverages=(0.9,), half_widths=(1.0,))
    head = RatingHead(np.ones((1, 3), np.float32), np.ones(1, np.float32))

    def saved(name: str, heads: RatingHead = head, **changes: Any) -> Card:
        card = replace(CARD, ratings=(scale,), prediction_sets={"coverages": [0.9]}, **changes)
        write_model(tmp_path / name, card, WEIGHTS, "", dtype="float32", for_others={}, heads=heads.tensors())
        return load_card(tmp_path / name)

    first = saved("first")
    assert first.is_more_than_weights and len(first.answers_hash) == 64
    assert not CARD.is_more_than_weights and CARD.answers_hash == "", "it was not saved"
    assert first.weights_id == first.weights_hash[:12] != first.answers_hash[:12]
    same = saved("same", limits=("none",), training={"seed": 1}, scores={"accuracy": 0.5})
    assert same.answers_hash == first.answers_hash
    wider = replace(scale, half_widths=(2.0,))
    others = [
        saved("hotter", temperature=3.0),
        replace(first, ratings=(wider,)),
        replace(first, prediction_sets={"coverages": [0.5]}),
        replace(first, preprocessing=replace(CARD.preprocessing, height=32)),
        replace(first, unusual={"threshold": 1.0}),
        saved("other head", RatingHead(2 * head.weights, head.offsets)),
    ]
    assert len({each.answers_hash for each in (first, *others)}) == 1 + len(others)
    assert {each.weights_hash for each in others} == {first.weights_hash}
    calibrated = [replace(each, training={CALIBRATED: {}}) for each in (first, *others)]
    assert len({each.weights_id for each in calibrated}) == len(calibrated), "or rows could be mixed"


def test_others_find_what_they_look_for_at_the_top_and_ours_has_the_format_of_today(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["architecture"] == "small"
    assert config["affectlens"]["format_version"] == FORMAT_VERSION == 2


def test_writing_again_replaces_the_model_and_leaves_nothing_else(tmp_path: Path, folder: Path) -> None:
    save(folder, replace(CARD, name="second"), "# second\n")
    assert load_card(folder).name == "second"
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_name_that_would_steer_a_terminal_or_add_lines_is_refused(folder: Path) -> None:
    for name in ("\x1b[2J", "small\nWritten to elsewhere", "\u202e"):
        rewrite(folder, lambda ours, name=name: ours.update(name=name))  # type: ignore[misc]
        with pytest.raises(BadModelFolder, match="characters that cannot be shown"):
            load_card(folder)


def test_a_folder_of_other_things_is_never_replaced_by_a_model(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "wedding.jpg").touch()
    with pytest.raises(OutputError, match="holds something else than a model"):
        save(tmp_path / "photos")
    assert (tmp_path / "photos" / "wedding.jpg").exists()


def test_a_readme_that_is_missing_is_an_error(folder: Path) -> None:
    (folder / "README.md").unlink()
    with pytest.raises(ModelNotFound, match=r"README\.md"):
        read_readme(folder)


def test_a_readme_that_is_not_text_is_an_error(folder: Path) -> None:
    (folder / "README.md").write_bytes(b"\xff")
    with pytest.raises(BadModelFolder, match=r"README\.md is not UTF-8 text"):
        read_readme(folder)


def test_a_readme_that_cannot_be_read_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(BadModelFolder, match=r"README\.md cannot be read: Permission denied"):
        read_readme(folder)


@pytest.mark.parametrize("inside", ["", "none"])
def test_a_folder_without_a_config_is_not_a_model(tmp_path: Path, inside: str) -> None:
    with pytest.raises(ModelNotFound, match=r"has no config\.json"):
        read_model(tmp_path / inside)


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
        read_model(folder)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)


def test_words_of_its_own_are_in_the_card_with_all_that_is_known_of_them(folder: Path) -> None:
    facts = {"polarity": {"positive": ["cosy"], "negative": []}, "colours": {"odd": "#aa7733"},
             "aliases": {"snug": "cosy"}, "valence": {"cosy": 7.5}}  # fmt: skip
    stored = {"name": "moods", "words": ["odd", "cosy"], **facts}
    rewrite(folder, lambda ours: ours.update(vocabulary=stored))
    words = load_card(folder).vocabulary
    assert (words.name, words.words, words.signs) == ("moods", ("odd", "cosy"), {"odd": 0, "cosy": 1})
    assert (words.word("Snug"), words.colours["odd"], words.valence["cosy"]) == ("cosy", "#aa7733", 7.5)
    assert load_card(folder).to_json()["vocabulary"] == stored


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format_version": 3}, "of format 3; this version reads formats 1 to 2"),
        ({"format_version": True}, "of format True"),
        ({"vocabulary": {"name": "mikels-8", "words": list(reversed(MIKELS.words))}}, "in another order"),
        ({"vocabulary": {"name": "own-2", "words": ["cosy", "model"]}}, "'model' cannot be a word"),
        ({"vocabulary": {"words": ["cosy", "calm"]}}, "lacks or spoils"),
        ({"vocabulary": None}, "lacks or spoils"),
        ({"network_options": 3}, "lacks or spoils"),
        ({"temperature": 0}, "lacks or spoils"),
        ({"temperature": float("nan")}, "lacks or spoils"),
        ({"temperature": "warm"}, "lacks or spoils"),
        ({"preprocessing": {"version": 2}}, "version"),
        ({"preprocessing": {}}, "lacks or spoils"),
        ({"weights": {"bytes": 3}}, "lacks or spoils"),
        ({"weights": {"bytes": float("inf"), "sha256": ""}}, "lacks or spoils"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_and_named(
    folder: Path, change: dict[str, Any], reason: str
) -> None:
    rewrite(folder, lambda ours: ours.update(change))
    with pytest.raises(BadModelFolder, match=reason):
        read_model(folder)


@pytest.mark.parametrize(
    "key",
    ["name", "network", "network_options", "vocabulary", "preprocessing", "temperature", "training", "scores",
     "licences", "limits", "weights"],
)  # fmt: skip
def test_an_entry_that_is_missing_is_refused(folder: Path, key: str) -> None:
    rewrite(folder, lambda ours: ours.pop(key))
    with pytest.raises(BadModelFolder, match=r"config\.json"):
        read_model(folder)


def test_no_mutated_config_gives_another_error_or_another_model(folder: Path) -> None:
    rng = random.Random(0)
    file = folder / "config.json"
    original = file.read_bytes()
    wanted = load_card(folder)
    refused = 0
    for _ in range(4000):
        file.write_bytes(mutated(original, rng))
        try:
            card = load_card(folder)
        except (BadModelFolder, ModelNotFound):
            refused += 1
        else:
            assert card == wanted  # the mutation hit white space, or what only others read
    assert refused > 2000


def spoilt(value: Any, rng: random.Random) -> Any:
    """Return plain data with one of its values, keys or entries replaced, taken out or doubled."""
    strange: list[Any] = [
        None,
        True,
        -1,
        10**400,
        float("nan"),
        float("inf"),
        "",
        "\ud800",
        [],
        {},
        [[]],
        {"": None},
    ]
    if not isinstance(value, dict | list) or not value or rng.random() < 0.2:
        return rng.choice(strange)
    changed: Any = value.copy()
    key = rng.choice(list(changed)) if isinstance(changed, dict) else rng.randrange(len(changed))
    match rng.randrange(4):
        case 0:
            del changed[key]
        case 1 if isinstance(changed, dict):
            changed[str(rng.choice(strange))] = changed.pop(key)
        case 1:
            changed += [changed[key]]
        case _:
            changed[key] = spoilt(changed[key], rng)
    return changed


def test_no_card_with_spoilt_entries_and_the_right_hash_gives_another_error(folder: Path) -> None:
    rng = random.Random(4)
    original = json.loads((folder / "config.json").read_text())
    refused = 0
    for _ in range(300):
        ours = spoilt({k: v for k, v in original["affectlens"].items() if k != "config_sha256"}, rng)
        if isinstance(ours, dict):
            ours["config_sha256"] = hash_of(ours)
        (folder / "config.json").write_text(json.dumps({**original, "affectlens": ours}))
        try:
            read_model(folder)
        except (BadModelFolder, ModelNotFound):
            refused += 1
    assert 150 < refused < 300


def test_a_card_of_format_1_is_read_with_the_settings_names_of_today(folder: Path) -> None:
    former = {"learning_rate": 0.1, "average": 0.99, "loss": {"focus": 2.0}, "epochs": 3}

    def change(ours: dict[str, Any]) -> None:
        ours.update(format_version=1, training={"seed": 0, "settings": former})

    rewrite(folder, change)
    assert load_card(folder).training == {
        "seed": 0,
        "settings": {"lr": 0.1, "ema_decay": 0.99, "loss": {"focal_gamma": 2.0}, "epochs": 3},
    }


@pytest.mark.parametrize("later", ["attributes", "version"])
def test_a_card_of_a_version_that_had_one_entry_less_is_read(folder: Path, later: str) -> None:
    version = "" if later == "version" else VERSION
    rewrite(folder, lambda ours: ours.pop(later))
    assert load_card(folder) == replace(CARD, weights_hash=load_card(folder).weights_hash, version=version)


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


SCALE = RatingScale(name="valence", coverages=(0.9,), half_widths=(2.0,))
RATED = replace(CARD, ratings=(SCALE,), feature_layers=("blocks.1",), unusual={"threshold": 0.5})
HEAD_ARRAYS = RatingHead(np.ones((1, 4), np.float32), np.zeros(1, np.float32)).tensors()


@pytest.fixture
def rated_folder(tmp_path: Path) -> Path:
    write_model(
        tmp_path / "rated", RATED, WEIGHTS, "", dtype="float32", for_others={}, heads=HEAD_ARRAYS
    )  # fmt: skip
    return tmp_path / "rated"


def test_heads_and_scales_come_back_as_they_were_written_and_a_graph_leaves_them(rated_folder: Path) -> None:
    for _ in range(2):
        card, weights, heads = read_model(rated_folder)
        assert (card.ratings, card.feature_layers, card.unusual) == (
            RATED.ratings, RATED.feature_layers, RATED.unusual,
        )  # fmt: skip
        assert weights == WEIGHTS and set(heads) == set(HEAD_ARRAYS)
        assert all(np.array_equal(heads[name], array) for name, array in HEAD_ARRAYS.items())
        store_graph(rated_folder, b"a graph")
    assert read_heads(rated_folder).keys() == HEAD_ARRAYS.keys()


def test_a_model_without_heads_has_none(folder: Path) -> None:
    assert dict(read_heads(folder)) == {} and not (folder / "heads.safetensors").exists()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda f: (f / "heads.safetensors").unlink(), r"heads\.safetensors cannot be read"),
        (lambda f: flip_a_bit(f / "heads.safetensors"), "its hash differs"),
        (lambda f: rewrite(f, lambda ours: ours.pop("heads")), r"holds no heads\.safetensors"),
        (lambda f: rewrite(f, lambda ours: ours.update(ratings=ours["ratings"] * 2)), "another number"),
        (lambda f: rewrite(f, lambda ours: ours["ratings"][0].update(half_widths=[-1])), "do not rise"),
        (lambda f: rewrite(f, lambda ours: ours["ratings"][0].update(low="x")), "lacks or spoils"),
        (lambda f: of_heads(f, b"nothing"), "cannot be used"),
        (lambda f: of_heads(f, safetensors.numpy.save({"other": np.ones(2)})), r"no ratings\.weights"),
    ],
)
def test_damaged_heads_are_refused_and_named(
    rated_folder: Path, damage: Callable[[Path], object], reason: str
) -> None:
    damage(rated_folder)
    with pytest.raises(BadModelFolder, match=reason):
        read_model(rated_folder)


def of_heads(folder: Path, data: bytes) -> None:
    """Put other heads in, with a hash of their own."""
    (folder / "heads.safetensors").write_bytes(data)
    rewrite(folder, lambda ours: ours.update(heads={"sha256": hashlib.sha256(data).hexdigest()}))


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
@pytest.mark.parametrize("name", ["model.onnx", "heads.safetensors", "README.md"])
def test_a_pipe_in_a_model_folder_is_not_waited_for(name: str, tmp_path: Path) -> None:
    scale = RatingScale(name="valence", coverages=(0.9,), half_widths=(1.0,))
    heads = RatingHead(np.ones((1, 2), np.float32), np.zeros(1, np.float32)).tensors()
    card = replace(CARD, ratings=(scale,))
    folder = tmp_path / "model"
    write_model(folder, card, WEIGHTS, "#", dtype="float32", for_others={}, graph=b"graph", heads=heads)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    ended: list[str] = []

    def read() -> None:
        for reads in (read_graph, read_heads, read_readme):
            try:
                reads(folder)
            except BadModelFolder as error:
                ended.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive() and f"{name} cannot be read: it is a pipe" in ended[-1]


def test_a_readme_longer_than_any_is_not_read(folder: Path) -> None:
    with (folder / "README.md").open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(BadModelFolder, match=r"README\.md cannot be read: it has 17,179,869,184 bytes"):
        read_readme(folder)
