"""Learning from a teacher's predictions (Hinton et al. 2015)."""

from __future__ import annotations

import tensorflow as tf


def distillation_loss(teacher: tf.Tensor, student: tf.Tensor, *, temperature: float) -> tf.Tensor:
    """Return T² · KL(softmax(teacher / T) ‖ softmax(student / T)), averaged over all pixels.

    The factor T² keeps the size of the gradient independent of the temperature (Hinton et al., section 2.1).

    Args:
        teacher: logits, float32 (N, H, W, C).
        student: logits of the same shape.
        temperature: T, above 0; softens both.
    """
    target = tf.nn.softmax(teacher / temperature)
    difference = tf.nn.log_softmax(teacher / temperature) - tf.nn.log_softmax(student / temperature)
    return temperature**2 * tf.reduce_mean(tf.reduce_sum(target * difference, axis=-1))
