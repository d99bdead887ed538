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

import hashlib
import json
import os
import platform
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from affectlens import library
from affectlens.data import splits
from affectlens.data.folder import require_apart
from affectlens.data.records import DataSource, digest
from affectlens.data.vocabularies import FILE as VOCABULARY
from affectlens.data.vocabularies import is_file_name
from affectlens.emotions import is_known, to_toml
from affectlens.errors import RunError
from affectlens.files import atomic_write, exists, read_file
from affectlens.former_keys import FORMAT_VERSION
from affectlens.machine import describe
from affectlens.models.backbones import HUB, NONE
from affectlens.training import ratings
from affectlens.training.attributes import fingerprint
from affectlens.training.checkpoints import read_step
from affectlens.training.kept_outputs import KeptOutputs
from affectlens.training.session import Session
from affectlens.training.settings import Settings, read_settings, with_absolute_files
from affectlens.training.start import RowMixtures, StartRecord, start_record

SETTINGS, RUN, SPLITS, STEPS, LOG = "settings.toml", "run.json", "splits.tsv", "steps.jsonl", "log.jsonl"
LAST, BEST, MODEL, CACHE = "last.safetensors", "best.safetensors", "model", "cache"

# What a run or a search replaces or removes as its own, and the settings of a run of finetune.
_REPLACED = (MODEL, "states", "ray", "settings.json")
# What a run writes or appends to after its record: without that, they are another's.
_AFTER_RECORD = (SPLITS, VOCABULARY, STEPS, LOG, LAST, BEST)

_NOT_TEXT = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What a run is to do.

    Attributes:
        name: of the model that comes out
        data: as the user wrote it, `NAME:PATH`; stored without its folder
        source: the data set; validation is split off where it has none
        out: the run folder
        validates: whether pictures are held out, by which the best epoch is chosen, temperatures are fitted
            and scores measured; else all are learned from, to the last epoch
        finishes: whether a model folder is written in the end, which needs pictures that are held out
        extends: whether a run to resume goes on to the epochs of `settings`, in total, instead of its own
        teachers: files of soft answers (`training.soft_answers`), where the settings have `distillation`
        cache: where decoded pictures are kept, shared between runs; None keeps them in the run folder
        kept: outputs of layers that do not learn, which several runs share (`training.kept_outputs`)
        dtype: how the finished model's weights are stored
        graph: whether the finished model gets a graph, by which it answers without torch
    """

    name: str
    data: str
    source: DataSource
    settings: Settings
    out: Path
    validates: bool = True
    finishes: bool = True
    resume: bool = False
    extends: bool = False
    teachers: tuple[Path, ...] = ()
    cache: Path | None = None
    kept: KeptOutputs | None = None
    device: str = "auto"
    dtype: str = "float16"
    graph: bool = True
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class RunData:
    """The data of a run: its hash and number of pictures by split, and notes on what was left out.

    `hashes` has those of attributes, of ratings and of soft answers too, where there are any, and `teachers`
    the names of the files of soft answers.
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
    epochs became others. `settings_hashes` are those of what settings.toml held when the run was begun and
    continued; none in records from before they were kept.
    """

    name: str
    command: str
    seed: int
    data: RunData
    machine: Mapping[str, Any]
    start: StartRecord | None = None
    continued: tuple[Continuation, ...] = ()
    settings_hashes: tuple[str, ...] = ()
    format_version: int = 1

    @classmethod
    def read(cls, out: Path) -> "RunRecord":
        """Read the record of a run folder. Raises `RunError` for one that is missing or damaged."""
        file = out / RUN
        try:
            record = msgspec.json.decode(read_file(file), type=cls)
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"The record {file} cannot be read: {error}. Start another run.") from None
        if not 1 <= record.format_version <= FORMAT_VERSION:
            raise RunError(
                f"The record {file} is of format {record.format_version}; this AffectLens reads formats 1 to "
                f"{FORMAT_VERSION}. Use a newer AffectLens."
            )
        return record

    def require_same_data(self, out: Path, session: Session) -> None:
        """Raise `RunError` where a session has other pictures, labels, ratings or soft answers than a run."""
        stored, hashes = self.data.hashes, _hashes(session)
        if stored != hashes:
            raise RunError(
                f"The run in {out} was on other pictures or labels, other ratings or soft answers: {stored} "
                f"then, {hashes} now. Name the same --data and --teachers, or start another run."
            )

    def require_same_settings(self, out: Path) -> None:
        """Raise `RunError` where the settings in a run folder are not those that the run was begun with."""
        found = _hash(read_file(out / SETTINGS).decode("utf-8"))
        if self.settings_hashes and found not in self.settings_hashes:
            raise RunError(
                f"{out / SETTINGS} was changed since the run was begun, so that its parts would differ. Undo "
                "the change, or start another run: --settings takes the changed file."
            )

    def write(self, out: Path) -> None:
        """Write the record into a run folder."""
        with atomic_write(out / RUN, "w") as file:
            text = json.dumps(msgspec.to_builtins(asdict(self)), ensure_ascii=False, indent=2)
            # Names of files need not be text, and readers of JSON refuse half of a surrogate pair.
            file.write(_NOT_TEXT.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text) + "\n")

    def to_card(self) -> dict[str, Any]:
        """Return plain data for a model's card, which has a format of its own."""
        plain: dict[str, Any] = msgspec.to_builtins(asdict(self))
        del plain["format_version"], plain["settings_hashes"]
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
    """Raise `RunError` for a folder that holds a run, or what it would replace and another wrote."""
    if exists(out / SETTINGS):
        raise RunError(f"{out} already holds a run. Go on with it by --resume, or choose another folder.")
    if exists(out / RUN):
        RunRecord.read(out)  # of a run that was killed as it began; what another program wrote is an error
    others = _REPLACED if exists(out / RUN) else (*_REPLACED, *_AFTER_RECORD)
    for name in others:
        if os.path.lexists(out / name):
            raise RunError(f"{out / name} is there already, and is not of this run. Choose another folder.")


def open_run(request: TrainingRequest, session: Session, rows: RowMixtures = MappingProxyType({})) -> None:
    """Write what a run is before its first step, or check that the one to resume is the same.

    The settings are the session's; `rows` are those of a trained model that the run starts with. Raises
    `RunError` where the folder holds another run, or none to resume, or one that has more steps than it is
    to have.
    """
    out, settings = request.out, session.settings
    if request.resume:
        begun = with_absolute_files(read_run_settings(out))  # which were relative before
        if (replace(begun, epochs=settings.epochs) if request.extends else begun) != settings:
            raise RunError(f"The run in {out} has other settings. Resume without --settings and --set.")
        record = RunRecord.read(out)
        if record.name != request.name:
            raise RunError(
                f"The run in {out} makes the model {record.name}, not {request.name}. Resume with the recipe "
                f"and the --name that it was begun with: {record.command}"
            )
        record.require_same_settings(out)
        record.require_same_data(out, session)
        if begun != settings:
            _extend(request, session, record)
        return
    require_no_run(out)
    require_apart(out, request.source)
    source = session.source
    record = RunRecord(
        name=request.name,
        command=request.command,
        seed=settings.seed,
        data=RunData(
            spec=request.data,
            hashes=_hashes(session),
            counts=source.counts(),
            notes=source.notes,
            teachers=tuple(file.name for file in request.teachers),
        ),
        machine=describe(),
        start=start_record(settings.start, rows) if settings.start else None,
        settings_hashes=(_hash(settings.to_toml()),),
        format_version=FORMAT_VERSION,
    )
    splits.require_text(source)
    record.write(out)
    splits.write_splits(out / SPLITS, source)
    if not is_known(source.vocabulary):
        with atomic_write(out / VOCABULARY, "w") as file:
            file.write(to_toml(source.vocabulary))
    # Last: its presence means that the run was begun.
    _write_settings(out, settings)


def _write_settings(out: Path, settings: Settings) -> None:
    with atomic_write(out / SETTINGS, "w") as file:
        file.write(settings.to_toml())


def _hash(toml: str) -> str:
    """Hash the values of a settings file, however it is laid out: 16 hex digits."""
    values = json.dumps(tomllib.loads(toml), sort_keys=True)
    return hashlib.sha256(values.encode()).hexdigest()[:16]


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
        # Those from before stay: an interruption may leave the settings as they were.
        before = record.settings_hashes
        hashes = (*before, _hash(session.settings.to_toml())) if before else ()
        replace(record, continued=(*record.continued, continued), settings_hashes=hashes).write(out)
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
        return [_row(line) for line in read_file(file).splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file} cannot be read: {error}.") from None


def cut_back(file: Path, step: int) -> None:
    """Drop the lines after a step, and one that a kill cut off."""
    if not file.is_file():
        return
    # As bytes: what a kill cut off need not be text.
    lines = read_file(file).splitlines()
    with atomic_write(file, "w") as out:
        out.writelines(f"{line.decode()}\n" for line in lines if _step_of(line) <= step)


def _row(line: bytes) -> dict[str, Any]:
    """Read a line. Not by msgspec: NaN, which scores may be, is not JSON to it."""
    row = json.loads(line.decode())
    if not isinstance(row, dict):
        raise ValueError("a line is not an object")
    return row


def _step_of(line: bytes) -> float:
    try:
        return float(_row(line)["step"])
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return float("inf")


def _hashes(session: Session) -> dict[str, str]:
    source = session.source
    found = {name: digest(part) for name, part in source.splits.items()}
    if session.attributes:
        found["attributes"] = fingerprint(source, session.attributes)
    if session.ratings:
        found["ratings"] = ratings.fingerprint(source)
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
        "start": library.portable_name(settings.start),
        "vocabulary": words,
    }
