"""Weights that were learned on red, green and blue, made to fit a network that sees other bands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_COLORS = 3


def band_shares(count: int) -> NDArray[np.float64]:
    """Return how much of each color's weights each of `count` bands begins with: (count, 3), columns of sum 1.

    The first three bands begin as red, green and blue; every further one, such as near infrared, as red, whose weights
    they share evenly. So where the further bands equal red, the network sees what it saw of the colors. One or two
    bands share all three colors evenly.
    """
    if count < _COLORS:
        return np.full((count, _COLORS), 1 / count)
    shares = np.zeros((count, _COLORS))
    shares[range(_COLORS), range(_COLORS)] = 1
    shares[[0, *range(_COLORS, count)], 0] = 1 / (count - _COLORS + 1)
    return shares


def fitted(weights: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return weights of a network's first layer for as many bands as `shape` asks for, or as they are if they fit it.

    Args:
        weights: a kernel (height, width, 3, C), or statistics by color (3,).
        shape: of the layer that takes them: the same with another number of bands.

    Returns:
        The kernel shared by `band_shares`, statistics of further bands those of red; anything else as it came.
    """
    axis = weights.ndim - 2 if weights.ndim == 4 else 0
    kept = (*weights.shape[:axis], *weights.shape[axis + 1 :])
    if weights.shape == tuple(shape) or weights.ndim not in (1, 4) or weights.shape[axis] != _COLORS:
        return weights
    if len(shape) != weights.ndim or (*shape[:axis], *shape[axis + 1 :]) != kept:
        return weights
    shares = band_shares(shape[axis])
    if axis == 0:
        shares = shares / shares.sum(axis=1, keepdims=True)
    return np.moveaxis(np.tensordot(shares, weights, (1, axis)), 0, axis).astype(weights.dtype)
