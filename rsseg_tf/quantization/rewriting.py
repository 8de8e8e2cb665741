"""A file of integers taken apart, in which other operators take the place of some: what such rewritings share."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from rsseg_tf.quantization.int8.constants import packed

_FIRST_WITH_INT8 = {"CONCATENATION": 2, "RESHAPE": 1, "SLICE": 2}
"""Operator → its first version that has int8."""

_OPTIONS = {
    "CONCATENATION": (schema.BuiltinOptions.ConcatenationOptions, schema.ConcatenationOptionsT),
    "RESHAPE": (schema.BuiltinOptions.ReshapeOptions, schema.ReshapeOptionsT),
    "SLICE": (schema.BuiltinOptions.SliceOptions, schema.SliceOptionsT),
}


class Rewriting:
    """A file taken apart, to which tensors and operators are added.

    Args:
        content: the bytes of a file.

    Attributes:
        graph: its main graph, as the schema's objects.
    """

    def __init__(self, content: bytes) -> None:
        self._model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
        self._size = len(content)
        self.graph = self._model.subgraphs[0]

    def finished(self, places: Mapping[int, Sequence[Any]]) -> bytes:
        """Return the bytes of the file in which others take the place of some operators; what none reads is left out.

        Args:
            places: number of an operator → those in its place; none for one that goes.
        """
        operators = enumerate(self.graph.operators)
        self.graph.operators = [new for index, old in operators for new in places.get(index, [old])]
        self._leave_out_unused()
        return packed(self._model, size=self._size)

    def values(self, index: int) -> NDArray[np.uint8] | None:
        """Return the bytes of a constant, None of what is computed."""
        data = self._model.buffers[self.graph.tensors[index].buffer].data
        return None if data is None or not len(data) else np.asarray(data, np.uint8)

    def _leave_out_unused(self) -> None:
        graph = self.graph
        lists = [(owner, name) for owner in (graph, *graph.operators) for name in ("inputs", "outputs")]
        used = sorted({int(index) for owner, name in lists for index in getattr(owner, name)} - {-1})
        numbers = {-1: -1, **{index: number for number, index in enumerate(used)}}
        for owner, name in lists:
            setattr(owner, name, [numbers[int(index)] for index in getattr(owner, name)])
        left = {tensor.buffer for index, tensor in enumerate(graph.tensors) if index not in numbers}
        graph.tensors = [graph.tensors[index] for index in used]
        for number in left - {tensor.buffer for tensor in graph.tensors}:
            self._model.buffers[number].data = None

    def tensor(self, like: int, shape: Sequence[int], name: bytes, *, values: NDArray[Any] | None = None) -> int:
        """Return the number of a new tensor, of the type and the steps of another.

        Args:
            like: number of the other.
            shape: of the new one.
            name: of it.
            values: of a constant; None for what is computed.
        """
        tensor = copy.deepcopy(self.graph.tensors[like])
        tensor.name, tensor.shape, tensor.shapeSignature = name, [int(side) for side in shape], None
        tensor.buffer = 0 if values is None else self._buffer(values)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def numbers(self, values: Sequence[int], name: str) -> int:
        """Return the number of a new constant of int32, such as a shape."""
        tensor = schema.TensorT()
        tensor.name, tensor.type = name.encode(), schema.TensorType.INT32
        tensor.shape, tensor.buffer = [len(values)], self._buffer(np.asarray(values, np.int32))
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, kind: str, inputs: Sequence[int], output: int, **options: Any) -> Any:
        """Return a new operator of a kind in `_OPTIONS`."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(kind)
        operator.inputs, operator.outputs = list(inputs), [output]
        number, made = _OPTIONS[kind]
        operator.builtinOptionsType, operator.builtinOptions = number, made()
        for name, value in options.items():
            setattr(operator.builtinOptions, name, value)
        return operator

    def _buffer(self, values: NDArray[Any]) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1

    def _code(self, kind: str) -> int:
        """Return the number of the file's code for a kind of operators."""
        wanted = getattr(schema.BuiltinOperator, kind)
        codes = self._model.operatorCodes
        for index, code in enumerate(codes):
            if code.builtinCode == wanted:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = wanted
        code.version = _FIRST_WITH_INT8[kind]
        codes.append(code)
        return len(codes) - 1
