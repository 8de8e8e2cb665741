"""How the channels of tensors vary together: sums and sums of products over places of a few batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROWS_A_CHANNEL = 4
"""Places of a batch that are looked at, for each channel of a tensor; neighboring ones say nearly the same."""

_LEAST_ROWS = 2048


@dataclass(frozen=True)
class Moments:
    """What is added up over batches: for each tensor the number of rows, their sum and the sum of their products.

    Attributes:
        tensors: of a model, (N, …, C) each.
    """

    tensors: Sequence[keras.KerasTensor]

    def of_batch(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return the three sums of each tensor's value, float32, in a row: (), (C,) and (C, C)."""
        return [total for value in values for total in _sums(value)]

    def zeros(self) -> list[Any]:
        """Return the sums over no batches."""
        widths = [tensor.shape[-1] for tensor in self.tensors]
        return [np.zeros(shape) for width in widths for shape in ((), (width,), (width, width))]

    def statistics(self, totals: Sequence[Any]) -> Iterator[tuple[Array, Array]]:
        """Yield the mean, (C,), and the covariance, (C, C), of each tensor, of its three sums in a row."""
        sums = iter(totals)
        for number, total, products in zip(sums, sums, sums, strict=True):
            mean = total / number
            yield mean, products / number - np.outer(mean, mean)


def _sums(tensor: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    channels = tensor.shape[-1]
    rows = tf.reshape(tf.cast(tensor, tf.float32), (-1, channels))
    rows = rows[:: tf.maximum(1, tf.shape(rows)[0] // max(_LEAST_ROWS, _ROWS_A_CHANNEL * channels))]
    number = tf.cast(tf.shape(rows)[0], tf.float32)
    return number, tf.reduce_sum(rows, axis=0), tf.matmul(rows, rows, transpose_a=True)
