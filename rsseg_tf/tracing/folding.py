"""Batch norms of Keras models folded into the layers before them while the models are scored.

Under moving statistics a batch norm is a product and a sum for each channel. In the kernel and the bias of the layer
before it (Jacob et al. 2018, eq. 14) it costs nothing, forward or backward, and TensorFlow computes convolution, bias
and ReLU in one operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from rsseg_tf.graphs.facts import FACTS, Facts

_NOTHING = Facts()


@dataclass(frozen=True)
class Fold:
    """A layer and the batch norm that alone reads it.

    Attributes:
        layer: a convolution or dense layer.
        norm: the batch norm.
        kernel: the variable that holds the layer's filters.
        filters: axes of the kernel that count them: one, or the last two of a depthwise kernel.
    """

    layer: keras.Layer
    norm: keras.layers.BatchNormalization
    kernel: keras.Variable
    filters: tuple[int, ...]


def foldable(layer: keras.Operation, norm: keras.Operation, rank: int) -> bool:
    """Return whether a batch norm of tensors of `rank` axes that alone reads a layer can be folded into it."""
    return (
        type(norm) is keras.layers.BatchNormalization
        and norm.axis in (-1, rank - 1)
        and FACTS.get(type(layer), _NOTHING).kernel is not None
        and layer.activation in (None, keras.activations.linear)
        and getattr(layer, "data_format", "channels_last") == "channels_last"
    )


@contextmanager
def folded(folds: Sequence[Fold]) -> Iterator[None]:
    """Make calls of the layers compute their batch norms too, under moving statistics, within the block alone.

    Weights stay as they are, and gradients for them and for the batch norms' are those of the layers apart, up to the
    rounding of sums. A function that was traced in the block keeps to it.

    Examples:
        >>> x = keras.Input((8, 8, 2))
        >>> y = keras.layers.Conv2D(3, 3, name="stem")(x)
        >>> model = keras.Model(x, keras.layers.BatchNormalization(name="norm")(y))
        >>> stem, norm = model.get_layer("stem"), model.get_layer("norm")
        >>> with folded([Fold(stem, norm, stem.kernel, (3,))]):
        ...     model(tf.zeros((1, 8, 8, 2))).shape
        TensorShape([1, 6, 6, 3])
    """
    for fold in folds:
        fold.layer.call = partial(_folded_call, fold)
        fold.norm.call = _as_it_is
    try:
        yield
    finally:
        for fold in folds:
            for layer in (fold.layer, fold.norm):
                vars(layer).pop("call", None)


def _as_it_is(inputs: Any, **_: Any) -> Any:
    return inputs


def _folded_call(fold: Fold, inputs: Any, **options: Any) -> Any:
    layer, norm = fold.layer, fold.norm
    scale = tf.math.rsqrt(_float32(norm.moving_variance) + norm.epsilon)
    scale = scale * _float32(norm.gamma) if norm.scale else scale
    offset = -_float32(norm.moving_mean) * scale
    bias = getattr(layer, "bias", None)
    offset = offset + _float32(bias) * scale if bias is not None else offset
    offset = offset + _float32(norm.beta) if norm.center else offset
    kernel = _float32(fold.kernel)
    shape = [kernel.shape[axis] if axis in fold.filters else 1 for axis in range(len(kernel.shape))]
    mapping = [(fold.kernel, kernel * tf.reshape(scale, shape))]
    if bias is not None:
        mapping.append((bias, offset))
    with keras.StatelessScope(mapping):
        sums = type(layer).call(layer, inputs, **options)
    return sums if bias is not None else tf.nn.bias_add(sums, tf.cast(offset, sums.dtype))


def _float32(variable: keras.Variable) -> tf.Tensor:
    return tf.cast(variable.value, tf.float32)  # layers of a mixed precision read theirs in 16 bits
