"""A model of one operator with fewer channels: what `rsseg_tf.benchmark.profile` measures the price of a channel on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from rsseg_tf.tflite.cutting import Piece, packed

_EACH = frozenset(
    {"ADD", "SUB", "MUL", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN"}
    | {"PAD", "PADV2", "QUANTIZE", "DEQUANTIZE", "LOGISTIC", "HARD_SWISH", "RELU", "RELU6", "TANH"}
)
"""Operators that take each channel for itself."""

PRODUCTS = ("CONV_2D", "FULLY_CONNECTED")
"""Operators that sum over the channels that they read."""

_DTYPES: Mapping[int, str] = {
    schema.TensorType.FLOAT32: "<f4",
    schema.TensorType.FLOAT16: "<f2",
    schema.TensorType.INT8: "i1",
    schema.TensorType.UINT8: "u1",
    schema.TensorType.INT16: "<i2",
    schema.TensorType.INT32: "<i4",
    schema.TensorType.INT64: "<i8",
}

_COUNTS = (schema.TensorType.INT32, schema.TensorType.INT64)
"""Types of constants that are sizes and axes where no kernel is."""

Cuts = dict[int, dict[int, int]]
"""Tensor → axis → the entries that stay."""


@dataclass(frozen=True)
class Narrowed:
    """A model of one operator with fewer channels.

    Attributes:
        inputs: channels that it reads; of an operator that takes each channel for itself, as many as it computes.
        outputs: channels that it computes.
        content: the bytes of its `.tflite` file.
    """

    inputs: int
    outputs: int
    content: bytes


def channels(piece: Piece) -> tuple[int, int] | None:
    """Return how many channels an operator reads and computes, None where its type does not tell.

    Both are those that it computes where it takes each channel for itself.
    """
    op = piece.op
    shapes = [tensor.shape if tensor else () for tensor in op.inputs]
    outputs = op.outputs[0].shape[-1] if op.outputs and op.outputs[0].shape else 0
    if op.name in _EACH or op.name == "CONCATENATION":
        return (outputs, outputs) if outputs else None
    if op.name == "DEPTHWISE_CONV_2D" and shapes[0][-1:] == (outputs,):
        return outputs, outputs
    if op.name in PRODUCTS and shapes[0][-1:] == shapes[1][-1:]:
        return shapes[1][-1], outputs
    return None


def narrowed(piece: Piece, inputs: int, outputs: int) -> Narrowed | None:
    """Return the model of a piece that reads `inputs` and computes `outputs` channels, None where there is none.

    The first channels stay. An operator that takes each channel for itself gets `outputs` of them; a concatenation as
    large a share of each tensor.
    """
    if channels(piece) is None:
        return None
    model = schema.ModelT.InitFromPackedBuf(piece.content)
    graph = model.subgraphs[0]
    cut = _KINDS.get(piece.op.name, _each)
    try:
        cuts = cut(graph, graph.operators[-1], inputs, outputs)
        for operator in graph.operators[-2::-1]:
            _prepared(operator, cuts)
        for index, kept in cuts.items():
            _narrow(graph.tensors[index], model.buffers, kept)
    except _CannotNarrow:
        return None
    width = int(graph.tensors[graph.outputs[0]].shape[-1])
    return Narrowed(inputs if cut is _product else width, width, packed(model))


class _CannotNarrow(Exception):
    """An operator that cannot be had with fewer channels."""


def _product(graph: Any, operator: Any, inputs: int, outputs: int) -> Cuts:
    image, kernel, *bias = (int(index) for index in operator.inputs)
    rank = len(graph.tensors[kernel].shape)
    cuts = {
        image: {len(graph.tensors[image].shape) - 1: inputs},
        kernel: {0: outputs, rank - 1: inputs},
        **{index: {0: outputs} for index in bias if index >= 0},
    }
    return {**cuts, **{int(index): {len(graph.tensors[index].shape) - 1: outputs} for index in operator.outputs}}


def _depthwise(graph: Any, operator: Any, _inputs: int, outputs: int) -> Cuts:
    indices = [int(index) for index in (*operator.inputs, *operator.outputs) if index >= 0]
    return {index: {len(graph.tensors[index].shape) - 1: outputs} for index in indices}


def _each(graph: Any, operator: Any, _inputs: int, outputs: int) -> Cuts:
    result = graph.tensors[operator.outputs[0]]
    width = int(result.shape[-1])
    indices = {int(index) for index in (*operator.inputs, *operator.outputs) if index >= 0}
    cuts = {}
    for index in indices:
        tensor = graph.tensors[index]
        shape = [] if tensor.shape is None else list(tensor.shape)
        if shape and shape[-1] == width and (tensor.type not in _COUNTS or tensor.type == result.type):
            cuts[index] = {len(shape) - 1: outputs}
    return cuts


def _joined(graph: Any, operator: Any, _inputs: int, outputs: int) -> Cuts:
    result = graph.tensors[operator.outputs[0]]
    last = len(result.shape) - 1
    if operator.builtinOptions.axis not in (-1, last):
        raise _CannotNarrow
    share = outputs / int(result.shape[-1])
    parts = {int(index): max(1, round(share * int(graph.tensors[index].shape[-1]))) for index in operator.inputs}
    total = sum(parts[int(index)] for index in operator.inputs)
    return {**{index: {last: number} for index, number in parts.items()}, int(operator.outputs[0]): {last: total}}


_KINDS: Mapping[str, Callable[[Any, Any, int, int], Cuts]] = {
    **dict.fromkeys(PRODUCTS, _product),
    "DEPTHWISE_CONV_2D": _depthwise,
    "CONCATENATION": _joined,
}


def _prepared(operator: Any, cuts: Cuts) -> None:
    """Narrow what an operator that unpacks constants reads, as what it returns is narrowed."""
    found = [cuts[int(index)] for index in operator.outputs if int(index) in cuts]
    if found and not isinstance(operator.builtinOptions, schema.DequantizeOptionsT | None):
        raise _CannotNarrow
    for kept in found:
        cuts[int(operator.inputs[0])] = kept


def _narrow(tensor: Any, buffers: Sequence[Any], kept: Mapping[int, int]) -> None:
    shape = [int(side) for side in tensor.shape]
    if tensor.type not in _DTYPES or any(number > shape[axis] for axis, number in kept.items()):
        raise _CannotNarrow
    part = tuple(slice(kept.get(axis, side)) for axis, side in enumerate(shape))
    buffer = buffers[tensor.buffer]
    if buffer.data is not None and len(buffer.data):
        values = np.frombuffer(bytes(buffer.data), _DTYPES[tensor.type]).reshape(shape)
        buffer.data = np.frombuffer(np.ascontiguousarray(values[part]).tobytes(), np.uint8)
    for axis, number in kept.items():
        _narrow_scales(tensor.quantization, axis, shape[axis], number)
    tensor.shape = [kept.get(axis, side) for axis, side in enumerate(shape)]
    tensor.shapeSignature = None


def _narrow_scales(quantization: Any, axis: int, size: int, number: int) -> None:
    if quantization is None or quantization.quantizedDimension != axis:
        return
    for name in ("scale", "zeroPoint", "min", "max"):
        values = getattr(quantization, name)
        if values is not None and size > 1 and len(values) == size:
            setattr(quantization, name, values[:number])
