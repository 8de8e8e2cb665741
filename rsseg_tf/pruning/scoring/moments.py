"""How the channels of tensors vary together: sums and sums of products over places of a few batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.linalg import blas

Array = NDArray[np.float64]

_ROWS_A_CHANNEL = 2
"""Places of a batch that are looked at, for each channel of a tensor; neighboring ones say nearly the same."""

_LEAST_ROWS = 1024


@dataclass
class Seen:
    """What was seen of tensors over batches.

    Attributes:
        places: for each tensor those that were looked at, (rows, C), batch after batch, as the graph computed them.
        known: tensor → the channels that were asked for first, bool (C,), and their sums; its places are gone then.
    """

    places: list[list[NDArray[Any]]]
    known: dict[int, tuple[NDArray[np.bool_], Sequence[Array]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Moments:
    """Looks at places of tensors over batches, and adds up those of the tensors that are asked for.

    The sums are made outside of the traced graph: where convolutions run in bfloat16, TensorFlow's graph optimizer
    computes the products of a graph in it too, and a covariance of 8 bits has eigenvalues far below 0.

    Attributes:
        tensors: of a model, (N, …, C) each.
    """

    tensors: Sequence[keras.KerasTensor]

    def rows(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return some places of each tensor's value, (rows, C): what is to be traced."""
        return [_rows(value) for value in values]

    def nothing(self) -> Seen:
        """Return what was seen before the first batch."""
        return Seen([[] for _ in self.tensors])

    def add(self, seen: Seen, rows: Sequence[tf.Tensor]) -> None:
        """Add the rows of a batch to what was seen, in place."""
        for places, values in zip(seen.places, rows, strict=True):
            places.append(np.asarray(values))

    def sums(self, seen: Seen, index: int, channels: NDArray[np.bool_]) -> list[Array]:
        """Return number (), sum (K,) and sum of products (K, K), float64, of what was seen of the tensor `index`.

        Args:
            seen: of all tensors.
            index: of the tensor.
            channels: which of its C channels are counted, bool (C,), K of them true: products cost their square. With
                one that was not among the first that were asked for, nothing is known any more: the number is 0.
        """
        if index not in seen.known:
            seen.known[index] = channels.copy(), _sums([rows[:, channels] for rows in seen.places[index]], channels)
            seen.places[index].clear()
        known, (number, total, products) = seen.known[index]
        at = np.flatnonzero(channels[known])
        is_known = len(at) == np.count_nonzero(channels)
        return [number, total[at], products[np.ix_(at, at)]] if is_known else _sums([], channels)


def _sums(batches: Sequence[NDArray[Any]], channels: NDArray[np.bool_]) -> list[Array]:
    width = np.count_nonzero(channels)
    places = np.concatenate([np.zeros((0, width), np.float32), *(rows.astype(np.float32) for rows in batches)])
    number = len(places)
    mean = places.sum(axis=0, dtype=np.float64) / max(1, number)
    around = places - mean.astype(np.float32)  # float32 holds the products of these, not those of large values
    return [np.asarray(float(number)), number * mean, _products(around) + number * np.outer(mean, mean)]


def _products(rows: NDArray[np.float32]) -> Array:
    """Return rowsᵀ·rows, (C, C).

    By SciPy's BLAS, as all that follows: NumPy's wheels hold another one with threads of its own, which keep the
    cores from those of the first for a while after each call: a Cholesky factor took sixty times as long.
    """
    if not rows.size:
        return np.zeros((rows.shape[1], rows.shape[1]))
    upper = blas.ssyrk(1.0, rows.T).astype(np.float64)
    return upper + np.triu(upper, 1).T


def statistics(number: Array, total: Array, products: Array) -> tuple[Array, Array]:
    """Return the mean, (C,), and the covariance, (C, C), of sums as `Moments.sums` returns them."""
    mean = total / number
    return mean, products / number - np.outer(mean, mean)


def _rows(tensor: tf.Tensor) -> tf.Tensor:
    channels = tensor.shape[-1]
    places = tf.reshape(tensor, (-1, channels))
    number = tf.shape(places)[0]
    step = tf.maximum(1, number // max(_LEAST_ROWS, _ROWS_A_CHANNEL * channels))
    return tf.gather(places, tf.range(0, number, step))  # a slice with a step passes over every place
