"""Folders and patterns -> the files that they mean. A listing never raises and never ends early.

What cannot be listed or looked at is a `PictureError` at its position, and what follows is listed all the
same.
Folders are walked without recursion, so at any depth; a folder that links lead to again is listed once.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, TypeAlias

from affectlens.errors import NoPictures, PictureDenied, PictureError, PictureNotFound
from affectlens.files import is_folder
from affectlens.images import PICTURE_SUFFIXES

Identity: TypeAlias = tuple[int, int]

ANY_DEPTH = "**"
_SEPARATORS = re.compile("[/\\\\]+" if os.name == "nt" else "/+")
# Brackets alone are a pattern where they hold a range or a negation: names like `img[1].jpg` are common.
_WILDCARD = re.compile(r"[*?]|\[(?:![^\]]|[^\]]-[^\]])[^\]]*\]")
_SURELY = re.compile(r"[*?]")


class _Entry(NamedTuple):
    path: str
    name: str
    is_folder: bool
    is_link: bool = False


def list_pictures(folder: Path | str, apart: Sequence[Path] = ()) -> Iterator[Path | PictureError]:
    """List the pictures below a folder, by suffix, lazily and in a fixed order: by name, depth first.

    Hidden files and folders are skipped. Links are followed, but no folder is listed twice. What
    has a picture's suffix and cannot be read, as a broken link, is listed too: `images.read_pixels` reports
    why. A folder that cannot be listed, the one that is given included, is an error in its position.

    Where several folders are listed `apart` from one another, as those of a data set, links from this one
    into another, or to what lies above any of them, are not followed: each picture is in one folder alone.
    """
    root = os.fspath(folder)
    waiting: list[_Entry | PictureError] = [_Entry(root, "", True)]
    try:
        if not stat.S_ISDIR(os.stat(root).st_mode):  # noqa: PTH116
            waiting = [PictureNotFound(root, "this is a file. Expected a folder to look for pictures in.")]
    except PermissionError:
        waiting = [PictureDenied(root, "no permission to look at it. Change the rights of its folder.")]
    except (OSError, ValueError) as error:
        reason = f"nothing can be found at this path ({_why(error)}). Check its spelling."
        waiting = [PictureNotFound(root, reason)]
    visited: set[Identity] = set()
    own = _real(root)
    others = [real for each in apart if (real := _real(each)) != own]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, PictureError):
            yield entry
        elif not entry.is_folder:
            if Path(entry.name).suffix.lower() in PICTURE_SUFFIXES:
                yield Path(entry.path)
        elif apart and entry.is_link and _leads_away(_real(entry.path), own, others):
            continue
        elif _is_new(entry.path, visited):
            waiting += reversed(_visible(entry.path))


def is_pattern(path: str) -> bool:
    """Whether a path has wildcards: `*`, `?`, a range or a negation in brackets.

    >>> [is_pattern(path) for path in ("a/*.jpg", "img[0-9].jpg", "img[!a].jpg", "img[1].jpg")]
    [True, True, True, False]
    """
    return _WILDCARD.search(path) is not None


def match_files(pattern: str) -> Iterator[str | PictureError]:
    """List the files that match a pattern, each once, sorted; of none, one `PictureNotFound`.

    As a shell with `**` for folders at any depth does it: hidden files need a dot in the pattern, folders
    that match are left out, and a part of the pattern with brackets that exists under that very name is
    itself. A folder that cannot be listed is an error among the others.
    """
    root, parts = _divided(pattern)
    found: dict[str, PictureError | None] = {}
    waiting = [(root, 0)]
    visited: dict[int, set[Identity]] = {}  # by the part of the pattern that is `**`
    while waiting:
        folder, index = waiting.pop()
        if parts[index] == ANY_DEPTH and not _is_new(folder, visited.setdefault(index, set())):
            continue
        below = []
        for entry, following in _matching(folder, parts[index], index):
            if isinstance(entry, PictureError):
                found[entry.path] = entry
            elif following < len(parts):
                below += [(entry.path, following)] if entry.is_folder else []
            elif not entry.is_folder:
                found[entry.path] = None
        waiting += reversed(below)
    if not found:
        yield NoPictures(pattern, "no file matches this pattern. Check its spelling.")
    # Sorted, and so held in memory: the order in which a system lists files is not the same every time.
    for path in sorted(found):
        yield found[path] or path


def _divided(pattern: str) -> tuple[str, list[str]]:
    """Return where a pattern begins, and its parts; one that ends in `**` means all files below."""
    drive, rest = os.path.splitdrive(pattern)
    parts = _SEPARATORS.split(rest)
    root = drive
    if not parts[0]:
        root, parts = drive + os.sep, parts[1:]
    return root, [*parts, "*"] if parts[-1] == ANY_DEPTH else parts


def _matching(folder: str, part: str, index: int) -> Iterator[tuple[_Entry | PictureError, int]]:
    """Yield what a part of a pattern means in a folder, each with which part of the pattern comes next."""
    if part == ANY_DEPTH:
        yield _Entry(folder, "", True), index + 1
        for entry in _visible(folder):
            if isinstance(entry, PictureError) or entry.is_folder:
                yield entry, index
        return
    path = os.path.join(folder, part)  # noqa: PTH118 - as it was typed: `./a.jpg` stays so
    literal = None if _SURELY.search(part) else _lying_at(path, part)
    if literal is not None or not is_pattern(part):
        if literal is not None:
            yield literal, index + 1
        return
    for entry in _visible(folder, hidden=part.startswith(".")):
        is_itself = isinstance(entry, PictureError) and entry.path == (folder or ".")
        if is_itself or fnmatchcase(*map(os.path.normcase, (Path(entry.path).name, part))):
            yield entry, index + 1


def _lying_at(path: str, name: str) -> _Entry | PictureError | None:
    """Return what lies at a path; None for nothing."""
    try:
        os.lstat(path)
    except PermissionError as error:  # something may be there, which must not be missing unseen
        reason = f"it cannot be looked at ({_why(error)}). Change the rights of its folder, or leave it out."
        return PictureDenied(path, reason)
    except (OSError, ValueError):
        return None
    return _Entry(path, name, is_folder(path))


def _visible(folder: str, *, hidden: bool = False) -> list[_Entry | PictureError]:
    """List what is in a folder and not hidden, by name; one error where that is impossible.

    What is not there, or is a file, has nothing in it.
    """
    entries: list[os.DirEntry[str]] = []
    unlisted: list[PictureError] = []
    try:
        with os.scandir(folder or ".") as scanned:
            entries.extend(scanned)  # of a disk that fails in the midst of it, those before stay
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        part = " to its end" if entries else ""
        reason = f"the folder cannot be listed{part} ({_why(error)}). Change its rights, or leave it out."
        unlisted.append(PictureDenied(folder or ".", reason))
    entries.sort(key=lambda entry: entry.name)
    visible = [entry for entry in entries if hidden or not entry.name.startswith(".")]
    return [*(_looked_at(entry, folder) for entry in visible), *unlisted]


def _looked_at(entry: "os.DirEntry[str]", folder: str) -> _Entry | PictureError:
    path = os.path.join(folder, entry.name)  # noqa: PTH118 - without `./` where the folder is not named
    try:
        return _Entry(path, entry.name, entry.is_dir(), entry.is_symlink())
    except OSError as error:
        # A link to itself is as one to nothing.
        if error.errno == errno.ELOOP or Path(entry.name).suffix.lower() in PICTURE_SUFFIXES:
            return _Entry(path, entry.name, False)  # which is reported when it is read
        reason = f"it cannot be looked at ({_why(error)}). Change its rights, or leave it out."
        return PictureDenied(path, reason)


def _real(path: Path | str) -> Path:
    """Return a path without links; one that no system has stays as it is."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return Path(path)


def _leads_away(target: Path, own: Path, others: Sequence[Path]) -> bool:
    """Whether what a link leads to lies above this folder, or above, or in, one that is listed apart."""
    return own.is_relative_to(target) or any(
        target.is_relative_to(each) or each.is_relative_to(target) for each in others
    )


def _is_new(folder: str, visited: set[Identity]) -> bool:
    """Whether a folder was not visited before, by whatever name; what cannot be looked at is."""
    try:
        status = os.stat(folder or ".")  # noqa: PTH116 - a path of text, as everything here
    except (OSError, ValueError):
        return True
    identity = (status.st_dev, status.st_ino)
    if identity in visited:
        return False
    visited.add(identity)
    return True


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
