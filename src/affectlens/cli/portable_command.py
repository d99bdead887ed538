"""The command of a run as another person could type it: without folders of this machine."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from affectlens import library
from affectlens.data.vocabularies import is_file_name
from affectlens.hub import HUB, NONE


def portable_command(words: Sequence[str]) -> str:
    """The command as another could type it, of its words after `affectlens`: without folders of this machine.

    >>> portable_command(["train", "mam", "--data", "fi:/data/fi", "--out=runs/1"])
    'affectlens train mam --data fi:PATH --out=RUN'
    """
    shown: list[str] = []
    option = ""  # whose value comes next
    for word in words:
        if option:
            shown.append(_STAND_INS[option](word))
            option = ""
            continue
        name, equals, value = word.partition("=")
        if name in _STAND_INS and equals:
            word = f"{name}={_STAND_INS[name](value)}"
        elif word in _STAND_INS:
            option = word
        shown.append(word)
    return shlex.join(["affectlens", *shown])


def _data_set(value: str) -> str:
    name, separator, _ = value.partition(":")
    return f"{name}:PATH" if separator else "PATH"


def _assignment(value: str) -> str:
    key, _, given = value.partition("=")
    if key.strip() == "vocabulary" and is_file_name(given.strip()):
        return f"vocabulary={Path(given.strip()).name}"
    if key.strip() == "start":
        return f"start={library.portable_name(given.strip())}"
    return "weights=FOLDER" if key.strip() == "weights" and given.strip() not in {HUB, NONE} else value


def _file_name(value: str) -> str:
    return Path(value).name


# What another reads instead of the value of an option that names something on this machine.
_STAND_INS: Mapping[str, Callable[[str], str]] = {
    "--data": _data_set,
    "--out": lambda _: "RUN",
    "--cache": lambda _: "CACHE",
    "--address": lambda _: "ADDRESS",
    "--settings": _file_name,
    "--ranges": _file_name,
    "--teachers": _file_name,
    "--start": library.portable_name,
    "--set": _assignment,
}
