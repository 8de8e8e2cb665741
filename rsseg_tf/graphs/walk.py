"""The walk over a flat Keras graph: one call of a layer at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import tree
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs import private


@dataclass(frozen=True)
class Call:
    """One call of a layer or operation: a node of the graph.

    Attributes:
        operation: the layer or `keras.ops` operation.
        inputs: the symbolic tensors among its arguments, in order.
        outputs: the symbolic tensors that it returns.
        node: Keras' own record of the call.
    """

    operation: keras.Operation
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]
    node: Any

    @property
    def is_input(self) -> bool:
        """Whether it is an input of the model."""
        return bool(self.node.is_input)

    @property
    def constants(self) -> list[Any]:
        """Arrays that are part of the graph, such as `c` in `x * c` and in `keras.ops.clip(x, -c, c)`."""
        if self.is_input:
            return []
        own = {} if isinstance(self.operation, keras.Layer) else private.settings(self.operation)
        arguments = tree.flatten((self.node.arguments.args, self.node.arguments.kwargs, own))
        return [value for value in arguments if hasattr(value, "shape") and not isinstance(value, keras.KerasTensor)]

    @property
    def arguments(self) -> list[Any]:
        """What the call takes besides symbolic tensors, in order."""
        given = tree.flatten((self.node.arguments.args, self.node.arguments.kwargs))
        return [value for value in given if not isinstance(value, keras.KerasTensor)]

    def evaluate(self, values: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """Return what the operation makes of arrays in place of its symbolic inputs."""
        known = {id(tensor): value for tensor, value in zip(self.inputs, values, strict=True)}
        return np.asarray(keras.ops.convert_to_numpy(self.run(known)), np.float64)

    def run(self, known: Mapping[int, Any]) -> Any:
        """Return what the operation makes of the values that `known` gives for the ids of its symbolic inputs."""
        args, kwargs = self.node.arguments.fill_in(known)
        return self.operation(*args, **kwargs)


def calls(model: keras.Model, *, with_inputs: bool = False) -> list[Call]:
    """Return the calls of a flat functional model, each after those that it depends on.

    Args:
        model: without models inside it; see `rsseg_tf.graphs.flatten`.
        with_inputs: whether the input layers are among them.

    Raises:
        ModelError: if the model is not functional, or a model is nested in it.
    """
    if not isinstance(model, keras.Function):
        raise ModelError(f"`{model.name}` is not a functional model", hint="build it as keras.Model(inputs, outputs)")
    found = []
    for node in private.nodes(model):
        if is_graph(node.operation):
            raise ModelError(
                f"the model `{node.operation.name}` is nested in `{model.name}`",
                hint="flatten it first: rsseg_tf.graphs.flatten",
            )
        if with_inputs or not node.is_input:
            inputs = () if node.is_input else tuple(node.input_tensors)
            found.append(Call(node.operation, inputs, tuple(node.outputs), node))
    return found


def readers(every: Iterable[Call]) -> dict[int, list[Call]]:
    """Return the calls that read each tensor, by the tensor's id; a call that reads it twice is there twice."""
    found: dict[int, list[Call]] = {}
    for call in every:
        for tensor in call.inputs:
            found.setdefault(id(tensor), []).append(call)
    return found


def times_read(model: keras.Model, every: Iterable[Call]) -> Counter[int]:
    """Return how often the calls of a model read each tensor, by the tensor's id; an output is read once more."""
    times = Counter({tensor: len(found) for tensor, found in readers(every).items()})
    times.update(id(tensor) for tensor in model.outputs)
    return times


def makers(every: Iterable[Call]) -> dict[int, keras.Operation]:
    """Return the layer that returns each tensor, by the tensor's id."""
    return {id(tensor): call.operation for call in every for tensor in call.outputs}


def all_operations(model: keras.Model) -> Iterator[keras.Operation]:
    """Yield the layers and operations of a model except its inputs; in place of a model inside it, those of that."""
    graph = private.functional_of(model) if isinstance(model, keras.Sequential) else model
    for operation in getattr(graph, "operations", ()):
        if is_graph(operation):
            yield from all_operations(operation)
        elif not isinstance(operation, keras.layers.InputLayer):
            yield operation


def all_layers(model: Any) -> Iterator[Any]:
    """Yield all layers of a model of Keras 3 or `tf_keras`, those inside its models and wrappers too."""
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from all_layers(layer)
        inside = getattr(layer, "layer", None)
        if inside is not None:
            yield inside
            yield from all_layers(inside)


def all_within(layer: keras.Operation) -> Iterator[keras.Operation]:
    """Yield all layers that a layer or model holds, and those that they hold."""
    for inside in private.sublayers(layer):
        yield inside
        yield from all_within(inside)


def is_graph(operation: keras.Operation) -> bool:
    """Return whether a layer is a model with a graph of its own."""
    return isinstance(operation, keras.Function | keras.Sequential)
