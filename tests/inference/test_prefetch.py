from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from rsseg_tf.inference.prefetch import in_threads, prefetched


class Interrupted(Exception):
    """What stops the items in these tests."""


def test_items_made_ahead_are_the_same_and_errors_come_in_their_place() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise Interrupted

    seen = []
    with pytest.raises(Interrupted):
        seen.extend(prefetched(items(), depth=2))  # what was made before is lost with the list's extension
    generator = prefetched(items(), depth=2)
    assert [next(generator) for _ in range(5)] == [0, 1, 2, 3, 4]


def test_no_thread_reads_on_where_what_is_made_of_its_items_failed() -> None:
    begun, is_busy = threading.Event(), False

    def read() -> Iterator[int]:
        nonlocal is_busy
        yield 0
        is_busy = True
        begun.set()
        time.sleep(0.3)
        is_busy = False
        yield 1

    def made(items: Iterator[int]) -> Iterator[int]:
        for _ in items:
            begun.wait(10)
            raise Interrupted
        yield 0

    items = prefetched(read(), depth=1)
    with pytest.raises(Interrupted):
        next(prefetched(made(items), depth=1, source=items))
    assert not is_busy


def test_closing_ends_the_thread_and_the_items() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    before = threading.active_count()
    generator = prefetched(items(), depth=1)
    next(generator)
    generator.close()
    assert closed.is_set()
    assert threading.active_count() == before


def test_what_threads_make_comes_in_the_order_of_the_items() -> None:
    def work(item: int) -> int:
        time.sleep(0.001 * (item % 3))
        return -item

    made = in_threads(work, range(40), weight=lambda item: item, most=30, threads=4)
    assert list(made) == [-item for item in range(40)]


def test_items_are_worked_on_side_by_side() -> None:
    met = threading.Barrier(3, timeout=10)
    assert list(in_threads(lambda _: met.wait() >= 0, range(3), weight=lambda _: 1, most=9, threads=3)) == [True] * 3


def test_no_more_weight_is_under_way_than_allowed_and_the_heaviest_goes_alone() -> None:
    under_way, most = 0, 0
    lock = threading.Lock()

    def work(item: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += item
            most = max(most, under_way if item < 50 else under_way - item)
        time.sleep(0.002)
        with lock:
            under_way -= item
        return item

    items = [3, 4, 5, 60, 2, 6, 1, 9] * 4
    assert list(in_threads(work, items, weight=lambda item: item, most=10, threads=4)) == items
    assert 5 < most <= 10


def test_what_was_begun_is_finished_before_an_error_comes_through() -> None:
    done: list[int] = []

    def items() -> Iterator[int]:
        yield from range(3)
        raise Interrupted

    def work(item: int) -> int:
        time.sleep(0.01)
        done.append(item)
        return item

    with pytest.raises(Interrupted):
        list(in_threads(work, items(), weight=lambda _: 1, most=9, threads=3))
    assert sorted(done) == [0, 1, 2]


def test_an_error_of_the_work_comes_in_its_place() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise Interrupted
        return item

    made = in_threads(work, range(9), weight=lambda _: 1, most=9, threads=2)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(Interrupted):
        next(made)


def test_a_generator_that_its_own_thread_closes_ends_without_waiting_for_itself():
    """As where the garbage collector runs there while nobody holds it any more."""
    may_close, closed = threading.Event(), threading.Event()
    errors = []

    def items():
        yield 0
        may_close.wait(60)
        try:
            outer.close()
        except RuntimeError as error:
            errors.append(error)
        closed.set()

    outer = prefetched(items(), depth=1)
    assert next(outer) == 0
    may_close.set()
    assert closed.wait(60)
    assert errors == []
