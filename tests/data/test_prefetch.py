import threading
import time
from collections.abc import Generator, Iterator

import pytest

from affectlens.data.prefetch import map_ahead, read_ahead
from affectlens.decoding import check_cancelled


def test_results_come_in_order_though_they_are_ready_in_another() -> None:
    def slow_for_even(number: int) -> int:
        time.sleep(0.02 if number % 2 == 0 else 0)
        return number * number

    assert list(map_ahead(slow_for_even, range(20), ahead=7)) == [n * n for n in range(20)]


def test_only_so_many_items_are_taken_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    for done, _ in enumerate(map_ahead(str, items(), ahead=5), start=1):
        assert len(taken) <= done + 5
    assert len(taken) == 100


def test_an_error_comes_in_its_turn_and_stops_the_rest() -> None:
    calls: list[int] = []
    lock = threading.Lock()

    def fails_at_ten(number: int) -> int:
        with lock:
            calls.append(number)
        if number == 10:
            raise ZeroDivisionError
        return number

    results = map_ahead(fails_at_ten, range(1000), ahead=4)
    assert [next(results) for _ in range(10)] == list(range(10))
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(calls) < 30


def test_nothing_in_is_nothing_out() -> None:
    assert list(map_ahead(str, [])) == []


# One generator, read in a thread of its own. -------------------------------------------------------


def test_a_generator_is_read_in_order_and_only_some_items_ahead() -> None:
    taken: list[int] = []

    def items() -> Generator[int, None, None]:
        for number in range(20):
            taken.append(number)
            yield number

    found = []
    for number in read_ahead(items(), ahead=2):
        found.append(number)
        time.sleep(0.002)
        # Two wait, one is taken to be put, and one may be on its way here.
        assert len(taken) <= len(found) + 4
    assert found == list(range(20))


def test_a_generator_runs_in_another_thread_and_is_closed_there_when_the_reader_stops() -> None:
    threads: list[threading.Thread] = []

    def endless() -> Generator[int, None, None]:
        try:
            while True:
                yield 0
        finally:
            threads.append(threading.current_thread())

    before = threading.active_count()
    results = read_ahead(endless(), ahead=1)
    assert [next(results), next(results)] == [0, 0]
    results.close()
    assert len(threads) == 1 and threads[0] is not threading.current_thread()
    assert threading.active_count() == before


def test_an_error_of_a_generator_comes_in_its_turn() -> None:
    def breaks() -> Generator[int, None, None]:
        yield 1
        yield 2
        raise ZeroDivisionError

    results = read_ahead(breaks(), ahead=5)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_what_is_being_decoded_ends_with_the_iteration() -> None:
    begun = threading.Event()

    def endless(item: int) -> None:
        begun.set()
        while True:
            check_cancelled()
            time.sleep(0.01)

    with pytest.raises(RuntimeError, match="stop"):
        for _ in map_ahead(lambda item: None if item == 0 else endless(item), stopping(begun)):
            pass


def stopping(begun: threading.Event) -> Iterator[int]:
    """Items of which the second never ends, and an error once that has begun."""
    yield 0
    yield 1
    begun.wait(10)
    raise RuntimeError("stop")
