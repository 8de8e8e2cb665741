"""Batch norms folded into the layers before them: the weights and biases that an integer device multiplies by."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
from keras import layers, tree
from numpy.typing import NDArray

from rsseg_tf.graphs import Call, calls, copy_graph, copy_of, facts, makers, times_read


def fold_batch_norms(model: keras.Model) -> keras.Model:
    """Return a functional model equal to `model` at inference, with as few batch norms as can be.

    A batch norm that alone reads a convolution or dense layer without activation becomes part of its kernel
    and bias (Jacob et al. 2018, eq. 14). One that stands elsewhere becomes a plain product and sum: its
    statistics move into its scale and offset. `model` stays as it is.

    Args:
        model: a flat functional model.

    Raises:
        ModelError: if it is not functional, or a model is nested in it.

    Examples:
        >>> x = keras.Input((8, 8, 3))
        >>> y = layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False, name="stem")(x))
        >>> [weight.name for weight in fold_batch_norms(keras.Model(x, y)).weights]
        ['kernel', 'bias']
    """
    norm_of = _foldable_pairs(model)
    folded_norms = {norm.name for norm in norm_of.values()}

    def make(operation: keras.Operation) -> keras.Operation:
        with_bias = {"use_bias": True} if operation.name in norm_of else {}
        as_product = {"center": True, "scale": True} if isinstance(operation, layers.BatchNormalization) else {}
        return copy_of(operation, **with_bias, **as_product)

    def call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        if operation.name in folded_norms:
            return tree.flatten((args, kwargs))[0]
        return operation(*args, **kwargs)

    folded = copy_graph(model, make=make, call=call)
    sources = {operation.name: operation for operation in model.operations}
    for operation in folded.operations:
        if getattr(operation, "weights", ()):
            operation.set_weights(_weights(sources[operation.name], norm_of.get(operation.name)))
    return folded


def _foldable_pairs(model: keras.Model) -> dict[str, layers.BatchNormalization]:
    """Return layer name → the batch norm that can be folded into it."""
    every = calls(model)
    times = Counter(call.operation.name for call in every)
    readers = times_read(model, every)
    made_by = makers(every)

    def folds(call: Call) -> bool:
        before = made_by.get(id(call.inputs[0]))
        return (
            isinstance(call.operation, layers.BatchNormalization)
            and before is not None
            and facts(before).kernel is not None
            and before.activation is keras.activations.linear
            and getattr(before, "data_format", "channels_last") == "channels_last"
            and call.operation.axis in (-1, len(call.inputs[0].shape) - 1)
            and readers[id(call.inputs[0])] == times[before.name] == times[call.operation.name] == 1
        )

    return {made_by[id(call.inputs[0])].name: call.operation for call in every if folds(call)}


def _weights(source: keras.layers.Layer, norm: layers.BatchNormalization | None) -> list[NDArray[Any]]:
    """Return the weights of the layer that stands for `source`, whose batch norm, if any, was `norm`."""
    weights = source.get_weights()
    if isinstance(source, layers.BatchNormalization):
        scale, offset = _product_and_sum(source)
        return [scale, offset, np.zeros_like(scale), np.full_like(scale, 1 - source.epsilon)]
    if norm is None:
        return weights
    scale, offset = _product_and_sum(norm)
    *others, kernel = weights[:-1] if source.use_bias else weights
    bias = weights[-1] if source.use_bias else np.zeros_like(offset)
    return [*others, kernel * _along_outputs(source, scale, kernel), bias * scale + offset]


def _product_and_sum(norm: layers.BatchNormalization) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scale and offset of a batch norm at inference, float64 (C,) each."""
    mean, variance = (np.asarray(value, np.float64) for value in (norm.moving_mean, norm.moving_variance))
    scale = (np.asarray(norm.gamma, np.float64) if norm.scale else 1.0) / np.sqrt(variance + norm.epsilon)
    return scale, (np.asarray(norm.beta, np.float64) if norm.center else 0.0) - mean * scale


def _along_outputs(layer: keras.layers.Layer, scale: NDArray[np.float64], kernel: NDArray[Any]) -> NDArray[np.float64]:
    """Return `scale` in a shape that multiplies the kernel's output channels."""
    known = facts(layer)
    last = known.weights[known.kernel or ""]
    if "out" not in last:
        return scale.reshape(kernel.shape[-2:])
    return scale[:, None] if last[-1] == "in" else scale
