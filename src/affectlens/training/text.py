"""Training in words, for people: what is printed as it goes on, on a terminal or in a notebook."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from affectlens.training.loop import Step
    from affectlens.training.replay import ReplayedInterval
    from affectlens.training.run import EpochEnd, RunStarted


class Meter:
    """Loss, accuracy and speed as they were lately, not since the beginning."""

    def __init__(self, memory: float = 0.95, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.memory = memory
        self.last = self.clock()
        self.values: dict[str, float] = {}

    def after(self, step: "Step") -> str:
        """Take a step in and return the state as text."""
        now = self.clock()
        new = {"loss": step.loss, "accuracy": step.accuracy, "seconds": (now - self.last) / step.pictures}
        self.last = now
        for key, value in new.items():
            old = self.values.get(key, value)
            self.values[key] = self.memory * old + (1 - self.memory) * value
        return self.state

    @property
    def state(self) -> str:
        """The state as text; empty before the first step."""
        if not self.values:
            return ""
        v = self.values
        speed = 1 / max(v["seconds"], 1e-9)
        return f"loss {v['loss']:.3f}, accuracy {v['accuracy']:.3f}, {speed:.0f} pictures/s"


def start_text(event: "RunStarted") -> str:
    """Describe what a run begins with, or goes on with."""
    return (
        f"Step {event.step} of {event.total_steps}, {event.pictures:,} training pictures, "
        f"{event.device}, {event.precision}."
    )


def epoch_text(event: "EpochEnd") -> str:
    """Write the scores after an epoch."""
    scores = ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in event.scores.items())
    stop = f" Training ends: {event.stop}." if event.stop else ""
    return f"Epoch {event.epoch}: {scores}{' (best)' if event.best else ''}.{stop}"


def replayed_text(event: "ReplayedInterval") -> str:
    """Compare an interval that was trained again with the search's own."""
    alike = "the same weights" if event.is_the_same else "other weights"
    reached, expected = event.reached, event.expected
    return f"Round {expected.round}: {reached.score:.4f} (search {expected.score:.4f}, {alike})"
