"""The normalization of the pixels, and how the input of an int8 file says it by its own step.

A pixel of 0 to 255 is stored as it is, in steps of 1. A normalization that is the same for all bands only names the
same 256 numbers otherwise: (p - 127) / 128 is a step of 1/128 from the zero point 127. So where its zero is a whole
pixel, the convolution that computes it does nothing: it is left out, and the input says the step and the zero point.
What is stored, from the picture to the scores, stays the same to the byte, padding with zeros included.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.quantization.rewriting import Rewriting
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.graph import Op, Tensor, TFLiteModel

_STORED = np.arange(-128, 128, dtype=np.float64)
_NEAR = 0.25
"""Of a step: what a result may be off the number that it is to be, so that every kernel rounds to it."""


def normalizations(model: TFLiteModel, pixels: Tensor) -> list[Op]:
    """Return the operators that multiply every band of `pixels` by a constant and add another."""
    return [op for op in model.ops if op.inputs[0] is pixels and _is_by_band(op)]


def without_idle_normalization(file: bytes) -> bytes:
    """Return an int8 file with the same outputs, to the byte, whose input says the normalization where it can."""
    model = parse_model(file, name="the int8 model")
    first = model.ops[0]
    if first.name != "QUANTIZE" or first.inputs != model.inputs or first.outputs[0].dtype != "int8":
        return file
    idle = [op for op in normalizations(model, first.outputs[0]) if _is_idle(op)]
    readers = [op for op in model.ops if first.outputs[0] in op.inputs]
    if len(readers) != 1 or idle != readers or idle[0].outputs[0] in model.outputs:
        return file
    return _left_out(file, idle[0], pixels=(model.inputs[0], first.outputs[0]))


def _is_by_band(op: Op) -> bool:
    if op.name != "DEPTHWISE_CONV_2D" or len(op.inputs) != 3 or not all(t and t.is_constant for t in op.inputs[1:]):
        return False
    source, kernel, _ = op.inputs
    is_plain = op.attributes["stride_h"] == op.attributes["stride_w"] == 1
    is_plain &= op.attributes["fused_activation_function"] == "NONE"
    return bool(source and kernel and is_plain and kernel.shape == (1, 1, 1, source.shape[-1]))


def _is_idle(op: Op) -> bool:
    """Return whether an int8 operator stores every pixel of every band as the same number that it reads."""
    source, kernel, bias = op.inputs
    result = op.outputs[0]
    if not source or not kernel or not bias or result.dtype != "int8" or kernel.dtype != "int8":
        return False
    step = source.scales.astype(np.float64) * kernel.scales / result.scales
    numbers = _STORED[:, None] - source.zero_points
    made = (numbers * kernel.values().reshape(-1) + bias.values().reshape(-1)) * step + result.zero_points
    return bool((np.abs(made - _STORED[:, None]) < _NEAR).all())


def _left_out(file: bytes, op: Op, *, pixels: tuple[Tensor, Tensor]) -> bytes:
    """Return the file without an idle operator, whose result's step becomes that of the stored and the given pixels."""
    rewriting = Rewriting(file)
    tensors = rewriting.graph.tensors
    step, zero = op.outputs[0].scales, op.outputs[0].zero_points
    given, stored = pixels
    for tensor, shift in ((given, 128), (stored, 0)):
        _set_steps(tensors[tensor.index].quantization, step, zero + shift)
    for other in rewriting.graph.operators:
        other.inputs = [stored.index if number == op.outputs[0].index else number for number in other.inputs]
    return rewriting.finished({op.index: []})


def _set_steps(quantization: Any, scale: NDArray[np.float32], zero_point: NDArray[np.int64]) -> None:
    quantization.scale, quantization.zeroPoint = scale, zero_point
    quantization.min = quantization.max = None
