"""What to do about a picture that ends the process that reads it, as a fault of a decoder can.

Ray has another process do again what one died of, for ever. So attempts are counted, outside of those who
make them. From the second on, a part's pictures are read one by one and named before; one that twice was the
last to be named is answered as damaged, and the rest of its part is judged.
"""

from collections import Counter
from typing import Any, Protocol

DEATHS = 2  # while reading one picture; one alone may be a machine's
MOST = 12  # attempts at one part, whatever ends them


class Tally(Protocol):
    """Counts attempts, and knows who was being read when one ended."""

    def begin(self, part: int) -> tuple[int, list[int]]:
        """Count an attempt: which it is, from 1, and the places of pictures that must not be read."""
        ...

    def reading(self, part: int, place: int | None) -> None:
        """Name the picture that is about to be read; None when all were."""
        ...

    def done(self, part: int) -> None:
        """Forget a part that was judged."""
        ...


class Attempts:
    """The tally itself; in use an actor of Ray's."""

    def __init__(self) -> None:
        self.attempts: Counter[int] = Counter()
        self.last_named: dict[int, int] = {}
        self.deaths: dict[int, Counter[int]] = {}

    def begin(self, part: int) -> tuple[int, list[int]]:
        self.attempts[part] += 1
        place = self.last_named.pop(part, None)
        deaths = self.deaths.setdefault(part, Counter())
        if place is not None:
            deaths[place] += 1
        return self.attempts[part], sorted(place for place, count in deaths.items() if count >= DEATHS)

    def reading(self, part: int, place: int | None) -> None:
        if place is None:
            self.last_named.pop(part, None)
        else:
            self.last_named[part] = place

    def done(self, part: int) -> None:
        for known in (self.attempts, self.last_named, self.deaths):
            known.pop(part, None)


class Remote:
    """The tally as others see it: calls an actor, and waits where the answer or the order matters."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def begin(self, part: int) -> tuple[int, list[int]]:
        import ray

        found: tuple[int, list[int]] = ray.get(self.actor.begin.remote(part))
        return found

    def reading(self, part: int, place: int | None) -> None:
        import ray

        ray.get(self.actor.reading.remote(part, place))  # known before it can end this process

    def done(self, part: int) -> None:
        self.actor.done.remote(part)
