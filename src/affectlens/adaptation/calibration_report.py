"""What was measured when a model was calibrated on own pictures, as plain data and as sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from affectlens.evaluation.resampling import Measured
from affectlens.report.text import TextTable, signed, with_minus


@dataclass(frozen=True)
class Change:
    """A figure before and after, on pictures that what is after was not fitted to, and by how much it gained.

    `before` is None where a model had none of it, `after` where it was not measured. `gain` is above 0 where
    it is better after; None of figures of which more is not better in itself.
    """

    before: Measured | None
    after: Measured | None
    gain: Measured | None = None


@dataclass(frozen=True)
class PartReport:
    """A part of a model's calibration: whether it was changed, and what was measured.

    Attributes:
        name: temperature, sets, that of a rating, or intervals of one
        pictures: how many it was measured on
        reason: why it was left as it is, "" where it was changed
        changes: figures by name
        values: what was fitted, by name, before and after
        added: whether the model had none of it
        brought: whether thresholds were not fitted anew, but brought to another temperature
    """

    name: str
    pictures: int
    reason: str
    changes: Mapping[str, Change] = field(default_factory=dict)
    values: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    added: bool = False
    brought: bool = False

    @property
    def changed(self) -> bool:
        """Whether it was fitted anew."""
        return not self.reason

    @property
    def title(self) -> str:
        """Its name as in a sentence."""
        return "sets of emotions" if self.name == "sets" else self.name

    def finding(self) -> str:
        """Write whether it was changed, and by how much that helps, as a sentence."""
        if self.brought:
            return (
                f"{self.title.capitalize()}: brought to the new temperature, so that no emotion leaves its "
                f"set, but not fitted anew, since {self.reason}."
            )
        if self.reason:
            return f"{self.title.capitalize()}: unchanged, since {self.reason}."
        values = ", ".join(f"{name} {old:.3g} to {new:.3g}" for name, (old, new) in self.values.items())
        verb = "added" if self.added else f"fitted anew{f' ({with_minus(values)})' if values else ''}"
        gains = [
            f"{name} {_number(each.before)} to {_number(each.after)}, "
            f"better by {signed(each.gain.value, 3)} ({signed(each.gain.low, 3)} to "
            f"{signed(each.gain.high, 3)})"
            for name, each in self.changes.items()
            if each.gain is not None
        ]
        others = [
            f"{name} {_number(each.before)} to {_number(each.after)}"
            for name, each in self.changes.items()
            if each.gain is None and not name.endswith((" at 0.8", " at 0.95"))
        ]
        return f"{self.title.capitalize()}: {verb}; {'; '.join([*gains, *others])}."


@dataclass(frozen=True, kw_only=True)
class CalibrationReport:
    """What was measured of a calibration.

    Attributes:
        start, weights: name of the model that it began with, and the hash of its weights
        data, hash: name and hash of the pictures
        pictures, groups: how many could be read, and how many of them are groups or single pictures
        unreadable: pictures that could not be read, with their reasons
        repeats, folds: of the cross-validation
        notes: what should be known of the labels, sentences without a full stop
        parts: each part that the pictures could change
    """

    start: str
    weights: str
    data: str
    hash: str
    pictures: int
    groups: int
    unreadable: tuple[str, ...]
    repeats: int
    folds: int
    seed: int
    notes: tuple[str, ...] = ()
    parts: tuple[PartReport, ...]

    @property
    def changed(self) -> tuple[PartReport, ...]:
        """The parts that were fitted anew."""
        return tuple(part for part in self.parts if part.changed)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        plain = asdict(self)
        for part in plain["parts"]:
            part["changed"] = not part["reason"]
        return {**plain, "unreadable": len(self.unreadable)}

    def findings(self) -> list[str]:
        """Write what was changed, what was not and why, and how it was measured, for people."""
        groups = f" in {self.groups:,} groups" if self.groups < self.pictures else ""
        how = (
            f"Measured on {self.pictures:,} pictures{groups}, each by what was fitted without it and its "
            f"group: {self.folds} folds, divided {self.repeats} times; 95 % intervals by a bootstrap over "
            "groups."
        )
        return [*(part.finding() for part in self.parts), how]

    def table(self) -> TextTable:
        """Tabulate every figure, before and after, header first."""
        rows: list[tuple[str, ...]] = [("", "before", "fitted anew", "better by")]
        for part in self.parts:
            for name, each in part.changes.items():
                gain = "" if each.gain is None else _with_ends(each.gain)
                rows.append((f"{part.title}: {name}", _with_ends(each.before), _with_ends(each.after), gain))
        return rows


def joined_reasons(parts: Sequence[PartReport]) -> str:
    """Write why each of several parts stays as it is."""
    return "; ".join(f"{part.title}, since {part.reason}" for part in parts)


def _number(measured: Measured | None) -> str:
    return "none" if measured is None else f"{measured.value:.3f}"


def _with_ends(measured: Measured | None) -> str:
    if measured is None:
        return "none"
    return with_minus(f"{measured.value:.3f} ({measured.low:.3f} to {measured.high:.3f})")
