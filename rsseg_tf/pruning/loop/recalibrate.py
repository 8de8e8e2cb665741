"""Measuring batch-norm statistics again after channels were removed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from rsseg_tf.errors import ConfigError
from rsseg_tf.graphs import all_layers
from rsseg_tf.graphs.private import watched_moments
from rsseg_tf.tracing.dilation import native_dilation


def recalibrate(model: keras.Model, batches: Iterable[Any]) -> None:
    """Set the moving statistics of every batch norm in `model` to the mean of its batch statistics.

    The old statistics are forgotten, and each batch counts the same: no momentum. So does each call of a batch norm
    that the graph calls more than once. Batch norms that are not trainable, or that the graph calls with
    `training=False`, keep theirs, as in training.

    Args:
        model: changed in place. Without batch norms nothing happens.
        batches: inputs x, or tuples (x, y) whose y is ignored, for a model of one input lists too; several inputs as a
            list or a mapping.

    Raises:
        ConfigError: if there are no batches.

    Examples:
        >>> x = keras.Input((2,))
        >>> model = keras.Model(x, keras.layers.BatchNormalization(name="norm")(x))
        >>> recalibrate(model, [np.asarray([[1.0, 2.0], [3.0, 6.0]], np.float32)])
        >>> model.get_layer("norm").get_weights()[2].tolist()
        [2.0, 4.0]
    """
    norms = [layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    statistics = [weight for norm in norms for weight in (norm.moving_mean, norm.moving_variance)]
    others = [weight for weight in model.non_trainable_variables if all(weight is not s for s in statistics)]
    before = [keras.ops.convert_to_numpy(weight) for weight in others]
    means = [_Means(norm) for norm in norms]
    number = 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(native_dilation(model))
        for each in means:
            stack.enter_context(watched_moments(each.norm, each.add))
        step = tf.function(lambda x: model(x, training=True), reduce_retracing=True)
        for batch in batches:
            step(tree.map_structure(tf.convert_to_tensor, _inputs(batch, of=len(model.inputs))))
            number += 1
    if not number:
        raise ConfigError("recalibration needs at least one batch")
    for each in means:
        each.assign()
    # Dropout drew random numbers; its state goes back, so that a resumed run is the same.
    for weight, value in zip(others, before, strict=True):
        weight.assign(value)


def _inputs(batch: Any, *, of: int) -> Any:
    """Return what a model `of` so many inputs gets of a batch."""
    is_pair = isinstance(batch, tuple) or (isinstance(batch, list) and of == 1)
    return batch[0] if is_pair else batch


class _Means:
    """What a batch norm measured, over every call: the mean of means and of variances."""

    def __init__(self, norm: keras.layers.BatchNormalization) -> None:
        self.norm = norm
        self._calls = tf.Variable(0.0, dtype=tf.float64)
        self._totals = [tf.Variable(np.zeros(weight.shape)) for weight in (norm.moving_mean, norm.moving_variance)]

    def add(self, mean: Any, variance: Any) -> None:
        """Count one call."""
        self._calls.assign_add(1.0)
        for total, measured in zip(self._totals, (mean, variance), strict=True):
            total.assign_add(tf.cast(measured, tf.float64))

    def assign(self) -> None:
        """Set the norm's statistics, if it was called."""
        if calls := float(self._calls):
            for weight, total in zip((self.norm.moving_mean, self.norm.moving_variance), self._totals, strict=True):
                weight.assign((total.numpy() / calls).astype(np.float32))
