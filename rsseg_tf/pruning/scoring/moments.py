"""How the channels of tensors vary together: sums and sums of products over places of a few batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROWS_A_CHANNEL = 1
"""Places of a batch that are looked at, for each channel of a tensor; neighboring ones say nearly the same."""

_LEAST_ROWS = 512


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

    def statistics(self, totals: Sequence[Any], index: int) -> tuple[Array, Array]:
        """Return the mean, (C,), and the covariance, (C, C), of the tensor `index`, of the sums of all tensors."""
        number, total, products = totals[3 * index : 3 * index + 3]
        mean = total / number
        return mean, products / number - np.outer(mean, mean)


def add(totals: Sequence[Any], values: Sequence[Any]) -> None:
    """Add to arrays in place: of large ones nothing is copied."""
    for total, value in zip(totals, values, strict=True):
        total += np.asarray(value)


def _sums(tensor: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    channels = tensor.shape[-1]
    rows = tf.reshape(tensor, (-1, channels))
    rows = rows[:: tf.maximum(1, tf.shape(rows)[0] // max(_LEAST_ROWS, _ROWS_A_CHANNEL * channels))]
    rows = tf.cast(rows, tf.float32)
    number = tf.cast(tf.shape(rows)[0], tf.float32)
    return number, tf.reduce_sum(rows, axis=0), tf.matmul(rows, rows, transpose_a=True)
