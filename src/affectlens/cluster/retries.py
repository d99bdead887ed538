"""What to do about a picture that ends the process that reads it, as a fault of a decoder can.

Ray has another process do again what one died of, without end. So retries are counted, outside of those
processes. From the first retry on, a part's pictures are read one by one and named before; one that twice was
the last to be named is answered as damaged, and the rest of its part is predicted.
"""

from collections import Counter
from typing import Any, Protocol

DEATHS = 2  # while reading one picture; one alone may be a machine's
MOST = 12  # starts of one part, whatever ends them


class RetryCount(Protocol):
    """Counts how often each part was started, and knows which picture was being read when a process ended."""

    def begin(self, part: int) -> tuple[int, list[int]]:
        """Count a start: which it is, from 1, and the indices of pictures that must not be read."""

    def reading(self, part: int, index: int | None) -> None:
        """Name the picture that is about to be read; None when all were."""

    def done(self, part: int) -> None:
        """Forget a part that was predicted."""


class LocalRetryCount:
    """The count itself; in use an actor of Ray's."""

    def __init__(self) -> None:
        self.starts: Counter[int] = Counter()
        self.last_named: dict[int, int] = {}
        self.deaths: dict[int, Counter[int]] = {}

    def begin(self, part: int) -> tuple[int, list[int]]:
        self.starts[part] += 1
        index = self.last_named.pop(part, None)
        deaths = self.deaths.setdefault(part, Counter())
        if index is not None:
            deaths[index] += 1
        return self.starts[part], sorted(index for index, count in deaths.items() if count >= DEATHS)

    def reading(self, part: int, index: int | None) -> None:
        if index is None:
            self.last_named.pop(part, None)
        else:
            self.last_named[part] = index

    def done(self, part: int) -> None:
        for known in (self.starts, self.last_named, self.deaths):
            known.pop(part, None)


class RemoteRetryCount:
    """The count as workers see it: calls an actor, and waits where the answer or the order matters."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def begin(self, part: int) -> tuple[int, list[int]]:
        import ray

        found: tuple[int, list[int]] = ray.get(self.actor.begin.remote(part))
        return found

    def reading(self, part: int, index: int | None) -> None:
        import ray

        ray.get(self.actor.reading.remote(part, index))  # known before it can end this process

    def done(self, part: int) -> None:
        self.actor.done.remote(part)
