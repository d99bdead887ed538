"""Pictures of several requests, predicted together: what waits when a thread is free makes up its batch.

Nothing waits for a batch to fill, so that a picture alone is answered at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Waiting(Generic[Key, Item, Result]):
    key: Key
    item: Item
    result: "asyncio.Future[Result]"


class Batches(Generic[Key, Item, Result]):
    """Calls `predict(key, items)`, which returns a result for each item, in threads.

    Items of one batch have the same key. Those whose caller gave up are left out.
    """

    def __init__(
        self,
        predict: Callable[[Key, list[Item]], list[Result]],
        size: Callable[[Key], int],
        threads: int,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Take up to `size(key)` items a batch; `observe` is called with how many there are."""
        self._predict, self._size, self._observe = predict, size, observe
        self._waiting: deque[_Waiting[Key, Item, Result]] = deque()
        self._threads = threads
        self._running: set[asyncio.Future[None]] = set()
        self._pool = ThreadPoolExecutor(threads, "predict")

    async def submit(self, key: Key, item: Item) -> Result:
        """Wait for the result about an item. Raises what predicting its batch raises."""
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(key, item, result))
        self._begin()
        return await result

    def stop(self) -> None:
        """Let what is being predicted end, and begin nothing more."""
        for each in self._waiting:
            each.result.cancel()
        self._waiting.clear()
        self._pool.shutdown(wait=True)

    def _begin(self) -> None:
        while self._waiting and len(self._running) < self._threads:
            batch = self._next()
            if not batch:
                continue
            running = asyncio.ensure_future(self._run(batch))
            self._running.add(running)
            running.add_done_callback(self._ended)

    def _ended(self, running: "asyncio.Future[None]") -> None:
        self._running.discard(running)
        self._begin()

    def _next(self) -> list[_Waiting[Key, Item, Result]]:
        """Take the first that waits, and those behind it that go with it."""
        left: deque[_Waiting[Key, Item, Result]] = deque()
        batch: list[_Waiting[Key, Item, Result]] = []
        while self._waiting and (not batch or len(batch) < self._size(batch[0].key)):
            each = self._waiting.popleft()
            if each.result.done():
                continue
            if batch and each.key != batch[0].key:
                left.append(each)
            else:
                batch.append(each)
        self._waiting.extendleft(reversed(left))
        return batch

    async def _run(self, batch: list[_Waiting[Key, Item, Result]]) -> None:
        self._observe(len(batch))
        loop = asyncio.get_running_loop()
        items = [each.item for each in batch]
        try:
            results = await loop.run_in_executor(self._pool, self._predict, batch[0].key, items)
        except BaseException as error:
            for each in batch:
                if not each.result.done():
                    each.result.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for each, result in zip(batch, results, strict=True):
            if not each.result.done():
                each.result.set_result(result)
