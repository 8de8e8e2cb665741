"""Kernels rounded together: what one weight's rounding adds to a result, those that are not rounded yet take back.

The nearest step is best for each weight by itself. What counts is the result of the convolution, over what its inputs
are like: with the inputs' covariance C and the rounding errors e of a filter that is e C eᵀ, the variance that the
errors add. So weights are rounded one after the other, and each time the rest is moved to where it makes up for the
error by least squares (Frantar et al. 2023, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", section 3, which is Hassibi and Stork 1993, "Second order derivatives for network pruning", eq. 5). What
is left in the mean, biases take back (`rsseg_tf.quantization.int8.bias_correction`).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rsseg_tf.quantization.int8.observe import Float64Array

_DAMPING = 0.01
"""Share of the mean variance that is added to each: what no image shows is not free to move."""

_BLOCK = 32
_AT_ONCE = 1024
_MOST_STEPS = 127


def rounded_together(kernels: Float64Array, steps: Float64Array, covariances: Float64Array) -> Float64Array:
    """Return kernels on their steps, whose results differ less from theirs than those of the nearest steps.

    The largest weight of each filter, which its step follows from, stays the largest.

    Args:
        kernels: (groups, filters, weights); filters of a group meet the same inputs.
        steps: of each filter (groups, filters).
        covariances: of what the weights meet (groups, weights, weights).
    """
    order = np.argsort(-np.diagonal(covariances, axis1=1, axis2=2), axis=1, kind="stable")
    width = np.where(steps > 0, steps, 1.0)
    exact = np.take_along_axis(kernels, order[:, None], axis=2)
    groups = np.arange(len(kernels))[:, None, None]
    factor = _inverse_factor(covariances[groups, order[:, :, None], order[:, None]])
    whole = _rounded(exact, width, factor)
    rounded = np.empty_like(kernels)
    np.put_along_axis(rounded, order[:, None], whole * width[..., None], axis=2)
    return rounded


def _inverse_factor(covariances: Float64Array) -> Float64Array:
    """Return upper triangular U with Uᵀ U the inverse of each covariance, damped."""
    count = covariances.shape[1]
    variances = np.trace(covariances, axis1=1, axis2=2) / count
    damping = _DAMPING * np.where(variances > 0, variances, 1.0)
    damped = covariances + damping[:, None, None] * np.eye(count)
    upper = np.linalg.cholesky(damped[:, ::-1, ::-1])[:, ::-1, ::-1]
    ones = np.broadcast_to(np.eye(count), upper.shape)
    inverse: Float64Array = tf.linalg.triangular_solve(upper, ones, lower=False).numpy()  # in a quarter of NumPy's time
    return inverse


def _rounded(exact: Float64Array, width: Float64Array, factor: Float64Array) -> Float64Array:
    """Return how many steps each weight is rounded to, of weights in the order in which they are rounded."""
    largest = np.abs(exact).argmax(axis=2)
    ends = np.rint(np.take_along_axis(exact, largest[..., None], axis=2)[..., 0] / width)
    left, whole = exact.copy(), np.empty_like(exact)
    for start in range(0, exact.shape[2], _BLOCK):
        stop = min(start + _BLOCK, exact.shape[2])
        moves = np.empty((*exact.shape[:2], stop - start))
        for place in range(start, stop):
            nearest = np.clip(np.rint(left[..., place] / width), -_MOST_STEPS, _MOST_STEPS)
            whole[..., place] = np.where(largest == place, ends, nearest)
            move = (left[..., place] - whole[..., place] * width) / factor[:, place, place, None]
            left[..., place:stop] -= move[..., None] * factor[:, None, place, place:stop]
            moves[..., place - start] = move
        left[..., stop:] -= moves @ factor[:, start:stop, stop:]
    return whole


class Covariance:
    """The covariance of what the weights of a kernel meet, from samples of it.

    Args:
        groups: filters that meet inputs of their own; 1 for a usual convolution, the channels of a depthwise one.
        weights: of a filter.
    """

    def __init__(self, groups: int, weights: int) -> None:
        self._count = 0
        self._sums = np.zeros((groups, weights), np.float32)
        self._products = np.zeros((groups, weights, weights), np.float32)
        self._waiting: list[NDArray[np.float32]] = []

    def add(self, samples: NDArray[np.float32]) -> None:
        """Add samples (groups, n, weights)."""
        self._waiting.append(samples)
        if sum(each.shape[1] for each in self._waiting) >= _AT_ONCE:
            self._take()

    def values(self) -> Float64Array:
        """Return the covariance (groups, weights, weights); 0 where nothing was added."""
        self._take()
        mean = self._sums.astype(np.float64) / max(1, self._count)
        products: Float64Array = self._products / max(1, self._count) - mean[:, :, None] * mean[:, None]
        return products

    def _take(self) -> None:
        if self._waiting:
            samples = np.concatenate(self._waiting, axis=1)
            self._waiting.clear()
            self._count += samples.shape[1]
            self._sums += samples.sum(axis=1)
            self._products += samples.transpose(0, 2, 1) @ samples
