"""Losses on segmentation logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rsseg_tf.datasets.palette import IGNORE

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def cross_entropy(
    *,
    class_weights: NDArray[np.float32] | None = None,
    label_smoothing: float = 0.0,
    hard_pixels: float = 1.0,
    ignore: int = IGNORE,
) -> Loss:
    """Return the softmax cross-entropy, averaged over the pixels that are not ignored, or over the hardest of them.

    Args:
        class_weights: float32 (C,), weight of a pixel by its true class; the mean is weighted too.
        label_smoothing: share of the target spread evenly over the classes.
        hard_pixels: share of the labeled pixels of a batch, those that cost most, that the mean is over (Wu et al.
            2016, section 3.1; online hard example mining by Shrivastava et al. 2016); 1 for all. At least one is.
        ignore: label that counts for nothing.

    Returns:
        A function of labels, integers (N, H, W), and logits, float (N, H, W, C), to a scalar.
        A batch in which every pixel is ignored costs 0.
    """

    def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        labels = tf.cast(labels, tf.int32)
        logits = tf.cast(logits, tf.float32)
        counted = tf.not_equal(labels, ignore)
        safe = tf.where(counted, labels, 0)
        costs = tf.nn.sparse_softmax_cross_entropy_with_logits(safe, logits)
        if label_smoothing > 0:
            even = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
            costs = (1 - label_smoothing) * costs + label_smoothing * even
        weights = tf.cast(counted, tf.float32)
        if class_weights is not None:
            weights *= tf.gather(tf.constant(class_weights, tf.float32), safe)
        if hard_pixels < 1:
            weights *= _hardest(tf.stop_gradient(weights * costs), counted, hard_pixels)
        return tf.math.divide_no_nan(tf.reduce_sum(weights * costs), tf.reduce_sum(weights))

    return loss


def _hardest(costs: tf.Tensor, counted: tf.Tensor, share: float) -> tf.Tensor:
    """Return 1 for the `share` of counted pixels with the largest loss, ties with the last included, else 0."""
    count = tf.reduce_sum(tf.cast(counted, tf.float32))
    wanted = tf.maximum(1, tf.cast(tf.math.round(share * count), tf.int32))
    ordered, _ = tf.math.top_k(tf.reshape(tf.where(counted, costs, -1.0), [-1]), k=wanted)
    return tf.cast(counted & (costs >= ordered[-1]), tf.float32)


def summed(terms: Sequence[tuple[float, Loss]]) -> Loss:
    """Return the sum of losses, each with its weight."""

    def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return tf.add_n([weight * term(labels, logits) for weight, term in terms])

    return loss


def balanced_weights(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return class weights by the inverse square root of frequency, with mean 1 over the pixels.

    Args:
        counts: pixels of each class, (C,); a class that never occurs gets weight 1.
    """
    frequency = counts / max(1, counts.sum())
    weights = np.where(frequency > 0, 1 / np.sqrt(np.maximum(frequency, 1e-12)), 0)
    weights /= max(float((weights * frequency).sum()), 1e-12)
    return np.where(frequency > 0, weights, 1).astype(np.float32)
