"""A network of the same function whose int8 file XNNPACK runs in one piece.

XNNPACK's delegate takes float files more generously than int8 ones. Its int8 has no AVERAGE_POOL_2D, no RELU or RELU6
that is not part of another operator, no HARD_SWISH, no MAX_POOL_2D of single pixels with a stride, no PADV2, and no
CONCATENATION of more than five tensors; and the converter leaves dilated depthwise convolutions in pieces where several
read one tensor. Each such layer would cut the file in two. Here those layers compute the same by operators that it has.

And the normalization of the pixels, which would be a MUL and an ADD over every one of them, is one DEPTHWISE_CONV_2D,
whose few numbers int8 expresses exactly; where it is the same for all bands, not even that is left
(`rsseg_tf.quantization.int8.pixels`). It is not folded into the first convolution: that pads with zeros, and zero is
the mean only behind the normalization. Borders of the mean put on first are two CONCATENATIONs; a fourth channel that
tells the picture from its padding is a PADV2, and makes the kernel's steps coarser. docs/deploy.md has what each costs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from rsseg_tf.graphs import Call, activation_name, calls, facts, makers, times_read
from rsseg_tf.quantization.activations import changes_of_activation, stand_ins_of_activations
from rsseg_tf.quantization.padding import MOST_JOINED, joined, stand_ins_of_borders
from rsseg_tf.quantization.stand_ins import StandIn, of_kind, with_stand_ins

_ALMOST_ONE = np.nextafter(np.float32(1), np.float32(0))
"""A factor of 1 that no optimizer removes: in int8 it is 1."""


def delegable(model: keras.Model) -> keras.Model:
    """Return a network with the outputs of `model`, up to rounding; `model` itself if nothing has to change.

    Layers keep their names, and what need not change is shared with `model`. Models within it, and layers that are made
    of layers, become part of its graph. A network that is not functional stays as it is; so does a layer that cannot
    be made again from its configuration, or whose data format is `channels_first`.

    Args:
        model: any model.
    """
    return with_stand_ins(model, _stand_ins)


def normalized_in_one(model: keras.Model) -> keras.Model:
    """Return a network with the outputs of `model` that normalizes pixels by one convolution; see `delegable`."""
    return with_stand_ins(model, lambda flat: _normalizing(flat, calls(flat)))


def _stand_ins(model: keras.Model) -> dict[str, StandIn]:
    """Return the name of every layer that has to change → what makes the one that takes its place."""
    every = calls(model)
    changed = [call.operation for call in every if _has_to_change(call)]
    found = stand_ins_of_activations(every) | stand_ins_of_borders(model, every)
    found |= {layer.name: of_kind(_STAND_INS[type(layer)], **changes_of_activation(layer)) for layer in changed}
    found |= _normalizing(model, every)
    return found | {layer.name: of_kind(_LONE_RELUS[type(layer)]) for layer in _lone_relus(model, every)}


def _has_to_change(call: Call) -> bool:
    """Return whether XNNPACK cannot take the layer, wherever it stands."""
    layer = call.operation
    if type(layer) not in _STAND_INS or getattr(layer, "data_format", "channels_last") != "channels_last":
        return False
    if isinstance(layer, layers.Concatenate):
        return len(call.inputs) > MOST_JOINED
    if isinstance(layer, layers.AveragePooling2D | layers.MaxPooling2D):
        is_square = layer.strides[0] == layer.strides[1]  # as TensorFlow's depthwise convolutions are
        is_single = max(layer.pool_size) == 1 < max(layer.strides)
        return is_square and (is_single or isinstance(layer, layers.AveragePooling2D))
    return max(layer.dilation_rate) > 1


def _lone_relus(model: keras.Model, every: Sequence[Call]) -> list[keras.Layer]:
    """Return the ReLUs that no operator before them can compute: it has other readers, or is of another kind."""
    readers = times_read(model, every)
    made_by = makers(every)
    relus = [call for call in every if activation_name(call.operation) in ("relu", "relu6")]

    def is_alone(call: Call) -> bool:
        before = made_by.get(id(call.inputs[0]))
        return readers[id(call.inputs[0])] > 1 or before is None or not facts(before).fuses_relu

    return [call.operation for call in relus if type(call.operation) in _LONE_RELUS and is_alone(call)]


def _normalizing(model: keras.Model, every: Sequence[Call]) -> dict[str, StandIn]:
    """Return the names of the layers that normalize the bands of an input image → what takes their place."""
    images = {id(tensor) for tensor in model.inputs if len(tensor.shape) == 4 and tensor.shape[-1]}
    found = [call for call in every if type(call.operation) in _NORMALIZATIONS]
    elsewhere = {id(call.operation) for call in found if id(call.inputs[0]) not in images}
    own = [call for call in found if id(call.operation) not in elsewhere]
    fitting = [call.operation for call in own if _is_by_band(call.operation, call.inputs[0].shape[-1])]
    return {layer.name: of_kind(_NORMALIZATIONS[type(layer)]) for layer in fitting}


def _is_by_band(layer: Any, bands: int) -> bool:
    """Return whether every pixel of a band becomes another number by the same factor and offset."""
    parts = (layer.scale, layer.offset) if isinstance(layer, layers.Rescaling) else (layer.mean, layer.variance)
    each = (1, 1, 1, bands)
    try:
        return np.broadcast_shapes(*(np.shape(part) for part in parts), each) == each
    except ValueError:
        return False


class _AveragePooling2D(layers.AveragePooling2D):
    """The mean of each window as a depthwise convolution; at a padded border, of the pixels inside."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        means = _depthwise(inputs, self, 1 / math.prod(self.pool_size))
        sizes = zip(inputs.shape[1:3], self.pool_size, self.strides, strict=True)
        inside = np.multiply.outer(*(_inside(*each) for each in sizes)) if self.padding == "same" else np.ones((1, 1))
        return means if (inside == 1).all() else means * (1 / inside)[None, :, :, None].astype(np.float32)


def _inside(size: int, width: int, stride: int) -> NDArray[np.float64]:
    """Return the share of each window of `same` padding that lies inside an axis of `size` pixels."""
    starts = np.arange(math.ceil(size / stride)) * stride
    starts -= max(int(starts[-1]) + width - size, 0) // 2
    return (np.minimum(starts + width, size) - np.maximum(starts, 0)) / width


class _MaxPooling2D(layers.MaxPooling2D):
    """Every n-th pixel, as a depthwise convolution."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return _depthwise(inputs, self, 1.0)


def _depthwise(inputs: Any, pool: Any, weight: float) -> Any:
    kernel = tf.constant(weight, tf.float32, (*pool.pool_size, inputs.shape[-1], 1))
    return tf.nn.depthwise_conv2d(inputs, kernel, (1, *pool.strides, 1), pool.padding.upper())


class _DepthwiseConv2D(layers.DepthwiseConv2D):
    """The dilated convolution in one op."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return _finished(self, _dilated(inputs, self, self.kernel))


class _SeparableConv2D(layers.SeparableConv2D):
    """The dilated depthwise convolution in one op, and the pointwise one."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return _finished(
            self, tf.nn.conv2d(_dilated(inputs, self, self.depthwise_kernel), self.pointwise_kernel, 1, "VALID")
        )


def _dilated(inputs: Any, layer: Any, kernel: Any) -> Any:
    return tf.raw_ops.DepthwiseConv2dNative(
        input=inputs,
        filter=kernel,
        strides=[1, *layer.strides, 1],
        padding=layer.padding.upper(),
        dilations=[1, *layer.dilation_rate, 1],
    )


def _finished(layer: Any, y: Any) -> Any:
    y = y + layer.bias if layer.use_bias else y
    return layer.activation(y) if layer.activation is not None else y


class _ReLU(layers.ReLU):
    """The ReLU of a multiplication by 1."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return super().call(inputs * _ALMOST_ONE)


class _Activation(layers.Activation):
    """The same."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return super().call(inputs * _ALMOST_ONE)


class _Concatenate(layers.Concatenate):
    """Many tensors joined by a few at a time."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        return joined(inputs, self.axis)


class _Rescaling(layers.Rescaling):
    """The factor of each band as a depthwise convolution of single pixels, whose bias is the offset."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return _by_band(inputs, self.scale, self.offset)


class _Normalization(layers.Normalization):
    """The same."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        mean, variance = (keras.ops.convert_to_numpy(part) for part in (self.mean, self.variance))
        deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
        return _by_band(inputs, *((deviation, mean) if self.invert else (1 / deviation, -mean / deviation)))


def _by_band(inputs: Any, scale: Any, offset: Any) -> Any:
    each = (1, 1, 1, inputs.shape[-1])
    kernel, bias = (np.broadcast_to(np.float32(part), each) for part in (scale, offset))
    return tf.nn.depthwise_conv2d(inputs, np.swapaxes(kernel, 2, 3), (1, 1, 1, 1), "VALID") + bias[0, 0, 0]


_STAND_INS: Mapping[type, type] = {
    layers.AveragePooling2D: _AveragePooling2D,
    layers.MaxPooling2D: _MaxPooling2D,
    layers.DepthwiseConv2D: _DepthwiseConv2D,
    layers.SeparableConv2D: _SeparableConv2D,
    layers.Concatenate: _Concatenate,
}
_NORMALIZATIONS: Mapping[type, Any] = {layers.Rescaling: _Rescaling, layers.Normalization: _Normalization}
_LONE_RELUS: Mapping[type, type] = {layers.ReLU: _ReLU, layers.Activation: _Activation}
