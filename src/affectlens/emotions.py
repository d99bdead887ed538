"""Words for emotions: vocabularies, distributions over them, and what a conversion loses.

An emotion here is always one that a picture *evokes* in those who look at it. Labels travel by
name, never by index: at least four orders of Mikels' eight emotions are in circulation.

A vocabulary is a small TOML file (`read_vocabulary`, docs/vocabularies.md). Those of published data sets come
with the package, `vocabularies/*.toml`, each with its source; any other has words of its own.
"""

import json
import math
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from affectlens.errors import AffectLensError, UnknownName

TOLERANCE = 1e-4
LOWEST_VALENCE, HIGHEST_VALENCE = 1.0, 9.0  # of the scale of the International Affective Picture System
# Words that are columns of tables: of data sets, of predictions, and of films.
RESERVED = frozenset({
    "path", "image", "file", "filename", "label", "emotion", "emotions", "split", "group",
    "top", "polarity", "attributes", "brightness", "colourfulness", "predicted_attributes", "because",
    "model", "weights", "version", "engine", "precision", "error", "error_type", "error_message",
    "second", "frame", "shot", "start", "end", "duration", "begins", "transition", "key_second", "samples",
    "smoothed", "valence", "arousal", "unusual", "set", "coverage", "min_confidence", "uncertainty", "reused",
})  # fmt: skip
RESERVED_BEGINNINGS = ("smoothed_", "error_")
LONGEST_WORD = 60  # characters
_SIGNS = {"positive": 1, "negative": -1}
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_BUILT_IN = Path(__file__).with_name("vocabularies")


class BadDistribution(AffectLensError):
    """Weights that are not a probability distribution: negative, not finite, or all zero."""


class BadVocabulary(BadDistribution):
    """Words that cannot be a vocabulary, or facts of words that cannot be."""


class NoConversion(AffectLensError):
    """No mapping between two vocabularies that could be defended."""


class AllDropped(NoConversion):
    """A distribution whose emotions have no counterpart in the other vocabulary."""


@dataclass(frozen=True)
class Vocabulary:
    """An ordered list of emotion words. Name and words are what it is; the rest are optional facts of words.

    Attributes:
        name: identifies it in model folders
        words: canonical: lower case, in Unicode's composed form (NFC)
        aliases: spellings found in data sets -> canonical words
        polarity: words that are a positive or a negative feeling -> `positive` or `negative`
        colours: `#rrggbb` by word
        valence: how pleasant a word is, 1 to 9
        lost: what bringing its words to positive and negative loses, a clause
    """

    name: str
    words: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    polarity: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    colours: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    valence: Mapping[str, float] = field(default_factory=dict, compare=False, repr=False)
    lost: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        _require_texts(self.name, self.words)
        if len(set(self.words)) != len(self.words) or not self.words:
            raise BadVocabulary(f"The vocabulary {self.name} repeats a word or has none: {self.words}.")
        for problem in _wrong_facts(self):
            raise BadVocabulary(f"The vocabulary {self.name} cannot be: {problem}.")

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {word: position for position, word in enumerate(self.words)}

    def word(self, name: str) -> str:
        """Return the canonical word for a name or alias, whatever its case.

        Raises `UnknownName` with the nearest word.

        >>> MIKELS.word("Amuse"), MIKELS.word("excit")
        ('amusement', 'excitement')
        """
        found = self._found(name)
        if found is None:
            raise UnknownName("emotion", name, self.words, f"the vocabulary {self.name}")
        return found

    def knows(self, name: str) -> bool:
        """Whether a name is a word or an alias, whatever its case and however its accents are stored."""
        return self._found(name) is not None

    def _found(self, name: object) -> str | None:
        if not isinstance(name, str):  # an index, for example
            raise UnknownName("emotion", str(name), self.words, f"the vocabulary {self.name}")
        plain = name if name in self._positions else plain_word(name)
        return plain if plain in self._positions else self.aliases.get(plain)

    @cached_property
    def signs(self) -> Mapping[str, int]:
        """1 for each word that is a positive feeling, -1 for a negative one, 0 where neither is known.

        >>> EKMAN.signs["joy"], EKMAN.signs["surprise"]
        (1, 0)
        """
        sides = {word: word for word in self.words} if self == POLARITY else self.polarity
        return {word: _SIGNS.get(sides.get(word, ""), 0) for word in self.words}

    def index(self, name: str) -> int:
        """Return the position of a word or alias in `words`."""
        return self._positions[self.word(name)]

    def only(self, name: str) -> "EmotionDistribution":
        """Put all weight on one word: the target of a single label."""
        position = self.index(name)
        return EmotionDistribution(self, tuple(float(i == position) for i in range(len(self))))

    def distribution(self, weights: Mapping[str, float]) -> "EmotionDistribution":
        """Normalise weights or votes by word to sum 1; words left out have weight 0.

        Raises `UnknownName`, or `BadDistribution` where a weight is negative or none is positive.

        >>> str(MIKELS.distribution({"awe": 3, "content": 1}))
        'awe 75 %, contentment 25 %'
        """
        values = [0.0] * len(self)
        for name, weight in weights.items():
            try:
                values[self.index(name)] += float(weight)
            except (TypeError, ValueError):
                raise BadDistribution(f"The weight of {name} is {weight!r}, not a number.") from None
        total = sum(values)
        if not math.isfinite(total) or total <= 0 or min(values) < 0:
            raise BadDistribution(f"Weights must be finite, not negative, and not all zero: {dict(weights)}.")
        total = math.fsum(values)
        return EmotionDistribution(self, tuple(value / total for value in values))


@dataclass(frozen=True)
class EmotionDistribution:
    """Probabilities of a vocabulary's words, in its order: what a picture evokes.

    Raises `BadDistribution` unless there is one probability a word, each in 0..1, with sum 1.
    """

    vocabulary: Vocabulary
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        values = self.probabilities
        if len(values) != len(self.vocabulary):
            raise BadDistribution(
                f"{len(values)} probabilities for the {len(self.vocabulary)} words of {self.vocabulary.name}."
            )
        try:
            is_inside = all(-TOLERANCE <= value <= 1 + TOLERANCE for value in values)
        except TypeError:
            raise BadDistribution(f"Probabilities must be numbers: {values}.") from None
        if not is_inside:
            raise BadDistribution(f"Probabilities must lie between 0 and 1: {values}.")
        if abs(math.fsum(values) - 1) > TOLERANCE:
            raise BadDistribution(f"Probabilities must sum to 1, not {math.fsum(values):.6f}.")

    @property
    def top(self) -> str:
        """The most probable word; the first in vocabulary order among equals."""
        return max(zip(self.vocabulary.words, self.probabilities, strict=True), key=lambda pair: pair[1])[0]

    @property
    def weights(self) -> dict[str, float]:
        """Probability by word, in vocabulary order."""
        return dict(zip(self.vocabulary.words, self.probabilities, strict=True))

    @property
    def ranked(self) -> list[tuple[str, float]]:
        """Words with probabilities, most probable first."""
        return sorted(self.weights.items(), key=lambda pair: -pair[1])

    @property
    def polarity(self) -> "EmotionDistribution":
        """Probability of a positive and of a negative feeling. See `convert` for what is lost."""
        return convert(self, POLARITY).distribution

    def __getitem__(self, name: str) -> float:
        return self.probabilities[self.vocabulary.index(name)]

    def __str__(self) -> str:
        shown = [f"{word} {value:.0%}".replace("%", " %") for word, value in self.ranked if value >= 0.005]
        return ", ".join(shown)


@dataclass(frozen=True)
class Conversion:
    """A converted distribution and what was lost on the way, in words."""

    distribution: EmotionDistribution
    lost: str
    dropped: float  # share of the original weight without a counterpart in the new vocabulary


@dataclass(frozen=True)
class _Mapping:
    """For each word of a source vocabulary its word in the target, or None where it has no counterpart."""

    source: Vocabulary
    target: Vocabulary
    words: Mapping[str, str | None]
    lost: str


def convert(distribution: EmotionDistribution, target: Vocabulary) -> Conversion:
    """Express a distribution in another vocabulary, and state what that loses.

    Weight of words without a counterpart is dropped and the rest renormalised. Raises
    `NoConversion` where no mapping is known, and `AllDropped` where all weight would be.

    >>> convert(MIKELS.distribution({"awe": 3, "fear": 1}), POLARITY).distribution.weights
    {'positive': 0.75, 'negative': 0.25}
    """
    source = distribution.vocabulary
    if source == target:
        return Conversion(distribution, "nothing", 0.0)
    mapping = _mapping(source, target)
    sums: dict[str, float] = {}
    for word, weight in distribution.weights.items():
        new = mapping.words[word]
        if new is not None:
            sums[new] = sums.get(new, 0.0) + max(0.0, weight)  # a hair below 0 counts as 0
    kept = math.fsum(sums.values())
    if kept <= 0:
        raise AllDropped(f"All weight of {distribution} has no counterpart in {target.name}: {mapping.lost}")
    return Conversion(target.distribution(sums), mapping.lost, max(0.0, 1.0 - kept))


def _mapping(source: Vocabulary, target: Vocabulary) -> _Mapping:
    if target == POLARITY and source.polarity:
        return _to_polarity(source)
    found = next((m for m in MAPPINGS if (m.source, m.target) == (source, target)), None)
    if found is not None:
        return found
    if target == POLARITY and source.name not in VOCABULARIES:
        raise NoConversion(
            f"The words of {source.name} have no polarity. List them under [polarity] in its "
            "vocabulary.toml, as positive = [...] and negative = [...]."
        )
    known = [f"{m.source.name} to {m.target.name}" for m in MAPPINGS]
    raise NoConversion(f"No conversion from {source.name} to {target.name}. Known: {', '.join(known)}.")


def polarity_of(emotions: EmotionDistribution) -> EmotionDistribution | None:
    """Return the probability of a positive and of a negative feeling; None where words have no polarity."""
    try:
        return emotions.polarity
    except NoConversion:
        return None


def polarity_score(emotions: EmotionDistribution) -> float | None:
    """Return the probability of a positive minus that of a negative feeling, in -1..1; None without polarity.

    >>> polarity_score(MIKELS.distribution({"awe": 3, "fear": 1}))
    0.5
    """
    polarity = polarity_of(emotions)
    return None if polarity is None else polarity["positive"] - polarity["negative"]


def polarity_sums(emotions: EmotionDistribution) -> EmotionDistribution | None:
    """Return `polarity_of` for rows, whose columns are words; None where sums would have the name of a word.

    So it is where `positive` or `negative` is one of several words; of both alone it is themselves.
    """
    return None if names_polarity(emotions.vocabulary.words) else polarity_of(emotions)


def valence_of(emotions: EmotionDistribution) -> float | None:
    """Return the mean valence, 1 to 9, of the words that have one; None where none of these has weight.

    >>> words = Vocabulary("moods", ("cosy", "odd", "bleak"), valence={"cosy": 8.0, "bleak": 2.0})
    >>> valence_of(words.distribution({"cosy": 3, "odd": 6, "bleak": 1}))
    6.5
    """
    valence = emotions.vocabulary.valence
    weights = {word: max(0.0, emotions[word]) for word in valence}
    total = math.fsum(weights.values())
    return math.fsum(weights[word] * valence[word] for word in valence) / total if total > 0 else None


def names_polarity(words: Iterable[str]) -> bool:
    """Whether `positive` or `negative` is one among other words.

    >>> names_polarity(["positive", "negative"]), names_polarity(["positive", "negative", "neutral"])
    (False, True)
    """
    own = set(words)
    return not own.isdisjoint(POLARITY.words) and own != set(POLARITY.words)


def polarity_signs(vocabulary: Vocabulary) -> Mapping[str, int]:
    """Return `Vocabulary.signs`: 1 for a positive feeling, -1 for a negative one, 0 for neither."""
    return vocabulary.signs


def by_polarity(vocabulary: Vocabulary) -> list[str]:
    """Return the words with positive ones first and negative ones last, otherwise in their own order.

    >>> by_polarity(EKMAN)
    ['joy', 'surprise', 'anger', 'disgust', 'fear', 'sadness']
    """
    signs = polarity_signs(vocabulary)
    return sorted(vocabulary.words, key=lambda word: -signs[word])


def vocabulary(name: str) -> Vocabulary:
    """Find a vocabulary by name, or the first of that name without its number. Raises `UnknownName`.

    >>> vocabulary("mikels-8") is MIKELS, vocabulary("polarity") is POLARITY
    (True, True)
    """
    if name in VOCABULARIES:
        return VOCABULARIES[name]
    for known in VOCABULARIES.values():
        if known.name.rpartition("-")[0] == name:
            return known
    raise UnknownName("vocabulary", name, VOCABULARIES, "this version")


def find_vocabulary(labels: Iterable[str]) -> Vocabulary:
    """Find the first listed vocabulary that knows all labels of a data set, by word or alias.

    Raises `UnknownName` for the label that keeps the nearest vocabulary from fitting.

    >>> find_vocabulary(["amuse", "sad", "fear"]).name
    'mikels-8'
    """
    wanted = sorted({plain_word(label) for label in labels})
    candidates = VOCABULARIES.values()
    strangers = {v.name: [w for w in wanted if w not in v.words and w not in v.aliases] for v in candidates}
    nearest = min(candidates, key=lambda v: len(strangers[v.name]))
    if strangers[nearest.name]:
        raise UnknownName(
            "emotion", strangers[nearest.name][0], nearest.words, f"the nearest vocabulary, {nearest.name}"
        )
    return nearest


# ---------------------------------------------------------------------------------------------------- files


class _Polarity(msgspec.Struct, forbid_unknown_fields=True):
    positive: list[str] = []
    negative: list[str] = []


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    """A vocabulary as a TOML file, or a model's card, holds it; `Vocabulary` explains the keys."""

    words: list[str] = []
    name: str = ""
    aliases: dict[str, str] = {}
    polarity: _Polarity = msgspec.field(default_factory=_Polarity)
    colours: dict[str, str] = {}
    valence: dict[str, float] = {}
    lost: str = ""


def plain_word(text: str) -> str:
    """Return a word as vocabularies have it: lower case, in composed Unicode (NFC), single spaces.

    >>> plain_word(" So  So "), plain_word("A\u030angest") == "\u00e5ngest"
    ('so so', True)
    """
    if text.isascii():
        return " ".join(text.lower().split())
    return " ".join(unicodedata.normalize("NFC", text.lower()).split())


def read_vocabulary(file: Path) -> Vocabulary:
    """Read the vocabulary of a TOML file; one with the name of a known vocabulary alone is that one.

    Raises `BadVocabulary` with the file's name.
    """
    if file.exists() and not file.is_file() and not file.is_dir():  # reading it may never end
        raise BadVocabulary(f"The vocabulary {file} is a pipe or a device. Save it as a file first.")
    try:
        return vocabulary_of_plain(tomllib.loads(file.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise BadVocabulary(f"The vocabulary {file} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError, AffectLensError) as error:
        raise BadVocabulary(f"{file}: {str(error).rstrip('.')}.") from None


def vocabulary_of_plain(plain: Mapping[str, Any]) -> Vocabulary:
    """Make a vocabulary of what its TOML file or `to_plain` has.

    Raises `ValueError` for keys and types that do not belong there, and `BadVocabulary` for words that cannot
    be.
    """
    stored = msgspec.convert(dict(plain), _Stored)
    if stored.name and set(plain) == {"name"}:
        return vocabulary(stored.name)
    name = " ".join(stored.name.split()) or own_name(stored.words)
    if name in VOCABULARIES:
        raise BadVocabulary(f"{name} is the name of a known vocabulary. Choose another, or leave it out.")
    sides = {"positive": stored.polarity.positive, "negative": stored.polarity.negative}
    both = set(map(plain_word, sides["positive"])) & set(map(plain_word, sides["negative"]))
    if both:
        raise BadVocabulary(f"{both.pop()!r} is both positive and negative. List it under one, or neither.")
    return own_vocabulary(
        stored.words,
        name,
        aliases={plain_word(alias): plain_word(word) for alias, word in stored.aliases.items()},
        polarity={plain_word(word): side for side, words in sides.items() for word in words},
        colours={plain_word(word): colour for word, colour in stored.colours.items()},
        valence={plain_word(word): value for word, value in stored.valence.items()},
        lost=stored.lost,
    )


def own_name(words: Sequence[str]) -> str:
    """Return the name of a vocabulary that was given none: `own-` and how many words it has."""
    return f"own-{len(words)}"


def own_vocabulary(words: Sequence[str], name: str = "", **facts: Any) -> Vocabulary:
    """Make a vocabulary of words that may be any; `facts` are those of `Vocabulary`.

    Raises `BadVocabulary` for fewer than two words, one that is there twice, and one that cannot be a word.
    """
    plain = [plain_word(word) for word in words]
    for word in plain:
        if problem := _wrong_word(word):
            raise BadVocabulary(f"{word!r} cannot be a word for an emotion: {problem}.")
    if repeated := sorted(word for word, times in Counter(plain).items() if times > 1):
        raise BadVocabulary(f"The word {repeated[0]!r} is there twice (case does not count). Write it once.")
    known: set[str] = set()
    for word, letters in zip(plain, map(_letters, plain), strict=True):
        if letters in known:
            raise BadVocabulary(
                f"{word!r} and another word differ by spaces or signs alone. Change one of them."
            )
        known.add(letters)
    if len(plain) < 2:
        raise BadVocabulary(f"A vocabulary needs two words or more, not only {', '.join(plain) or 'none'}.")
    return Vocabulary(name or own_name(plain), tuple(plain), **facts)


def _letters(word: str) -> str:
    """A word without spaces and signs: files are named by it."""
    return "".join(filter(str.isalnum, word))


def _wrong_word(word: str) -> str:
    if not _letters(word):
        return "it has no letter"
    if not word.isprintable():
        return "it has characters that cannot be shown"
    if len(word) > LONGEST_WORD:
        return f"it is longer than {LONGEST_WORD} characters"
    if word in RESERVED or word.startswith(RESERVED_BEGINNINGS):
        return "tables have a column of this name. Choose another word, as a plural"
    return ""


def _require_texts(name: str, words: object) -> None:
    """Raise `BadVocabulary` for words that are not several texts, as one text or numbers."""
    if isinstance(words, str) or not isinstance(words, Iterable):
        raise BadVocabulary(f"The words of the vocabulary {name} are a tuple of words, not {words!r}.")
    for word in words:
        if not isinstance(word, str):
            raise BadVocabulary(f"The vocabulary {name} cannot have the word {word!r}: it is not text.")


def _wrong_facts(given: Vocabulary) -> Iterable[str]:
    """Yield what in the facts of words cannot be."""
    words = set(given.words)
    for name in ("polarity", "colours", "valence"):
        for word in getattr(given, name):
            if word not in words:
                yield f"{name} has {word!r}, which is not one of its words"
    for alias, word in given.aliases.items():
        if word not in words or alias in words:
            yield f"the alias {alias!r} of {word!r} leads to no word of it, or is a word itself"
    values = (
        ("polarity", lambda side: side in ("positive", "negative"), "positive or negative"),
        ("colours", _COLOUR.fullmatch, "as #1a2b3c"),
        ("valence", lambda value: LOWEST_VALENCE <= value <= HIGHEST_VALENCE, "1 to 9"),
    )
    for name, possible, expected in values:
        for word, value in getattr(given, name).items():
            if not possible(value):
                yield f"{name} of {word!r} is {value!r}, not {expected}"


def to_plain(given: Vocabulary) -> dict[str, Any]:
    """Return a vocabulary as plain data: a known one by name and words, another with all that is known of it.

    >>> to_plain(POLARITY)
    {'name': 'polarity-2', 'words': ['positive', 'negative']}
    """
    plain: dict[str, Any] = {"name": given.name, "words": list(given.words)}
    if is_known(given):
        return plain
    if given.polarity:
        sides = ("positive", "negative")
        plain["polarity"] = {
            s: [word for word in given.words if given.polarity.get(word) == s] for s in sides
        }
    for name in ("aliases", "colours", "valence", "lost"):
        if value := getattr(given, name):
            plain[name] = value if isinstance(value, str) else dict(value)
    return plain


def to_toml(given: Vocabulary) -> str:
    """Return the text of a file that `read_vocabulary` reads as this vocabulary.

    >>> print(to_toml(POLARITY), end="")
    name = "polarity-2"
    """
    plain = to_plain(given)
    if is_known(given):
        plain = {"name": given.name}
    # As text in JSON, which TOML reads alike; tables come last.
    lines = [f"{name} = {_in_json(value)}" for name, value in plain.items() if not isinstance(value, dict)]
    for name, table in plain.items():
        if isinstance(table, dict):
            lines += [
                "",
                f"[{name}]",
                *(f"{_in_json(key)} = {_in_json(value)}" for key, value in table.items()),
            ]
    return "\n".join(lines) + "\n"


def _in_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def is_known(given: Vocabulary) -> bool:
    """Whether it is a vocabulary that comes with the package, with these words in this order."""
    return VOCABULARIES.get(given.name) == given


def _built_in(name: str) -> Vocabulary:
    """Read a vocabulary that comes with the package; its file is as `read_vocabulary` describes it."""
    plain = tomllib.loads((_BUILT_IN / f"{name}.toml").read_text(encoding="utf-8"))
    stored = msgspec.convert(plain, _Stored)
    polarity = dict.fromkeys(stored.polarity.positive, "positive")
    polarity |= dict.fromkeys(stored.polarity.negative, "negative")
    return Vocabulary(stored.name, tuple(stored.words), stored.aliases, polarity, lost=stored.lost)


MIKELS = _built_in("mikels-8")
EKMAN = _built_in("ekman-6")
EMOTION6 = _built_in("emotion6-7")
PLUTCHIK = _built_in("plutchik-8")
POLARITY = _built_in("polarity-2")
WEBEMO_25 = _built_in("webemo-25")
WEBEMO_7 = _built_in("webemo-7")

# Searched in this order by `find_vocabulary`: of two that fit, the one met more often in data sets.
VOCABULARIES: dict[str, Vocabulary] = {
    v.name: v for v in (MIKELS, POLARITY, EKMAN, EMOTION6, PLUTCHIK, WEBEMO_7, WEBEMO_25)
}

# Mikels' emotions on a circle, as in Yang et al., "A Circular-Structured Representation for Visual
# Emotion Distribution Learning", CVPR 2021: the j-th stands at the angle (2j - 1) * pi / 8.
MIKELS_CIRCLE = ("sadness", "fear", "excitement", "awe", "contentment", "amusement", "anger", "disgust")


def _by_target(source: Vocabulary, target: Vocabulary, lost: str, groups: Mapping[str, str]) -> _Mapping:
    """Turn 'new word': 'old words' into a mapping; old words that are not named have no counterpart."""
    words: dict[str, str | None] = dict.fromkeys(source.words)
    for new, old in groups.items():
        words.update(dict.fromkeys(old.split(), target.word(new)))
    return _Mapping(source, target, words, lost)


def _to_polarity(source: Vocabulary) -> _Mapping:
    """Bring words to positive and negative by their own polarity; words without one are dropped."""
    words = {word: source.polarity.get(word) for word in source.words}
    without = [word for word, side in words.items() if side is None]
    dropped = f"; without a polarity and dropped: {', '.join(without)}" if without else ""
    return _Mapping(source, POLARITY, words, source.lost or f"which emotion it is{dropped}")


MAPPINGS: tuple[_Mapping, ...] = (
    *(_to_polarity(v) for v in (MIKELS, EKMAN, EMOTION6, PLUTCHIK, WEBEMO_7, WEBEMO_25)),
    _by_target(
        WEBEMO_25, WEBEMO_7, "which of the 25 emotions within each family it is",
        {
            "love": "affection gratitude lust",
            "joy": "cheerfulness contentment enthrallment optimism pride relief zest",
            "confusion": "confusion",
            "sadness": "disappointment neglect sadness shame suffering sympathy",
            "anger": "disgust envy exasperation irritability rage",
            "fear": "horror nervousness",
            "surprise": "surprise",
        },
    ),
    _by_target(
        MIKELS, EKMAN, "amusement, contentment and excitement all become joy; awe has no counterpart and is "
        "dropped; surprise is never given",
        {"joy": "amusement contentment excitement", "anger": "anger", "disgust": "disgust", "fear": "fear",
         "sadness": "sadness"},
    ),
    # Not awe to fear and surprise, of which it is Plutchik's dyad: Mikels' awe is a positive feeling.
    _by_target(
        MIKELS, PLUTCHIK,
        "amusement, contentment and excitement all become joy; awe, which is positive here and between fear "
        "and surprise there, is dropped; anticipation, surprise and trust are never given",
        {"joy": "amusement contentment excitement", "anger": "anger", "disgust": "disgust", "fear": "fear",
         "sadness": "sadness"},
    ),
    _by_target(
        EMOTION6, EKMAN, "neutral is dropped", {word: word for word in EKMAN.words},
    ),
)  # fmt: skip
