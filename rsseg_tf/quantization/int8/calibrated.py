"""The stage between float and int8: a float TFLite file in which every activation carries its range.

TensorFlow's converter makes int8 files in two steps, recording ranges and rounding to them; taken one by one,
the ranges can be chosen by another rule in between, and layers can be left out of the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from rsseg_tf.quantization.converting import converting
from rsseg_tf.quantization.int8.constants import with_fitting_constants
from rsseg_tf.quantization.int8.islands import islands
from rsseg_tf.quantization.int8.pixels import normalizations, without_idle_normalization
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tracing.private import mlir_quantize, stop_after_calibration

Images: TypeAlias = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class Range:
    """The least and greatest real value that an activation's int8 numbers must express."""

    low: float
    high: float


PIXELS = Range(0.0, 255.0)


def with_range_slots(function: Any, image: NDArray[np.uint8]) -> bytes:
    """Return the float TFLite file of a frozen function, with the range of every activation over one image recorded.

    The slots are what counts, to be filled by `with_ranges`: TensorFlow's calibrator reads a tensor whose memory
    a later operator may have written over (an addition works in place), and then records the range of both.

    Args:
        function: of float32 (1, H, W, C), from `rsseg_tf.quantization.freeze.frozen_function`.
        image: uint8 (H, W, C).

    Raises:
        ModelError: if the function cannot be converted.
    """
    with converting(function=function):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter([[image.astype(np.float32)[None]]])
        stop_after_calibration(converter)
        calibrated: bytes = converter.convert()
    return calibrated


def ranges_of_pixels(calibrated: bytes) -> dict[int, Range]:
    """Return tensor number → range, of the input and of what a normalization that is even over the bands makes of it.

    They are those of pixels of 0 to 255, whatever the images hold: so the input's step is exactly 1, and the
    normalization may go (`rsseg_tf.quantization.int8.pixels`).
    """
    model = parse_model(calibrated, name="the float model")
    found = {model.inputs[0].index: PIXELS}
    for op in normalizations(model, model.inputs[0]):
        factor, offset = (tensor.values().reshape(-1) for tensor in op.inputs[1:3] if tensor)
        if np.ptp(factor) == np.ptp(offset) == 0:
            ends = [0.0, *(float(offset[0] + factor[0] * end) for end in (PIXELS.low, PIXELS.high))]
            found[op.outputs[0].index] = Range(min(ends), max(ends))
    return found


def recorded_ranges(calibrated: bytes) -> dict[int, Range]:
    """Return tensor number → range, of every activation of a calibrated file."""
    return {
        index: Range(float(table.MinAsNumpy()[0]), float(table.MaxAsNumpy()[0]))
        for index, table in _range_tables(calibrated)
    }


def with_ranges(calibrated: bytes, ranges: Mapping[int, Range]) -> bytes:
    """Return the calibrated file with other ranges for some tensors; every other byte stays as it was."""
    changed = bytearray(calibrated)
    for index, table in _range_tables(changed):
        if index in ranges:  # the arrays are views of `changed`
            table.MinAsNumpy()[0], table.MaxAsNumpy()[0] = ranges[index].low, ranges[index].high
    return bytes(changed)


def quantize(
    calibrated: bytes, *, head: str = "logits", keep_float: Sequence[str] = (), throughout: bool = False
) -> bytes:
    """Return the int8 file: uint8 pixels in, int8 scores or uint8 classes out.

    What XNNPACK has in float alone stays float: see `rsseg_tf.quantization.int8.islands`.

    Args:
        calibrated: a float file with ranges, from `rsseg_tf.quantization.convert.calibrated_model`.
        head: a name in `rsseg_tf.number_formats.HEADS`.
        keep_float: operators, by the name of the tensor that they compute, that stay float32 too.
        throughout: whether everything is to be integers, as an NPU needs it.

    Raises:
        ModelError: if the converter fails.
    """
    with converting():
        file: bytes = mlir_quantize(
            calibrated,
            input_data_type=tf.uint8,
            output_data_type=tf.uint8 if head == "classes" else tf.int8,
            denylisted_nodes=[*keep_float, *_inside(calibrated, throughout=throughout)],
        )
    return without_idle_normalization(with_fitting_constants(file))


def with_verifiers(calibrated: bytes, *, throughout: bool = False) -> bytes:
    """Return an int8 file for debugging, float32 in and out, in which every operator runs twice.

    Beside each int8 operator its float original runs on the same (dequantized) inputs, and a `NumericVerify`
    operator reads both results.

    Raises:
        ModelError: if the converter fails.
    """
    inside = _inside(calibrated, throughout=throughout)
    with converting():
        file: bytes = mlir_quantize(calibrated, enable_numeric_verify=True, denylisted_nodes=list(inside))
    return file


def _inside(calibrated: bytes, *, throughout: bool) -> tuple[str, ...]:
    return () if throughout else islands(parse_model(calibrated, name="the float model"))


def _range_tables(content: bytes | bytearray) -> Iterator[tuple[int, Any]]:
    graph = schema.Model.GetRootAs(content).Subgraphs(0)
    for index in range(graph.TensorsLength()):
        table = graph.Tensors(index).Quantization()
        if table is not None and table.MinLength() == 1 and table.MaxLength() == 1:
            yield index, table
