"""Cross-layer equalization: channels of a tensor made equal in magnitude, so that one int8 scale fits them all.

Between two convolutions each channel may be scaled by any positive number, if the second one's kernel takes it
back: ReLU lets it through (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
Correction", section 4.1). It is done on the float TFLite file, where batch norms are already folded and
activations fused, so it knows no layer types of Keras.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.quantization.int8.calibrated import Images
from rsseg_tf.quantization.int8.constants import constant_views, with_own_constants
from rsseg_tf.quantization.int8.observe import TensorReader
from rsseg_tf.tflite.flatbuffer import Op, TFLiteModel, parse_model

Float32Array = NDArray[np.float32]

_LOUDEST = 100.0
_HOMOGENEOUS = ("NONE", "RELU")


def equalized(file: bytes, images: Images) -> bytes:
    """Return a float file that computes the same as `file`, in which the channels between two convolutions are alike.

    Channel i is divided by √(aᵢ / wᵢ), aᵢ being its greatest value over `images` and wᵢ the greatest weight
    that reads it: equation 11 of the paper with the channel's values in place of the weights that make them,
    since these have a scale a channel in TFLite. Ranges in the file are those from before.

    Args:
        file: from `rsseg_tf.quantization.int8.calibrated.with_range_slots`.
        images: uint8 (H, W, C) each.
    """
    changed = bytearray(with_own_constants(file))
    graph = parse_model(bytes(changed), name="the float model")
    chains = list(_chains(graph))
    loudness = _loudness(bytes(changed), [before.outputs[0].index for before, _ in chains], images)
    constants = constant_views(changed)
    for before, after in chains:
        kernel, bias, reader = (constants[index] for index in _constants(before, after))
        factors = _factors(loudness[before.outputs[0].index], reader)
        _divide_outputs(before, kernel, factors)
        bias /= factors
        reader *= factors  # input channels are the last axis of every kernel
    return bytes(changed)


def _chains(graph: TFLiteModel) -> Iterator[tuple[Op, Op]]:
    """Yield pairs of convolutions in which only the second reads the first."""
    readers = Counter(tensor.index for op in graph.ops for tensor in op.inputs if tensor)
    readers.update(tensor.index for tensor in graph.outputs)
    makers = {op.outputs[0].index: op for op in graph.ops if _is_convolution(op)}
    for after in graph.ops:
        source = after.inputs[0]
        before = makers.get(source.index) if source else None
        if before is not None and _is_convolution(after) and readers[before.outputs[0].index] == 1:
            fused = before.attributes.get("fused_activation_function", "NONE")
            single = after.name == "CONV_2D" or after.attributes.get("depth_multiplier") == 1
            if fused in _HOMOGENEOUS and single and _reads_all(after):
                yield before, after


def _is_convolution(op: Op) -> bool:
    constants = [tensor for tensor in op.inputs[1:3] if tensor and tensor.is_constant]
    return op.name in ("CONV_2D", "DEPTHWISE_CONV_2D") and len(constants) == 2


def _reads_all(op: Op) -> bool:
    """Return whether every filter reads every channel, or its own: not so where channels are grouped."""
    source, kernel = op.inputs[:2]
    return source is not None and kernel is not None and source.shape[-1] == kernel.shape[-1]


def _constants(before: Op, after: Op) -> tuple[int, int, int]:
    """Return the numbers of kernel and bias of the first, and of the kernel of the second."""
    tensors = (*before.inputs[1:3], after.inputs[1])
    kernel, bias, reader = (tensor.index for tensor in tensors if tensor)
    return kernel, bias, reader


def _loudness(content: bytes, tensors: list[int], images: Images) -> dict[int, Float32Array]:
    reader = TensorReader(content)
    loudest: dict[int, Float32Array] = {}
    for image in images:
        reader.run(image)
        for index in tensors:
            values = np.abs(reader.tensor(index)).max(axis=(0, 1, 2))
            loudest[index] = np.maximum(loudest.get(index, values), values)
    return loudest


def _factors(loudness: Float32Array, reader: Float32Array) -> Float32Array:
    """Return what each channel is divided by; 1 where it is silent or unread."""
    weights = np.abs(reader).max(axis=(0, 1, 2))
    used = (loudness > 0) & (weights > 0)
    if not used.any():
        return np.ones_like(loudness)
    ratios = np.sqrt(loudness[used] / weights[used])
    factors = np.ones_like(loudness)
    factors[used] = np.clip(ratios / np.exp(np.log(ratios).mean()), 1 / _LOUDEST, _LOUDEST)
    return factors


def _divide_outputs(op: Op, kernel: Float32Array, factors: Float32Array) -> None:
    """Divide a kernel, (out, h, w, in) or depthwise (1, h, w, out), by the factors of its outputs."""
    kernel /= factors if op.name == "DEPTHWISE_CONV_2D" else factors[:, None, None, None]
