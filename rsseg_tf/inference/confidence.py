"""How sure a network is of the class that it gives each pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.planes import planes
from rsseg_tf.inference.blending import Band
from rsseg_tf.inference.tiling import Image

STEPS = 250
"""A confidence is stored as a whole number of so many steps from 0 to 1."""

_ROWS_IN_CACHE = 16


def confidence_of(scores: NDArray[Any], weights: NDArray[np.float32], *, unit: float) -> NDArray[np.float32]:
    """Return the softmax probability of the class with the largest score, float32 (h, w).

    Args:
        scores: (h, w, C), sums of the scores of overlapping tiles.
        weights: (h, w), what they were weighted with in all.
        unit: logits a score of one tile counts for; an offset of all classes does not matter.
    """
    result = np.empty(weights.shape, np.float32)
    for top in range(0, len(weights), _ROWS_IN_CACHE):
        rows = slice(top, top + _ROWS_IN_CACHE)
        part = np.asarray(planes(scores[rows]), np.float32)
        part -= part.max(axis=0)
        part *= np.float32(unit) / weights[rows]
        result[rows] = 1 / np.exp(part, out=part).sum(axis=0)
    return result


def confidence_in(band: Band, *, unit: float) -> NDArray[np.float32]:
    """Return `confidence_of` the pixels of a band, float32 (rows, W); 0 where no window had data."""
    if band.sums is None:
        return np.zeros(band.weights.shape, np.float32)
    return confidence_of(band.sums, band.weights, unit=unit)


def stored(confidence: NDArray[np.float32]) -> Image:
    """Return confidences 0 … 1 as whole numbers 0 … 250."""
    return np.rint(confidence * STEPS).astype(np.uint8)


def restored(steps: Image) -> NDArray[np.float32]:
    """Return whole numbers 0 … 250 as confidences 0 … 1."""
    return steps.astype(np.float32) / np.float32(STEPS)
