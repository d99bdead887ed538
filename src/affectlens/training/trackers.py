"""Forward what a run yields to TensorBoard, MLflow or Weights & Biases: `affectlens train --track NAME`.

Trackers are consumers of the events of `training.run.fit`, and training knows nothing of them. Each belongs
to an extra of its own and is imported only where it is wanted. Steps are logged as `train/...` and epochs as
`val/...`, both over steps of the optimizer.

A tracker that cannot begin is an error. One that fails later, as by a server that went away, is dropped with
a note: hours of training do not end by it. What goes to a tracker has no folder of this machine.
"""

import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Protocol

from affectlens.errors import RunError, first_line
from affectlens.extras import MLFLOW, TENSORBOARD, WANDB, Extra, require
from affectlens.training.loop import Step
from affectlens.training.run import EpochEnd, RunEvent, RunStarted
from affectlens.training.run_folder import TrainingRequest, portable_settings

PROJECT = "affectlens"  # at Weights & Biases, unless WANDB_PROJECT names another


class Tracker(Protocol):
    """Where numbers of a run are written to."""

    def begin(self, request: TrainingRequest, step: int) -> None:
        """Begin, or go on after a step: what was logged of later steps is out of date."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers of a step."""

    def end(self, is_complete: bool) -> None:
        """Close; not `is_complete` where the run was interrupted or failed."""


class TensorBoard:
    """Event files in the folder `tensorboard` of the run: `tensorboard --logdir RUN`."""

    def begin(self, request: TrainingRequest, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(request.out / "tensorboard", purge_step=step + 1)
        described = {"command": request.command, **_parameters(request)}
        rows = "".join(f"| {name} | {value} |\n" for name, value in described.items())
        self._writer.add_text("settings", f"| setting | value |\n| --- | --- |\n{rows}", step)

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def end(self, is_complete: bool) -> None:
        self._writer.close()


class MLflow:
    """A run of MLflow, at MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME; each resumption is another one."""

    _run: Any = None

    def begin(self, request: TrainingRequest, step: int) -> None:
        if self._run is not None:
            return
        mlflow = import_module("mlflow")
        tags = {"command": request.command, "data": request.data, "first_step": str(step + 1)}
        self._run = mlflow.start_run(run_name=request.name, tags=tags)
        mlflow.log_params(_parameters(request))

    def log(self, values: Mapping[str, float], step: int) -> None:
        # It refuses names with other characters, which words of one's own may have.
        named = {re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII): value for name, value in values.items()}
        import_module("mlflow").log_metrics(named, step=step)

    def end(self, is_complete: bool) -> None:
        import_module("mlflow").end_run("FINISHED" if is_complete else "FAILED")


class WeightsAndBiases:
    """A run of Weights & Biases, as its own variables have it (WANDB_PROJECT, WANDB_MODE=offline, ...)."""

    _run: Any = None

    def begin(self, request: TrainingRequest, step: int) -> None:
        if self._run is not None:
            return
        self._run = import_module("wandb").init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=request.name,
            dir=str(request.out),
            config={"command": request.command, "data": request.data, **_parameters(request)},
        )

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def end(self, is_complete: bool) -> None:
        self._run.finish(exit_code=0 if is_complete else 1)


TRACKERS: Mapping[str, tuple[Extra, Callable[[], Tracker]]] = {
    "tensorboard": (TENSORBOARD, TensorBoard),
    "mlflow": (MLFLOW, MLflow),
    "wandb": (WANDB, WeightsAndBiases),
}


def require_trackers(names: Sequence[str]) -> None:
    """Raise `MissingExtra` where the library of a tracker is not installed."""
    for name in names:
        require(TRACKERS[name][0], f"The tracker {name}")


def tracked(
    events: Iterator[RunEvent], request: TrainingRequest, names: Sequence[str], note: Callable[[str], None]
) -> Generator[RunEvent, None, None]:
    """Yield the events of a run after the trackers had them; `note` is called for one that is dropped.

    Raises `RunError` where a tracker cannot begin; the run can be resumed.
    """
    trackers = {name: TRACKERS[name][1]() for name in dict.fromkeys(names)}
    running: dict[str, Tracker] = {}
    is_complete = False
    try:
        for event in events:
            if isinstance(event, RunStarted):
                for name, tracker in trackers.items():
                    _begin(name, tracker, request, event.step)
                    running[name] = tracker
            for name, tracker in list(running.items()):
                if not _survives(name, partial(_log, tracker, event), note):
                    del running[name], trackers[name]
            yield event
        is_complete = True
    finally:
        for name, tracker in running.items():
            _survives(name, partial(tracker.end, is_complete), note)


def _begin(name: str, tracker: Tracker, request: TrainingRequest, step: int) -> None:
    try:
        tracker.begin(request, step)
    except Exception as error:  # its library's own, of some dozen kinds
        raise RunError(
            f"The tracker {name} cannot begin: {first_line(error)}. Resume without --track {name}, or when "
            "that works."
        ) from error


def _survives(name: str, work: Callable[[], None], note: Callable[[str], None]) -> bool:
    try:
        work()
    except Exception as error:  # its library's own, of some dozen kinds
        note(f"The tracker {name} failed and is left out from here on: {first_line(error)}.")
        return False
    return True


def _log(tracker: Tracker, event: RunEvent) -> None:
    if isinstance(event, Step):
        named = {"loss": event.loss, "accuracy": event.accuracy, "lr": event.lr,
                 "gradient_norm": event.gradient_norm, **event.parts}  # fmt: skip
        tracker.log({f"train/{name}": value for name, value in named.items()}, event.number)
    elif isinstance(event, EpochEnd):
        values = {f"val/{name}": value for name, value in event.scores.items()}
        tracker.log({**values, "epoch": float(event.epoch)}, event.step)


def _parameters(request: TrainingRequest) -> dict[str, Any]:
    return dict(_flat(portable_settings(request.settings), ""))


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
