from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rsseg_tf.inference.prefetch import prefetched


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
