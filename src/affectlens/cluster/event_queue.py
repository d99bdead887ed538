"""Between the processes of a training run and its caller: passes on what happens, remembers restarts.

It lives as an actor of Ray's in a process of its own, and takes events as bytes, so that this process need
not load torch to pass them on.
"""

from typing import Any


class EventQueue:
    """The actor. Its methods are called from every process of a run."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.starts = 0
        self.in_vain = 0
        self.last_step = -1
        self.last_error = ""

    def begin(self) -> tuple[int, int, str]:
        """Count a start: how many were before, how many of them lately in vain, and the last error."""
        self.starts += 1
        self.in_vain += 1
        return self.starts - 1, self.in_vain - 1, self.last_error

    def put(self, packed_event: bytes, step: int = -1) -> None:
        """Take in an event, of a step its number, or an error that ends the run."""
        if step > self.last_step:
            self.last_step, self.in_vain = step, 0
        self.events.append(packed_event)

    def put_error(self, text: str) -> None:
        """Take in the traceback of a process that ends by an error of others than ours."""
        self.last_error = text

    def take(self) -> list[bytes]:
        """Give away what has come in since the last time."""
        events, self.events = self.events, []
        return events


# Ray's cloudpickle, with which Ray itself carries everything between its processes: the bytes come from our
# own processes of the same job, over Ray's authenticated channel, and are never read from a file.


def packed(thing: Any) -> bytes:
    """Anything, as an event or error for `EventQueue.put`, as bytes for another process."""
    from ray import cloudpickle

    data: bytes = cloudpickle.dumps(thing)
    return data


def unpacked(data: bytes) -> Any:
    """What was packed."""
    from ray import cloudpickle

    return cloudpickle.loads(data)
