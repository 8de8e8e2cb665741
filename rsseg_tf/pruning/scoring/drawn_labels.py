"""A loss of labels drawn from the model's own predictions: what makes `fisher` the Fisher information."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
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
        labels = tf.cast(labels, tf.int32)
        counted = tf.ones_like(labels, tf.bool) if ignore is None else tf.not_equal(labels, ignore)
        weights = tf.cast(counted, tf.float32)
        share = tf.math.rsqrt(tf.maximum(tf.reduce_sum(weights), 1.0))
        if class_weights is not None:  # The square of the gradient is what counts.
            weights *= tf.sqrt(tf.gather(tf.constant(class_weights, tf.float32), tf.where(counted, labels, 0)))
        return _cross_entropy(tf.cast(logits, tf.float32), share * weights, _seed(labels))

    return loss


def _cross_entropy(logits: tf.Tensor, weights: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return the weighted sum of the cross-entropy against drawn labels; its gradient is softmax minus labels."""

    @tf.custom_gradient
    def cost(logits: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        probabilities = tf.nn.softmax(logits)
        drawn = _drawn(probabilities, seed)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return (upstream * weights)[..., None] * (probabilities - drawn)

        likelihoods = tf.reduce_sum(probabilities * drawn, axis=-1)
        return -tf.reduce_sum(weights * tf.math.log(likelihoods)), gradient

    return cost(logits)


def _seed(labels: tf.Tensor) -> tf.Tensor:
    places = tf.range(tf.size(labels)) % 8191
    return tf.stack([tf.reduce_sum(labels), tf.reduce_sum(tf.reshape(labels, [-1]) * places)])


def _drawn(probabilities: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return a class for each pixel, one-hot: the first one at which the sum of the probabilities passes a draw.

    The sums are additions of whole rows, class after class: `tf.cumsum` takes several times as long, and a product with
    a matrix would be computed in bfloat16 where convolutions are.
    """
    number = probabilities.shape[-1]
    so_far = list(accumulate(tf.unstack(tf.transpose(tf.reshape(probabilities, (-1, number))), num=number)))
    draw = tf.random.stateless_uniform(tf.shape(so_far[-1]), seed) * so_far[-1]
    drawn = sum((tf.cast(draw >= each, tf.int32) for each in so_far[:-1]), tf.zeros_like(draw, tf.int32))
    return tf.reshape(tf.one_hot(drawn, number), tf.shape(probabilities))
