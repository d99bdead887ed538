"""Work on many pictures in threads, in order and with bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def map_ahead(function: Callable[[In], Out], items: Iterable[In], ahead: int = 64) -> Iterator[Out]:
    """Yield `function(item)` in the order of the items, computed by as many threads as there are cores.

    At most `ahead` results wait at any time, however slowly they are taken. Stopping the iteration
    cancels what has not begun; an error is raised in its item's turn.

    >>> list(map_ahead(len, ["one", "three"]))
    [3, 5]
    """
    waiting: deque[Future[Out]] = deque()
    left = iter(items)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            waiting.extend(pool.submit(function, item) for item in islice(left, ahead))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(left, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()
