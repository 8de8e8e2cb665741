"""Generators whose items are made ahead: in a thread of their own, or many at a time in several."""

from __future__ import annotations

import collections
import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

_POLL_S = 0.05


@dataclass(frozen=True)
class _Made(Generic[Item]):
    item: Item


@dataclass(frozen=True)
class _Ended:
    error: BaseException | None


def prefetched(
    items: Iterator[Item], *, depth: int, source: Generator[object, None, None] | None = None
) -> Generator[Item, None, None]:
    """Yield the same items in the same order, made in a thread that is at most `depth` items ahead.

    The thread pays off where making an item releases Python's lock: in native code, reading and writing. What
    `items` raises is raised here, at its place. When this generator is closed, the thread ends after the item that
    it is making, and `items` is closed, then `source`: what is read may be closed once no thread reads any more.

    Args:
        items: what is made ahead.
        depth: how many items may wait.
        source: the prefetched ones that `items` are made of, if they are.
    """
    ready: queue.Queue[_Made[Item] | _Ended] = queue.Queue(depth)
    closed = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, ready, closed), daemon=True)
    thread.start()
    try:
        while True:
            entry = ready.get()
            if isinstance(entry, _Ended):
                if entry.error is not None:
                    raise entry.error
                return
            yield entry.item
    finally:
        closed.set()
        if thread is not threading.current_thread():  # which collects a generator that nobody closed
            thread.join()
            if source is not None:
                source.close()


def _fill(items: Iterator[Item], ready: queue.Queue[_Made[Item] | _Ended], closed: threading.Event) -> None:
    error: BaseException | None = None
    try:
        for item in items:
            _put(_Made(item), ready, closed)
            if closed.is_set():
                break
    except BaseException as raised:  # whatever it is, it belongs to whoever takes the items
        error = raised
    finally:
        if isinstance(items, Generator):
            items.close()
    _put(_Ended(error), ready, closed)


def _put(entry: _Made[Item] | _Ended, ready: queue.Queue[_Made[Item] | _Ended], closed: threading.Event) -> None:
    while not closed.is_set():
        with contextlib.suppress(queue.Full):
            ready.put(entry, timeout=_POLL_S)
            return


def in_threads(
    work: Callable[[Item], Made],
    items: Iterable[Item],
    *,
    weight: Callable[[Item], int],
    most: int,
    threads: int,
) -> Generator[Made, None, None]:
    """Yield what `work` makes of each item, in the order of the items, several at a time.

    Items are taken in the caller's thread, only as many as are worked on: at most twice as many as there are threads,
    and of at most `most` weight together. One that weighs more is worked on alone, so memory holds no second one. What
    `work` or `items` raises is raised here, at its place; what was begun is finished first.

    Args:
        work: may run in several threads at once.
        items: what it is called with.
        weight: of an item, such as its pixels.
        most: weight of the items that are under way or wait to be taken.
        threads: how many are worked on at once.
    """
    pending: collections.deque[tuple[int, Future[Made]]] = collections.deque()

    def must_wait(more: int) -> bool:
        return bool(pending) and (more + sum(each for each, _ in pending) > most or len(pending) >= 2 * threads)

    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            heavy = weight(item)
            while must_wait(heavy):
                yield pending.popleft()[1].result()
            pending.append((heavy, pool.submit(work, item)))
            if heavy > most:
                yield pending.popleft()[1].result()
        while pending:
            yield pending.popleft()[1].result()
