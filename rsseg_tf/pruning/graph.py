"""Keras graphs as pruning reads them: flat, and one call at a time.

Every private name of Keras that this package needs is in this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import tree
from keras.src.models.functional import Functional, operation_fn
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError

_GRAPH_CALLS = (Functional.call, keras.Function.call, keras.Sequential.call)
"""What calling a model does where its graph says it all."""


@dataclass(frozen=True)
class Call:
    """One call of a layer or operation: a node of the graph.

    Attributes:
        operation: the layer or `keras.ops` operation.
        inputs: the symbolic tensors among its arguments, in order.
        outputs: the symbolic tensors that it returns.
        is_input: whether it is an input of the model.
        node: Keras' own record of the call.
    """

    operation: keras.Operation
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]
    is_input: bool
    node: Any

    @property
    def constants(self) -> list[Any]:
        """Array arguments that are part of the graph, such as `c` in `x * c`."""
        if self.is_input:
            return []
        arguments = tree.flatten((self.node.arguments.args, self.node.arguments.kwargs))
        return [value for value in arguments if hasattr(value, "shape") and not isinstance(value, keras.KerasTensor)]

    def evaluate(self, values: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """What the operation returns when its symbolic inputs are `values`."""
        known = {id(tensor): value for tensor, value in zip(self.inputs, values, strict=True)}
        return np.asarray(keras.ops.convert_to_numpy(self.run(known)), np.float64)

    def run(self, known: Mapping[int, Any]) -> Any:
        """What the operation returns when its symbolic inputs have the values that `known` gives for their ids."""
        args, kwargs = self.node.arguments.fill_in(known)
        return self.operation(*args, **kwargs)


def calls(model: keras.Model) -> Iterator[Call]:
    """The calls of a flat functional model, each after those that it depends on."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            inputs = () if node.is_input else tuple(node.input_tensors)
            yield Call(node.operation, inputs, tuple(node.outputs), node.is_input, node)


def flatten(model: keras.Model) -> keras.Model:
    """A functional model equal to `model` with no models inside it; the layers are the same objects.

    A functional model without nested models comes back as it is.

    Raises:
        ModelError: the model is sub-classed or not built, or two of its nested layers have the same name.

    Example:
        >>> inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="hidden")])
        >>> x = keras.Input((4,))
        >>> flatten(keras.Model(x, inner(x))).get_layer("hidden").units
        3
    """
    flat = _functional(model)
    while any(_is_graph(operation) for operation in flat.operations):
        try:
            flat = keras.models.clone_model(
                flat, new_inputs(flat), clone_function=lambda layer: layer, call_function=_call_inside
            )
        except ValueError as error:
            raise ModelError(
                f"the models nested in `{model.name}` cannot be joined into one graph: {error}",
                hint="give every layer a name of its own",
            ) from error
    return flat


def new_inputs(model: keras.Model) -> Any:
    """Inputs like those of a functional model, with the names of its input layers, in the same structure."""
    return tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x._keras_history.operation.name), model.input
    )


def copy_of(operation: keras.Operation, config: dict[str, Any]) -> keras.Operation:
    """A new layer or operation like `operation`, with other entries in its config."""
    if type(operation) is keras.layers.Lambda:
        # From its config Keras makes a function of Python's byte code, and only after asking.
        functions = {"function": operation.function, "output_shape": operation._output_shape, "mask": operation.mask}
        return keras.layers.Lambda(**{**config, **functions, "arguments": operation.arguments})
    return type(operation).from_config(config)


def refresh(operation: keras.Operation) -> None:
    """Have a layer whose weights were set take them into what it computes with: Normalization holds copies."""
    if isinstance(operation, keras.layers.Normalization):
        operation.finalize_state()


def _functional(model: keras.Model) -> keras.Model:
    kind = "is not built" if isinstance(model, keras.Sequential) else "is not a functional model"
    if isinstance(model, keras.Function | keras.Sequential) and type(model).call not in _GRAPH_CALLS:
        kind = "has a call of its own"
    elif isinstance(model, keras.Function):
        # A view on the same graph where compiling, or a class of the user's, would get in the way of cloning.
        plain = type(model) is Functional and not model.compiled
        return model if plain else keras.Model(model.input, model.output, name=model.name)
    elif isinstance(model, keras.Sequential) and model._functional is not None:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    raise ModelError(
        f"`{getattr(model, 'name', model)}` ({type(model).__name__}) {kind}, so its graph cannot be read",
        hint="build it as keras.Model(inputs, outputs), or give a Sequential model an input shape",
    )


def _is_graph(operation: keras.Operation) -> bool:
    return isinstance(operation, keras.Function | keras.Sequential)


def _call_inside(layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
    """What `layer` returns; of a nested model the layers are called one by one, under its `training`."""
    if not _is_graph(layer):
        return layer(*args, **kwargs)
    training = kwargs.get("training")
    return _functional(layer)._run_through_graph(
        args[0], operation_fn=lambda operation: operation_fn(operation, training=training)
    )
