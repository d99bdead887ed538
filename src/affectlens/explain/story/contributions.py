"""What the parts of a network add to an answer, as plain data; `branches` measures it."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class BranchPart:
    """What one part of a network adds to an answer.

    Attributes:
        name: of the part; kind: what it describes
        log_odds: for the answer, or against it
    """

    name: str
    kind: str
    log_odds: float


@dataclass(frozen=True)
class Contributions:
    """An answer divided among the parts of a network.

    Attributes:
        question: in words
        log_odds: of the picture
        reference: what the picture is compared with, and `reference_log_odds` its answer
        error: by which the sum of all parts is off the difference of the two
    """

    question: str
    log_odds: float
    reference: str
    reference_log_odds: float
    parts: tuple[BranchPart, ...]
    error: float

    def by_kind(self) -> dict[str, float]:
        """Log-odds of each kind of parts together."""
        kinds = dict.fromkeys(part.kind for part in self.parts)
        return {kind: sum(part.log_odds for part in self.parts if part.kind == kind) for kind in kinds}

    def weight(self) -> dict[str, float]:
        """Share of each kind in all that speaks for and against: 0..1, together 1, or all 0."""
        amounts = {kind: abs(log_odds) for kind, log_odds in self.by_kind().items()}
        total = sum(amounts.values())
        return {kind: amount / total if total else 0.0 for kind, amount in amounts.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "by_kind": self.by_kind(), "weight": self.weight()}
