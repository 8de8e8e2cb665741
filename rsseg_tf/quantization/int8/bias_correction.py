"""Bias correction: the mean that rounded weights add to a convolution's result is subtracted from its bias.

A weight's rounding error is fixed, so over an input that is mostly positive, as after ReLU, the errors of a
kernel add up to a shift of the whole channel (Nagel et al. 2019, "Data-Free Quantization Through Weight
Equalization and Bias Correction", section 4.2, equation 17). The input's mean is measured, tap by tap: with
zero padding a dilated kernel's outer taps see mostly zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rsseg_tf.quantization.int8.calibrated import Images, quantize
from rsseg_tf.quantization.int8.constants import constant_views, with_own_constants
from rsseg_tf.quantization.int8.noise import dequantized
from rsseg_tf.quantization.int8.observe import Float64Array, TensorReader
from rsseg_tf.tflite.flatbuffer import Op, Tensor, TFLiteModel, parse_model


def bias_corrected(calibrated: bytes, images: Images) -> bytes:
    """Return the calibrated file with biases that make up for what rounding the kernels will shift.

    Args:
        calibrated: a float file with ranges.
        images: uint8 (H, W, C) each, over which the shift is averaged.
    """
    changed = bytearray(with_own_constants(calibrated))
    graph = parse_model(bytes(changed), name="the float model")
    pairs = list(_pairs(graph, parse_model(quantize(bytes(changed)), name="the int8 model")))
    means = _mean_maps(bytes(changed), [source for _, source, _ in pairs], images)
    constants = constant_views(changed)
    for op, source, rough in pairs:
        kernel, bias = (tensor.index for tensor in op.inputs[1:3] if tensor)
        error = dequantized(rough, rough.values()) - constants[kernel]
        taps = _tap_means(op, means[source.index], size=(error.shape[1], error.shape[2]))
        channels = "hwc,ohwc->o" if op.name == "CONV_2D" else "hwc,ohwc->c"
        constants[bias][:] -= np.einsum(channels, taps, error)
    return bytes(changed)


def _pairs(graph: TFLiteModel, int8: TFLiteModel) -> Iterator[tuple[Op, Tensor, Tensor]]:
    """Yield (float convolution, its input, its rounded kernel) of every convolution that is int8."""
    rounded = {op.outputs[0].name: op.inputs[1] for op in int8.ops if len(op.inputs) > 1}
    for op in graph.ops:
        rough = rounded.get(op.outputs[0].name)
        plain = op.name == "CONV_2D" or (op.name == "DEPTHWISE_CONV_2D" and op.attributes.get("depth_multiplier") == 1)
        if plain and rough is not None and rough.dtype == "int8" and rough.is_constant and _has_constants(op):
            yield from ((op, source, rough) for source in op.inputs[:1] if source)


def _has_constants(op: Op) -> bool:
    """Return whether kernel and bias are in the file, and every filter reads every channel, or its own."""
    source, *constants = [tensor for tensor in op.inputs if tensor]
    ungrouped = bool(constants) and constants[0].shape[-1] == source.shape[-1]
    return len(constants) == 2 and all(tensor.is_constant for tensor in constants) and ungrouped


def _mean_maps(content: bytes, tensors: Sequence[Tensor], images: Images) -> dict[int, Float64Array]:
    """Return tensor number → its values averaged over the images, (h, w, c)."""
    reader = TensorReader(content)
    sums = {tensor.index: np.zeros(tensor.shape[1:]) for tensor in tensors}
    for image in images:
        reader.run(image)
        for index, total in sums.items():
            total += reader.tensor(index)[0]
    return {index: total / len(images) for index, total in sums.items()}


def _tap_means(op: Op, mean: Float64Array, *, size: tuple[int, int]) -> Float64Array:
    """Return what each tap of a kernel sees on average over all places of the output: (kernel h, kernel w, c)."""
    out = op.outputs[0].shape[1:3]
    strides = (op.attributes["stride_h"], op.attributes["stride_w"])
    dilations = (op.attributes["dilation_h_factor"], op.attributes["dilation_w_factor"])
    reach = [(count - 1) * stride + 1 for count, stride in zip(out, strides, strict=True)]
    needed = [r + (side - 1) * step for r, side, step in zip(reach, size, dilations, strict=True)]
    missing = [max(0, need - have) for need, have in zip(needed, mean.shape[:2], strict=True)]
    edges = [(m // 2, m - m // 2) for m in missing]
    padded = np.pad(mean, (*edges, (0, 0)))
    return np.array(
        [
            [
                padded[
                    top * dilations[0] : top * dilations[0] + reach[0] : strides[0],
                    left * dilations[1] : left * dilations[1] + reach[1] : strides[1],
                ].mean(axis=(0, 1))
                for left in range(size[1])
            ]
            for top in range(size[0])
        ]
    )
