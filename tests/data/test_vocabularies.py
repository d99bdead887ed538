"""Which vocabulary labels are words of, and which labels are refused."""

import json
from pathlib import Path

import pytest

from affectlens.data import folder, table
from affectlens.data.catalog import open_data
from affectlens.data.records import ALL, in_vocabulary, with_words_of
from affectlens.data.splits import require_learnable
from affectlens.data.vocabularies import FILE, named_vocabulary, vocabulary_of_labels
from affectlens.emotions import MIKELS, POLARITY, BadVocabulary, NoConversion, Vocabulary
from affectlens.errors import BadRow, DatasetError, UnknownName


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_labels_of_no_known_vocabulary_become_words_of_their_own_in_alphabetical_order() -> None:
    made, notes = vocabulary_of_labels(["Uncanny", "cosy", "\u00e5ngest", "joy"])
    assert (made.name, made.words) == ("own-4", ("cosy", "joy", "uncanny", "\u00e5ngest"))
    assert "words of their own" in notes[0] and not made.polarity


def test_known_labels_are_known_and_leave_no_note() -> None:
    assert vocabulary_of_labels(["Amuse", "sad"]) == (MIKELS, ())


@pytest.mark.parametrize(
    ("labels", "named"),
    [(["amusement", "awe", "boredom"], "boredom"), (["amusment", "contentmnt", "awee"], "amusment")],
)
def test_where_half_are_known_or_nearly_the_others_are_misspelt(labels: list[str], named: str) -> None:
    with pytest.raises(UnknownName, match=rf"'{named}' is not an emotion.*words of their own.*{FILE}"):
        vocabulary_of_labels(labels)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["caf\u00e9", "cafe", "bar"], "'caf\u00e9' and 'cafe' differ by case, accents or spaces alone"),
        (["Cosy", "cosy", "odd"], r"'Cosy' and 'cosy' differ.*\[aliases\]"),
        (["cosy"], "needs two words or more, not only cosy"),
        (["cosy", "model"], "'model' cannot be a word for an emotion: tables have a column"),
        (["cosy", "error_rate"], "a column of this name"),
        (["cosy", "odd\u0007"], "cannot be shown"),
        (["cosy", "so so", "so-so"], "'so-so' and another word differ by spaces or signs"),
        (["cosy", "!!"], "no letter"),
        (["cosy", "x" * 61], "longer than 60"),
    ],
)
def test_labels_that_cannot_be_words_are_refused(labels: list[str], reason: str) -> None:
    with pytest.raises(BadVocabulary, match=reason):
        vocabulary_of_labels(labels)


def test_letters_of_a_script_without_accents_are_not_folded() -> None:
    assert len(vocabulary_of_labels(["\u304b", "\u304c"])[0]) == 2


def test_a_file_in_the_folder_holds_the_words_in_its_order_with_their_facts(tmp_path: Path) -> None:
    touch(tmp_path, "Cosy/1.jpg", "snug/2.jpg", "amusment/3.jpg")
    text = 'words = ["cosy", "amusment"]\naliases = {snug = "cosy"}\npolarity = {positive = ["cosy"]}'
    write(tmp_path / FILE, text)
    source = folder.read(tmp_path)
    assert source.vocabulary.words == ("cosy", "amusment") and source.notes == ()
    assert [record.target.top for record in source.split(ALL)] == ["cosy", "amusment", "cosy"]
    assert source.vocabulary.signs == {"cosy": 1, "amusment": 0}


def test_a_folder_that_is_none_of_the_words_of_the_file_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "cozy/1.jpg", "odd/2.jpg")
    write(tmp_path / FILE, 'words = ["cosy", "odd"]')
    with pytest.raises(UnknownName, match="Did you mean 'cosy'"):
        folder.read(tmp_path)


def test_a_table_may_have_labels_of_its_own_words(tmp_path: Path) -> None:
    rows = write(tmp_path / "a.csv", "path,label\n1.jpg,Cosy\n2.jpg,A\u030angest\n")
    source = open_data(f"csv:{rows}")
    assert [record.target.top for record in source.split(ALL)] == ["cosy", "\u00e5ngest"]
    assert any("words of their own" in note for note in source.notes)


def test_columns_of_votes_are_words_of_their_own_only_by_a_file(tmp_path: Path) -> None:
    rows = write(tmp_path / "a.csv", "path,cosy,positive,neutral\n1.jpg,3,1,0\n2.jpg,0,1,3\n")
    with pytest.raises(BadRow, match=rf"line 2: .*{FILE}"):
        table.read(rows)
    write(tmp_path / FILE, 'words = ["neutral", "cosy", "positive"]')
    first, second = table.read(rows).split(ALL)
    assert first.target.weights == {"neutral": 0.0, "cosy": 0.75, "positive": 0.25}
    assert second.target.top == "neutral"


def test_the_file_may_lie_in_the_folder_of_the_pictures(tmp_path: Path) -> None:
    rows = write(
        touch(tmp_path, "pictures/x.jpg", "tables/x") / "tables" / "a.csv", "path,cosy,odd\nx.jpg,1,3\n"
    )
    write(tmp_path / "pictures" / FILE, 'words = ["odd", "cosy"]')
    source = open_data(f"csv:{rows}@{tmp_path / 'pictures'}")
    assert source.vocabulary.words == ("odd", "cosy")


def test_weights_by_word_in_json_lines_are_words_whatever_they_are(tmp_path: Path) -> None:
    rows = [{"path": f"{n}.jpg", "emotions": {"cosy": n, "odd": 1}} for n in (0, 3)]
    file = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert [r.target["cosy"] for r in table.read(file).split(ALL)] == [0.0, 0.75]


def test_a_vocabulary_is_named_or_a_file(tmp_path: Path) -> None:
    file = write(tmp_path / "moods.toml", 'name = "moods"\nwords = ["cosy", "odd"]')
    assert named_vocabulary(str(file)).name == "moods"
    assert named_vocabulary("polarity") is POLARITY
    with pytest.raises(BadVocabulary, match="cannot be read"):
        named_vocabulary(str(tmp_path / "none.toml"))


def test_labels_are_read_by_the_words_that_are_passed(tmp_path: Path) -> None:
    touch(tmp_path, "awe/1.jpg", "cosy/2.jpg")
    words = Vocabulary("moods", ("odd", "cosy", "awe"))
    assert open_data(f"folder:{tmp_path}", words).vocabulary == words
    assert open_data(str(tmp_path), words).vocabulary == words


def test_a_part_of_the_words_in_another_order_is_brought_to_them_by_name(tmp_path: Path) -> None:
    source = folder.read(touch(tmp_path, "awe/1.jpg", "fear/2.jpg"))
    assert source.vocabulary == MIKELS
    words = Vocabulary("moods", ("fear", "cosy", "awe"))
    brought = with_words_of(source, words)
    assert [record.target.top for record in brought.split(ALL)] == ["awe", "fear"]
    assert in_vocabulary(source, words).vocabulary == words
    assert with_words_of(source, Vocabulary("moods", ("fear", "cosy"))) is source


def test_words_with_polarity_are_brought_to_it_and_others_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "cosy/1.jpg", "odd/2.jpg", "bleak/3.jpg")
    with pytest.raises(NoConversion, match=r"no polarity.*\[polarity\]"):
        in_vocabulary(folder.read(tmp_path), POLARITY)
    facts = 'polarity = {positive = ["cosy"], negative = ["bleak"]}'
    write(tmp_path / FILE, f'words = ["cosy", "odd", "bleak"]\n{facts}')
    brought = in_vocabulary(folder.read(tmp_path), POLARITY)
    assert [record.target.top for record in brought.split(ALL)] == ["negative", "positive"]
    assert "odd" in brought.notes[-1] and "1 pictures" in brought.notes[-1]


def test_one_word_or_one_picture_of_a_word_cannot_be_learned(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing to distinguish"):
        require_learnable(folder.read(touch(tmp_path / "one", "awe/1.jpg", "awe/2.jpg")))
    with pytest.raises(DatasetError, match="one picture only of 'odd'"):
        require_learnable(folder.read(touch(tmp_path / "two", "cosy/1.jpg", "cosy/2.jpg", "odd/1.jpg")))
    require_learnable(folder.read(touch(tmp_path / "known", "awe/1.jpg", "awe/2.jpg", "fear/1.jpg")))


def test_a_folder_with_a_table_of_splits_and_words_of_its_own_is_not_fi(tmp_path: Path) -> None:
    write(tmp_path / "splits.tsv", "path\tlabel\tsplit\n1.jpg\tcosy\ttrain\n2.jpg\todd\tval\n")
    assert open_data(str(tmp_path)).name == "table"
    write(tmp_path / "splits.tsv", "path\tlabel\tsplit\n1.jpg\tawe\ttrain\n2.jpg\tfear\tval\n")
    assert open_data(str(tmp_path)).name == "fi"
