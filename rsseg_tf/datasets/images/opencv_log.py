"""How much OpenCV writes to stderr on its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import cv2

SILENT, ERRORS = 0, 2
"""Levels of OpenCV's logger."""

_LOGGER: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has the functions at its top


@contextlib.contextmanager
def opencv_log(level: int = SILENT) -> Iterator[None]:
    """Set OpenCV's log level within the block; our errors report the failures."""
    before = _LOGGER.getLogLevel()
    _LOGGER.setLogLevel(level)
    try:
        yield
    finally:
        _LOGGER.setLogLevel(before)
