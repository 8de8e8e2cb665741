"""A `.tflite` file cut into models of one operator each.

A piece holds its operator with the same options, the same quantized tensors and the same constants; the
activations that it reads and writes are its inputs and outputs. Operators that compute nothing but constants
(DEQUANTIZE of float16 weights) go with the operators that read them, since a delegate unpacks them once and
for all when the model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from rsseg_tf.errors import ModelError
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.front.root import aligned_buffer
from rsseg_tf.tflite.graph import Op, TFLiteModel
from rsseg_tf.tflite.layer_names import OpTensors

_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
_LISTS = ("inputs", "outputs", "intermediates")
_LEFT_OUT = -1
"""The reference to an optional tensor that an operator does without."""


@dataclass(frozen=True)
class Piece:
    """A model of one operator.

    Attributes:
        op: the operator, as it is in the whole model.
        tensors: names of its tensors, constants of its preparation included.
        inputs: indices in the whole model of the tensors that are its inputs, in order.
        outputs: the same of its outputs.
        content: the bytes of its `.tflite` file.
    """

    op: Op
    tensors: OpTensors
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    content: bytes


def cut(content: bytes, *, name: str) -> list[Piece]:
    """Return the pieces of a model in the order of execution; run one after the other they compute what it computes.

    Args:
        content: the bytes of a `.tflite` file.
        name: what errors call it.

    Raises:
        ModelError: if it is not a TFLite file, is damaged, or an operator runs graphs of its own (WHILE, IF).
    """
    model = parse_model(content, name=name)
    try:
        root = schema.Model.GetRootAs(content)
        computed = {tensor.index for op in model.ops for tensor in op.outputs}
        computed.update(tensor.index for tensor in model.inputs)
        return [_piece(root, model, group, computed) for group in _groups(model)]
    except ModelError:
        raise
    except Exception as error:  # a damaged file raises whatever its bytes happen to ask for
        raise ModelError(f"`{name}` cannot be cut into operators: {error!r}", hint="export the model again") from error


def _groups(model: TFLiteModel) -> list[list[Op]]:
    """Return operators, each after those that only prepare its constants."""
    computed = {tensor.index for tensor in model.inputs}
    preparing: dict[int, Op] = {}
    groups = []
    for op in model.ops:
        if any(tensor and tensor.index in computed for tensor in op.inputs):
            computed.update(tensor.index for tensor in op.outputs)
            groups.append([*_preparation(op, preparing), op])
        else:
            preparing.update({tensor.index: op for tensor in op.outputs})
    return groups


def _preparation(op: Op, preparing: Mapping[int, Op]) -> list[Op]:
    needed: dict[int, Op] = {}
    pending = [op]
    while pending:
        for tensor in pending.pop().inputs:
            earlier = preparing.get(tensor.index) if tensor else None
            if earlier is not None and earlier.index not in needed:
                needed[earlier.index] = earlier
                pending.append(earlier)
    return [needed[index] for index in sorted(needed)]


def _piece(root: Any, model: TFLiteModel, group: Sequence[Op], computed: Set[int]) -> Piece:
    op = group[-1]
    within = {tensor.index for each in group for tensor in each.outputs}
    inputs = [tensor.index for tensor in op.inputs if tensor and tensor.index in computed - within]
    constants = [tensor.name for each in group for tensor in each.inputs if tensor and tensor.is_constant]
    ports = (tuple(dict.fromkeys(inputs)), tuple(tensor.index for tensor in op.outputs))
    content = _pack(root, model, [each.index for each in group], ports)
    names = (model.tensors[index].name for index in ports[0])
    tensors = OpTensors(op.outputs[0].name, tuple(names), tuple(dict.fromkeys(constants)))
    return Piece(op, tensors, *ports, content)


def _pack(root: Any, model: TFLiteModel, indices: Sequence[int], ports: tuple[Sequence[int], Sequence[int]]) -> bytes:
    """Return the bytes of a model of some operators, their tensors, and these inputs and outputs."""
    graph = root.Subgraphs(0)
    operators = [schema.OperatorT.InitFromObj(graph.Operators(index)) for index in indices]
    codes = [schema.OperatorCodeT.InitFromObj(root.OperatorCodes(operator.opcodeIndex)) for operator in operators]
    references = [number for operator in operators for field in _LISTS for number in _numbers(operator, field)]
    used = sorted({*ports[0], *references} - {_LEFT_OUT})
    place = {_LEFT_OUT: _LEFT_OUT, **{index: number for number, index in enumerate(used)}}
    for code, operator in enumerate(operators):
        _renumber(operator, place, code)
    cut_out = schema.ModelT(
        version=_SCHEMA_VERSION,
        operatorCodes=codes,
        subgraphs=[
            schema.SubGraphT(
                tensors=[_tensor(graph, index, buffer=number) for number, index in enumerate(used, start=1)],
                inputs=[place[index] for index in ports[0]],
                outputs=[place[index] for index in ports[1]],
                operators=operators,
            )
        ],
        buffers=[schema.BufferT(), *(schema.BufferT(model.tensors[index].data) for index in used)],
    )
    return packed(cut_out)


def packed(model: Any) -> bytes:
    """Return the bytes of an unpacked model, a `ModelT` of the schema, with its constants aligned."""
    model.buffers = [_Buffer(buffer.data) for buffer in model.buffers]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _numbers(operator: Any, field: str) -> list[int]:
    values = getattr(operator, field)
    return [] if values is None else [int(value) for value in values]


def _renumber(operator: Any, place: Mapping[int, int], code: int) -> None:
    """Let an unpacked operator refer to the tensors and the code of its piece."""
    if any("subgraph" in key.lower() for key in vars(operator.builtinOptions or operator)):
        name = type(operator.builtinOptions).__name__.removesuffix("OptionsT").upper()
        raise ModelError(f"the operator {name} runs graphs of its own, so it cannot be measured alone")
    operator.opcodeIndex = code
    operator.debugMetadataIndex = -1
    for field in _LISTS:
        setattr(operator, field, [place[number] for number in _numbers(operator, field)])


def _tensor(graph: Any, index: int, *, buffer: int) -> Any:
    tensor = schema.TensorT.InitFromObj(graph.Tensors(index))
    tensor.buffer = buffer
    tensor.externalBuffer = 0
    return tensor


class _Buffer(schema.BufferT):
    """A buffer that keeps its bytes aligned when it is packed, which the schema's own does not."""

    def Pack(self, builder: Any) -> int:
        return super().Pack(builder) if self.data is None else aligned_buffer(builder, bytes(self.data))
