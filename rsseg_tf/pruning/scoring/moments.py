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

    The sums are made outside of the traced graph: where convolutions run in bfloat16, TensorFlow's graph optimizer
    computes the products of a graph in it too, and a covariance of 8 bits has eigenvalues far below 0.

    Attributes:
        tensors: of a model, (N, …, C) each.
    """

    tensors: Sequence[keras.KerasTensor]

    def rows(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return some places of each tensor's value, (rows, C): what is to be traced."""
        return [_rows(value) for value in values]

    def zeros(self) -> list[Any]:
        """Return the sums over no batches: (), (C,) and (C, C) of each tensor in a row, float64."""
        widths = [tensor.shape[-1] for tensor in self.tensors]
        return [np.zeros(shape) for width in widths for shape in ((), (width,), (width, width))]

    def add(self, totals: Sequence[Any], rows: Sequence[tf.Tensor]) -> None:
        """Add the rows of a batch to sums in place."""
        for index, values in enumerate(rows):
            number, total, products = totals[3 * index : 3 * index + 3]
            some = np.asarray(values, np.float32)
            mean = some.mean(axis=0, dtype=np.float64)
            around = some - mean.astype(np.float32)  # float32 holds the products of these, not those of large values
            number += len(some)
            total += len(some) * mean
            products += around.T @ around + len(some) * np.outer(mean, mean)

    def statistics(self, totals: Sequence[Any], index: int) -> tuple[Array, Array]:
        """Return the mean, (C,), and the covariance, (C, C), of the tensor `index`, of the sums of all tensors."""
        number, total, products = totals[3 * index : 3 * index + 3]
        mean = total / number
        return mean, products / number - np.outer(mean, mean)


def _rows(tensor: tf.Tensor) -> tf.Tensor:
    channels = tensor.shape[-1]
    rows = tf.reshape(tensor, (-1, channels))
    return rows[:: tf.maximum(1, tf.shape(rows)[0] // max(_LEAST_ROWS, _ROWS_A_CHANNEL * channels))]
