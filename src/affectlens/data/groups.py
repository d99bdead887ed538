"""Which pictures belong together, so that no split has one side of a copy in training and one in the test.

A group holds pictures
    with the same path, or the same bytes
    that are near-duplicates (`near_duplicates`)
    to which the data set gives one `group`: a theme, a scene, a photographer
and those that any of these join to them.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, get_args

from affectlens.data import near_duplicates
from affectlens.data.fingerprints import Fingerprint, NoFingerprint, fingerprints, same_bytes, thumbnails
from affectlens.data.near_duplicates import Match
from affectlens.data.records import Record
from affectlens.errors import SettingsError, UnknownName

Item = TypeVar("Item")

# Whether copies that were cut are looked for too, which takes most of the time; or copies of bytes alone.
Search = Literal["thorough", "quick", "off"]


# Pictures among which copies that were cut are looked for too: the time for it grows with their square.
THOROUGH_UP_TO = 5_000


def search_for(count: int) -> Search:
    """Return how copies are looked for before training on so many pictures."""
    return "thorough" if count <= THOROUGH_UP_TO else "quick"


@dataclass(frozen=True)
class SearchProgress:
    """How far a search for groups is: pictures read, then the fraction of comparisons done, in 0..1."""

    read: int
    compared: float = 0.0


@dataclass(frozen=True)
class Groups:
    """Pictures that belong together.

    Attributes:
        leaders: by the key of each picture that is in a group with others, the first key of its group
        near_duplicates: how many pairs look alike, copies of the same bytes excepted
        search: how they were looked for; None where no one looked
        unreadable: how many pictures could not be read, of which no copies are known
    """

    leaders: Mapping[str, str]
    near_duplicates: int = 0
    search: Search | None = None
    unreadable: int = 0

    def leader(self, key: str) -> str:
        """Return the first key of a picture's group: its own where it is alone."""
        return self.leaders.get(key, key)

    @property
    def count(self) -> int:
        """How many groups have more than one picture."""
        return len(set(self.leaders.values()))

    def __str__(self) -> str:
        if not self.leaders:
            return "no two pictures belong together"
        groups = f"{self.count:,} group{'s' * (self.count != 1)}"
        return f"{len(self.leaders):,} pictures in {groups} of those that belong together"


NO_GROUPS = Groups({})


def find_groups(
    records: Sequence[Record],
    search: Search = "thorough",
    progress: Callable[[SearchProgress], None] = lambda done: None,
) -> Groups:
    """Open all pictures and find those that belong together. One that cannot be read is alone.

    Some milliseconds a picture, then for near-duplicates a time that grows with the square of their number
    (docs/data.md has what it takes). With "off" only files of one size are read. Raises `SettingsError` for
    another `search`.
    """
    if search not in get_args(Search):
        raise SettingsError(
            str(UnknownName("search for near-duplicates", search, get_args(Search), "groups"))
        )
    listed = sorted(records, key=lambda record: record.key)
    pairs = [*_alike(listed, lambda record: record.key), *_alike(listed, lambda record: record.group or None)]
    if search == "off":
        position = {record.path: index for index, record in enumerate(listed)}
        for paths in same_bytes(position):
            pairs += [(position[paths[0]], position[path]) for path in paths[1:]]
        near: list[tuple[int, int]] = []
        unreadable = 0
    else:
        copies, near, unreadable = _near(listed, search == "thorough", progress)
        pairs += copies
    labels = near_duplicates.groups(len(listed), [*pairs, *near])
    joined = {label for index, label in enumerate(labels) if label != index}
    leaders = {
        record.key: listed[label].key for record, label in zip(listed, labels, strict=True) if label in joined
    }
    return Groups(leaders, len(near), search, unreadable)


def look_alike(
    found: Sequence[Fingerprint | NoFingerprint], *, parts: bool, progress: Callable[[float], None]
) -> list[Match]:
    """Find near-duplicates, copies of the same bytes excepted; `picture` and `other` are indices of `found`.

    `parts` and `progress` are those of `near_duplicates.find`.
    """
    read = [(index, each) for index, each in enumerate(found) if isinstance(each, Fingerprint)]
    matches = near_duplicates.find(thumbnails([each for _, each in read]), parts=parts, progress=progress)
    return [
        replace(match, picture=read[match.picture][0], other=read[match.other][0])
        for match in matches
        if read[match.picture][1].content != read[match.other][1].content
    ]


def _near(
    listed: Sequence[Record], parts: bool, progress: Callable[[SearchProgress], None]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]], int]:
    """Pairs of the same bytes, pairs that look alike, and how many pictures could not be read."""
    found = []
    for each in fingerprints(listed):
        found.append(each)
        progress(SearchProgress(len(found)))
    copies = _alike(found, lambda each: each.content if isinstance(each, Fingerprint) else None)
    matches = look_alike(
        found, parts=parts, progress=lambda fraction: progress(SearchProgress(len(listed), fraction))
    )
    unreadable = sum(isinstance(each, NoFingerprint) for each in found)
    return list(copies), [(match.picture, match.other) for match in matches], unreadable


def _alike(items: Sequence[Item], key: Callable[[Item], Hashable | None]) -> Iterator[tuple[int, int]]:
    """Pairs of indices with the same key: each item with the first of that key. None is like nothing."""
    first: dict[Hashable, int] = {}
    for index, item in enumerate(items):
        value = key(item)
        if value is not None and first.setdefault(value, index) != index:
            yield first[value], index
