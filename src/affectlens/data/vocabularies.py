"""Which vocabulary the labels of a data set are words of.

In this order: the one that was passed; `vocabulary.toml` next to the labels or the pictures; the known one
that has all labels; where at least half of the labels are words of a known one, or nearly so, that one, of
which the others are then misspelt: an error. Else the labels are words of their own.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from affectlens.emotions import (
    VOCABULARIES,
    BadVocabulary,
    Vocabulary,
    find_vocabulary,
    own_vocabulary,
    plain_word,
    read_vocabulary,
    vocabulary,
)
from affectlens.errors import UnknownName
from affectlens.files import is_file, is_pipe_or_device

FILE = "vocabulary.toml"
OWN_WORDS = f"If they are words of their own, list all in {FILE}, in the folder of the data: words = [...]."
_NEARLY = 0.8  # similarity from which a label is taken for a misspelt word
_ACCENTS = range(0x300, 0x370)  # combining marks of the Latin, Greek and Cyrillic scripts


def stored_vocabulary(folders: Iterable[Path]) -> Vocabulary | None:
    """Read `vocabulary.toml` of the first folder that has one. Raises `BadVocabulary`."""
    files = [folder / FILE for folder in folders]
    file = next((file for file in files if is_file(file) or is_pipe_or_device(file)), None)
    return None if file is None else read_vocabulary(file)


def vocabulary_of_labels(labels: Iterable[str]) -> tuple[Vocabulary, tuple[str, ...]]:
    """Find the vocabulary of labels, or make one of them; with a note on what was made.

    Raises `UnknownName` for a label that seems misspelt, and `BadVocabulary` for labels that cannot be words,
    or differ by case or accents alone.
    """
    given = list(dict.fromkeys(label.strip() for label in labels))
    try:
        return find_vocabulary(given), ()
    except UnknownName as error:
        if _is_misspelt(given):
            raise UnknownName("emotion", error.name, error.known, error.where, OWN_WORDS) from None
    require_distinct(given)
    try:
        made = own_vocabulary(sorted(map(plain_word, given)))
    except BadVocabulary as error:
        raise BadVocabulary(f"The labels are of no known vocabulary, and cannot be one. {error}") from None
    note = f"its labels are words of their own, without polarity or colours: {', '.join(made.words)}"
    return made, (f"{note} (docs/vocabularies.md)",)


def named_vocabulary(name: str) -> Vocabulary:
    """Find a vocabulary by its name, or read it where the name is that of a TOML file.

    Raises `UnknownName` or `BadVocabulary`.
    """
    return read_vocabulary(Path(name).expanduser()) if is_file_name(name) else vocabulary(name)


def own_words(name: str) -> Vocabulary | None:
    """Read the vocabulary that data sets are to be read with, where a name is that of a TOML file."""
    return named_vocabulary(name) if is_file_name(name) else None


def is_file_name(name: str) -> bool:
    """Whether the name of a vocabulary is that of a file."""
    return name.lower().endswith(".toml")


def _is_misspelt(labels: Sequence[str]) -> bool:
    """Whether at least half of the labels are words of one known vocabulary, or nearly."""
    words = [plain_word(label) for label in labels]
    for known in VOCABULARIES.values():
        spellings = [*known.words, *known.aliases]
        if 2 * sum(bool(get_close_matches(word, spellings, 1, _NEARLY)) for word in words) >= len(words):
            return True
    return False


def require_distinct(labels: Iterable[str]) -> None:
    """Raise `BadVocabulary` for labels that differ only by case, accents or spaces."""
    alike: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        alike[_without_accents(label)].append(label)
    for same in alike.values():
        if len(same) > 1:
            one, other = same[:2]
            raise BadVocabulary(
                f"The labels {one!r} and {other!r} differ by case, accents or spaces alone. Write one of "
                f"them everywhere, or list the words in {FILE} and the other spelling under [aliases]."
            )


def _without_accents(label: str) -> str:
    decomposed = unicodedata.normalize("NFD", plain_word(label))
    return "".join(letter for letter in decomposed if ord(letter) not in _ACCENTS)
