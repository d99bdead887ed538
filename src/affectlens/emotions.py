"""Words for emotions: vocabularies, distributions over them, and what a conversion loses.

An emotion here is always one that a picture *evokes* in those who look at it. Labels travel by
name, never by index: at least four orders of Mikels' eight emotions are in circulation.

Sources:
    mikels-8    Mikels et al., "Emotional category data on images from the International Affective Picture
                System", Behavior Research Methods 37, 2005, 626-630: amusement, awe, contentment, excitement,
                anger, disgust, fear and sadness; used by FI and EmoSet.
    ekman-6     Ekman, "An argument for basic emotions", 1992; used by Emotion6's folders and Ekman-6 (video).
    emotion6-7  Peng et al., "A Mixed Bag of Emotions", CVPR 2015: Ekman's six and neutral.
    plutchik-8  Plutchik, "A general psychoevolutionary theory of emotion", 1980; used by VideoEmotion-8.
    webemo-*    Panda et al., "Contemplating Visual Emotions", ECCV 2018 (spelling corrected).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from affectlens.errors import AffectLensError, UnknownName

TOLERANCE = 1e-4


class BadDistribution(AffectLensError):
    """Weights that are not a probability distribution: negative, not finite, or all zero."""


class NoConversion(AffectLensError):
    """No mapping between two vocabularies that could be defended."""


class AllDropped(NoConversion):
    """A distribution whose emotions have no counterpart in the other vocabulary."""


@dataclass(frozen=True)
class Vocabulary:
    """An ordered list of emotion words.

    `name` identifies it in model folders; `words` are canonical and lower case; `aliases` maps
    spellings found in data sets to canonical words.
    """

    name: str
    words: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(set(self.words)) != len(self.words) or not self.words:
            raise BadDistribution(f"The vocabulary {self.name} repeats a word or has none: {self.words}.")

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
        lowered = name.strip().lower()
        if lowered in self._positions:
            return lowered
        if lowered in self.aliases:
            return self.aliases[lowered]
        raise UnknownName("emotion", name, self.words, f"the vocabulary {self.name}")

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
            values[self.index(name)] += float(weight)
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
        if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in values):
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
    mapping = next((m for m in MAPPINGS if (m.source, m.target) == (source, target)), None)
    if mapping is None:
        known = [f"{m.source.name} to {m.target.name}" for m in MAPPINGS]
        raise NoConversion(f"No conversion from {source.name} to {target.name}. Known: {', '.join(known)}.")
    sums: dict[str, float] = {}
    for word, weight in distribution.weights.items():
        new = mapping.words[word]
        if new is not None:
            sums[new] = sums.get(new, 0.0) + max(0.0, weight)  # a hair below 0 counts as 0
    kept = math.fsum(sums.values())
    if kept <= 0:
        raise AllDropped(f"All weight of {distribution} has no counterpart in {target.name}: {mapping.lost}")
    return Conversion(target.distribution(sums), mapping.lost, max(0.0, 1.0 - kept))


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


@lru_cache(maxsize=32)
def polarity_signs(vocabulary: Vocabulary) -> Mapping[str, int]:
    """Map each word to 1 where it is a positive feeling, -1 where a negative one, 0 where neither is known.

    >>> dict(polarity_signs(EKMAN))["joy"], dict(polarity_signs(EKMAN))["surprise"]
    (1, 0)
    """
    signs = {}
    for word in vocabulary.words:
        polarity = polarity_of(vocabulary.only(word))
        signs[word] = 0 if polarity is None else 1 if polarity.top == "positive" else -1
    return signs


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
    wanted = sorted({label.strip().lower() for label in labels})
    candidates = VOCABULARIES.values()
    strangers = {v.name: [w for w in wanted if w not in v.words and w not in v.aliases] for v in candidates}
    nearest = min(candidates, key=lambda v: len(strangers[v.name]))
    if strangers[nearest.name]:
        raise UnknownName(
            "emotion", strangers[nearest.name][0], nearest.words, f"the nearest vocabulary, {nearest.name}"
        )
    return nearest


MIKELS = Vocabulary(
    "mikels-8",
    ("amusement", "awe", "contentment", "excitement", "anger", "disgust", "fear", "sadness"),
    {
        "amuse": "amusement",
        "content": "contentment",
        "excit": "excitement",
        "excite": "excitement",
        "angry": "anger",
        "sad": "sadness",
    },
)
_SPELLINGS = {"angry": "anger", "happy": "joy", "happiness": "joy", "sad": "sadness", "surprised": "surprise"}
EKMAN = Vocabulary("ekman-6", ("anger", "disgust", "fear", "joy", "sadness", "surprise"), _SPELLINGS)
EMOTION6 = Vocabulary("emotion6-7", (*EKMAN.words, "neutral"), _SPELLINGS)
PLUTCHIK = Vocabulary(
    "plutchik-8",
    ("anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust"),
    _SPELLINGS,
)
POLARITY = Vocabulary("polarity-2", ("positive", "negative"), {"pos": "positive", "neg": "negative"})
WEBEMO_25 = Vocabulary(
    "webemo-25",
    (
        "affection", "cheerfulness", "confusion", "contentment", "disappointment", "disgust", "enthrallment",
        "envy", "exasperation", "gratitude", "horror", "irritability", "lust", "neglect", "nervousness",
        "optimism", "pride", "rage", "relief", "sadness", "shame", "suffering", "surprise", "sympathy",
        "zest",
    ),
    {"cheerfullness": "cheerfulness", "irritabilty": "irritability"},
)  # fmt: skip
WEBEMO_7 = Vocabulary("webemo-7", ("love", "joy", "confusion", "sadness", "anger", "fear", "surprise"))

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


MAPPINGS: tuple[_Mapping, ...] = (
    _by_target(
        MIKELS, POLARITY, "which of the four positive or four negative emotions it is",
        {"positive": "amusement awe contentment excitement", "negative": "anger disgust fear sadness"},
    ),
    _by_target(
        EKMAN, POLARITY, "which emotion it is; surprise is neither positive nor negative and is dropped",
        {"positive": "joy", "negative": "anger disgust fear sadness"},
    ),
    _by_target(
        EMOTION6, POLARITY, "which emotion it is; surprise and neutral have no polarity and are dropped",
        {"positive": "joy", "negative": "anger disgust fear sadness"},
    ),
    _by_target(
        PLUTCHIK, POLARITY,
        "which emotion it is; surprise and anticipation count as positive, as in Zhao et al., AAAI 2020",
        {"positive": "anticipation joy surprise trust", "negative": "anger disgust fear sadness"},
    ),
    _by_target(
        WEBEMO_7, POLARITY, "which emotion it is; confusion counts as negative and surprise as positive",
        {"positive": "love joy surprise", "negative": "confusion sadness anger fear"},
    ),
    _by_target(
        WEBEMO_25, POLARITY, "which emotion it is; confusion counts as negative and surprise as positive",
        {
            "positive": "affection cheerfulness contentment enthrallment gratitude lust optimism pride "
            "relief surprise zest",
            "negative": "confusion disappointment disgust envy exasperation horror irritability neglect "
            "nervousness rage sadness shame suffering sympathy",
        },
    ),
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
