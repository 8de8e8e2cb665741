"""Between pixels with channels and a plane of each channel, by OpenCV: in a small part of NumPy's time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

IN_OPENCV = (np.uint8, np.int8, np.uint16, np.int16, np.float32)
"""Types of numbers that OpenCV knows."""

_MOST_CHANNELS = 512
"""Of a picture in OpenCV."""


def planes(scores: NDArray[Any]) -> Sequence[NDArray[Any]]:
    """Return the scores of each class for itself, its rows without gaps: (h, w, C) → C of (h, w)."""
    moved = np.moveaxis(scores, -1, 0)
    if scores.strides[-1] >= scores.strides[1]:
        return list(moved)
    if scores.dtype in IN_OPENCV and scores.shape[-1] <= _MOST_CHANNELS:
        return cv2.split(scores)
    return list(np.ascontiguousarray(moved))


def interleaved(bands: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels of bands: (C, h, w) → (h, w, C)."""
    if bands.dtype in IN_OPENCV and len(bands) <= _MOST_CHANNELS:
        return cv2.merge(list(bands)).reshape(*bands.shape[1:], -1)
    return np.ascontiguousarray(np.moveaxis(bands, 0, -1))
