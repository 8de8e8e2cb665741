"""Files and parts of them. What parts are read from stays open: a training draws thousands from one mosaic."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from rsseg_tf.datasets.files.opening import open_stored
from rsseg_tf.datasets.files.stored import WHOLE, Box, Stored, fitting_memory
from rsseg_tf.datasets.images.channels import AS_THEY_ARE, Channels
from rsseg_tf.datasets.images.numbers import Numbers, numbers_in
from rsseg_tf.datasets.images.picture import Picture, Valid, open_picture
from rsseg_tf.datasets.palette import Pixels

_KEPT = 16


class _Kept(threading.local):
    """What this thread has open: the library's files serve one thread at a time."""

    def __init__(self) -> None:
        self._files: OrderedDict[Any, tuple[Stored, dict[Any, Picture]]] = OrderedDict()

    def numbers(self, path: Path) -> Stored:
        """Return an open file of numbers."""
        return self._file(path, numbers=True)[0]

    def picture(self, path: Path, channels: Channels, *, labels: bool) -> Picture:
        """Return an open file as colors."""
        stored, pictures = self._file(path, numbers=False)
        if (channels, labels) not in pictures:
            pictures[channels, labels] = Picture(stored, channels, labels=labels)
        return pictures[channels, labels]

    def _file(self, path: Path, *, numbers: bool) -> tuple[Stored, dict[Any, Picture]]:
        status = path.stat()
        key = (path, status.st_size, status.st_mtime_ns, numbers)
        if key not in self._files:
            self._files[key] = (open_stored(path, numbers=numbers), {})
            if len(self._files) > _KEPT:
                self._files.popitem(last=False)[1][0].close()
        self._files.move_to_end(key)
        return self._files[key]


_kept = _Kept()


def read_picture(
    path: Path, box: Box = WHOLE, *, channels: Channels = AS_THEY_ARE, labels: bool = False
) -> tuple[Pixels, Valid]:
    """Return the pixels of a part of a file, uint8 (h, w, bands), and where they hold data; see `open_picture`."""
    with fitting_memory(path):
        if box != WHOLE:
            return _kept.picture(path, channels, labels=labels).read(box)
        with open_picture(path, channels, labels=labels) as picture:
            return picture.read()


def read_numbers(path: Path, box: Box = WHOLE) -> Numbers:
    """Return the numbers in a part of a file; see `numbers_in`."""
    if box != WHOLE:
        return numbers_in(_kept.numbers(path), box)
    with contextlib.closing(open_stored(path, numbers=True)) as stored:
        return numbers_in(stored, box)
