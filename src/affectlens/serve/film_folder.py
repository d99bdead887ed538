"""The private folder of films that were sent: gone with the service, or else when the next one starts."""

import os
import shutil
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from affectlens.errors import OutputError
from affectlens.locks import locked_folder

PREFIX = "affectlens-films-"
_NEW_SECONDS = 60  # in which a service locks the folder that it made


_own: set[Path] = set()  # of this process, whose locks do not keep it out itself


class FilmFolder:
    """A folder that only this user may read, locked as long as the service lives."""

    def __init__(self) -> None:
        self._held = ExitStack()
        self.path: Path | None = None

    def open(self) -> Path:
        """Make the folder at its first use."""
        if self.path is None:
            path = Path(tempfile.mkdtemp(prefix=PREFIX))
            self._held.enter_context(locked_folder(path))
            self.path = path
            _own.add(path)
        return self.path

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        path, self.path = self.path, None
        self._held.close()
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)
            _own.discard(path)


def remove_stale() -> None:
    """Remove folders of this user whose service is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if folder in _own:
            continue
        with suppress(OSError, OutputError):  # of a service that lives, or of another user
            status = folder.lstat()
            is_ours = not hasattr(os, "getuid") or status.st_uid == os.getuid()
            if is_ours and folder.is_dir() and not folder.is_symlink() and _is_old(status.st_mtime):
                with locked_folder(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_old(modified: float) -> bool:
    return time.time() - modified > _NEW_SECONDS
