"""The learned numbers of a float TFLite file, to be read and changed in place."""

from __future__ import annotations

import copy
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray


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
