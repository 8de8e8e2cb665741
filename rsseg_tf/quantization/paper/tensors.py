"""Which tensors of a network an 8-bit device rounds: its weights, its biases, and what its layers hand on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
from keras import tree

from rsseg_tf.graphs import Call, activation_name, calls, keeps_values, makers, times_read
from rsseg_tf.graphs.facts import OFFSETS, STATISTICS

KINDS = ("weights", "biases", "activations")
"""The three kinds of tensors of the paper's Figure 1."""


_FUSED = ("relu", "relu6", "leaky_relu", "bent_relu")


def rounded_variables(model: keras.Model) -> Iterator[tuple[str, str, Any]]:
    """Yield the kind (`weights` or `biases`), layer and variable of all that is multiplied or added, in order."""
    for layer in model.layers:
        for variable in layer.weights:
            if keras.backend.is_float_dtype(variable.dtype) and variable.name not in STATISTICS:
                yield "biases" if variable.name in OFFSETS else "weights", layer.name, variable


def rounded_outputs(model: keras.Model) -> dict[str, str]:
    """Return which outputs are rounded: name of the layer that returns it → name of the layer that computes it.

    The two differ where a ReLU alone reads a layer's output: a device computes both at once and rounds
    what comes out. Not rounded are the model's inputs (8-bit pixels already), outputs of layers that only
    select or move values, and integers.

    Args:
        model: a flat functional model.
    """
    every = calls(model)
    times = Counter(call.operation.name for call in every)
    readers = times_read(model, every)
    made_by = makers(every)
    outputs: dict[str, str] = {}
    for call in every:
        name = call.operation.name
        if keeps_values(call.operation) or not any(_is_float(tensor) for tensor in call.outputs):
            continue
        before = getattr(made_by.get(id(call.inputs[0])), "name", "")
        fused = (
            activation_name(call.operation) in _FUSED
            and before in outputs
            and readers[id(call.inputs[0])] == times[name] == times[before] == 1
        )
        outputs[name] = outputs.pop(before) if fused else name
    return outputs


def float_outputs(model: keras.Model, names: set[str]) -> list[tuple[str, keras.KerasTensor]]:
    """Return the outputs, with the layer's name, of every call of the named layers."""

    def of(call: Call) -> list[tuple[str, keras.KerasTensor]]:
        return [(call.operation.name, tensor) for tensor in tree.flatten(call.outputs) if _is_float(tensor)]

    return [pair for call in calls(model) if call.operation.name in names for pair in of(call)]


def _is_float(tensor: keras.KerasTensor) -> bool:
    return bool(keras.backend.is_float_dtype(tensor.dtype))
