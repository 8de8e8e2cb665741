"""Files and parts of them. What parts are read from stays open: a training draws thousands from one mosaic."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, TypeVar

from rsseg_tf.datasets.files.opening import open_stored
from rsseg_tf.datasets.files.stored import WHOLE, Box
from rsseg_tf.datasets.images.channels import AS_THEY_ARE, Channels
from rsseg_tf.datasets.images.numbers import Numbers, numbers_in
from rsseg_tf.datasets.images.picture import Valid, open_picture
from rsseg_tf.datasets.palette import Pixels

_KEPT = 16

Opened = TypeVar("Opened")


class _Kept(threading.local):
    """What this thread has open: the library's files serve one thread at a time."""

    def __init__(self) -> None:
        self._files: OrderedDict[Any, tuple[ExitStack, Any]] = OrderedDict()

    def file(self, key: Any, opened: Callable[[], AbstractContextManager[Opened]]) -> Opened:
        """Return what `opened` gives, or gave before under this key."""
        if key not in self._files:
            stack = ExitStack()
            self._files[key] = (stack, stack.enter_context(opened()))
            if len(self._files) > _KEPT:
                self._files.popitem(last=False)[1][0].close()
        self._files.move_to_end(key)
        found: Opened = self._files[key][1]
        return found


_kept = _Kept()


def read_picture(
    path: Path, box: Box = WHOLE, *, channels: Channels = AS_THEY_ARE, labels: bool = False
) -> tuple[Pixels, Valid]:
    """Return the pixels of a part of a file, uint8 (h, w, 3) RGB, and where they hold data; see `open_picture`."""

    def opened() -> AbstractContextManager[Any]:
        return open_picture(path, channels, labels=labels)

    if box == WHOLE:
        with opened() as picture:
            return picture.read()
    return _kept.file((*_state(path), channels, labels), opened).read(box)


def read_numbers(path: Path, box: Box = WHOLE) -> Numbers:
    """Return the numbers in a part of a file; see `numbers_in`."""

    def opened() -> AbstractContextManager[Any]:
        return open_stored(path, numbers=True)

    if box == WHOLE:
        with opened() as stored:
            return numbers_in(stored, box)
    return numbers_in(_kept.file(_state(path), opened), box)


def _state(path: Path) -> tuple[Any, ...]:
    status = path.stat()
    return path, status.st_size, status.st_mtime_ns
