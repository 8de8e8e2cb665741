"""Losses on whole regions instead of single pixels: they do not favor classes that cover much."""

from __future__ import annotations

import tensorflow as tf

from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.training.losses import Loss


def dice_loss(*, ignore: int = IGNORE) -> Loss:
    """Return one minus the soft Dice coefficient of a whole batch, averaged over the classes that its labels hold.

    Dice of class c is 2·Σ p·y / (Σ p + Σ y) over the labeled pixels, p the softmax probability of c and y its label
    as 0 or 1 (Milletari et al. 2016, eq. of section 3, with plain instead of squared sums).

    Args:
        ignore: label that counts for nothing.

    Returns:
        A function of labels, integers (N, H, W), and logits, float (N, H, W, C), to a scalar from 0 to 1.
        A batch in which every pixel is ignored costs 0.
    """

    def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        probabilities, truth = _by_class(labels, logits, ignore)
        overlap = tf.reduce_sum(probabilities * truth, axis=1)
        sizes = tf.reduce_sum(probabilities, axis=1) + tf.reduce_sum(truth, axis=1)
        return _mean_of_present(1 - tf.math.divide_no_nan(2 * overlap, sizes), truth)

    return loss


def lovasz_softmax(*, ignore: int = IGNORE) -> Loss:
    """Return the Lovász extension of one minus IoU over a whole batch, averaged over the classes that its labels hold.

    Berman et al. 2018, eq. 11 and algorithm 1. Where every probability is 0 or 1 it is exactly one minus IoU.

    Args:
        ignore: label that counts for nothing.

    Returns:
        As `dice_loss`.
    """

    def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        probabilities, truth = _by_class(labels, logits, ignore)
        errors = tf.abs(truth - probabilities)  # 0 at ignored pixels, which so come last and weigh nothing
        ordered, places = tf.math.top_k(errors, k=tf.shape(errors)[1])
        steps = _jaccard_steps(tf.gather(truth, places, batch_dims=1))
        return _mean_of_present(tf.reduce_sum(ordered * tf.stop_gradient(steps), axis=1), truth)

    return loss


def _by_class(labels: tf.Tensor, logits: tf.Tensor, ignore: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the probabilities and labels as 0 or 1, both float32 (C, pixels) and 0 at ignored pixels."""
    classes = logits.shape[-1]
    labels = tf.reshape(tf.cast(labels, tf.int32), [-1])
    counted = tf.cast(tf.not_equal(labels, ignore), tf.float32)
    probabilities = tf.nn.softmax(tf.reshape(tf.cast(logits, tf.float32), [-1, classes]))
    truth = tf.one_hot(labels, classes, axis=0)  # `ignore` is no class: a column of zeros
    return tf.transpose(probabilities) * counted, truth * counted


def _jaccard_steps(truth: tf.Tensor) -> tf.Tensor:
    """Return what each pixel, in order, adds to one minus IoU when the pixels up to it are wrong: (C, pixels)."""
    total = tf.reduce_sum(truth, axis=1, keepdims=True)
    intersection = total - tf.cumsum(truth, axis=1)
    union = total + tf.cumsum(1 - truth, axis=1)
    losses = 1 - intersection / union
    return losses - tf.pad(losses[:, :-1], [[0, 0], [1, 0]])


def _mean_of_present(costs: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
    present = tf.cast(tf.reduce_any(truth > 0, axis=1), tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(costs * present), tf.reduce_sum(present))
