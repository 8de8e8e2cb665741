"""MiT-B0, SegFormer's encoder (Xie et al. 2021), as a flat Keras graph: four stages of attention among fewer keys.

As the authors' own, without the stochastic depth that serves training alone. Linear layers are 1×1 convolutions, so
that maps stay maps between attentions; a stage with one head has no axis for heads, so its queries and keys can lose
widths, and its values others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import layers, ops

from rsseg_tf.models.backbone import Backbone, Features, scaled

_HEAD_WIDTH = 32
_EXPANSION = 4
_EPSILON = 1e-6
_INNER_EPSILON = 1e-5
"""Of the normalizations behind an embedding and of keys and values; the authors leave it at torch's own."""


@dataclass(frozen=True)
class _Stage:
    """Blocks of one width: kernel and stride of the embedding before them, heads, how much fewer rows of keys."""

    kernel: int
    stride: int
    heads: int
    reduction: int
    depth: int = 2


_B0 = (_Stage(7, 4, 1, 8), _Stage(3, 2, 2, 4), _Stage(3, 2, 5, 2), _Stage(3, 2, 8, 1))
"""Xie et al. 2021, table 6: widths 32, 64, 160 and 256."""


def mit_b0(x: keras.KerasTensor, *, output_stride: int = 32, width: float = 1.0) -> Features:
    """Return features of MiT-B0 on normalized pixels (N, H, W, bands), at strides 4, 8, 16 and 32.

    `output_stride` is 32; every head has the share `width` of 32 channels, and every layer as many heads as ever.
    """
    by_stride, stride = {}, 1
    for number, stage in enumerate(_B0, start=1):
        x = _stage(x, stage, stage.heads * scaled(_HEAD_WIDTH, width), name=f"stage{number}")
        stride *= stage.stride
        if stride <= output_stride:
            by_stride[stride] = x
    return Features(by_stride)


MIT_B0 = Backbone(mit_b0)
"""The encoder, on pixels normalized as ImageNet's."""


def linear(x: keras.KerasTensor, filters: int, *, name: str, use_bias: bool = True) -> keras.KerasTensor:
    """Return a linear layer's output for each position of a map, begun as transformers' are."""
    start = keras.initializers.TruncatedNormal(stddev=0.02)
    return layers.Conv2D(filters, 1, use_bias=use_bias, kernel_initializer=start, name=name)(x)


def _stage(x: keras.KerasTensor, stage: _Stage, filters: int, *, name: str) -> keras.KerasTensor:
    x = layers.ZeroPadding2D(stage.kernel // 2, name=f"{name}_embed_pad")(x)
    x = _conv(x, filters, stage.kernel, stage.stride, name=f"{name}_embed_conv")
    x = _norm(x, _INNER_EPSILON, name=f"{name}_embed_norm")
    for number in range(1, stage.depth + 1):
        block = f"{name}_block{number}"
        y = _attention(_norm(x, name=f"{block}_attention_norm"), stage, name=f"{block}_attention")
        x = layers.Add(name=f"{block}_attention_add")([x, y])
        y = _mix_ffn(_norm(x, name=f"{block}_mlp_norm"), name=f"{block}_mlp")
        x = layers.Add(name=f"{block}_mlp_add")([x, y])
    return _norm(x, name=f"{name}_norm")


def _attention(x: keras.KerasTensor, stage: _Stage, *, name: str) -> keras.KerasTensor:
    """Return a mix of values, each read from a square of `reduction` × `reduction` pixels, for every pixel."""
    filters, reduced = x.shape[-1], x
    if stage.reduction > 1:
        reduced = _conv(x, filters, stage.reduction, stage.reduction, name=f"{name}_reduce_conv")
        reduced = _norm(reduced, _INNER_EPSILON, name=f"{name}_reduce_norm")
    query = linear(x, filters, name=f"{name}_query")
    query = layers.Rescaling((filters // stage.heads) ** -0.5, name=f"{name}_scale")(query)
    key, value = (linear(reduced, filters, name=f"{name}_{part}") for part in ("key", "value"))
    query, value = (_by_head(y, stage.heads, name=f"{name}_{part}") for y, part in ((query, "query"), (value, "value")))
    key = _by_head(key, stage.heads, name=f"{name}_key", transposed=True)
    shares = layers.Softmax(name=f"{name}_softmax")(ops.matmul(query, key))
    mixed = ops.matmul(shares, value)
    if stage.heads > 1:
        mixed = layers.Permute((2, 1, 3), name=f"{name}_mixed_permute")(mixed)
    mixed = layers.Reshape((*x.shape[1:3], filters), name=f"{name}_mixed")(mixed)
    return linear(mixed, filters, name=f"{name}_project")


def _by_head(x: keras.KerasTensor, heads: int, *, name: str, transposed: bool = False) -> keras.KerasTensor:
    """Return a map as (N, heads, positions, width), or (N, heads, width, positions); of one head without that axis."""
    positions, filters = x.shape[1] * x.shape[2], x.shape[-1]
    shape: Sequence[int] = (positions, heads, filters // heads) if heads > 1 else (positions, filters)
    x = layers.Reshape(shape, name=f"{name}_positions")(x)
    order = (2, 3, 1) if transposed else (2, 1, 3)
    if heads > 1 or transposed:
        x = layers.Permute(order if heads > 1 else (2, 1), name=f"{name}_permute")(x)
    return x


def _mix_ffn(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Return a perceptron of each pixel that sees its neighbors between its layers, and so where it is."""
    filters = x.shape[-1]
    x = linear(x, _EXPANSION * filters, name=f"{name}_expand")
    start = keras.initializers.VarianceScaling(2.0, mode="fan_out")
    x = layers.DepthwiseConv2D(3, padding="same", depthwise_initializer=start, name=f"{name}_depthwise_conv")(x)
    x = layers.Activation("gelu", name=f"{name}_gelu")(x)
    return linear(x, filters, name=f"{name}_project")


def _conv(x: keras.KerasTensor, filters: int, kernel: int, stride: int, *, name: str) -> keras.KerasTensor:
    start = keras.initializers.VarianceScaling(2.0, mode="fan_out")
    return layers.Conv2D(filters, kernel, strides=stride, kernel_initializer=start, name=name)(x)


def _norm(x: keras.KerasTensor, epsilon: float = _EPSILON, *, name: str) -> keras.KerasTensor:
    return layers.LayerNormalization(epsilon=epsilon, name=name)(x)
