"""Bias correction: the mean that rounded weights add to a convolution's result is subtracted from its bias.

A weight's rounding error is fixed, so over an input that is mostly positive, as after ReLU, the errors of a
kernel add up to a shift of the whole channel (Nagel et al. 2019, "Data-Free Quantization Through Weight
Equalization and Bias Correction", section 4.2, equation 17). The input's mean is measured, tap by tap: with
zero padding a dilated kernel's outer taps see mostly zeros. On the way the kernels may be rounded together, which
needs the same inputs (`rsseg_tf.quantization.int8.rounding`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.quantization.int8.calibrated import Images, quantize
from rsseg_tf.quantization.int8.constants import constant_views, with_own_constants
from rsseg_tf.quantization.int8.noise import dequantized
from rsseg_tf.quantization.int8.observe import Float64Array, TensorReader
from rsseg_tf.quantization.int8.rounding import Covariance, rounded_together
from rsseg_tf.quantization.int8.taps import Taps
from rsseg_tf.tflite.flatbuffer import Op, Tensor, TFLiteModel, parse_model

_PLACES, _LEAST_PLACES, _MOST_PLACES = 4, 2_048, 4_096
"""Places of a result whose inputs a covariance is of, over all images: for each weight, and at least and at most."""

_TOGETHER = 1_152
"""Weights of a filter that are rounded together: all taps of 128 channels of a 3×3 kernel. Of more, part after part."""


def bias_corrected(calibrated: bytes, images: Images, *, together: bool = False) -> bytes:
    """Return the calibrated file with biases that make up for what rounding the kernels will shift.

    Args:
        calibrated: a float file with ranges.
        images: uint8 (H, W, C) each, over which the shift is averaged.
        together: round the kernels too, as `rsseg_tf.quantization.int8.rounding` does, in place of weight by weight.
    """
    changed = bytearray(with_own_constants(calibrated))
    graph = parse_model(bytes(changed), name="the float model")
    pairs = list(_pairs(graph, parse_model(quantize(bytes(changed)), name="the int8 model")))
    inputs = [_Input(op, together=together) for op, _, _ in pairs]
    reader, rng = TensorReader(bytes(changed)), np.random.default_rng(0)
    for image in images:
        reader.run(image)
        for seen, (_, source, _) in zip(inputs, pairs, strict=True):
            seen.add(reader.tensor(source.index)[0], rng, share=1 / len(images))
    constants = constant_views(changed)
    for seen, (op, _, rough) in zip(inputs, pairs, strict=True):
        kernel, bias = (constants[tensor.index] for tensor in op.inputs[1:3] if tensor)
        known = seen.rounded(kernel, rough) if together else dequantized(rough, rough.values())
        channels = "hwc,ohwc->o" if op.name == "CONV_2D" else "hwc,ohwc->c"
        bias[:] -= np.einsum(channels, seen.means(), known - kernel)
        if together:
            kernel[:] = known
    return bytes(changed)


class _Input:
    """What the kernel of a convolution meets over some images.

    Args:
        op: the convolution.
        together: whether its weights are to be rounded together, which takes their inputs' covariance.
    """

    def __init__(self, op: Op, *, together: bool) -> None:
        source, kernel = (tensor.shape for tensor in op.inputs[:2] if tensor)
        self._taps, self._is_depthwise = Taps.of(op), op.name == "DEPTHWISE_CONV_2D"
        self._sums, self._count = np.zeros(source[1:]), 0
        groups, _, self._weights = self._grouped(np.zeros(kernel, np.int8)).shape
        starts = range(0, self._weights if together else 0, _TOGETHER)
        self._parts = {start: Covariance(groups, min(_TOGETHER, self._weights - start)) for start in starts}

    def add(self, values: NDArray[np.float32], rng: np.random.Generator, *, share: float) -> None:
        """Add the input of one image (h, w, c), which is such a share of all of them."""
        self._sums += values
        self._count += 1
        if self._parts:
            places = int(np.prod(self._taps.places))
            wanted = math.ceil(share * min(max(_PLACES * self._weights, _LEAST_PLACES), _MOST_PLACES))
            chosen = rng.choice(places, min(wanted, places), replace=False)
            met = self._grouped(self._taps.samples(values, chosen))
            for start, covariance in self._parts.items():
                covariance.add(met[:, :, start : start + _TOGETHER])

    def means(self) -> Float64Array:
        """Return what each tap meets on average (kernel h, kernel w, c)."""
        return self._taps.means(self._sums / self._count)

    def rounded(self, kernel: NDArray[np.float32], rough: Tensor) -> Float64Array:
        """Return a kernel rounded together, by the steps of the one whose weights were rounded by themselves."""
        exact = self._grouped(kernel).astype(np.float64)
        steps = np.broadcast_to(rough.scales, exact.shape[0] * exact.shape[1]).reshape(exact.shape[:2])
        parts = [
            rounded_together(exact[:, :, start : start + _TOGETHER], steps.astype(np.float64), covariance.values())
            for start, covariance in self._parts.items()
        ]
        return self._ungrouped(np.concatenate(parts, axis=2), kernel.shape)

    def _grouped(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return filters or samples (n, kernel h, kernel w, c) as (groups, n, weights), tap by tap of each channel."""
        if self._is_depthwise:
            return values.transpose(3, 0, 1, 2).reshape(values.shape[3], len(values), -1)
        return values.transpose(0, 3, 1, 2).reshape(1, len(values), -1)

    def _ungrouped(self, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        if self._is_depthwise:
            return values.reshape(shape[3], *shape[:3]).transpose(1, 2, 3, 0)
        return values.reshape(shape[0], shape[3], *shape[1:3]).transpose(0, 2, 3, 1)


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
