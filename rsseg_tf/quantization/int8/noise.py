"""Signal-to-quantization-noise ratios, and the arithmetic of TFLite's numbers that they need."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.tflite.flatbuffer import Tensor

LIMIT_DB = 100.0
"""Where a ratio ends, either way: float32 itself is good for about 140."""


class ChannelNoise:
    """Sums over several runs, from which the signal and the noise of each channel (last axis) follow."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: NDArray[np.float64] | None = None

    def add(self, reference: NDArray[Any], got: NDArray[Any]) -> None:
        """Add one run: the expected and the actual values, both (…, C)."""
        exact = reference.reshape(-1, reference.shape[-1]).astype(np.float64)
        noise = got.reshape(exact.shape) - exact
        sums = np.stack([exact.sum(axis=0), (exact**2).sum(axis=0), (noise**2).sum(axis=0)])
        self._sums = sums if self._sums is None else self._sums + sums
        self._count += len(exact)

    def channel_db(self) -> NDArray[np.float64]:
        """Return 10 · log10(variance / mean squared noise) of every channel whose values vary, between ±`LIMIT_DB`."""
        if self._sums is None:
            return np.zeros(0)
        mean, square, noise = self._sums / self._count
        variance = square - mean**2
        varies = variance > 1e-12 * square
        return _db(variance[varies], noise[varies])


def dequantized(tensor: Tensor, stored: NDArray[Any]) -> NDArray[np.float64]:
    """Return the real values of a tensor's stored numbers."""
    if not tensor.scales.size:
        return stored.astype(np.float64)
    scales, zeros = _along(tensor, tensor.scales.astype(np.float64)), _along(tensor, tensor.zero_points)
    real: NDArray[np.float64] = (stored - zeros) * scales
    return real


def rounded(tensor: Tensor, values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the real values that a tensor's type can express, nearest to `values`."""
    limits = np.iinfo(tensor.dtype)
    scales, zeros = _along(tensor, tensor.scales.astype(np.float64)), _along(tensor, tensor.zero_points)
    return dequantized(tensor, np.clip(np.rint(values / scales) + zeros, limits.min, limits.max))


def kernel_db(stored: Tensor, original: NDArray[Any]) -> float:
    """Return a constant's power over its quantization noise, averaged over channels that have a scale each."""
    exact = original.astype(np.float64)
    noise = dequantized(stored, stored.values()) - exact
    axis = tuple(number for number in range(exact.ndim) if stored.scales.size == 1 or number != stored.axis)
    power = np.atleast_1d((exact**2).mean(axis=axis))
    used = power > 0
    return float(_db(power[used], np.atleast_1d((noise**2).mean(axis=axis))[used]).mean()) if used.any() else LIMIT_DB


def _along(tensor: Tensor, values: NDArray[Any]) -> NDArray[Any]:
    """Return one value, or one a channel, shaped to meet the tensor's own axes."""
    if values.size == 1:
        return values.reshape(())
    shape = [1] * len(tensor.shape)
    shape[tensor.axis] = -1
    return values.reshape(shape)


def _db(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    floor = signal * 10 ** (-LIMIT_DB / 10)
    return np.maximum(10 * np.log10(signal / np.maximum(noise, floor)), -LIMIT_DB)
