"""Ranges whose steps XNNPACK takes: it leaves a sum or product to TFLite's own kernels where they are far apart.

A branch that adds next to nothing to a sum has a step under 2⁻¹⁰ of the sum's. It may have a larger one: the sum keeps
no more of it. And a result with a step of under 2⁻⁸ of what it is made of is finer than that is exact. Each range is
only ever widened, and of a branch only where nothing else reads it. A sigmoid's and a softmax's step is 1/256 and a
tanh's 1/128, whatever was seen of it: TFLite fixes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from rsseg_tf.quantization.int8.calibrated import Range, recorded_ranges, with_ranges
from rsseg_tf.quantization.int8.constants import FINEST
from rsseg_tf.tflite.flatbuffer import Op, Tensor, parse_model

_COARSEST = 2.0**8 * 0.999
"""Step of an input of a sum, or product of those of a product, in steps of the result: at most."""

_SUMS = ("ADD", "SUB")
_LEVELS = 255
_FIXED = {
    "LOGISTIC": Range(0.0, _LEVELS / 256),
    "SOFTMAX": Range(0.0, _LEVELS / 256),
    "TANH": Range(-1.0, 127 / 128),
}
_MOST_ROUNDS = 10


def with_fitting_ranges(calibrated: bytes) -> bytes:
    """Return the calibrated file with wider ranges where XNNPACK would not take a sum or product for its steps."""
    model = parse_model(calibrated, name="the float model")
    before = recorded_ranges(calibrated)
    readers = Counter(tensor.index for op in model.ops for tensor in op.inputs if tensor)
    readers.update(tensor.index for tensor in (*model.inputs, *model.outputs))
    fixed = {op.outputs[0].index: _FIXED[op.name] for op in model.ops if op.name in _FIXED}
    ranges = before | fixed
    for _ in range(_MOST_ROUNDS):
        now = dict(ranges)
        for op in model.ops:
            if op.name in (*_SUMS, "MUL") and op.outputs[0].index in ranges:
                _widen(op, ranges, lambda tensor: readers[tensor.index] == 1 and tensor.index not in fixed)
        if ranges == now:
            break
    changed = {index for index, each in ranges.items() if index not in fixed and each != before[index]}
    return with_ranges(calibrated, {index: ranges[index] for index in changed})


def _widen(op: Op, ranges: dict[int, Range], is_free: Callable[[Tensor], bool]) -> None:
    """Widen the range of an operator's result, then of its inputs that are free to be, as far as is needed."""
    inputs, output = [tensor for tensor in op.inputs if tensor], op.outputs[0].index
    steps = [_step(tensor, ranges) for tensor in inputs]
    largest = max(steps) if op.name in _SUMS else float(np.prod(steps))
    ranges[output] = _with_step(ranges[output], largest / _COARSEST)
    if op.name in _SUMS:
        least = FINEST * _width(ranges[output]) / _LEVELS
        for tensor in inputs:
            if tensor.index in ranges and is_free(tensor):
                ranges[tensor.index] = _with_step(ranges[tensor.index], least)


def _step(tensor: Tensor, ranges: Mapping[int, Range]) -> float:
    if tensor.index in ranges:
        return _width(ranges[tensor.index]) / _LEVELS
    values = tensor.values() if tensor.is_constant else np.zeros(1)
    return float(max(values.max(), 0) - min(values.min(), 0)) / _LEVELS


def _width(range_: Range) -> float:
    return range_.high - range_.low


def _with_step(range_: Range, least: float) -> Range:
    """Return the range, or a wider one of the same shape, with a step of at least `least`."""
    needed, width = least * _LEVELS, _width(range_)
    if width >= needed:
        return range_
    return Range(range_.low * needed / width, range_.high * needed / width) if width else Range(0.0, needed)
