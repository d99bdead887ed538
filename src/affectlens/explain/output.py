"""Files of explanations: how they are named, and written in several formats at once."""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from affectlens.explain.formats import FORMATS, ExplanationFormat
from affectlens.files import LONGEST_NAME, clear_leftovers, fitting, slug
from affectlens.locks import locked_folder, require_same_folder

if TYPE_CHECKING:
    from affectlens.explain.explainer import Explanation, ExplanationRequest

_SHORTEST_STEM = 60  # bytes of a picture's name that are left of it, however many questions there are


class ExplanationFiles:
    """Files in a folder, named after picture and question, and never alike for two pictures.

    Names that are too long for the system are shortened (`files.fitting`).

    As a context manager it locks the folder, so that no other process writes there; raises `OutputInUse`.
    """

    def __init__(self, folder: Path, request: "ExplanationRequest") -> None:
        self.folder = folder
        self.request = request
        self._stems: dict[str, str] = {}  # stem in use: the picture that has it
        self._held = ExitStack()

    def __enter__(self) -> "ExplanationFiles":
        self._held.enter_context(locked_folder(self.folder))
        # A process that was killed may have left some behind, of other pictures too.
        clear_leftovers(self.folder, {Path(f"x{entry.suffix}").suffix for entry in FORMATS.values()})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def write(self, explanation: "Explanation", formats: Iterable[str]) -> list[Path]:
        """Write one picture's explanation in each format, by name, and return the files.

        Raises `OutputError`, or `NoWheel` for emotions that cannot be shown on a wheel.
        """
        written = []
        require_same_folder(self.folder)
        for name in formats:
            file = self.path(explanation, FORMATS[name])
            FORMATS[name].write(file, explanation)
            written.append(file)
        return written

    def path(self, explanation: "Explanation", entry: ExplanationFormat) -> Path:
        """Return the path of one file."""
        stem = self._stem(explanation.image)
        room = LONGEST_NAME - len(entry.suffix)
        if entry.by_question:
            questions = self._questions(explanation)
            stem = fitting(stem, max(_SHORTEST_STEM, room - len(os.fsencode(f".{questions}"))))
            stem = f"{stem}.{questions}"
        return self.folder / f"{fitting(stem, room)}{entry.suffix}"

    def _questions(self, explanation: "Explanation") -> str:
        """The questions, in words that suit the name of a file."""
        against = self.request.against
        if self.request.all_emotions:
            return f"all-rather-than-{slug(against)}" if against else "all"
        return "+".join(slug(str(each.question)) for each in explanation.heatmaps)

    def _stem(self, image: str) -> str:
        """A picture's own stem, with a number where another one has it."""
        stem, number = Path(image).stem, 1
        while self._stems.setdefault(stem.casefold(), image) != image:
            number += 1
            stem = f"{Path(image).stem}-{number}"
        return stem
