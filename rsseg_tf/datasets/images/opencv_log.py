"""How much OpenCV writes to stderr on its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import cv2

SILENT, ERRORS = 0, 2
"""Levels of OpenCV's logger."""

_LOGGER: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has the functions at its top


_LOCK = threading.Lock()
_LEVELS: list[int] = []
"""What it was before any block, and the level of each block that is open, in any thread."""


@contextlib.contextmanager
def opencv_log(level: int = SILENT) -> Iterator[None]:
    """Set OpenCV's log level within the block, for all threads; our errors report the failures."""
    with _LOCK:
        if not _LEVELS:
            _LEVELS.append(_LOGGER.getLogLevel())
        _LEVELS.append(level)
        _LOGGER.setLogLevel(level)
    try:
        yield
    finally:
        with _LOCK:
            del _LEVELS[_LEVELS.index(level, 1)]
            _LOGGER.setLogLevel(_LEVELS[-1])
            if len(_LEVELS) == 1:
                _LEVELS.clear()
