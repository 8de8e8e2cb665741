"""What every network of ours begins and ends with: normalized pixels and a backbone, scores at the image's size."""

from __future__ import annotations

import re
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from rsseg_tf.config.data import MOST_BANDS
from rsseg_tf.errors import ConfigError
from rsseg_tf.models.backbone import Backbone, Features
from rsseg_tf.models.backbones import check_above_0, check_width, find_backbone

NORMALIZE = "normalise"
"""Name of the graph's first layer."""

_LEAST_SIDE = 32


@dataclass(frozen=True)
class Body:
    """A graph up to its features.

    Attributes:
        image: its input, float32 (N, H, W, bands) with values from 0 to 255.
        normalized: what the backbone sees.
        features: what it makes of that.
    """

    image: keras.KerasTensor
    normalized: keras.KerasTensor
    features: Features


def body(backbone: str, input_shape: tuple[int, int, int], *, output_stride: int, width: float) -> Body:
    """Return the backbone of a name on normalized pixels.

    Raises:
        ConfigError: if there is no such backbone, not of this width, or the shape is no image's.
    """
    check_width(backbone, width)
    return body_on(find_backbone(backbone), input_shape, output_stride=output_stride, width=width)


def body_on(backbone: Backbone, input_shape: tuple[int, int, int], *, output_stride: int, width: float) -> Body:
    """Return a backbone on normalized pixels.

    Raises:
        ConfigError: if the shape is no image's, or the width is not above 0.
    """
    check_above_0(width)
    if len(input_shape) != 3 or not 1 <= input_shape[2] <= MOST_BANDS or min(input_shape[:2]) < _LEAST_SIDE:
        raise ConfigError(
            f"`input_shape` must be (height, width, bands) with at least {_LEAST_SIDE} pixels a side and 1 to "
            f"{MOST_BANDS} bands, got {input_shape}",
            hint="the size must be fixed when the graph is built",
        )
    image = layers.Input(input_shape, name="image")
    seen = backbone.normalization.of(input_shape[2])
    x = layers.Rescaling(seen.scale, seen.offset, name=NORMALIZE)(image)
    return Body(image, x, backbone.features(x, output_stride=output_stride, width=width))


def check_classes(num_classes: int) -> None:
    """Check that a network may have so many classes.

    Raises:
        ConfigError: if it may not.
    """
    if num_classes < 1:
        raise ConfigError(f"`num_classes` must be at least 1, got {num_classes}")


def with_logits(
    start: Body, scores: keras.KerasTensor, *, stride: int, name: str, upsampling: str = "bilinear"
) -> keras.Model:
    """Return the model from a body's image to `scores`, enlarged `stride` times to the image's size."""
    logits = upsampled(scores, start.image.shape[1:3], stride=stride, upsampling=upsampling, name="logits")
    return keras.Model(start.image, logits, name=re.sub(r"\W+", "_", name))


def upsampled(
    x: keras.KerasTensor, size: tuple[int, int], *, stride: int, name: str, upsampling: str = "bilinear"
) -> keras.KerasTensor:
    """Return `x` enlarged `stride` times, and cropped to `size` where that overshoots.

    Not by a `Resizing` layer: its call has `training=True` as default, which Keras 3.15 hands on to the whole
    model, so that a plain `model(x)` would normalize by batch statistics and change the weights.
    """
    x = UPSAMPLINGS[upsampling](x, stride, name)
    extra = (x.shape[1] - size[0], x.shape[2] - size[1])
    return layers.Cropping2D(((0, extra[0]), (0, extra[1])), name=f"{name}_crop")(x) if any(extra) else x


def spread(x: keras.KerasTensor, size: tuple[int, int], *, name: str) -> keras.KerasTensor:
    """Return single values (N, 1, 1, C) at every position.

    From one pixel, bilinear is nearest; but nearest becomes TILE in TFLite, which splits the partition.
    """
    return layers.UpSampling2D(size, interpolation="bilinear", name=name)(x)


def _bilinear(x: keras.KerasTensor, stride: int, name: str) -> keras.KerasTensor:
    return layers.UpSampling2D(stride, interpolation="bilinear", name=name)(x)


def _transposed(x: keras.KerasTensor, stride: int, name: str) -> keras.KerasTensor:
    channels = x.shape[-1]
    layer = layers.Conv2DTranspose(channels, 2 * stride, strides=stride, padding="same", use_bias=False, name=name)
    enlarged = layer(x)
    layer.set_weights([bilinear_kernel(channels, stride)])
    return enlarged


UPSAMPLINGS = {"bilinear": _bilinear, "transposed": _transposed}
"""Upsampling name → function of a tensor, a factor and a layer name."""


def bilinear_kernel(channels: int, stride: int) -> np.ndarray:
    """Return transposed-convolution weights that interpolate bilinearly: (2·stride, 2·stride, channels, channels)."""
    offsets = np.arange(2 * stride) + 0.5 - stride
    triangle = 1 - np.abs(offsets) / stride
    kernel = np.zeros((2 * stride, 2 * stride, channels, channels), np.float32)
    kernel[:, :, range(channels), range(channels)] = np.outer(triangle, triangle)[:, :, None]
    return kernel
