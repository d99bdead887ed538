"""Work ahead of those who take the results: in order, with bounded memory.

map_ahead      a function of many items, in as many threads as there are cores
read_ahead     a generator, in one thread of its own: a decoder cannot be shared
"""

import queue
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import islice
from threading import Event, Thread
from typing import Any, TypeVar

from affectlens.decoding import cancellable
from affectlens.machine import usable_cores

In = TypeVar("In")
Out = TypeVar("Out")

_PATIENCE = 0.2  # seconds until a thread that waits for room looks whether anyone still takes its items


def map_ahead(function: Callable[[In], Out], items: Iterable[In], ahead: int = 64) -> Iterator[Out]:
    """Yield `function(item)` in the order of the items, computed by as many threads as there are cores.

    At most `ahead` results wait at any time, however slowly they are taken. Stopping the iteration
    cancels what has not begun, and ends the decoding of what has; an error is raised in its item's turn.

    >>> list(map_ahead(len, ["one", "three"]))
    [3, 5]
    """
    waiting: deque[Future[Out]] = deque()
    left = iter(items)
    stopped = Event()

    def call(item: In) -> Out:
        with cancellable(stopped):
            return function(item)

    with ThreadPoolExecutor(usable_cores()) as pool:
        try:
            waiting.extend(pool.submit(call, item) for item in islice(left, ahead))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(call, item) for item in islice(left, 1))
                yield result
        finally:
            stopped.set()
            for future in waiting:
                future.cancel()


def batched(items: Iterable[Out], size: int) -> Iterator[list[Out]]:
    """Yield `size` items at a time, the last time those that are left.

    >>> list(batched("abc", 2))
    [['a', 'b'], ['c']]
    """
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch


def read_ahead(items: Generator[Out, None, None], ahead: int = 3) -> Generator[Out, None, None]:
    """Yield what another thread takes from a generator, at most `ahead` items before they are used.

    An error of the generator is raised in its turn. Stopping the iteration closes the generator, in its
    thread.

    >>> list(read_ahead(number for number in range(3)))
    [0, 1, 2]
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(ahead)
    stopped = Event()

    def put(kind: str, value: Any) -> bool:
        while not stopped.is_set():
            with suppress(queue.Full):
                ready.put((kind, value), timeout=_PATIENCE)
                return True
        return False

    def read() -> None:
        try:
            with closing(items):
                if all(put("item", item) for item in items):
                    put("end", None)
        except BaseException as error:  # raised where the items are used
            put("error", error)

    thread = Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stopped.set()
        thread.join()
