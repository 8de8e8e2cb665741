"""Dilated convolutions of Keras models in one TensorFlow op while they train, are scored and predict.

Keras computes a dilated `Conv2D` by `tf.nn.convolution`, which cuts the tensor into rate × rate interleaved pieces
(SpaceToBatchND), convolves each and puts them together again. At rate 18 on a 16×16 tensor that is 324 pieces of one
pixel and a lot of padding each. On a CPU most of a DeepLabV3+ step goes there (docs/results_pruning.md has figures).
`tf.nn.conv2d` computes the same sums in one op. Keras does not use it, as not every build of TensorFlow has its
gradient on the CPU (those with oneDNN do); here that is tried out.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from rsseg_tf.graphs.walk import all_layers

_OP = "convolution_op"  # What Keras and tf_keras call to convolve; subclasses may override it.


@contextmanager
def native_dilation(*models: Any) -> Iterator[None]:
    """Make calls of the models compute dilated convolutions in one op, within the block alone.

    A traced function is traced by its first call, so that call has to be within. What is computed is the same up to the
    rounding of sums. Grouped and depthwise convolutions, other ranks, `channels_first`, and layers with a
    `convolution_op` of their own are left as they are; so is everything where TensorFlow has no gradient for the op.

    Args:
        models: of Keras 3 or tf_keras, with the models and wrapped layers inside them.

    Examples:
        >>> x = keras.Input((8, 8, 2))
        >>> model = keras.Model(x, keras.layers.Conv2D(3, 3, padding="same", dilation_rate=4)(x))
        >>> step = tf.function(lambda images: model(images))
        >>> with native_dilation(model):
        ...     step(tf.zeros((1, 8, 8, 2))).shape
        TensorShape([1, 8, 8, 3])
        >>> graph = step.get_concrete_function(tf.zeros((1, 8, 8, 2))).graph
        >>> any(op.type == "SpaceToBatchND" for op in graph.get_operations())
        False
    """
    known = _known_operations()
    layers = [layer for model in models for layer in all_layers(model) if _is_dilated(layer, known)]
    changed = [layer for layer in dict.fromkeys(layers) if _OP not in vars(layer)]
    for layer in changed:
        setattr(layer, _OP, functools.partial(_convolve, layer))
    try:
        yield
    finally:
        for layer in changed:
            vars(layer).pop(_OP, None)


def _convolve(layer: Any, inputs: tf.Tensor, kernel: Any) -> tf.Tensor:
    """Return what the layer's own `convolution_op` computes."""
    if not has_gradient(inputs.dtype):
        return getattr(type(layer), _OP)(layer, inputs, kernel)
    return tf.nn.conv2d(inputs, kernel, strides=1, padding=layer.padding.upper(), dilations=layer.dilation_rate)


@functools.cache
def has_gradient(dtype: tf.DType) -> bool:
    """Return whether this TensorFlow has the gradient of a dilated convolution on its default device."""
    with tf.init_scope():  # no tape records in it, so the gradients' ops are called by name
        image, kernel = tf.ones((2, 8, 8, 4), dtype), tf.ones((3, 3, 4, 4), dtype)
        settings = {"strides": [1, 1, 1, 1], "padding": "SAME", "dilations": [1, 2, 2, 1]}
        try:
            result = tf.raw_ops.Conv2D(input=image, filter=kernel, **settings)
            tf.raw_ops.Conv2DBackpropInput(input_sizes=image.shape, filter=kernel, out_backprop=result, **settings)
            tf.raw_ops.Conv2DBackpropFilter(input=image, filter_sizes=kernel.shape, out_backprop=result, **settings)
        except tf.errors.OpError:
            return False
    return True


def _known_operations() -> list[Any]:
    """Return the `convolution_op` of Keras' own layers, and of those of tf_keras where it is in use."""
    libraries = (keras, sys.modules.get("tf_keras"))
    return [getattr(library.layers.Conv2D, _OP) for library in libraries if library]


def _is_dilated(layer: Any, known: list[Any]) -> bool:
    return (
        getattr(type(layer), _OP, None) in known
        and layer.rank == 2
        and max(layer.dilation_rate) > 1
        and layer.groups == 1
        and layer.data_format == "channels_last"
    )
