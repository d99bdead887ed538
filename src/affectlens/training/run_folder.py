"""What lies in the folder of a training run, read and written.

On disk:
    settings.toml       everything that decides the run
    run.json            data and its hash, versions, machine, command (`RunRecord`)
    splits.tsv          which picture was in which split
    vocabulary.toml     the words of its labels, where they are of no known vocabulary: it lies next to
                        splits.tsv, which is read by it
    steps.jsonl         one line a step: loss, learning rate
    log.jsonl           one line an epoch: scores on the validation split
    last.safetensors    the complete state after the last checkpoint; a killed run goes on from it
    best.safetensors    the weights of the best epoch
    model/              the finished model folder, when the run has ended
"""

import json
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import tomli_w

from affectlens import hub, library
from affectlens.data import splits
from affectlens.data.records import DataSource, digest
from affectlens.data.vocabularies import FILE as VOCABULARY
from affectlens.data.vocabularies import is_file_name
from affectlens.emotions import is_known, to_plain
from affectlens.errors import RunError
from affectlens.files import atomic_write
from affectlens.former_keys import FORMAT_VERSION
from affectlens.machine import describe
from affectlens.models.backbones import HUB, NONE
from affectlens.training.attributes import fingerprint
from affectlens.training.checkpoints import read_step
from affectlens.training.session import Session
from affectlens.training.settings import Settings, read_settings
from affectlens.training.start import RowMixtures, StartRecord, start_record

SETTINGS, RUN, SPLITS, STEPS, LOG = "settings.toml", "run.json", "splits.tsv", "steps.jsonl", "log.jsonl"
LAST, BEST, MODEL, CACHE = "last.safetensors", "best.safetensors", "model", "cache"


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What a run is to do.

    Attributes:
        name: of the model that comes out
        data: as the user wrote it, `NAME:PATH`; stored without its folder
        source: the data set; validation is split off where it has none
        out: the run folder
        extends: whether a run to resume goes on to the epochs of `settings`, in total, instead of its own
        teachers: files of soft answers (`training.soft_answers`), where the settings have `distillation`
        cache: where decoded pictures are kept, shared between runs; None keeps them in the run folder
        dtype: how the finished model's weights are stored
        graph: whether the finished model gets a graph, by which it answers without torch
    """

    name: str
    data: str
    source: DataSource
    settings: Settings
    out: Path
    resume: bool = False
    extends: bool = False
    teachers: tuple[Path, ...] = ()
    cache: Path | None = None
    device: str = "auto"
    dtype: str = "float16"
    graph: bool = True
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The data of a run: its hash and number of pictures by split, and notes on what was left out.

    `hashes` has those of attributes and of soft answers too, where there are any, and `teachers` the names of
    the files of soft answers.
    """

    spec: str
    hashes: Mapping[str, str]
    counts: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """That a run goes on to another number of epochs in total: after which step, by which command."""

    step: int
    epochs: float
    command: str


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run was, apart from its settings: `run.json`, and part of the card.

    `start` has the model whose weights it started with, where there is one; `continued` each time that its
    epochs became others.
    """

    name: str
    command: str
    seed: int
    data: RunData
    machine: Mapping[str, Any]
    start: StartRecord | None = None
    continued: tuple[Continuation, ...] = ()
    format_version: int = 1

    @classmethod
    def read(cls, out: Path) -> "RunRecord":
        """Read the record of a run folder. Raises `RunError` for one that is missing or damaged."""
        file = out / RUN
        try:
            record = msgspec.json.decode(file.read_bytes(), type=cls)
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"The record {file} cannot be read: {error}. Start another run.") from None
        if not 1 <= record.format_version <= FORMAT_VERSION:
            raise RunError(
                f"The record {file} is of format {record.format_version}; this AffectLens reads formats 1 to "
                f"{FORMAT_VERSION}. Use a newer AffectLens."
            )
        return record

    def write(self, out: Path) -> None:
        """Write the record into a run folder."""
        with atomic_write(out / RUN, "w") as file:
            file.write(json.dumps(msgspec.to_builtins(asdict(self)), indent=2) + "\n")

    def to_card(self) -> dict[str, Any]:
        """Return plain data for a model's card, which has a format of its own."""
        plain: dict[str, Any] = msgspec.to_builtins(asdict(self))
        del plain["format_version"]
        for name in ("start", "continued"):
            if not plain[name]:
                del plain[name]
        return plain


def read_run_settings(out: Path) -> Settings:
    """Read the settings of a run folder. Raises `RunError` where there is no run."""
    if not (out / SETTINGS).is_file():
        raise RunError(
            f"There is no run to resume in {out}: {SETTINGS} is missing. Start one without --resume."
        )
    return read_settings(out / SETTINGS, Settings())


def require_no_run(out: Path) -> None:
    """Raise `RunError` for a folder that holds a run."""
    if (out / SETTINGS).exists():
        raise RunError(f"{out} already holds a run. Go on with it by --resume, or choose another folder.")


def open_run(request: TrainingRequest, session: Session, rows: RowMixtures = MappingProxyType({})) -> None:
    """Write what a run is before its first step, or check that the one to resume is the same.

    The settings are the session's; `rows` are those of a trained model that the run starts with. Raises
    `RunError` where the folder holds another run, or none to resume, or one that has more steps than it is
    to have.
    """
    out, settings = request.out, session.settings
    hashes = _hashes(session)
    if request.resume:
        begun = read_run_settings(out)
        if (replace(begun, epochs=settings.epochs) if request.extends else begun) != settings:
            raise RunError(f"The run in {out} has other settings. Resume without --settings and --set.")
        record = RunRecord.read(out)
        if record.name != request.name:
            raise RunError(
                f"The run in {out} makes the model {record.name}, not {request.name}. Resume with the recipe "
                f"and the --name that it was begun with: {record.command}"
            )
        stored = record.data.hashes
        if stored != hashes:
            raise RunError(
                f"The run in {out} was on other pictures or labels, or other soft answers: {stored} "
                f"then, {hashes} now. Resume with the same --data and --teachers, or start another run."
            )
        if begun != settings:
            _extend(request, session, record)
        return
    require_no_run(out)
    source = session.source
    record = RunRecord(
        name=request.name,
        command=request.command,
        seed=settings.seed,
        data=RunData(
            spec=request.data,
            hashes=hashes,
            counts=source.counts(),
            notes=source.notes,
            teachers=tuple(file.name for file in request.teachers),
        ),
        machine=describe(),
        start=start_record(settings.start, rows) if settings.start else None,
        format_version=FORMAT_VERSION,
    )
    splits.write_splits(out / SPLITS, source)
    if not is_known(source.vocabulary):
        with atomic_write(out / VOCABULARY, "w") as file:
            file.write(tomli_w.dumps(to_plain(source.vocabulary)))
    record.write(out)
    # Last: its presence means that the run was begun.
    _write_settings(out, settings)


def _write_settings(out: Path, settings: Settings) -> None:
    with atomic_write(out / SETTINGS, "w") as file:
        file.write(settings.to_toml())


def _extend(request: TrainingRequest, session: Session, record: RunRecord) -> None:
    """Record that a run goes on to other epochs than it was begun with."""
    out, epochs, total = request.out, session.settings.epochs, session.schedule.total_steps
    done = read_step(out / LAST) if (out / LAST).is_file() else 0
    if total <= done:
        raise RunError(
            f"The run in {out} has done {done} steps already, and {epochs:g} epochs are {total} steps. "
            "Resume with more --epochs."
        )
    continued = Continuation(step=done, epochs=epochs, command=request.command)
    if continued not in record.continued:  # where writing it was interrupted
        replace(record, continued=(*record.continued, continued)).write(out)
    _write_settings(out, session.settings)


def require_same_start(out: Path, settings: Settings) -> None:
    """Raise `RunError` where the model to start with has other weights than when the run was begun."""
    begun = RunRecord.read(out).start
    if begun and library.card(settings.start).weights_hash != begun.weights_hash:
        raise RunError(
            f"The run in {out} was begun with the model {begun.name}, and {settings.start} has other weights "
            "now. Start another run."
        )


def open_run_together(
    request: TrainingRequest, session: Session, rows: RowMixtures = MappingProxyType({})
) -> None:
    """Have the main process open the run, and the others find it."""
    with session.group.agreed():
        if session.group.is_main:
            open_run(request, session, rows)
    with session.group.agreed():
        if not (request.out / SETTINGS).is_file():
            raise RunError(
                f"{request.out} is not the same folder on every machine: {platform.node()} does not find "
                "what was just written there. Choose a folder for --out that all machines share."
            )


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines. Raises `RunError`."""
    try:
        return [msgspec.json.decode(line, type=dict[str, Any]) for line in file.read_bytes().splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file} cannot be read: {error}.") from None


def cut_back(file: Path, step: int) -> None:
    """Drop the lines after a step, and one that a kill cut off."""
    if not file.is_file():
        return
    # As bytes: what a kill cut off need not be text.
    lines = file.read_bytes().splitlines()
    with atomic_write(file, "w") as out:
        out.writelines(f"{line.decode()}\n" for line in lines if _step_of(line) <= step)


class _StepRow(msgspec.Struct):
    step: float


def _step_of(line: bytes) -> float:
    try:
        # All of the line must be text, also in keys that the row does not have.
        return msgspec.json.decode(line.decode(), type=_StepRow).step
    except (ValueError, RecursionError):
        return float("inf")


def _hashes(session: Session) -> dict[str, str]:
    source = session.source
    found = {name: digest(part) for name, part in source.splits.items()}
    if session.attributes:
        found["attributes"] = fingerprint(source, session.attributes)
    if session.taught:
        found["soft_answers"] = digest(session.taught)
    return found


def portable_settings(settings: Settings) -> dict[str, Any]:
    """Settings as plain data; a folder of this machine, of no use on another, as a placeholder."""
    weights = settings.weights if settings.weights in {HUB, NONE} else "FOLDER"
    words = settings.vocabulary
    if is_file_name(words):
        words = Path(words).name
    return {
        **settings.to_dict(),
        "weights": weights,
        "start": _portable_start(settings.start),
        "vocabulary": words,
    }


def _portable_start(name: str) -> str:
    """The name of a model, as it is; a folder of this machine as a placeholder."""
    is_name = name in dict(library.folders()) or (hub.is_name(name) and not Path(name).exists())
    return name if is_name or not name else "FOLDER"


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
        return f"start={_portable_start(given.strip())}"
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
    "--set": _assignment,
}
