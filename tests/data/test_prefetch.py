import threading
import time
from collections.abc import Iterator

import pytest

from affectlens.data.prefetch import map_ahead


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
