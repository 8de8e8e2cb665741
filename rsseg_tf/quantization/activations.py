"""Activations that TFLite makes one operator of which XNNPACK has no int8: the same by operators that it has.

The converter sees x · relu6(x + 3) / 6 as HARD_SWISH, which XNNPACK computes on floats alone. With a 3 that is smaller
by one step of a float it sees an ADD and two MULs. What has no such form, as GELU, is left to
`rsseg_tf.quantization.int8.islands`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rsseg_tf.graphs import Call, activation_name, copy_of, readers
from rsseg_tf.graphs.facts import keys
from rsseg_tf.graphs.private import ADDITIONS, HARD_SILU, RELU6
from rsseg_tf.quantization.stand_ins import StandIn

_JUST_UNDER_3 = np.nextafter(np.float32(3), np.float32(0))


def stand_ins_of_activations(every: Sequence[Call]) -> dict[str, StandIn]:
    """Return the name of every layer and operation that has to change → what makes the one that takes its place."""
    read_by = readers(every)
    found: dict[str, StandIn] = {}
    for call in every:
        operation = call.operation
        if changes_of_activation(operation):
            found[operation.name] = lambda each: copy_of(each, **changes_of_activation(each))
        elif HARD_SILU in keys(type(operation)):
            found[operation.name] = lambda each: _HardSilu(name=each.name)
        elif _adds_3(call) and any(_is_relu6(reader.operation) for reader in read_by.get(id(call.outputs[0]), ())):
            found[operation.name] = lambda each: _AddJustUnder3(name=each.name)
    return found


def changes_of_activation(operation: keras.Operation) -> dict[str, Any]:
    """Return what changes in the configuration of a layer of Keras whose activation has to change; else nothing."""
    own = isinstance(operation, keras.Layer) and type(operation).__module__.startswith("keras.src.layers.")
    function = getattr(operation, "activation", None) if own else None
    form = next((form for known, form in _FORMS.items() if function is known), None)
    return {"activation": form} if form else {}


def _hard_silu(x: Any) -> Any:
    """Return x · relu6(x + 3) / 6, up to rounding."""
    return x * (tf.nn.relu6(x + _JUST_UNDER_3) * np.float32(1 / 6))


_FORMS: Mapping[Callable[..., Any], Callable[[Any], Any]] = {
    keras.activations.hard_silu: _hard_silu,
    keras.ops.hard_silu: _hard_silu,
}
"""Function → one that computes the same."""


class _HardSilu(keras.Operation):
    """`keras.ops.hard_silu` in three operators."""

    def call(self, x: Any) -> Any:
        return _hard_silu(x)

    def compute_output_spec(self, x: Any) -> Any:
        return keras.KerasTensor(x.shape, x.dtype)


class _AddJustUnder3(keras.Operation):
    """The sum of a tensor and just under 3, wherever the 3 stands."""

    def call(self, first: Any, second: Any) -> Any:
        return (second if _is_3(first) else first) + _JUST_UNDER_3

    def compute_output_spec(self, first: Any, second: Any) -> Any:
        tensor = second if _is_3(first) else first
        return keras.KerasTensor(tensor.shape, tensor.dtype)


def _adds_3(call: Call) -> bool:
    is_sum = ADDITIONS[0] in keys(type(call.operation))
    return is_sum and len(call.inputs) == 1 and any(map(_is_3, call.arguments))


def _is_3(value: Any) -> bool:
    is_tensor = isinstance(value, keras.KerasTensor) or keras.ops.is_tensor(value)
    return not is_tensor and np.ndim(value) == 0 and bool(value == 3)


def _is_relu6(operation: keras.Operation) -> bool:
    return activation_name(operation) == "relu6" or RELU6 in keys(type(operation))
