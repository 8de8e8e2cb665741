"""int16x8: int16 activations beside int8 weights, with the camera's uint8 pixels at the input.

XNNPACK has no int16 kernels, so such a file is exact to a few parts in ten thousand and slow: it answers what
int8 activations cost, and serves boards whose accelerator computes in int16.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from rsseg_tf.quantization.converting import converting
from rsseg_tf.quantization.int8.calibrated import Images, with_range_slots
from rsseg_tf.quantization.int8.constants import packed, with_own_constants
from rsseg_tf.tracing.private import Calibrator

_STEPS_PER_PIXEL = 128
_GREATEST = 32767


def int16_file(function: Any, images: Images) -> bytes:
    """Return the int16x8 TFLite file of a frozen function of pixels, with uint8 input and int16 output.

    Args:
        function: from `rsseg_tf.quantization.freeze.frozen_function`.
        images: uint8 (H, W, C), one or more, on which the activations' ranges are measured (min-max).

    Raises:
        ModelError: if the function cannot be converted, or holds an operator without int16 kernel.
    """
    # The int16 quantizer rounds a shared bias once, to the scale that its first reader needs: others get a wrong one.
    calibrator = Calibrator(with_own_constants(with_range_slots(function, images[0])))
    with converting():
        file: bytes = calibrator.calibrate_and_quantize(
            lambda: _batches(images),
            input_type=tf.int16,
            output_type=tf.int16,
            allow_float=False,
            activations_type=tf.int16,
            bias_type=tf.int64,
            resize_input=False,
        )
    return _with_pixel_input(file)


def _batches(images: Images) -> Iterator[list[NDArray[np.float32]]]:
    """Yield pixels as floats, one of them set so that 128 int16 steps make exactly one pixel value."""
    for number, image in enumerate(images):
        pixels = image.astype(np.float32)[None]
        if number == 0:
            pixels.flat[0] = _GREATEST / _STEPS_PER_PIXEL
        yield [pixels]


def _with_pixel_input(file: bytes) -> bytes:
    """Return the file with a QUANTIZE operator in front that turns uint8 pixels into its int16 input, exactly."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(file), 0)
    graph = model.subgraphs[0]
    old, new = int(graph.inputs[0]), len(graph.tensors)
    graph.tensors.append(_pixels_like(graph.tensors[old]))
    graph.operators.insert(0, _quantize_op(model, source=new, result=old))
    graph.inputs = [new]
    for signature in model.signatureDefs or []:
        for entry in signature.inputs:
            entry.tensorIndex = new
    return packed(model, size=len(file))


def _pixels_like(tensor: Any) -> Any:
    pixels = schema.TensorT()
    pixels.name, pixels.shape, pixels.shapeSignature = b"pixels", tensor.shape, tensor.shapeSignature
    pixels.type = schema.TensorType.UINT8
    pixels.quantization = schema.QuantizationParametersT()
    pixels.quantization.scale, pixels.quantization.zeroPoint = [1.0], [0]
    return pixels


def _quantize_op(model: Any, *, source: int, result: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    model.operatorCodes.append(code)
    op = schema.OperatorT()
    op.opcodeIndex, op.inputs, op.outputs = len(model.operatorCodes) - 1, [source], [result]
    return op
