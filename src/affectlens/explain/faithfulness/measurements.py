"""What is measured of explanation methods, as plain data: names of controls and curves, and measurements."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from affectlens.errors import RunError

RANDOM, CENTRE, EDGES = "random", "centre", "edges"
CONTROLS = frozenset({RANDOM, CENTRE, EDGES})  # maps that do not depend on the network
GRADIENT = "gradient"  # the plain gradient, which a method has to beat as well
KINDS = ("deletion", "insertion")  # of curves


@dataclass(frozen=True)
class Measurement:
    """The figures of one method on one picture.

    Attributes:
        figures: by name; what could not be measured is absent. `deletion blurred` is the area under the curve
            of probabilities when cells are replaced by their blurred selves, `deletion blurred normalised`
            that of normalised log-odds; `faithfulness` the mean of insertion less deletion over replacements
    """

    picture: str
    method: str
    question: str
    figures: Mapping[str, float] = field(hash=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain data, figures to six digits."""
        return {**asdict(self), "figures": {name: round(value, 6) for name, value in self.figures.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Measurement":
        """Read what `to_json` returned. Raises `RunError` for anything else."""
        try:
            return msgspec.convert(data, cls)
        except (ValueError, RecursionError) as error:
            raise RunError(f"These data are not a measurement: {error}. Measure again.") from None
