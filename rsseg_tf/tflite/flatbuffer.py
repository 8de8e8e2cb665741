"""A `.tflite` file taken apart without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError
from rsseg_tf.tflite.graph import Op, Tensor, TFLiteModel, item_bytes
from rsseg_tf.tflite.runtime import options_of, schema

__all__ = ["Op", "TFLiteModel", "Tensor", "parse_model", "read_content", "read_model"]

_MOST_ELEMENTS = 1 << 32

_GIVE_NOTHING = {"ASSIGN_VARIABLE", "CALL_ONCE", "CUSTOM", "HASHTABLE_IMPORT"}
_READ_NOTHING = {"CALL_ONCE", "CUSTOM", "HASHTABLE", "VAR_HANDLE"}
"""Operators that are there for what they do, or for what they begin with."""


def _names(table: type) -> dict[int, str]:
    return {value: name for name, value in vars(table).items() if isinstance(value, int)}


_OPERATORS = _names(schema.BuiltinOperator)
_DTYPES = {value: name.lower() for value, name in _names(schema.TensorType).items()}
_NAMED_ATTRIBUTES = {
    "padding": _names(schema.Padding),
    "fused_activation_function": _names(schema.ActivationFunctionType),
}
_CUSTOM = schema.BuiltinOperator.CUSTOM


def read_model(path: Path | str) -> TFLiteModel:
    """Return the graph in the file `path`.

    Raises:
        ModelError: if there is no such file, or it is not a TFLite file, is truncated or makes no sense.
    """
    return parse_model(read_content(path), name=str(path))


def read_content(path: Path | str) -> bytes:
    """Return the bytes of a model file.

    Raises:
        ModelError: if there is no such file, or it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model `{path}`: {error.strerror}") from error


def parse_model(content: bytes, *, name: str) -> TFLiteModel:
    """Return the graph in the bytes of a `.tflite` file; `name` is what errors call it.

    Raises:
        ModelError: if it is not a TFLite file, is truncated or makes no sense.
    """
    if content[4:8] != b"TFL3":
        raise ModelError(f"`{name}` is not a TFLite model", hint="give a .tflite file that export-tflite wrote")
    try:
        return _parse(content)
    except Exception as error:  # a damaged file raises whatever its bytes happen to ask for
        raise ModelError(
            f"`{name}` is damaged or truncated: {error}", hint="copy it again, or export the model again"
        ) from error


def _parse(content: bytes) -> TFLiteModel:
    root = schema.Model.GetRootAs(content)
    graph = root.Subgraphs(0)
    if graph is None:
        raise ValueError("it holds no graph")
    codes = tuple(_operator_name(root.OperatorCodes(i)) for i in _indices(root.OperatorCodesLength(), content))
    buffers = tuple(_data(root.Buffers(i), content) for i in _indices(root.BuffersLength(), content))
    tensors = tuple(_tensor(graph.Tensors(i), i, buffers) for i in _indices(graph.TensorsLength(), content))
    ops = tuple(_op(graph.Operators(i), i, codes, tensors) for i in _indices(graph.OperatorsLength(), content))
    inputs, outputs = _picked(graph.InputsAsNumpy(), tensors), _picked(graph.OutputsAsNumpy(), tensors)
    if not ops or not inputs or not outputs:
        raise ValueError("its graph has no operators, no input or no output")
    model = TFLiteModel(tensors, ops, inputs, outputs, _signature(root, content))
    _check_order(model)
    _ = model.macs  # an operator without the inputs that its cost is counted from makes no sense
    return model


def _signature(root: Any, content: bytes) -> dict[int, str]:
    """Return what the first signature calls the outputs, by the numbers of their tensors."""
    if not root.SignatureDefsLength():
        return {}
    signature = root.SignatureDefs(0)
    outputs = [signature.Outputs(place) for place in _indices(signature.OutputsLength(), content)]
    return {int(each.TensorIndex()): (each.Name() or b"").decode() for each in outputs}


def _indices(length: int, content: bytes) -> range:
    if length * 4 > len(content):
        raise ValueError(f"a list of {length} entries in {len(content)} bytes")
    return range(length)


def _operator_name(code: Any) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    custom = code.CustomCode()
    return custom.decode() if number == _CUSTOM and custom else _OPERATORS[number]


def _data(buffer: Any, content: bytes) -> NDArray[np.uint8] | None:
    if buffer.Offset() > 1:  # files above 2 GB keep weights behind the flatbuffer
        return np.frombuffer(content, np.uint8, count=buffer.Size(), offset=buffer.Offset())
    return None if buffer.DataLength() == 0 else buffer.DataAsNumpy()


def _tensor(table: Any, index: int, buffers: tuple[NDArray[np.uint8] | None, ...]) -> Tensor:
    quantization = table.Quantization()
    shape = tuple(int(side) for side in _array(table.ShapeAsNumpy(), np.int64))
    tensor = Tensor(
        index=index,
        name=(table.Name() or b"").decode(),
        shape=shape,
        dtype=_DTYPES[table.Type()],
        scales=_array(quantization.ScaleAsNumpy() if quantization else 0, np.float32),
        zero_points=_array(quantization.ZeroPointAsNumpy() if quantization else 0, np.int64),
        axis=quantization.QuantizedDimension() if quantization else 0,
        data=buffers[table.Buffer()],
        open_axes=tuple(map(int, np.flatnonzero(_array(table.ShapeSignatureAsNumpy(), np.int64) < 0))),
    )
    _check_tensor(tensor)
    return tensor


def _check_tensor(tensor: Tensor) -> None:
    if any(side < 0 for side in tensor.shape):
        raise ValueError(f"tensor `{tensor.name}` has the shape {tensor.shape}")
    if tensor.scales.size != tensor.zero_points.size and tensor.zero_points.size:
        raise ValueError(f"tensor `{tensor.name}` has {tensor.scales.size} scales, {tensor.zero_points.size} offsets")
    if not np.all(np.isfinite(tensor.scales)) or np.any(tensor.scales < 0):
        raise ValueError(f"tensor `{tensor.name}` has a scale that is not a positive number")
    if tensor.elements > _MOST_ELEMENTS:
        raise ValueError(f"tensor `{tensor.name}` has {tensor.elements} elements")
    expected = tensor.elements * item_bytes(tensor.dtype)
    if tensor.data is not None and expected and tensor.data.size != expected:
        raise ValueError(f"tensor `{tensor.name}` needs {expected} bytes, the file has {tensor.data.size}")


def _op(table: Any, index: int, codes: tuple[str, ...], tensors: tuple[Tensor, ...]) -> Op:
    numbers = _array(table.InputsAsNumpy(), np.int64)
    inputs = tuple(None if number == -1 else _picked([number], tensors)[0] for number in numbers)
    name, outputs = codes[table.OpcodeIndex()], _picked(table.OutputsAsNumpy(), tensors)
    if (not inputs and name not in _READ_NOTHING) or (not outputs and name not in _GIVE_NOTHING):
        raise ValueError(f"{name} has no {'outputs' if inputs else 'inputs'}")
    return Op(
        index=index,
        name=name,
        inputs=inputs,
        outputs=outputs,
        attributes=_attributes(table),
    )


def _array(values: Any, dtype: type) -> NDArray[Any]:
    """Return a FlatBuffers list as an array; the library says 0 where the list is missing."""
    return np.zeros(0, dtype) if isinstance(values, int) else values.astype(dtype)


def _picked(numbers: Any, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    chosen = [] if isinstance(numbers, int) else [int(number) for number in numbers]
    if any(not 0 <= number < len(tensors) for number in chosen):
        raise ValueError(f"a reference to the tensors {chosen} among {len(tensors)}")
    return tuple(tensors[number] for number in chosen)


def _attributes(table: Any) -> dict[str, Any]:
    return dict(_named(options_of(table, schema)))


def _named(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower()
        known = _NAMED_ATTRIBUTES.get(name)
        yield name, known[value] if known else value


def _check_order(model: TFLiteModel) -> None:
    pending = {tensor.index for op in model.ops for tensor in op.outputs}
    for op in model.ops:
        missing = [tensor.name for tensor in op.inputs if tensor and tensor.index in pending]
        if missing:
            raise ValueError(f"{op.name} reads `{missing[0]}` before it is computed")
        pending.difference_update(tensor.index for tensor in op.outputs)
