"""A colour for each word of a vocabulary: the one that it gives, else one of ours that no other word has.

Ours are Tol's muted scheme (Paul Tol, "Colour Schemes", SRON technical note, 2021), which people with any of
the common colour deficiencies can distinguish. Where there are more words than colours, these return in
lighter shades; every drawing names its words as well.
"""

from collections.abc import Iterable, Iterator

from affectlens.emotions import Vocabulary

# Of emotions that are known, the same in every vocabulary.
COLOURS = {
    "amusement": "#DDCC77", "awe": "#88CCEE", "contentment": "#44AA99", "excitement": "#CC6677",
    "anger": "#882255", "disgust": "#999933", "fear": "#332288", "sadness": "#5A7FA8",
    "joy": "#DDCC77", "trust": "#44AA99", "surprise": "#88CCEE", "anticipation": "#CC6677",
}  # fmt: skip
_SCHEME = (
    "#88CCEE", "#CC6677", "#DDCC77", "#117733", "#AA4499", "#44AA99", "#882255", "#999933", "#332288",
    "#5A7FA8", "#661100", "#BBBBBB",
)  # fmt: skip
_TOO_CLOSE = 48  # Euclidean distance of levels, 0 to 255
_SHADES = (0.0, 0.45, 0.7)  # part of white that is mixed in


def colours_of(vocabulary: Vocabulary) -> dict[str, str]:
    """Return a colour, `#rrggbb`, for each word; no two are alike while there are colours left.

    >>> list(colours_of(Vocabulary("own-2", ("cosy", "uncanny"), colours={"uncanny": "#88ccee"})).values())
    ['#CC6677', '#88ccee']
    """
    found: dict[str, str] = dict(vocabulary.colours)
    for word in vocabulary.words:
        known = COLOURS.get(word)
        if word not in found and known and not _is_near(known, found.values()):
            found[word] = known
    free = _free(list(found.values()), len(vocabulary))
    return {word: found.get(word) or next(free) for word in vocabulary.words}


def _free(taken: list[str], count: int) -> Iterator[str]:
    """Yield at least `count` colours: first those that are unlike the taken ones."""
    shades = [_lighter(colour, white) for white in _SHADES for colour in _SCHEME]
    yield from (colour for colour in shades if not _is_near(colour, taken))
    for index in range(count):
        yield shades[index % len(shades)]


def _is_near(colour: str, others: Iterable[str]) -> bool:
    return any(_distance(colour, other) < _TOO_CLOSE for other in others)


def _distance(one: str, other: str) -> float:
    pairs = zip(_levels(one), _levels(other), strict=True)
    return float(sum((a - b) ** 2 for a, b in pairs) ** 0.5)


def _levels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))


def _lighter(colour: str, white: float) -> str:
    if not white:
        return colour
    return "#" + "".join(f"{round(level + white * (255 - level)):02X}" for level in _levels(colour))
