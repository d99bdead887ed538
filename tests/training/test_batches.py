"""The order of training pictures, and their batches."""

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from affectlens.attributes import LEVELS, Attribute, BadAttribute
from affectlens.data.records import Record
from affectlens.emotions import MIKELS
from affectlens.errors import EmptySplit, PictureDamaged, PictureEmpty, SettingsError, UnknownName
from affectlens.inference.labelled_batches import (
    Batch,
    EvaluationSet,
    attribute_tensors,
    evaluation_batches,
    file_reader,
    target_tensor,
)
from affectlens.inference.predictions import Unreadable
from affectlens.models.network_input import to_tensor
from affectlens.preprocess import Preprocessing
from affectlens.training.augment import Augmentation
from affectlens.training.batches import Order, TrainingStream, derived_seed, training_batches

SIZE = Preprocessing(height=16, width=16)
STRONG = Augmentation(colour_jitter=0.4, rand_augment=9, erase=0.3)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Thirteen small pictures: awe is six times as frequent as fear."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    emotions = ["awe"] * 6 + ["sadness"] * 6 + ["fear"]
    for number in range(13):
        Image.fromarray(rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)).save(root / f"{number}.png")
    return [Record(f"{n}.png", root / f"{n}.png", MIKELS.only(emotion)) for n, emotion in enumerate(emotions)]


def stream_of(records: list[Record], seed: int = 0, balance: float = 0.0) -> TrainingStream:
    order = Order(target_tensor(records), seed, balance)
    return TrainingStream(records, order, STRONG, SIZE, file_reader(SIZE))


def same(one: Batch, other: Batch) -> bool:
    return (
        one.keys == other.keys
        and torch.equal(one.pixels, other.pixels)
        and torch.equal(one.targets, other.targets)
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_the_same_for_any_number_of_workers(records: list[Record], workers: int) -> None:
    alone = list(training_batches(stream_of(records), 4, 0, 7, 0))
    helped = list(training_batches(stream_of(records), 4, 0, 7, workers))
    assert len(alone) == len(helped) == 7
    assert all(map(same, alone, helped))


def test_a_stream_that_begins_in_the_middle_goes_on_to_the_same_bits(records: list[Record]) -> None:
    complete = list(training_batches(stream_of(records), 4, 0, 7, 0))
    torch.manual_seed(99)  # whatever the caller drew before
    rest = list(training_batches(stream_of(records), 4, 3, 7, 0))
    assert all(map(same, complete[3:], rest))


def test_what_the_caller_draws_is_not_disturbed(records: list[Record]) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    next(training_batches(stream_of(records), 4, 0, 1, 0))
    assert torch.equal(torch.rand(3), expected)


def test_every_picture_comes_exactly_once_an_epoch(records: list[Record]) -> None:
    order = Order(target_tensor(records), seed=1)
    epochs = [[order(epoch * 13 + index) for index in range(13)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(13)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    # 13 batches of 4 are 4 epochs, though no epoch is a whole number of batches.
    keys = Counter(key for batch in training_batches(stream_of(records), 4, 0, 13, 0) for key in batch.keys)
    assert keys == {record.key: 4 for record in records}


def test_another_seed_is_another_order_and_another_variation(records: list[Record]) -> None:
    orders = [[Order(target_tensor(records), seed)(i) for i in range(13)] for seed in range(4)]
    assert len({tuple(order) for order in orders}) == 4
    one, other = stream_of(records, seed=0), stream_of(records, seed=1)
    index = next(i for i in range(13) if other.order(i) == one.order(0))
    varied, differently = one[0], other[index]
    assert isinstance(varied, tuple)
    assert isinstance(differently, tuple)
    assert varied[2] == differently[2]
    assert not torch.equal(varied[0], differently[0])


def test_a_picture_is_varied_anew_in_each_epoch(records: list[Record]) -> None:
    stream = stream_of(records)
    index = next(i for i in range(13, 26) if stream.order(i) == stream.order(0))
    first, second = stream[0], stream[index]
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    assert first[2] == second[2]
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize(
    ("balance", "share_of_fear"), [(0.0, 1 / 13), (1.0, 1 / 3), (0.5, 1 / (1 + 2 * 6**0.5))]
)
def test_balance_makes_rare_emotions_as_frequent_as_it_should(
    records: list[Record], balance: float, share_of_fear: float
) -> None:
    order = Order(target_tensor(records), 0, balance)
    drawn = Counter(records[order(i)].target.top for i in range(13 * 300))
    assert drawn["fear"] / drawn.total() == pytest.approx(share_of_fear, abs=0.04)


def test_targets_and_keys_belong_to_their_pictures(records: list[Record]) -> None:
    by_key = {record.key: record for record in records}
    for batch in training_batches(stream_of(records), 5, 0, 3, 0):
        assert batch.pixels.shape == (5, 3, 16, 16)
        assert batch.pixels.dtype == torch.uint8
        assert torch.equal(batch.targets, target_tensor([by_key[key] for key in batch.keys]))


def test_a_stream_can_be_sent_to_another_process(records: list[Record]) -> None:
    stream = stream_of(records)
    sent = pickle.loads(pickle.dumps(stream))
    first, second = stream[3], sent[3]
    assert isinstance(first, tuple)
    assert torch.equal(first[0], second[0])
    assert first[2] == second[2]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_picture_ends_training_with_its_own_error(
    records: list[Record], tmp_path: Path, workers: int
) -> None:
    (tmp_path / "bad.png").write_bytes((records[0].path).read_bytes()[:300])
    bad = [*records[:4], Record("bad.png", tmp_path / "bad.png", MIKELS.only("awe"))]
    with pytest.raises(PictureDamaged, match=r"bad\.png") as caught:
        list(training_batches(stream_of(bad), 5, 0, 1, workers))
    assert caught.value.path == str(tmp_path / "bad.png")


def test_nothing_to_train_on_is_an_error(records: list[Record]) -> None:
    empty = TrainingStream([], Order(torch.zeros(0, 8), 0), STRONG, SIZE, file_reader(SIZE))
    with pytest.raises(EmptySplit):
        next(training_batches(empty, 4, 0, 1, 0))
    with pytest.raises(SettingsError, match="batch_size"):
        next(training_batches(stream_of(records), 0, 0, 1, 0))


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_keeps_the_order_and_reports_what_it_could_not_read(
    records: list[Record], tmp_path: Path, workers: int
) -> None:
    (tmp_path / "empty.png").touch()
    listed = [*records[:5], Record("empty.png", tmp_path / "empty.png", MIKELS.only("awe")), *records[5:]]
    data = EvaluationSet(listed, SIZE, file_reader(SIZE))
    steps = list(evaluation_batches(data, 4, workers))
    assert [len(bad) + (len(batch.keys) if batch else 0) for batch, bad in steps] == [4, 4, 4, 2]
    batches = [batch for batch, _ in steps if batch]
    assert [key for batch in batches for key in batch.keys] == [record.key for record in records]
    unreadable = [bad for _, group in steps for bad in group]
    assert [(bad.key, type(bad.error)) for bad in unreadable] == [("empty.png", PictureEmpty)]
    assert isinstance(unreadable[0], Unreadable)
    assert unreadable[0].error.path == str(tmp_path / "empty.png")
    expected = to_tensor(SIZE.fit_pixels(file_reader(SIZE)(records[0])))
    assert torch.equal(batches[0].pixels[0], expected)
    assert torch.equal(torch.cat([batch.targets for batch in batches]), target_tensor(records))


def test_a_batch_without_one_readable_picture_is_none_with_its_errors(tmp_path: Path) -> None:
    gone = [Record(f"{n}.png", tmp_path / f"{n}.png", MIKELS.only("awe")) for n in range(3)]
    steps = list(evaluation_batches(EvaluationSet(gone, SIZE, file_reader(SIZE)), 2, 0))
    assert [(batch, len(bad)) for batch, bad in steps] == [(None, 2), (None, 1)]


def test_derived_seeds_differ_and_are_the_same_on_every_machine() -> None:
    assert derived_seed("order", 0, 1) == 8_783_113_041_400_999_520
    seeds = {
        derived_seed(name, seed, n) for name in ("order", "augment") for seed in range(9) for n in range(99)
    }
    assert len(seeds) == 2 * 9 * 99
    assert all(0 <= seed < 2**63 for seed in seeds)


def grouped(labels: list[int], groups: tuple[int, int], count: int, seed: int = 0) -> list[int]:
    order = Order(torch.nn.functional.one_hot(torch.tensor(labels)).float(), seed, groups=groups)
    return [order(position) for position in range(count)]


UNEVEN = [0] * 20 + [1] * 7 + [3] * 3  # no picture of emotion 2


def test_a_grouped_batch_has_so_many_pictures_of_each_emotion() -> None:
    found = grouped(UNEVEN, (3, 4), 12 * 30)
    for start in range(0, len(found), 12):
        assert Counter(UNEVEN[record] for record in found[start : start + 12]) == {0: 4, 1: 4, 3: 4}


def test_a_grouped_order_comes_to_every_picture_of_an_emotion_before_it_comes_to_one_again() -> None:
    found = grouped(UNEVEN, (3, 4), 12 * 35)
    for emotion, pictures in Counter(UNEVEN).items():
        seen = [record for record in found if UNEVEN[record] == emotion]
        for start in range(0, len(seen) - pictures + 1, pictures):
            assert len(set(seen[start : start + pictures])) == pictures


def test_fewer_emotions_than_there_are_come_round_in_turn() -> None:
    labels = [emotion for emotion in range(8) for _ in range(5)]
    found = grouped(labels, (2, 3), 6 * 40)
    for start in range(0, len(found), 6):
        assert sorted(Counter(labels[r] for r in found[start : start + 6]).values()) == [3, 3]
    assert set(Counter(labels[record] for record in found).values()) == {30}


def test_a_grouped_order_depends_on_its_seed_and_on_nothing_before() -> None:
    assert grouped(UNEVEN, (3, 4), 60) == grouped(UNEVEN, (3, 4), 60) != grouped(UNEVEN, (3, 4), 60, seed=1)
    order = Order(torch.nn.functional.one_hot(torch.tensor(UNEVEN)).float(), 0, groups=(3, 4))
    assert order(50) == grouped(UNEVEN, (3, 4), 60)[50]


BRIGHTNESS = Attribute("brightness", LEVELS)
OBJECT = Attribute("object", ("Toy", "Tree", "Zebra"), several=True)


@pytest.fixture(scope="module")
def annotated(records: list[Record]) -> list[Record]:
    """The same pictures: of every third nothing is known, the others are as bright as their number is."""
    known = [{"brightness": (LEVELS[n % 11],), "object": OBJECT.words[: n % 4]} for n in range(len(records))]
    return [replace(r, attributes=known[n] if n % 3 else {}) for n, r in enumerate(records)]


def test_one_word_is_a_position_and_several_are_a_row_and_what_is_not_known_is_below_0() -> None:
    words: list[dict[str, tuple[str, ...]]] = [
        {"brightness": ("0.3",), "object": ("Zebra", "Toy")}, {"object": ()}, {"brightness": ()},
    ]  # fmt: skip
    listed = [Record(str(n), Path(str(n)), MIKELS.only("awe"), known) for n, known in enumerate(words)]
    encoded = attribute_tensors([BRIGHTNESS, OBJECT], listed)
    assert list(encoded) == ["brightness", "object"]
    assert torch.equal(encoded["brightness"], torch.tensor([3, -1, -1]))
    assert torch.equal(encoded["object"], torch.tensor([[1.0, 0, 1], [0, 0, 0], [-1, -1, -1]]))
    assert attribute_tensors([], listed) == {}


def test_words_that_the_attribute_lacks_or_too_many_are_errors_and_no_target() -> None:
    def of(**words: tuple[str, ...]) -> list[Record]:
        return [Record("a.jpg", Path("a.jpg"), MIKELS.only("awe"), words)]

    with pytest.raises(UnknownName, match="Did you mean 'Tree'"):
        attribute_tensors([OBJECT], of(object=("Toy", "Tee")))
    with pytest.raises(BadAttribute, match=r"a\.jpg has several words of brightness: 0\.1, 0\.2"):
        attribute_tensors([BRIGHTNESS], of(brightness=("0.1", "0.2")))


@pytest.mark.parametrize("workers", [0, 1])
def test_attributes_in_training_belong_to_their_pictures(annotated: list[Record], workers: int) -> None:
    by_key = {record.key: record for record in annotated}
    plain = stream_of(annotated)
    stream = TrainingStream(annotated, plain.order, STRONG, SIZE, plain.read, (BRIGHTNESS, OBJECT))
    steps = list(training_batches(stream.with_size(SIZE), 5, 0, 3, workers))
    for batch, without in zip(steps, training_batches(plain, 5, 0, 3, 0), strict=True):
        expected = attribute_tensors([BRIGHTNESS, OBJECT], [by_key[key] for key in batch.keys])
        assert batch.attributes.keys() == expected.keys()
        assert all(torch.equal(batch.attributes[name], expected[name]) for name in expected)
        assert same(batch, without)
        assert without.attributes == {}
    assert any((batch.attributes["brightness"] == -1).any() for batch in steps)


def test_a_stream_of_another_size_is_otherwise_the_same(annotated: list[Record]) -> None:
    plain = stream_of(annotated)
    stream = TrainingStream(annotated, plain.order, STRONG, SIZE, plain.read, (BRIGHTNESS,))
    smaller = stream.with_size(Preprocessing(height=8, width=8))
    assert next(training_batches(smaller, 4, 0, 1, 0)).pixels.shape == (4, 3, 8, 8)
    changed = {name for name, value in vars(stream).items() if vars(smaller)[name] is not value}
    assert changed == {"preprocessing"}


def test_attributes_in_evaluation_come_in_the_order_of_the_records_without_the_unreadable(
    annotated: list[Record], tmp_path: Path
) -> None:
    gone = Record("gone.png", tmp_path / "gone.png", MIKELS.only("awe"), {"brightness": ("1.0",)})
    data = EvaluationSet(
        [*annotated[:5], gone, *annotated[5:]], SIZE, file_reader(SIZE), (BRIGHTNESS, OBJECT)
    )
    batches = [batch for batch, _ in evaluation_batches(data, 4, 0) if batch]
    expected = attribute_tensors([BRIGHTNESS, OBJECT], annotated)
    for name, tensor in expected.items():
        assert torch.equal(torch.cat([batch.attributes[name] for batch in batches]), tensor)


def test_attributes_are_moved_to_pinned_memory_with_the_rest(
    annotated: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = torch.zeros(13, 3, 4, 4, dtype=torch.uint8)
    keys = tuple(record.key for record in annotated)
    batch = Batch(pixels, target_tensor(annotated), keys, attribute_tensors([BRIGHTNESS, OBJECT], annotated))
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    pinned = batch.pin_memory()
    assert same(pinned, batch)
    for name, tensor in batch.attributes.items():
        assert torch.equal(pinned.attributes[name], tensor)
        assert pinned.attributes[name] is not tensor


def test_a_jpeg_is_decoded_large_enough_for_what_is_done_before_the_network(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.jpg")
    record = Record("large.jpg", tmp_path / "large.jpg", MIKELS.only("awe"))
    sides = [file_reader(SIZE, side)(record).shape[1] for side in (0, 20, 40)]
    assert sides == [32, 64, 128]  # JPEGs are halved while they are decoded, down to twice what is needed
