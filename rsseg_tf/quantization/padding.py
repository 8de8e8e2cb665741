"""A border of the least number, which max pools of other libraries are given, as a copy of the picture's edge.

A border of minus infinity takes all of a tensor's 8 bits. A window of a max pool that sees a part of the border sees
the edge beside it too, so a copy of that edge changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from rsseg_tf.graphs import Call, readers
from rsseg_tf.graphs.facts import keys
from rsseg_tf.graphs.private import PAD, settings
from rsseg_tf.quantization.stand_ins import StandIn

MOST_JOINED = 5
"""Tensors that XNNPACK joins at once."""

_LEAST = -1e30
"""What no activation is below."""


def stand_ins_of_borders(model: keras.Model, every: Sequence[Call]) -> dict[str, StandIn]:
    """Return the name of every operation that pads with the least number → what makes the one that takes its place."""
    read_by = readers(every)
    outputs = {id(tensor) for tensor in model.outputs}
    found: dict[str, StandIn] = {}
    for call in every:
        after = read_by.get(id(call.outputs[0]), ())
        seen_elsewhere = not after or id(call.outputs[0]) in outputs
        if _is_least(call) and not seen_elsewhere and all(_sees_the_edge(reader.operation, call) for reader in after):
            found[call.operation.name] = lambda each: _EdgePadding(_widths(each), name=each.name)
    return found


def joined(tensors: Sequence[Any], axis: int) -> Any:
    """Return tensors joined by as few at a time as XNNPACK takes."""
    rest = list(tensors)
    while len(rest) > MOST_JOINED:
        rest = [tf.concat(rest[:MOST_JOINED], axis), *rest[MOST_JOINED:]]
    return tf.concat(rest, axis)


class _EdgePadding(keras.Operation):
    """Rows and columns of the picture's edge, put around it."""

    def __init__(self, widths: Sequence[Sequence[int]], name: str) -> None:
        super().__init__(name=name)
        self._widths = widths

    def call(self, x: Any, constant_values: Any = None) -> Any:  # noqa: ARG002 - how the operation is called
        for axis, (before, after) in enumerate(self._widths):
            if before or after:
                rows = (slice(None),) * axis
                first, last = x[(*rows, slice(0, 1))], x[(*rows, slice(-1, None))]
                x = joined([first] * before + [x] + [last] * after, axis)
        return x

    def compute_output_spec(self, x: Any, constant_values: Any = None) -> Any:  # noqa: ARG002 - as above
        added = [before + after for before, after in self._widths]
        shape = [size if size is None else size + more for size, more in zip(x.shape, added, strict=True)]
        return keras.KerasTensor(shape, x.dtype)


def _is_least(call: Call) -> bool:
    """Return whether a call puts a border of the least number around pictures."""
    if PAD not in keys(type(call.operation)) or settings(call.operation)["mode"] != "constant":
        return False
    (shape,) = [tensor.shape for tensor in call.inputs] if len(call.inputs) == 1 else [()]
    widths = _widths(call.operation)
    is_picture = len(widths) == len(shape) == 4 and not any(widths[0]) and not any(widths[3]) and None not in shape[1:3]
    values = [value for value in call.arguments if value is not None]
    return is_picture and len(values) == 1 and np.ndim(values[0]) == 0 and float(values[0]) < _LEAST


def _widths(operation: keras.Operation) -> Sequence[tuple[int, int]]:
    return [tuple(width) for width in settings(operation)["pad_width"]]


def _sees_the_edge(pool: keras.Operation, padding: Call) -> bool:
    """Return whether every window of a max pool that sees a part of the border sees the edge beside it."""
    if type(pool) is not layers.MaxPooling2D or (pool.padding, pool.data_format) != ("valid", "channels_last"):
        return False
    widths = _widths(padding.operation)[1:3]
    return all(max(width) < side for width, side in zip(widths, pool.pool_size, strict=True))
