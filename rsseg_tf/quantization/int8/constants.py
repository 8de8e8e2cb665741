"""The learned numbers of a TFLite file, to be read and changed in place."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from rsseg_tf.tflite.flatbuffer import Op, Tensor, parse_model

FINEST = 2.0**-10 * 1.001
"""Step of an input of a sum that XNNPACK takes, in steps of the sum: at least."""


def constant_views(content: bytearray) -> dict[int, NDArray[np.float32]]:
    """Return tensor number → its float32 values, for every constant; writing to them changes the file."""
    root = schema.Model.GetRootAs(content)
    graph = root.Subgraphs(0)
    views = {}
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        buffer = root.Buffers(tensor.Buffer())
        if tensor.Type() == schema.TensorType.FLOAT32 and buffer.DataLength():
            shape = tensor.ShapeAsNumpy() if tensor.ShapeLength() else ()
            views[index] = buffer.DataAsNumpy().view(np.float32).reshape(shape)
    return views


def with_own_constants(file: bytes) -> bytes:
    """Return the file with a copy of every shared constant for each operator that reads it."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(file), 0)
    taken: set[int] = set()
    for op in model.subgraphs[0].operators:
        op.inputs = [_own(model, int(index)) if int(index) in taken else int(index) for index in op.inputs]
        taken.update(index for index in op.inputs if index >= 0 and _values(model, index) is not None)
    return packed(model, size=len(file))


def with_fitting_constants(file: bytes) -> bytes:
    """Return an int8 file in which the step of a constant that is added is at least `FINEST` of the sum's.

    XNNPACK would leave the ADD to TFLite's own kernels: a batch norm with small offsets would cut its piece in two. The
    sum keeps next to nothing of such a constant, and as much of it with the larger step. Constants that several
    operators read stay as they are.
    """
    changed = bytearray(file)
    model = parse_model(file, name="the int8 model")
    readers = Counter(tensor.index for op in model.ops for tensor in op.inputs if tensor)
    graph = schema.Model.GetRootAs(changed).Subgraphs(0)
    for op in model.ops:
        for tensor in op.inputs:
            if op.name in ("ADD", "SUB") and tensor and _is_too_fine(tensor, op) and readers[tensor.index] == 1:
                step = np.float32(FINEST * op.outputs[0].scales[0])
                real = (tensor.values().astype(np.float64) - tensor.zero_points[0]) * tensor.scales[0]
                _set(changed, graph.Tensors(tensor.index), np.rint(real / step).astype(np.int8), step)
    return bytes(changed)


def _is_too_fine(tensor: Tensor, op: Op) -> bool:
    """Return whether an input is an int8 constant with one step, which is under `FINEST` of the result's."""
    both_int8 = tensor.dtype == op.outputs[0].dtype == "int8" and tensor.is_constant
    return both_int8 and tensor.scales.size == 1 and tensor.scales[0] < FINEST * op.outputs[0].scales[0]


def _set(content: bytearray, table: Any, values: NDArray[np.int8], step: np.float32) -> None:
    """Write other numbers, a step and a zero point of 0 into an int8 constant of a file."""
    quantization = table.Quantization()
    quantization.ScaleAsNumpy()[0], quantization.ZeroPointAsNumpy()[0] = step, 0
    data = schema.Model.GetRootAs(content).Buffers(table.Buffer()).DataAsNumpy()
    data[:] = values.reshape(-1).view(np.uint8)


def packed(model: Any, *, size: int) -> bytes:
    """Return the bytes of a file that was taken apart into objects; `size` is about how many they will be."""
    builder = flatbuffers.Builder(size)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _own(model: Any, index: int) -> int:
    """Return the number of a new constant that is a copy of another."""
    graph = model.subgraphs[0]
    tensor, buffer = copy.copy(graph.tensors[index]), schema.BufferT()
    buffer.data = _values(model, index)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _values(model: Any, index: int) -> Any:
    return model.buffers[model.subgraphs[0].tensors[index].buffer].data
