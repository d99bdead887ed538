"""Folders that may not be listed, even by root, who runs some machines' tests."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest


class Refusals:
    """Refuse to list the folders that are added."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folders: set[Path] = set()
        for name in ("scandir", "listdir"):
            monkeypatch.setattr(os, name, self._refusing(getattr(os, name)))

    def add(self, folder: Path) -> None:
        """Refuse this folder from now on."""
        self._folders.add(folder)

    def _refusing(self, function: Any) -> Any:
        def refusing(path: Any = ".") -> Any:
            if Path(path) in self._folders:
                raise PermissionError(errno.EACCES, "Permission denied")
            return function(path)

        return refusing
