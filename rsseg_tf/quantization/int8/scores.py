"""The range of class scores, of which int8 has 255 steps for what decides and for what does not.

A class that is out of the question at a pixel has a score far below the others', and how far changes nothing. So the
least scores may be cut off, and the steps between those that compete become finer: the range is the one whose
probabilities, by softmax, are nearest to those of the floats.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.quantization.int8.calibrated import Images, Range, recorded_ranges, with_ranges
from rsseg_tf.quantization.int8.observe import TensorReader
from rsseg_tf.quantization.int8.scales import with_fitting_ranges
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.graph import Op, Tensor, TFLiteModel

_SHARES = np.linspace(0.1, 1.0, 46)
"""Of an end of the range that was seen, one after the other."""

_IMAGES = 8
_NUMBERS = 1 << 19
"""Of images and of scores that are looked at."""

_LEVELS = 255
_LEAST = 1e-30
"""Width of a range."""

_MOVING = ("CONCATENATION", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "STRIDED_SLICE")
"""Operators whose results lie between the least and the greatest number that they read."""


def with_range_of_scores(calibrated: bytes, images: Images) -> bytes:
    """Return the calibrated file with the range for its class scores whose probabilities are nearest.

    The scores are what comes out, or what the likeliest class is taken of; what is enlarged, cropped or averaged to
    them has their range. Scores that are never negative, such as probabilities, keep the range that they have.

    Args:
        calibrated: a float file with ranges.
        images: uint8 (H, W, C) each, of which the first few are looked at.
    """
    model = parse_model(calibrated, name="the float model")
    scores = _scores(model)
    before = recorded_ranges(calibrated)
    seen = before.get(scores.index)
    if seen is None or seen.low >= 0 or scores.shape[-1] == 1:
        return calibrated
    chosen = _nearest(_values(calibrated, scores, images[:_IMAGES]), seen)
    changed = {index: chosen for index in _alike(model, scores) if index in before}
    return with_fitting_ranges(with_ranges(calibrated, changed))


def _scores(model: TFLiteModel) -> Tensor:
    """Return what comes out, or what the likeliest class is taken of."""
    makers = {tensor.index: op for op in model.ops for tensor in op.outputs}
    scores = model.outputs[0]
    while (op := makers.get(scores.index)) is not None and op.name in ("ARG_MAX", "CAST") and op.inputs[0]:
        scores = op.inputs[0]
    return scores


def _values(calibrated: bytes, scores: Tensor, images: Images) -> NDArray[np.float32]:
    """Return some of the scores, (…, classes)."""
    reader = TensorReader(calibrated)
    found = []
    for image in images:
        reader.run(image)
        found.append(reader.tensor(scores.index).reshape(-1, scores.shape[-1]))
    values: NDArray[np.float32] = np.concatenate(found)
    return values[:: -(-values.size // _NUMBERS)]


def _nearest(values: NDArray[np.float32], seen: Range) -> Range:
    exact = _softmax(values)

    def distance(tried: Range) -> float:
        return float(np.abs(_softmax(_rounded(values, tried)) - exact).mean())

    lows = (Range(float(share) * seen.low, seen.high) for share in _SHARES)
    best = min(lows, key=distance)
    highs = (Range(best.low, float(share) * seen.high) for share in _SHARES)
    return min((best, *highs), key=distance)


def _rounded(values: NDArray[np.float32], range_: Range) -> NDArray[np.float32]:
    step = max(range_.high - range_.low, _LEAST) / _LEVELS
    lowest = np.rint(range_.low / step)
    rounded: NDArray[np.float32] = np.clip(np.rint(values / step), lowest, lowest + _LEVELS) * np.float32(step)
    return rounded


def _softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    shares: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def _alike(model: TFLiteModel, scores: Tensor) -> set[int]:
    """Return the tensors that are moved or averaged to the scores and to nothing else, the scores included."""
    makers = {tensor.index: op for op in model.ops for tensor in op.outputs}
    found: set[int] = set()
    waiting = [scores]
    while waiting:
        tensor = waiting.pop()
        if tensor.index not in found and _leads_only_to(tensor, found, model, scores):
            found.add(tensor.index)
            op = makers.get(tensor.index)
            waiting += _moved(op) if op is not None else ()
    return found


def _leads_only_to(tensor: Tensor, found: set[int], model: TFLiteModel, scores: Tensor) -> bool:
    readers = [op for op in model.ops if tensor in op.inputs]
    return tensor is scores or all(op.outputs[0].index in found for op in readers)


def _moved(op: Op) -> Iterable[Tensor]:
    """Return what an operator moves or averages, nothing where it computes."""
    is_mean = op.name == "DEPTHWISE_CONV_2D" and _is_mean(op)
    if op.name not in _MOVING and not is_mean:
        return ()
    sources = op.inputs if op.name == "CONCATENATION" else op.inputs[:1]
    return [tensor for tensor in sources if tensor and not tensor.is_constant]


def _is_mean(op: Op) -> bool:
    """Return whether each number is a weighted mean of some that are read."""
    kernel, *bias = (tensor for tensor in op.inputs[1:] if tensor)
    if not kernel.is_constant or any(not each.is_constant or each.values().any() for each in bias):
        return False
    weights = kernel.values().reshape(-1, kernel.shape[-1])
    return bool((weights >= 0).all() and np.allclose(weights.sum(axis=0), 1))
