"""Train more of a model than its last layer on one's own words, and measure it as the last layer alone is.

Each part of the pictures is predicted by a network that was trained on the others. A fifth of these, groups
whole, are what it waits on for its best epoch, so that the part that is measured chooses nothing. The model
that is kept was trained on all pictures, for as many epochs as were best in the middle one of the parts, and
its temperature is that of the answers of all parts. The same parts measure the simpler answers and the last
layer alone.

Each training is a run of `training.run` in a folder of its own, that goes on where it was interrupted.
"""

import json
import statistics
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import numpy as np

from affectlens import library
from affectlens.adaptation.card import adapted_readme, measured_scores, start_facts
from affectlens.adaptation.depths import settings_by_amount
from affectlens.adaptation.embeddings import EmbeddingProgress
from affectlens.adaptation.folder import (
    FOLDS,
    MODEL,
    PAGE,
    PIXELS,
    REFIT,
    Finetuned,
    FinetuneRequest,
    ValidationProgress,
    learnable_records,
    open_folder,
    write_report,
)
from affectlens.adaptation.head import RowNumbers
from affectlens.adaptation.report import Report, Trained, make_report
from affectlens.adaptation.start import Start, counted, label_embeddings, open_start, single_thread
from affectlens.adaptation.validation import (
    LAST_LAYER,
    OWN,
    Labelled,
    OutOfFold,
    Part,
    outer_parts,
    validate,
)
from affectlens.data import splits
from affectlens.data.records import DataSource, Record
from affectlens.errors import DatasetError, OutputError, SettingsError
from affectlens.extras import ADAPT, TRAIN, require
from affectlens.files import atomic_write
from affectlens.locks import locked_folder
from affectlens.metrics import Doubles
from affectlens.model_folder import Card

if TYPE_CHECKING:
    from affectlens.training.run import RunEvent
    from affectlens.training.run_folder import TrainingRequest
    from affectlens.training.settings import Settings

INNER_SHARE = 0.2  # of the pictures that are learned from, by which the best epoch is chosen
ANSWERS = "held_out.npy"  # in the folder of a part: logits of the pictures that were held out


@dataclass(frozen=True)
class PartEvent:
    """What happens in the training of a part, or of all pictures: `title` names which."""

    title: str
    event: "RunEvent"


def fit_deep(
    request: FinetuneRequest,
) -> Iterator[EmbeddingProgress | ValidationProgress | PartEvent | Finetuned]:
    """Embed, measure simpler answers, train each part and all pictures, and write the folder.

    The last event is `Finetuned`. Stopping the iteration anywhere leaves a run to resume, which ends in the
    same bits on a CPU. Raises `MissingExtra` without torch, scikit-learn or the library of a tracker, what
    `job.fit_head`, `training.run.fit` and `training.trackers.tracked` do, and `DatasetError` where a part
    would leave too little to learn from.
    """
    require(TRAIN, f"Finetuning at depth {request.depth}")
    require(ADAPT, "Finetuning")
    from affectlens.training.trackers import require_trackers

    require_trackers(request.trackers)
    start = open_start(request)
    records = learnable_records(request.source)
    settings = _settings(request, start, len(records))
    with locked_folder(request.out):
        open_folder(request, start.opened.card, records, json.loads(json.dumps(settings.to_dict())))
        data = yield from label_embeddings(request, start, records)
        parts = outer_parts(data, request.seed, divisions=1)
        sources = [_inner(request, data, learned) for learned, _ in parts]
        compared = yield from _compared(request, start, data, len(parts))
        yield from _decode(request, settings, records)
        runs = _Runs(request, settings)
        found, trained = yield from _train_parts(runs, data, parts, sources, compared)
        words = request.source.vocabulary
        report = make_report(data, found, [], start.opened.card, words, None, request.seed, trained)
        refit = runs.of_all(records, trained)
        yield from runs.events(refit, "all pictures")
        no_graph = _write_model(request, refit, start, report)
        write_report(request.out, report, data, found)
        rmtree(request.out / PIXELS, ignore_errors=True)
        yield Finetuned(request.out / MODEL, request.out / PAGE, report, no_graph)


def _settings(request: FinetuneRequest, start: Start, pictures: int) -> "Settings":
    """Return the settings of training in each part: by the number of pictures, then as the request has it."""
    from affectlens.training.settings import Settings, override, read_settings, with_values
    from affectlens.training.start import with_start

    # Absolute, so that a run goes on from another folder too.
    is_name = library.portable_name(request.start) == request.start
    name = request.start if is_name else str(Path(request.start).expanduser().resolve())
    base = with_start(Settings(), name)
    learned = round(pictures * (1 - INNER_SHARE) ** 2)
    settings = with_values(base, settings_by_amount(request.depth, learned))
    if request.file is not None:
        settings = read_settings(request.file, settings)
    settings = override(settings, request.assignments)
    for option, given, wanted in (
        ("--start", settings.start, name),
        ("vocabulary.toml in the folder of the data", settings.vocabulary, ""),
        ("--seed", settings.seed, 0),
    ):
        if given != wanted:
            raise SettingsError(f"{given!r} is set by {option} here: leave it out of --set and --settings.")
    return replace(settings, seed=request.seed)


def _inner(request: FinetuneRequest, data: Labelled, learned: RowNumbers) -> DataSource:
    """Divide the pictures that a part learns from: to train on, and to choose the best epoch by.

    Raises `DatasetError` where they are too few.
    """
    records = [data.records[row] for row in learned]
    made = splits.stratified(records, {splits.VAL: INNER_SHARE}, request.seed, data.groups)
    source = replace(request.source, splits=made, notes=())
    try:
        source.split(splits.VAL)
        splits.require_learnable(source)
        several = len({record.target.top for record in source.split(splits.TRAIN)}) > 1
        reason = "" if several else "They are of one word."
    except DatasetError as error:
        reason = str(error)
    if reason:
        raise DatasetError(
            f"Too few pictures for --depth {request.depth}: where a part is held out and another is what the "
            f"best epoch is chosen by, {len(made[splits.TRAIN]):,} are left. {reason} --depth head needs "
            "fewer."
        )
    return source


def _compared(
    request: FinetuneRequest, start: Start, data: Labelled, parts: int
) -> Generator[ValidationProgress, None, OutOfFold]:
    """Predict each part by the simpler answers and by the last layer alone."""
    done = count()
    yield ValidationProgress(next(done), parts)
    opened = start.opened
    with single_thread(len(data.records)):
        steps = validate(data, opened.classifier, opened.card, request.seed, divisions=1)
        found = yield from counted(steps, done, parts)
    return found


def _decode(request: FinetuneRequest, settings: "Settings", records: Sequence[Record]) -> Iterator[PartEvent]:
    """Decode all pictures once, for all parts to read."""
    from affectlens.training.cache import PixelCache, build
    from affectlens.training.session import CacheProgress

    folder, side = request.out / PIXELS, settings.cache_side
    if not side or PixelCache.find(folder, records, side):
        return
    yield PartEvent("all pictures", CacheProgress(0, len(records)))
    for done in build(folder, records, side):
        yield PartEvent("all pictures", CacheProgress(done, len(records)))


class _Runs:
    """The training runs of a request, to begin or to resume; they share decoded pictures and kept outputs."""

    def __init__(self, request: FinetuneRequest, settings: "Settings") -> None:
        from affectlens.training.kept_outputs import KeptOutputs

        self.request = request
        self.settings = settings
        self.kept = KeptOutputs()

    def of_part(self, number: int, source: DataSource) -> "TrainingRequest":
        """Return the run of a part, from 1."""
        return self._run(source, self.settings, self.request.out / FOLDS / str(number), validates=True)

    def of_all(self, records: Sequence[Record], trained: Trained) -> "TrainingRequest":
        """Return the run whose model is kept: on all pictures, as long as was best in the parts."""
        from affectlens.training.settings import LAST_EPOCH

        settings = replace(self.settings, epochs=trained.epochs_of_all, select_by=LAST_EPOCH, patience=0)
        source = replace(self.request.source, splits={splits.TRAIN: list(records)}, notes=())
        return self._run(source, settings, self.request.out / REFIT, validates=False)

    def events(self, run: "TrainingRequest", title: str) -> Iterator[PartEvent]:
        """Train, and yield what happens after trackers had it, which know the run by its title."""
        from affectlens.training.run import fit
        from affectlens.training.trackers import tracked

        named = replace(run, name=f"{run.name}, {title}")
        with closing(tracked(fit(run), named, self.request.trackers, self.request.note)) as events:
            for event in events:
                yield PartEvent(title, event)

    def _run(
        self, source: DataSource, settings: "Settings", out: Path, *, validates: bool
    ) -> "TrainingRequest":
        from affectlens.training.run_folder import SETTINGS, TrainingRequest

        request = self.request
        return TrainingRequest(
            name=request.name,
            data=request.data,
            source=source,
            settings=settings,
            out=out,
            validates=validates,
            finishes=False,  # a part is predicted by its weights alone; `_write_model` writes the model
            resume=(out / SETTINGS).is_file(),
            cache=request.out / PIXELS,
            kept=self.kept,
            device=request.device,
            dtype=request.dtype,
            graph=request.graph,
            command=request.command,
        )


def _train_parts(
    runs: _Runs,
    data: Labelled,
    parts: Sequence[Part],
    sources: Sequence[DataSource],
    compared: OutOfFold,
) -> Generator[PartEvent, None, tuple[OutOfFold, Trained]]:
    """Train without each part and predict it; return all answers, and how long training was best."""
    from affectlens.training.checkpoints import read_notes
    from affectlens.training.run_folder import BEST, portable_settings

    answers, epochs = [], []
    for number, ((_, held_out), source) in enumerate(zip(parts, sources, strict=True), 1):
        run = runs.of_part(number, source)
        records = [data.records[row] for row in held_out]
        title = f"fold {number} of {len(parts)}" if len(parts) > 1 else "without the part held out"
        answers.append((yield from _answers(runs, run, records, title)))
        epochs.append(int(read_notes(run.out / BEST)["epoch"]))
    logits = {**compared.logits, LAST_LAYER: compared.logits[OWN], OWN: np.concatenate(answers)}
    longest = min(float(statistics.median_low(epochs)), runs.settings.epochs)
    trained = Trained(runs.request.depth, tuple(epochs), longest, portable_settings(runs.settings))
    return replace(compared, logits=logits), trained


def _answers(
    runs: _Runs, run: "TrainingRequest", records: Sequence[Record], title: str
) -> Generator[PartEvent, None, Doubles]:
    """Train, and predict the pictures that were held out: logits (rows, E); or read what was kept of it."""
    from affectlens.training.finish import predict_others

    file = run.out / ANSWERS
    if not file.is_file():
        yield from runs.events(run, title)
        with atomic_write(file, "wb") as out:
            np.save(out, predict_others(run, records).logits.astype(np.float64))
    try:
        found: Doubles = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise OutputError(f"{file} cannot be read ({error}). Delete it, then --resume.") from None
    if found.shape != (len(records), len(run.source.vocabulary)):
        raise OutputError(f"{file} does not hold {len(records)} answers. Delete it, then --resume.")
    return found


def _write_model(request: FinetuneRequest, refit: "TrainingRequest", start: Start, report: Report) -> str:
    """Write the model folder; return why it has no graph, if one was wanted."""
    from affectlens.training.finish import save_measured

    def describe(card: Card) -> tuple[Card, str]:
        facts: Mapping[str, Any] = {"adapted": start_facts(start.opened.card, report)}
        card = replace(card, training={**facts, **card.training})
        return card, adapted_readme(card, report)

    folder = request.out / MODEL
    return save_measured(refit, folder, report.temperature, measured_scores(report), describe)
