"""A network of the same function whose enlargements map to Arm's Ethos-U, and that takes fewer cycles there.

**Enlargements.** U55 and U65 enlarge with half pixel centers by 2 alone, in four steps; with positions i/s they double
in one. The first by s puts pixel i at (i + 1/2)/s − 1/2, which is midway between two pixels of the second, s/2 and
s/2 − 1 before it. Both lie between the same two pixels of the source, so their mean is the value on the line. So the
source gets a copy of its first row and column before it, is doubled until it is large enough, and each mean of 2×2 is
taken by a depthwise convolution, which XNNPACK has in int8.

**Dilated convolutions.** The hardware knows a dilation of 2; a larger one is computed as a larger kernel with zeros in
between: 13×13 taps for a 3×3 at rate 12. Here the rows that the taps meet are put side by side as channels, zeros where
they are outside, and only the columns are left to the dilated kernel: 3×13 taps of the same sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from rsseg_tf.graphs import live_taps
from rsseg_tf.quantization.stand_ins import StandIns, of_kind, with_stand_ins

_FACTORS = (2, 4, 8, 16)

_OWN_DILATION = 2
"""The rate up to which the hardware leaves out what lies between two taps."""

_MACS_PER_COPY = 900
"""Multiply-accumulates that take as long as what is copied for each number of the map: 3.5 cycles of 256."""


def suited_to_ethosu(model: keras.Model, target: str) -> keras.Model:
    """Return a network with the outputs of `model`, up to rounding, that maps to an Ethos-U and costs it less.

    Layers keep their names. Taps of kernels that never meet the picture go first, as in every export.

    Args:
        model: any model.
        target: `ethos-u55`, `ethos-u65`, or `ethos-u85`, whose enlargements stay: it has the operator itself.
    """

    def stand_ins(flat: keras.Model) -> StandIns:
        found = {layer.name: of_kind(_Conv2D) for layer in flat.layers if _is_wide(layer)}
        if target != "ethos-u85":
            found |= {layer.name: of_kind(_UpSampling2D) for layer in flat.layers if _is_enlarging(layer)}
        return found

    return with_stand_ins(live_taps(model), stand_ins)


def _is_enlarging(layer: keras.Layer) -> bool:
    return (
        type(layer) is layers.UpSampling2D
        and (layer.interpolation, layer.data_format) == ("bilinear", "channels_last")
        and layer.size[0] == layer.size[1]
        and layer.size[0] in _FACTORS
        and tuple(layer.input.shape[1:3]) != (1, 1)
    )


def _is_wide(layer: keras.Layer) -> bool:
    """Return whether a convolution's rows are better put side by side."""
    if type(layer) is not layers.Conv2D or (layer.padding, layer.data_format) != ("same", "channels_last"):
        return False
    if layer.groups != 1 or max(layer.strides) != 1 or None in layer.input.shape[1:]:
        return False
    spans = [
        _span(*each, rates=layer.dilation_rate) for each in zip(layer.kernel_size, layer.dilation_rate, strict=True)
    ]
    return (spans[0] - layer.kernel_size[0]) * spans[1] * layer.filters > _MACS_PER_COPY


def _span(size: int, rate: int, *, rates: Sequence[int]) -> int:
    """Return the taps along an axis, those between included."""
    own = _OWN_DILATION if all(each % _OWN_DILATION == 0 for each in rates) else 1
    return (size - 1) * rate // own + 1


class _Conv2D(layers.Conv2D):
    """The dilated convolution on rows side by side."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        taps, rate = self.kernel_size[0], self.dilation_rate[0]
        before = (taps - 1) * rate // 2
        x = tf.concat([_rows(inputs, tap * rate - before) for tap in range(taps)], -1)
        kernel = tf.concat([self.kernel[tap] for tap in range(taps)], 1)[None]
        y = tf.nn.conv2d(x, kernel, 1, "SAME", dilations=(1, self.dilation_rate[1]))
        y = y + self.bias if self.use_bias else y
        return self.activation(y) if self.activation is not None else y


def _rows(x: Any, first: int) -> Any:
    """Return as many rows as `x` has, from row `first` on, which may lie outside; zeros there."""
    height = x.shape[1]
    kept = x[:, max(first, 0) : height + min(first, 0)]
    zeros = tf.zeros((1, min(abs(first), height), *x.shape[2:]), x.dtype)
    if first == 0 or abs(first) >= height:
        return zeros if first else x
    return tf.concat([zeros, kept] if first < 0 else [kept, zeros], 1)


class _UpSampling2D(layers.UpSampling2D):
    """The enlargement by doublings."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        factor = self.size[0]
        x = tf.concat([inputs[:, :1], inputs], 1)
        x = tf.concat([x[:, :, :1], x], 2)
        while x.shape[1] < factor * (inputs.shape[1] + 1):
            size = [2 * x.shape[1], 2 * x.shape[2]]
            x = tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=False, half_pixel_centers=False)
        rows, columns = (slice(factor // 2, factor // 2 + factor * side + 1) for side in inputs.shape[1:3])
        kernel = tf.constant(0.25, tf.float32, (2, 2, x.shape[-1], 1))
        return tf.nn.depthwise_conv2d(x[:, rows, columns], kernel, (1, 1, 1, 1), "VALID")
