"""A network of the same function whose enlargements map to Arm's Ethos-U55 and U65.

Those enlarge with half pixel centers by 2 alone, and with corner-aligned ones by 2, 4 and 8. Enlarging by s with half
pixel centers is enlarging by s/2 with corner-aligned positions i/(s/2), then by 2 with half pixel centers: every value
of the second lies between two of the first that lie between the same two pixels, so both interpolate along one line.
What comes out stands s/2 − 1 pixels too early, and is moved by repeating the first row and column.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from rsseg_tf.quantization.padding import MOST_JOINED
from rsseg_tf.quantization.stand_ins import StandIns, of_kind, with_stand_ins

_FACTORS = (4, 8, 16)


def enlarging_in_steps(model: keras.Model) -> keras.Model:
    """Return a network with the outputs of `model`, up to rounding, whose bilinear enlargements by 4, 8 and 16 map.

    Layers keep their names; the model itself comes back where there are none.

    Args:
        model: any model.
    """
    return with_stand_ins(model, _enlarging)


def _enlarging(model: keras.Model) -> StandIns:
    return {
        layer.name: of_kind(_UpSampling2D)
        for layer in model.layers
        if type(layer) is layers.UpSampling2D
        and (layer.interpolation, layer.data_format) == ("bilinear", "channels_last")
        and layer.size[0] == layer.size[1]
        and layer.size[0] in _FACTORS
        and tuple(layer.input.shape[1:3]) != (1, 1)
    }


class _UpSampling2D(layers.UpSampling2D):
    """The enlargement in two steps."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        factor = self.size[0]
        x = _resized(_resized(inputs, factor // 2, half_pixels=False), 2, half_pixels=True)
        return _moved(_moved(x, factor // 2 - 1, axis=1), factor // 2 - 1, axis=2)


def _resized(x: Any, factor: int, *, half_pixels: bool) -> Any:
    size = [factor * x.shape[1], factor * x.shape[2]]
    return tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=False, half_pixel_centers=half_pixels)


def _moved(x: Any, pixels: int, *, axis: int) -> Any:
    rows = (slice(None),) * axis
    first, rest = x[(*rows, slice(0, 1))], x[(*rows, slice(0, x.shape[axis] - pixels))]
    return tf.concat([_repeated(first, pixels, axis=axis), rest], axis)


def _repeated(x: Any, times: int, *, axis: int) -> Any:
    if times == 1:
        return x
    if times <= MOST_JOINED:
        return tf.concat([x] * times, axis)
    return tf.concat([_repeated(x, MOST_JOINED, axis=axis), _repeated(x, times - MOST_JOINED, axis=axis)], axis)
