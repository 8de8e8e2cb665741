"""A loss of labels drawn from the model's own predictions: what makes `fisher` the Fisher information."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rsseg_tf.pruning.scoring.contributions import Loss


def drawn_labels(*, class_weights: NDArray[np.float32] | None = None, ignore: int | None = None) -> Loss:
    """Return the cross-entropy against labels drawn from the model's own softmax, for the criterion `fisher`.

    The gradient of the log-likelihood of drawn labels has mean 0 and the Fisher information as its variance (Amari
    1998), so scores say how much the predictions would change, whatever the true labels are. Draws depend on the
    labels given and the shape alone: the same batch gives the same scores.

    Args:
        class_weights: float32 (C,), weight of a pixel's divergence by its true class; None for 1 each.
        ignore: label of what does not count, None where all does.

    Returns:
        A function of labels, integers (…), and logits, float (…, C), to a scalar: the sum over what counts, divided by
        the root of its number, so that a squared gradient stands for the mean divergence.
    """

    def loss(labels: Any, logits: Any) -> tf.Tensor:
        labels, logits = tf.cast(labels, tf.int32), tf.cast(logits, tf.float32)
        counted = tf.ones_like(labels, tf.bool) if ignore is None else tf.not_equal(labels, ignore)
        drawn = _drawn(labels, tf.stop_gradient(logits))
        costs = tf.nn.sparse_softmax_cross_entropy_with_logits(drawn, logits)
        weights = tf.cast(counted, tf.float32)
        number = tf.reduce_sum(weights)
        if class_weights is not None:  # The square of the gradient is what counts.
            weights *= tf.sqrt(tf.gather(tf.constant(class_weights, tf.float32), tf.where(counted, labels, 0)))
        return tf.math.divide_no_nan(tf.reduce_sum(weights * costs), tf.sqrt(number))

    return loss


def _drawn(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return a class for each pixel, drawn from the softmax of its logits by the Gumbel-max rule."""
    places = tf.range(tf.size(labels)) % 8191
    seed = tf.stack([tf.reduce_sum(labels), tf.reduce_sum(tf.reshape(labels, [-1]) * places)])
    tiny = np.finfo(np.float32).tiny
    uniform = tf.random.stateless_uniform(tf.shape(logits), seed, minval=tiny)
    return tf.argmax(logits - tf.math.log(-tf.math.log(uniform)), axis=-1, output_type=tf.int32)
