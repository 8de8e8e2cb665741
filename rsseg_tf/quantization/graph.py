"""Keras graphs as this package reads and copies them: flat, and one call at a time.

Every private name of Keras that quantization needs is in this file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
from keras import tree

from rsseg_tf.errors import ModelError


@dataclass(frozen=True)
class Call:
    """One call of a layer or operation: the symbolic tensors that go in and come out."""

    operation: keras.Operation
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]


def calls(model: keras.Model) -> list[Call]:
    """The calls of a functional model, each after those that it depends on, without its inputs.

    Raises:
        ModelError: the model is not functional, or a model is nested in it.
    """
    if not isinstance(model, keras.Function):
        raise ModelError(f"`{model.name}` is not a functional model", hint="build it as keras.Model(inputs, outputs)")
    nodes = [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]
    for node in nodes:
        if isinstance(node.operation, keras.Function | keras.Sequential):
            raise ModelError(
                f"the model `{node.operation.name}` is nested in `{model.name}`",
                hint="flatten it first: rsseg_tf.pruning.graph.flatten",
            )
    return [Call(node.operation, tuple(node.input_tensors), tuple(node.outputs)) for node in nodes if not node.is_input]


def times_read(model: keras.Model, every: Iterable[Call]) -> Counter[int]:
    """The id of each symbolic tensor → how often the calls of a model read it; an output is read once more."""
    readers = Counter(id(tensor) for call in every for tensor in call.inputs)
    readers.update(id(tensor) for tensor in model.outputs)
    return readers


def copy_graph(
    model: keras.Model,
    *,
    make: Callable[[keras.Operation], keras.Operation] = lambda operation: type(operation).from_config(
        operation.get_config()
    ),
    call: Callable[..., Any] = lambda operation, *args, **kwargs: operation(*args, **kwargs),
) -> keras.Model:
    """A functional model of new layers with the names of those of `model`; their weights are not copied.

    Args:
        model: a flat functional model.
        make: what takes a layer's place in the copy.
        call: what a layer returns for its arguments.
    """
    inputs = tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x._keras_history.operation.name), model.input
    )
    return keras.models.clone_model(
        model,
        inputs,
        clone_function=make,
        call_function=call,
    )
