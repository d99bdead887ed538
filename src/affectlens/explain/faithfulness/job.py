"""A comparison of explanations that is kept in a file: written after every picture, and resumed from it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from affectlens.data.records import DataSource, Record
from affectlens.explain.core.attribution import ExplainedModel, Method
from affectlens.explain.faithfulness import results
from affectlens.explain.faithfulness.compare import ComparisonOptions, compare, open_pictures
from affectlens.explain.faithfulness.measurements import CONTROLS, EDGES, Measurement
from affectlens.locks import locked_file
from affectlens.model_folder import Card


@dataclass(frozen=True, kw_only=True)
class ComparisonJob:
    """What is compared, on which pictures, and where the figures go.

    Attributes:
        records: pictures of the split, sampled
        out: JSON file; None keeps no figures
        resume: whether complete pictures that `out` already holds are taken from there
    """

    card: Card
    explained: ExplainedModel
    source: DataSource
    split: str
    records: Sequence[Record]
    methods: Mapping[str, Method]
    options: ComparisonOptions
    out: Path | None = None
    resume: bool = False

    @property
    def total(self) -> int:
        """How many measurements there are of all pictures."""
        return len(self.records) * len(CONTROLS | self.methods.keys())

    def measurements(self) -> Iterator[Measurement]:
        """Yield those that `out` holds, then measure the rest.

        Raises `RunError` for a file that is not a comparison, `SettingsError` for one with other settings,
        `OutputError`, `OutputInUse` where another process writes the file, and what `compare` raises.
        """
        with locked_file(self.out) if self.out else nullcontext():
            yield from self._measurements()

    def _measurements(self) -> Iterator[Measurement]:
        rows: list[Measurement] = []
        if self.resume and self.out and self.out.exists():
            settings = results.settings_of(self.card, self.source, self.split, self.methods, self.options)
            rows = results.resume(results.read_results(self.out), settings)
        pictures = open_pictures(self.explained, self.records)
        yield from rows
        done = {row.picture for row in rows}
        last = (EDGES, *self.methods)[-1]
        for row in compare(self.explained, pictures, self.methods, self.options, done):
            rows.append(row)
            # The picture is complete.
            if self.out and row.method == last:
                results.write_results(self.out, results.to_document(
                    self.card, self.source, self.split, rows, self.methods, self.options
                ))  # fmt: skip
            yield row
