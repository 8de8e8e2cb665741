"""A network of the same function whose enlargements map to Arm's Ethos-U.

U55 and U65 enlarge with half pixel centers by 2 alone, in four steps; with positions i/s they double in one. The first
by s puts pixel i at (i + 1/2)/s − 1/2, which is midway between two pixels of the second, s/2 and s/2 − 1 before it.
Both lie between the same two pixels of the source, so their mean is the value on the line. So the source gets a copy of
its first row and column before it, is doubled until it is large enough, and each mean of 2×2 is taken by a depthwise
convolution, which XNNPACK has in int8.
"""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers

from rsseg_tf.quantization.stand_ins import StandIns, of_kind, with_stand_ins

_FACTORS = (2, 4, 8, 16)


def suited_to_ethosu(model: keras.Model, target: str) -> keras.Model:
    """Return a network with the outputs of `model`, up to rounding, whose enlargements map to an Ethos-U.

    Layers keep their names.

    Args:
        model: any model.
        target: `ethos-u55`, `ethos-u65`, or `ethos-u85`, whose enlargements stay: it has the operator itself.
    """
    if target == "ethos-u85":
        return model

    def stand_ins(flat: keras.Model) -> StandIns:
        return {layer.name: of_kind(_UpSampling2D) for layer in flat.layers if _is_enlarging(layer)}

    return with_stand_ins(model, stand_ins)


def _is_enlarging(layer: keras.Layer) -> bool:
    return (
        type(layer) is layers.UpSampling2D
        and (layer.interpolation, layer.data_format) == ("bilinear", "channels_last")
        and layer.size[0] == layer.size[1]
        and layer.size[0] in _FACTORS
        and tuple(layer.input.shape[1:3]) != (1, 1)
    )


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
