"""Channels weighted by what the whole picture holds: a global average, a convolution or two, a sigmoid."""

from __future__ import annotations

import keras
from keras import layers

from rsseg_tf.models.resnet import conv_bn, conv_bn_relu


def refined(x: keras.KerasTensor, filters: int, *, name: str) -> keras.KerasTensor:
    """Return BiSeNet's attention refinement (Yu et al. 2018, figure 2b) of a 3×3 convolution of `x`."""
    x = conv_bn_relu(x, filters, 3, name=name)
    return gated(x, conv_bn(averaged(x, name=name), filters, 1, name=f"{name}_gate"), name=name)


def averaged(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Return the mean over all positions, (N, 1, 1, C), of a layer named `{name}_pool`."""
    return layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)


def gated(x: keras.KerasTensor, gate: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Return `x` times the sigmoid of `gate`, (N, 1, 1, C)."""
    return layers.Multiply(name=f"{name}_gated")([x, layers.Activation("sigmoid", name=f"{name}_sigmoid")(gate)])


def plain_conv(x: keras.KerasTensor, filters: int, *, name: str) -> keras.KerasTensor:
    """Return `x` after a 1×1 convolution without bias or batch norm, as gates have them."""
    return layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="he_normal", name=name)(x)
