"""An int8 file whose first maps need less memory at once: their channels are computed in parts.

A network begins with its largest maps, and often a pool or a strided depthwise convolution makes them small again at
once. Each takes every channel for itself. So the convolution before it and it are done for a quarter of the channels at
a time, and the small results are joined: the same numbers to the byte, by operators that every runtime has.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from rsseg_tf.quantization.rewriting import Rewriting
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.graph import Op, TFLiteModel

PARTS = 4
"""Of the channels of a map."""

_LEAST = 2
"""Times that the map has to become smaller."""

_KERNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
"""Operator → axis of its kernel that its channels are on."""

_EACH = frozenset({"PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "DEPTHWISE_CONV_2D"})
"""Operators that take each channel for itself."""

_INT8 = "int8"
_BYTES = {schema.TensorType.INT8: "i1", schema.TensorType.INT32: "<i4", schema.TensorType.INT64: "<i8"}


def in_parts(content: bytes, *, name: str) -> bytes:
    """Return an int8 file with the outputs of another whose maps are computed in parts where they shrink at once.

    Args:
        content: the bytes of an int8 file.
        name: what errors call it.
    """
    chains = _chains(parse_model(content, name=name))
    if not chains:
        return content
    rewriting = Rewriting(content)
    places: dict[int, list[Any]] = {op.index: [] for chain in chains for op in chain}
    places |= {chain[-1].index: _parts_of(rewriting, chain) for chain in chains}
    return rewriting.finished(places)


def _chains(model: TFLiteModel) -> list[list[Op]]:
    """Return the convolutions, each with what follows it channel by channel until its map is small."""
    readers: dict[int, list[Op]] = {}
    for op in model.ops:
        for tensor in op.inputs:
            if tensor is not None:
                readers.setdefault(tensor.index, []).append(op)
    ends = {tensor.index for tensor in model.outputs}
    taken: set[int] = set()
    found = []
    for op in model.ops:
        chain = [op]
        while (after := _only_reader(chain[-1], readers, ends)) is not None and after.name in _EACH:
            chain.append(after)
        while len(chain) > 1 and chain[-1].outputs[0].elements * _LEAST > op.outputs[0].elements:
            chain.pop()
        if op.name == "CONV_2D" and len(chain) > 1 and _can_be_split(chain) and op.index not in taken:
            found.append(chain)
            taken.update(each.index for each in chain)
    return found


def _only_reader(op: Op, readers: dict[int, list[Op]], ends: set[int]) -> Op | None:
    result = op.outputs[0].index
    own = readers.get(result, [])
    return own[0] if len(own) == 1 and result not in ends else None


def _can_be_split(chain: Sequence[Op]) -> bool:
    width = chain[0].outputs[0].shape[-1]
    results = [op.outputs[0] for op in chain]
    if width < PARTS or any(each.dtype != _INT8 or len(each.shape) != 4 or each.shape[-1] != width for each in results):
        return False
    kernels = [(op, op.inputs[1]) for op in chain if op.name in _KERNEL_AXIS]
    return all(kernel is not None and kernel.shape[_KERNEL_AXIS[op.name]] == width for op, kernel in kernels)


@dataclass(frozen=True)
class _Part:
    """Channels from `start` to before `stop`, and the number of the part."""

    number: int
    start: int
    stop: int


def _parts_of(rewriting: Rewriting, chain: Sequence[Op]) -> list[Any]:
    """Return the operators that compute in parts what those of a chain do."""
    operators = rewriting.graph.operators
    width = chain[0].outputs[0].shape[-1]
    edges = [width * number // PARTS for number in range(PARTS + 1)]
    added, joined = [], []
    for number, (start, stop) in enumerate(pairwise(edges)):
        part = _Part(number, start, stop)
        source = int(operators[chain[0].index].inputs[0])
        for op in chain:
            operator = copy.copy(operators[op.index])
            kernels = [_constant(rewriting, int(index), part, op) for index in operator.inputs[1:]]
            result = _narrowed(rewriting, int(operator.outputs[0]), part, axis=3)
            operator.inputs, operator.outputs = [source, *kernels], [result]
            added.append(operator)
            source = result
        joined.append(source)
    return [*added, rewriting.operator("CONCATENATION", joined, chain[-1].outputs[0].index, axis=3)]


def _constant(rewriting: Rewriting, index: int, part: _Part, op: Op) -> int:
    """Return the part of a kernel or a bias, or a constant such as paddings as it is."""
    if op.name not in _KERNEL_AXIS or index < 0:
        return index
    is_bias = len(rewriting.graph.tensors[index].shape) == 1
    return _narrowed(rewriting, index, part, axis=0 if is_bias else _KERNEL_AXIS[op.name])


def _narrowed(rewriting: Rewriting, index: int, part: _Part, *, axis: int) -> int:
    """Return the number of a new tensor that is a part of another."""
    tensor = rewriting.graph.tensors[index]
    shape = [int(side) for side in tensor.shape]
    data, own = rewriting.values(index), None
    if data is not None:
        own = data.view(_BYTES[tensor.type]).reshape(shape)[(slice(None),) * axis + (slice(part.start, part.stop),)]
    sides = [*shape[:axis], part.stop - part.start, *shape[axis + 1 :]]
    number = rewriting.tensor(index, sides, tensor.name + f"/part{part.number}".encode(), values=own)
    _narrow_scales(rewriting.graph.tensors[number].quantization, part, size=shape[axis])
    return number


def _narrow_scales(quantization: Any, part: _Part, *, size: int) -> None:
    for name in ("scale", "zeroPoint", "min", "max"):
        values = getattr(quantization, name, None)
        if values is not None and size > 1 and len(values) == size:
            setattr(quantization, name, values[part.start : part.stop])
