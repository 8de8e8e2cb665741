"""Normalizations over channels that leave out the channels that pruning has masked.

Each channel behind a layer normalization depends on all before it. A masked one is no longer there: mean and variance
are those of the channels that stay, as in the network that is rebuilt without it. Which these are stands in the scales
that the layer has anyway: a mask writes minus zero, which computes as zero does and which no training comes to. So
traced functions see it, and whatever copies, saves or restores the weights of a model takes it along.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

MASKED = -0.0
"""What stands for the weights of a channel that is masked."""

_SCALES = {keras.layers.LayerNormalization: "gamma", keras.layers.RMSNormalization: "scale"}
_MINUS_ZERO = np.int32(-(2**31))
"""Its bits as those of a number without a fraction."""


def counts_kept(operation: keras.Operation) -> bool:
    """Return whether a layer is a normalization over the channels, the last axis, that `count_kept` knows."""
    name = _SCALES.get(type(operation))
    if name is None or getattr(operation, name, None) is None or getattr(operation, "rms_scaling", False):
        return False
    axes: list[int] = np.ravel(operation.axis).tolist()  # one that counts from the front may be any of a tensor's
    return axes == [-1] and len(getattr(operation, name).shape) == 1


def count_kept(operations: Iterable[keras.Operation]) -> None:
    """Make normalizations over the channels leave out those whose scale is `MASKED`, and compute as before without any.

    Weights stay as they are. What was traced before does not change.

    Examples:
        >>> x = keras.Input((3,))
        >>> norm = keras.layers.LayerNormalization()
        >>> model = keras.Model(x, norm(x))
        >>> norm.set_weights([np.asarray([1.0, 1.0, MASKED]), np.zeros(3)])
        >>> count_kept(model.operations)
        >>> model(np.asarray([[1.0, 3.0, 99.0]])).numpy().round(1)
        array([[-1.,  1.,  0.]], dtype=float32)
    """
    for operation in operations:
        if counts_kept(operation):
            operation.call = partial(_over_kept, operation)


def _over_kept(layer: Any, inputs: Any) -> Any:
    x = tf.cast(inputs, tf.float32)
    scale = tf.cast(getattr(layer, _SCALES[type(layer)]).value, tf.float32)
    kept = tf.cast(tf.bitcast(scale, tf.int32) != _MINUS_ZERO, tf.float32)
    number = tf.maximum(tf.reduce_sum(kept), 1.0)
    x = x * kept
    if isinstance(layer, keras.layers.LayerNormalization):
        x = (x - tf.reduce_sum(x, -1, keepdims=True) / number) * kept
    power = tf.reduce_sum(x**2, -1, keepdims=True) / number
    y = x * tf.math.rsqrt(power + layer.epsilon) * scale
    if getattr(layer, "beta", None) is not None:
        y = y + tf.cast(layer.beta.value, tf.float32)
    return tf.cast(y, layer.compute_dtype)
