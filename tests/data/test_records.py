from dataclasses import replace
from pathlib import Path

import pytest

from affectlens.attributes import Attribute
from affectlens.data.records import ALL, DataSource, Record, count_emotions, digest, in_vocabulary
from affectlens.emotions import EKMAN, MIKELS, POLARITY, WEBEMO_7, NoConversion
from affectlens.errors import EmptySplit


def record(key: str, emotion: str, root: str = "root") -> Record:
    return Record(key, Path(root, key), MIKELS.only(emotion))


TRAINING = [record("a.jpg", "awe"), record("b.jpg", "fear"), record("c.jpg", "awe")]
HELD_OUT = [record("d.jpg", "sadness")]
SOURCE = DataSource("fi", Path("root"), MIKELS, {"train": TRAINING, "val": HELD_OUT, "test": []})


def test_a_split_comes_in_file_order_and_all_is_every_one() -> None:
    assert SOURCE.split("train") == TRAINING
    assert SOURCE.split(ALL) == [*TRAINING, *HELD_OUT]


@pytest.mark.parametrize("name", ["test", "holdout"])
def test_an_empty_split_is_an_error_that_names_those_with_pictures(name: str) -> None:
    with pytest.raises(EmptySplit, match=f"'{name}'. Splits with pictures: train, val"):
        SOURCE.split(name)


def test_counts_name_every_emotion_of_the_vocabulary() -> None:
    assert SOURCE.counts()["train"] == {**dict.fromkeys(MIKELS.words, 0), "awe": 2, "fear": 1}
    assert list(count_emotions(MIKELS, TRAINING)) == list(MIKELS.words)


def test_the_digest_is_the_same_in_any_order_and_on_any_machine() -> None:
    elsewhere = [replace(r, path=Path("other", r.key)) for r in reversed(TRAINING)]
    assert digest(elsewhere) == digest(TRAINING)


def test_the_digest_changes_with_a_picture_or_a_label() -> None:
    relabelled = [*TRAINING[:2], record("c.jpg", "fear")]
    renamed = [*TRAINING[:2], record("e.jpg", "awe")]
    softened = [*TRAINING[:2], replace(TRAINING[2], target=MIKELS.distribution({"awe": 9, "fear": 1}))]
    versions = [TRAINING, TRAINING[:2], relabelled, renamed, softened, [*TRAINING, TRAINING[0]]]
    assert len({digest(version) for version in versions}) == len(versions)


def test_the_digest_is_that_of_emotions_alone_and_stays_what_it_was() -> None:
    annotated = [replace(r, attributes={"scene": ("beach",)}) for r in TRAINING]
    assert digest(TRAINING) == digest(annotated) == "23cc7abe6bd619dd"


def test_records_with_attributes_differ_by_them_and_can_stand_in_a_set() -> None:
    annotated = replace(TRAINING[0], attributes={"scene": ("beach",)})
    assert annotated != TRAINING[0]
    assert len({TRAINING[0], annotated, replace(annotated)}) == 2


def test_a_source_has_no_attributes_but_those_it_names() -> None:
    assert SOURCE.attributes == ()
    scene = Attribute("scene", ("beach", "street"))
    assert replace(SOURCE, attributes=(scene,)).attributes == (scene,)


def test_labels_are_brought_to_another_vocabulary_and_what_has_no_counterpart_is_left_out() -> None:
    words = {"a.jpg": "joy", "b.jpg": "surprise", "c.jpg": "fear"}
    records = [Record(key, Path(key), EKMAN.only(word)) for key, word in words.items()]
    found = in_vocabulary(DataSource("folder", Path(), EKMAN, {"train": records}), POLARITY)
    assert found.vocabulary == POLARITY
    assert [(r.key, r.target.top) for r in found.split("train")] == [
        ("a.jpg", "positive"), ("c.jpg", "negative"),
    ]  # fmt: skip
    assert "ekman-6 to polarity-2" in found.notes[-1] and "1 pictures" in found.notes[-1]
    assert in_vocabulary(SOURCE, MIKELS) is SOURCE
    with pytest.raises(NoConversion, match="No conversion from mikels-8 to webemo-7"):
        in_vocabulary(SOURCE, WEBEMO_7)
