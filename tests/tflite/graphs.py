"""Graphs of a few operators built by hand, for what TensorFlow's converter does not make or makes slowly."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from rsseg_tf.tflite.graph import Op, Tensor, TFLiteModel


def tensor(shape: tuple[int, ...], *, dtype: str = "int8", data: Any = None, quantized: bool = True) -> Tensor:
    """A tensor with a scale of 1; a constant of the values `data` where there are any."""
    raw = None if data is None else np.broadcast_to(np.asarray(data, dtype), shape).copy().view(np.uint8).ravel()
    scales = np.ones(int(quantized), np.float32)
    return Tensor(0, "", shape, dtype, scales, np.zeros(scales.size, np.int64), 0, raw)


def numbers(*values: Any) -> Tensor:
    """A constant of plain integers, such as axes."""
    array = np.asarray(values, np.int32)
    return tensor(array.shape, dtype="int32", data=array, quantized=False)


PIXELS = tensor((1, 8, 8, 8))
KERNEL = tensor((8, 3, 3, 8), data=1)


def operator(name: str, *inputs: Tensor, out: Tensor, **attributes: Any) -> TFLiteModel:
    """A graph of one operator."""
    named = [
        dataclasses.replace(one, index=number, name=f"other/t{number};scope/t{number}")
        for number, one in enumerate([*inputs, out])
    ]
    op = Op(0, name, tuple(named[:-1]), (named[-1],), attributes)
    return TFLiteModel(tuple(named), (op,), tuple(one for one in named[:-1] if not one.is_constant), (named[-1],))


def from_pixels(name: str, *shape: int, **attributes: Any) -> TFLiteModel:
    """A graph of one operator from `PIXELS` to a tensor of `shape`."""
    return operator(name, PIXELS, out=tensor(shape), **attributes)


def chain(*names: str) -> TFLiteModel:
    """Operators of those names one after the other; convolutions among them cost and weigh the same."""
    tensors = [dataclasses.replace(PIXELS, index=number, name=f"t{number}") for number in range(len(names) + 1)]
    kernels = [
        dataclasses.replace(KERNEL, index=len(tensors) + number, name=f"kernel{number}") for number in range(len(names))
    ]
    ops = tuple(
        Op(place, name, (tensors[place], *([kernels[place]] if name == "CONV_2D" else [])), (tensors[place + 1],), {})
        for place, name in enumerate(names)
    )
    return TFLiteModel((*tensors, *kernels), ops, (tensors[0],), (tensors[-1],))
