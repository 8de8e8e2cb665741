"""A generator that runs ahead in a thread of its own."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

_POLL_S = 0.05


@dataclass(frozen=True)
class _Made(Generic[Item]):
    item: Item


@dataclass(frozen=True)
class _Ended:
    error: BaseException | None


def prefetched(items: Iterator[Item], *, depth: int) -> Generator[Item, None, None]:
    """Yield the same items in the same order, made in a thread that is at most `depth` items ahead.

    The thread pays off where making an item releases Python's lock: in native code, reading and writing. What
    `items` raises is raised here, at its place. When this generator is closed, the thread ends after the item that
    it is making, and `items` is closed.
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
        thread.join()


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
