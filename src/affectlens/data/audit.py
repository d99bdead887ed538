"""Open every picture of a data set and report what is wrong with it, before a week of training does.

Checked are:
    unreadable pictures
    exact duplicates        files of the same bytes, within a split, across splits, with other labels
    near-duplicates         copies that were stored anew, scaled, mirrored, cut, framed or written on
    sizes, counts, balance, and of tables with ratings which values they have

`near_duplicates` has how copies are recognised and which are not. As two of one series, a moment apart, may
be taken for one, findings are to be looked at, and never removed unseen.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from affectlens.data.fingerprints import Fingerprint, NoFingerprint, fingerprints
from affectlens.data.groups import Search, SearchProgress, look_alike
from affectlens.data.rated_table import RatedPicture, RatingSummary, summaries
from affectlens.data.records import DataSource, Record

_SHOWN = 5  # findings of one kind that `lines` writes out


@dataclass(frozen=True)
class PictureLocation:
    """Where a picture is in a data set: its key and its split, with its top emotion, "" where it has none."""

    key: str
    split: str
    emotion: str


@dataclass(frozen=True)
class UnreadablePicture:
    """A picture that cannot be used, and why."""

    key: str
    split: str
    error: str


@dataclass(frozen=True)
class Duplicates:
    """Records whose files have the same bytes.

    Attributes:
        across_splits: whether they are in more than one split, so that one tests what another trained
        conflicting: whether their labels differ
    """

    pictures: tuple[PictureLocation, ...]
    across_splits: bool
    conflicting: bool


@dataclass(frozen=True)
class NearDuplicate:
    """Two pictures that may be made from one photograph.

    Attributes:
        agreement: mean correlation of the parts of both that agree best, in 0..1
        mirrored: whether one is the other's mirror image
        across_splits: whether they are in two splits, so that one tests what the other trained
        conflicting: whether their labels differ
    """

    picture: PictureLocation
    like: PictureLocation
    agreement: float
    mirrored: bool
    across_splits: bool
    conflicting: bool


@dataclass(frozen=True)
class Size:
    """Height and width of a picture, upright."""

    key: str
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found in a data set, as plain data.

    Attributes:
        vocabulary: its name; "" where pictures have ratings alone
        counts: pictures by split and top emotion, the unreadable ones included; where there are no emotions,
            by split alone, as `rated`
        imbalance: pictures of the most frequent emotion for each of the rarest that has any
        absent: emotions of the vocabulary without a picture
        search: how near-duplicates were looked for
        smallest, largest: by number of pixels; None where no picture could be read
        notes: what the reader of the data set left out
        ratings: valence and arousal of a table, one or both
    """

    data: str
    vocabulary: str
    pictures: int
    counts: dict[str, dict[str, int]]
    imbalance: float
    absent: tuple[str, ...]
    unreadable: tuple[UnreadablePicture, ...]
    duplicates: tuple[Duplicates, ...]
    near_duplicates: tuple[NearDuplicate, ...]
    search: Search
    smallest: Size | None
    largest: Size | None
    notes: tuple[str, ...]
    ratings: tuple[RatingSummary, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether every picture can be read, and none is, to the byte, in two splits or has two labels."""
        return not self.unreadable and not any(
            group.across_splits or group.conflicting for group in self.duplicates
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `json.dump`."""
        return {"sound": self.sound, **asdict(self)}

    def lines(self) -> list[str]:
        """Write what was found in sentences for people."""
        return [
            *self._lines_on_counts(),
            *self._lines_on_unreadable(),
            *self._lines_on_duplicates(),
            *self._lines_on_near_duplicates(),
            *(f"Note: {note}." for note in self.notes),
        ]

    def _lines_on_counts(self) -> Iterator[str]:
        splits = ", ".join(f"{split} {sum(counts.values()):,}" for split, counts in self.counts.items())
        labelled = f"labelled with {self.vocabulary}" if self.vocabulary else "with ratings"
        yield f"{_count(self.pictures, 'picture')} {labelled}: {splits}."
        if self.vocabulary:
            yield from self._lines_on_balance()
        for each in self.ratings:
            yield (
                f"{each.name}: {_count(each.pictures, 'picture')}, from {each.lowest:g} to {each.highest:g}, "
                f"mean {each.mean:.2f}."
            )
        if self.smallest and self.largest:
            small, large = self.smallest, self.largest
            yield (
                f"The smallest picture has {small.width} x {small.height} pixels ({small.key}), "
                f"the largest {large.width} x {large.height} ({large.key})."
            )

    def _lines_on_balance(self) -> Iterator[str]:
        for split, counts in self.counts.items():
            yield f"{split}: {', '.join(f'{word} {number:,}' for word, number in counts.items())}."
        yield f"The most frequent emotion has {self.imbalance:.1f} times the pictures of the rarest."
        if self.absent:
            yield f"Without a picture: {', '.join(self.absent)}."

    def _lines_on_unreadable(self) -> Iterator[str]:
        if not self.unreadable:
            yield "Every picture can be read."
            return
        yield f"{_count(len(self.unreadable), 'picture')} cannot be read:"
        yield from _shown([f"{bad.split}: {bad.error}" for bad in self.unreadable])

    def _lines_on_duplicates(self) -> Iterator[str]:
        if not self.duplicates:
            yield "No two files have the same bytes."
            return
        across = sum(group.across_splits for group in self.duplicates)
        conflicting = sum(group.conflicting for group in self.duplicates)
        yield (
            f"{_count(len(self.duplicates), 'group')} of files with the same bytes; "
            f"{across:,} across splits, {conflicting:,} with different labels:"
        )
        worst_first = sorted(
            self.duplicates, key=lambda group: (not group.across_splits, not group.conflicting)
        )
        yield from _shown([" = ".join(map(_named, group.pictures[:4])) for group in worst_first])

    def _lines_on_near_duplicates(self) -> Iterator[str]:
        if self.search == "off":
            yield "Near-duplicates were not looked for."
            return
        if not self.near_duplicates:
            yield "No two pictures look like copies of one another."
            return
        across = sum(pair.across_splits for pair in self.near_duplicates)
        conflicting = sum(pair.conflicting for pair in self.near_duplicates)
        yield (
            f"{_count(len(self.near_duplicates), 'pair')} of pictures that look alike; {across:,} across "
            f"splits, {conflicting:,} with different labels; look at them:"
        )
        worst_first = sorted(
            self.near_duplicates,
            key=lambda pair: (not pair.across_splits, not pair.conflicting, -pair.agreement),
        )
        yield from _shown([f"{_named(pair.picture)} ~ {_named(pair.like)}" for pair in worst_first])


def audit(
    source: DataSource,
    search: Search = "thorough",
    progress: Callable[[SearchProgress], None] = lambda done: None,
    *,
    rated: Sequence[RatedPicture] = (),
    labelled: bool = True,
) -> Audit:
    """Open all pictures of a data set, and look for near-duplicates as `groups.find_groups` does.

    `rated` are those of its pictures that have ratings; `labelled` is whether it has emotions as well, or
    ratings alone (`data.catalog.open_with_ratings`).

    Takes milliseconds a picture and core, and some three kilobytes of memory a picture; near-duplicates a
    time that grows with the square of their number.
    """
    listed = [(record, split) for split, part in source.splits.items() for record in part]
    found = []
    for each in fingerprints((record for record, _ in listed), full_size=True):
        found.append(each)
        progress(SearchProgress(len(found)))
    counts = source.counts() if labelled else {s: {"rated": len(part)} for s, part in source.splits.items()}
    words = source.vocabulary.words if labelled else ()
    totals = {word: sum(part[word] for part in counts.values()) for word in words}
    present = [number for number in totals.values() if number]
    sizes = [
        Size(record.key, each.height, each.width)
        for (record, _), each in zip(listed, found, strict=True)
        if isinstance(each, Fingerprint)
    ]

    def compared(fraction: float) -> None:
        progress(SearchProgress(len(found), fraction))

    return Audit(
        data=source.name,
        vocabulary=source.vocabulary.name if labelled else "",
        pictures=len(listed),
        counts=counts,
        imbalance=max(present) / min(present) if present else 1.0,
        absent=tuple(word for word, number in totals.items() if not number),
        unreadable=tuple(
            UnreadablePicture(record.key, split, each.error)
            for (record, split), each in zip(listed, found, strict=True)
            if isinstance(each, NoFingerprint)
        ),
        duplicates=tuple(_duplicates(listed, found, labelled)),
        near_duplicates=tuple(_near_duplicates(listed, found, search, labelled, compared)),
        search=search,
        smallest=min(sizes, key=_area, default=None),
        largest=max(sizes, key=_area, default=None),
        notes=source.notes,
        ratings=summaries(rated),
    )


_Fingerprints = Sequence[Fingerprint | NoFingerprint]
_Listed = Sequence[tuple[Record, str]]


def _duplicates(listed: _Listed, found: _Fingerprints, labelled: bool) -> Iterator[Duplicates]:
    by_content: dict[bytes, list[tuple[Record, str]]] = defaultdict(list)
    for one, each in zip(listed, found, strict=True):
        if isinstance(each, Fingerprint):
            by_content[each.content].append(one)
    for same in by_content.values():
        if len(same) > 1:
            yield Duplicates(
                tuple(_location(record, split, labelled) for record, split in same),
                across_splits=len({split for _, split in same}) > 1,
                conflicting=len({record.target for record, _ in same}) > 1,
            )


def _near_duplicates(
    listed: _Listed,
    found: _Fingerprints,
    search: Search,
    labelled: bool,
    progress: Callable[[float], None],
) -> Iterator[NearDuplicate]:
    """Pairs that look alike, files of the same bytes excepted."""
    if search == "off":
        return
    for match in look_alike(found, parts=search == "thorough", progress=progress):
        earlier, later = sorted((match.picture, match.other))
        (record, split), (like, like_split) = listed[later], listed[earlier]
        yield NearDuplicate(
            _location(record, split, labelled),
            _location(like, like_split, labelled),
            agreement=match.agreement,
            mirrored=match.mirrored,
            across_splits=split != like_split,
            conflicting=record.target != like.target,
        )


def _location(record: Record, split: str, labelled: bool) -> PictureLocation:
    return PictureLocation(record.key, split, record.target.top if labelled else "")


def _area(size: Size) -> int:
    return size.height * size.width


def _named(picture: PictureLocation) -> str:
    return f"{picture.key} ({', '.join(filter(None, (picture.split, picture.emotion)))})"


def _shown(findings: list[str]) -> Iterator[str]:
    """The first findings, indented, and how many more there are."""
    yield from (f"  {finding}" for finding in findings[:_SHOWN])
    if len(findings) > _SHOWN:
        yield f"  and {len(findings) - _SHOWN:,} more"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
