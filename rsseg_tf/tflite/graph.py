"""A TFLite graph: tensors, operators and what they cost."""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError

IntArray: TypeAlias = NDArray[np.int64]

_NUMPY_DTYPES = {"bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
_NUMPY_DTYPES |= {"float16", "float32", "float64"}
_FLOAT_DTYPES = ("float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of the graph.

    Attributes:
        index: its number in the file.
        name: as the converter left it.
        shape: its dimensions, rows before columns.
        dtype: such as `int8` or `float32`.
        scales: of its quantization: empty, one, or one a channel.
        zero_points: as many as `scales`.
        axis: the dimension that a scale a channel runs along.
        data: raw bytes of a constant, None for what is computed.
        open_axes: the dimensions that the file leaves open, which `shape` then gives as 1.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: NDArray[np.float32]
    zero_points: IntArray
    axis: int
    data: NDArray[np.uint8] | None
    open_axes: tuple[int, ...] = ()

    @property
    def is_constant(self) -> bool:
        """Whether its values are in the file."""
        return self.data is not None

    @property
    def is_float(self) -> bool:
        """Whether its values are floating-point numbers."""
        return self.dtype in _FLOAT_DTYPES

    @property
    def is_weight(self) -> bool:
        """Whether it is a constant that was learned: floats or quantized numbers, not a shape or an axis."""
        return self.is_constant and (self.is_float or self.scales.size > 0)

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its values in memory."""
        return self.elements * item_bytes(self.dtype) if self.data is None else self.data.size

    def values(self) -> NDArray[Any]:
        """Return a constant's numbers, as they are in the file (not dequantized), in `shape`.

        Raises:
            ModelError: if it is not a constant, or of a type that NumPy does not know.
        """
        if self.data is None:
            raise ModelError(f"tensor `{self.name}` is computed, it has no values in the file")
        try:
            return self.data.view(self.dtype).reshape(self.shape)
        except (TypeError, ValueError) as error:
            raise ModelError(f"cannot read tensor `{self.name}` of type {self.dtype}: {error}") from error


@dataclass(frozen=True, eq=False)
class Op:
    """One operator of the graph.

    Attributes:
        index: its place in the order of execution.
        name: such as `CONV_2D`, or the code of a custom operator.
        inputs: its tensors; None where an optional one is left out.
        outputs: the tensors that it computes.
        attributes: such as `stride_h`, `dilation_w_factor`, `padding`.
    """

    index: int
    name: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    attributes: Mapping[str, Any]

    @property
    def activations(self) -> tuple[Tensor, ...]:
        """Inputs and outputs that are computed."""
        return tuple(tensor for tensor in (*self.inputs, *self.outputs) if tensor and not tensor.is_constant)

    @property
    def is_float(self) -> bool:
        """Whether an activation that it reads or writes is of a float type."""
        return any(tensor.is_float for tensor in self.activations)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run; 0 for operators other than convolutions and matrix products."""
        return _MACS[self.name](self) if self.name in _MACS else 0

    @property
    def params(self) -> int:
        """Learned numbers among its inputs."""
        return sum(tensor.elements for tensor in self.inputs if tensor and tensor.is_weight)


@dataclass(frozen=True, eq=False)
class TFLiteModel:
    """The main graph of a `.tflite` file.

    Attributes:
        tensors: by their number in the file.
        ops: in the order of execution.
        inputs: of the graph.
        outputs: of the graph.
        signature: names of outputs by the numbers of their tensors, in the order of the model that the file was made
            from, which a converter need not keep in `outputs`; empty where the file has none.
    """

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    signature: Mapping[int, str] = field(default_factory=dict)

    @property
    def named_outputs(self) -> dict[str, Tensor]:
        """Name → output: those of the signature where it has all, or else those of the tensors."""
        found = {tensor.index: tensor for tensor in self.outputs}
        if set(self.signature) == set(found) and len(set(self.signature.values())) == len(self.outputs):
            return {name: found[number] for number, name in self.signature.items()}
        return {tensor.name: tensor for tensor in self.outputs}

    @property
    def op_counts(self) -> dict[str, int]:
        """Operator → how often it occurs, most frequent first."""
        return dict(collections.Counter(op.name for op in self.ops).most_common())

    @property
    def float_ops(self) -> tuple[Op, ...]:
        """Operators that compute on floats."""
        return tuple(op for op in self.ops if op.is_float)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run."""
        return sum(op.macs for op in self.ops)

    @property
    def params(self) -> int:
        """Learned numbers in the file."""
        return sum(tensor.elements for tensor in self.tensors if tensor.is_weight)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the learned numbers in the file."""
        return sum(tensor.nbytes for tensor in self.tensors if tensor.is_weight)


def item_bytes(dtype: str) -> int:
    """Return the bytes of one number; 0 for types that NumPy does not know, such as strings or packed 4-bit ones."""
    return np.dtype(dtype).itemsize if dtype in _NUMPY_DTYPES else 0


def _macs_of_convolution(op: Op) -> int:
    weights = op.inputs[1]
    return 0 if weights is None else op.outputs[0].elements * math.prod(weights.shape[1:])


def _macs_of_depthwise(op: Op) -> int:
    weights = op.inputs[1]
    return 0 if weights is None else op.outputs[0].elements * math.prod(weights.shape[1:3])


def _macs_of_transposed(op: Op) -> int:
    weights, source = op.inputs[1], op.inputs[2]
    return 0 if weights is None or source is None else source.elements * math.prod(weights.shape[:3])


def _macs_of_product(op: Op) -> int:
    left = op.inputs[0]
    depth = 0 if left is None else left.shape[-2 if op.attributes.get("adj_x") else -1]
    return op.outputs[0].elements * depth


_MACS = {
    "CONV_2D": _macs_of_convolution,
    "DEPTHWISE_CONV_2D": _macs_of_depthwise,
    "TRANSPOSE_CONV": _macs_of_transposed,
    "FULLY_CONNECTED": _macs_of_convolution,
    "BATCH_MATMUL": _macs_of_product,
}
