"""Between the processes of a training run and whoever called: passes on what happens, remembers restarts.

It lives as an actor of Ray's in a process of its own, and takes events as bytes, so that this process need
not load torch to pass them on. The bytes are made as Ray itself makes what goes between its processes; none
are ever read from a file.
"""

from typing import Any


class Relay:
    """The actor. Its methods are called from every process of a run."""

    def __init__(self) -> None:
        self.news: list[bytes] = []
        self.starts = 0
        self.in_vain = 0
        self.furthest = -1
        self.last_words = ""

    def begin(self) -> tuple[int, int, str]:
        """Count a start: how many were before, how many of them lately in vain, and what was heard last."""
        self.starts += 1
        self.in_vain += 1
        return self.starts - 1, self.in_vain - 1, self.last_words

    def tell(self, sealed: bytes, step: int = -1) -> None:
        """Take in an event, of a step its number, or an error that ends the run."""
        if step > self.furthest:
            self.furthest, self.in_vain = step, 0
        self.news.append(sealed)

    def complain(self, words: str) -> None:
        """Take in what a process says that ends by an error of others than ours."""
        self.last_words = words

    def take(self) -> list[bytes]:
        """Give away what has come in since the last time."""
        news, self.news = self.news, []
        return news


def packed(thing: Any) -> bytes:
    """Anything, as an event or error for `Relay.tell`, as bytes for another process."""
    from ray import cloudpickle

    sealed: bytes = cloudpickle.dumps(thing)
    return sealed


def unpacked(sealed: bytes) -> Any:
    """What was packed."""
    from ray import cloudpickle

    return cloudpickle.loads(sealed)  # from our own processes
