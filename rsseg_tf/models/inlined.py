"""A classifier's body inside our graph: layer by layer, renamed, with late strides turned into dilations.

At output stride 16 every second feature is what the classifier computes at stride 32: [::2, ::2] equals it, since
each turned layer pads as the original did at its size. What cannot keep that law: squeeze-and-excite, whose average is
over more positions; pools that would have to dilate; and un-padded convolutions (InceptionV3's), which are padded here
so that features stay where their pixels are.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs import all_operations, copy_of, private, run_through
from rsseg_tf.models.backbone import Features
from rsseg_tf.models.weights.widening import fitted

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_POOLS = (layers.MaxPooling2D, layers.AveragePooling2D)
_GLOBAL_POOLS = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
_LOW_STRIDE = 4
_COLORS = 3
_NUMBERS_BY_COLOR = ("mean", "variance", "scale", "offset")

Size = tuple[int, int]


@dataclass(frozen=True)
class _Place:
    """Where a tensor of ours stands: its stride from the image, and by how much its stride is short of the original's.

    A tensor of single values, as in squeeze-and-excite, has stride 0.
    """

    tensor: keras.KerasTensor
    stride: int
    dilation: int = 1


@dataclass(frozen=True)
class _Padding:
    """An explicit zero padding that the layers behind it may replace: what it pads, and how much before each axis."""

    tensor: keras.KerasTensor
    before: Size


def inlined(x: keras.KerasTensor, source: keras.Model, *, output_stride: int) -> Features:
    """Return features of a new copy of `source` on `x`, with fresh weights.

    Args:
        x: what the source takes, (N, H, W, 3), or of another number of bands.
        source: a functional model from images of x's size to features of a stride of at least `output_stride`.
        output_stride: 8, 16 or 32.

    Returns:
        The last tensor of each stride, and the output. Layers are named as `layer_names` says.

    Raises:
        ModelError: if a layer holds layers of its own, or the source has no features at a quarter of the size.
    """
    return _Inliner(source, output_stride).features(x)


def layer_names(source: keras.Model) -> dict[int, str]:
    """Return the id of each layer of `source` and of the models inside it → its name once inlined.

    `backbone_` and its own name, or where Keras made that up, its type and number.
    """
    names: dict[int, str] = {}
    counts: dict[str, int] = {}
    for operation in all_operations(source):
        kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(operation).__name__).lower()
        name = operation.name
        if re.fullmatch(rf"{kind.replace('_', '')}(_?\d+)*", name.replace("_", "")) or name in names.values():
            counts[kind] = counts.get(kind, 0) + 1
            name = f"{kind}_{counts[kind]}"
        names[id(operation)] = f"backbone_{name}"
    return names


class _Inliner:
    """Copies one source into a graph of ours."""

    def __init__(self, source: keras.Model, output_stride: int) -> None:
        self._source = source
        self._output_stride = output_stride
        self._names = layer_names(source)
        self._copies: dict[int, keras.Operation] = {}
        self._places: dict[int, _Place] = {}
        self._paddings: dict[int, _Padding] = {}
        self._by_stride: dict[int, keras.KerasTensor] = {}

    def features(self, x: keras.KerasTensor) -> Features:
        """Return features of `x`."""
        self._put(x, stride=1, dilation=1)
        high_level = run_through(self._source, x, self._call)
        if _LOW_STRIDE not in self._by_stride or self._places[id(high_level)].stride != self._output_stride:
            raise ModelError(
                f"`{self._source.name}` has no features at 1/4 and 1/{self._output_stride} of the image size",
                hint="use another backbone",
            )
        return Features({**self._by_stride, self._output_stride: high_level})

    def _call(self, operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        if private.sublayers(operation):
            raise ModelError(
                f"`{operation.name}` of `{self._source.name}` is a {type(operation).__name__}, a layer made of layers",
                hint="use a backbone whose graph holds plain layers only",
            )
        places = [self._places[id(x)] for x in keras.tree.flatten((args, kwargs)) if id(x) in self._places]
        stride = max((place.stride for place in places), default=0)
        dilation = max((place.dilation for place in places), default=1)
        if isinstance(operation, _CONVOLUTIONS + _POOLS):
            return self._spatial(operation, args[0], stride, dilation)
        if isinstance(operation, _GLOBAL_POOLS):
            stride = 0
        y = self._copy(operation, **_of_bands(operation, args[0]))(*args, **kwargs)
        if isinstance(operation, layers.ZeroPadding2D):
            (top, _), (left, _) = operation.padding
            self._paddings[id(y)] = _Padding(args[0], (top, left))
            return self._put(y, stride, dilation, is_feature=False)
        return self._put(y, stride, dilation)

    def _spatial(self, layer: keras.Layer, x: keras.KerasTensor, stride: int, dilation: int) -> keras.KerasTensor:
        own = max(layer.strides)
        turned = own > 1 and stride * own > self._output_stride
        if not turned and dilation == 1:
            copy = self._copy(layer) if id(x) in self._paddings else self._copy(layer, padding="same")
            return self._put(copy(x), stride * own, dilation)
        padding = self._paddings.get(id(x))
        x = padding.tensor if padding else x
        is_pool = isinstance(layer, _POOLS)
        kernel = layer.pool_size if is_pool else layer.kernel_size
        before = padding.before if padding else _same_before(_sizes(x, dilation), kernel, layer)
        changes: dict[str, Any] = {"strides": 1 if turned else own, "padding": "same"}
        if not is_pool:
            changes["dilation_rate"] = dilation if max(kernel) > 1 else 1
            amounts = tuple(_pads(k, b, dilation) for k, b in zip(kernel, before, strict=True))
            if any(first != last for first, last in amounts):
                name = f"{self._names[id(layer)]}_align"
                x, changes["padding"] = layers.ZeroPadding2D(amounts, name=name)(x), "valid"
        y = self._copy(layer, **changes)(x)
        return self._put(y, stride, dilation * own if turned else dilation)

    def _copy(self, operation: keras.Operation, **changes: Any) -> keras.Operation:
        if id(operation) not in self._copies:
            self._copies[id(operation)] = copy_of(operation, **changes, name=self._names[id(operation)])
        return self._copies[id(operation)]

    def _put(self, y: keras.KerasTensor, stride: int, dilation: int, *, is_feature: bool = True) -> keras.KerasTensor:
        self._places[id(y)] = _Place(y, stride, dilation)
        if dilation == 1 and is_feature:
            self._by_stride[stride] = y
        return y


def _of_bands(operation: keras.Operation, x: Any) -> dict[str, Any]:
    """Return the settings of a layer that hold a number a color, for as many bands as `x` has."""
    if not isinstance(operation, layers.Normalization | layers.Rescaling) or x.shape[-1] == _COLORS:
        return {}
    config = operation.get_config()
    given = {name: np.asarray(config[name]) for name in _NUMBERS_BY_COLOR if config.get(name) is not None}
    return {
        name: fitted(values, (x.shape[-1],)).tolist() for name, values in given.items() if values.shape == (_COLORS,)
    }


def _sizes(x: keras.KerasTensor, dilation: int) -> Size:
    """Return the height and width that the original has where ours has those of `x`."""
    return math.ceil(x.shape[1] / dilation), math.ceil(x.shape[2] / dilation)


def _same_before(sizes: Size, kernel: Size, layer: keras.Layer) -> Size:
    """Return the zeros that `same` padding puts before each axis at these sizes; of an unpadded layer, half."""
    stride = max(layer.strides) if layer.padding == "same" or max(kernel) <= max(layer.strides) else 1

    def before(size: int, width: int) -> int:
        return max((math.ceil(size / stride) - 1) * stride + width - size, 0) // 2

    return before(sizes[0], kernel[0]), before(sizes[1], kernel[1])


def _pads(kernel: int, before: int, dilation: int) -> Size:
    """Return how many zeros before and after keep the size at stride 1."""
    return dilation * before, max(dilation * (kernel - 1 - before), 0)
