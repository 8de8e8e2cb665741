"""Models inside models, read as one graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs import private
from rsseg_tf.graphs.copying import new_inputs
from rsseg_tf.graphs.walk import is_graph


def flatten(model: keras.Model) -> keras.Model:
    """Return a functional model equal to `model` with no models inside it; the layers are the same objects.

    A functional model without nested models comes back as it is.

    Raises:
        ModelError: if the model is subclassed or not built, or two of its nested layers have the same name.

    Example:
        >>> inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="hidden")])
        >>> x = keras.Input((4,))
        >>> flatten(keras.Model(x, inner(x))).get_layer("hidden").units
        3
    """
    flat = functional(model)
    while any(is_graph(operation) for operation in flat.operations):
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


def run_through(model: keras.Model, inputs: Any, call: Callable[..., Any]) -> Any:
    """Return what `model` makes of `inputs` when `call` makes the calls of its layers, those of nested models included.

    Args:
        model: a functional or Sequential model.
        inputs: in the structure that the model takes.
        call: what `call(operation, *args, **kwargs)` returns stands for what the layer would return.

    Raises:
        ModelError: if a model among them is subclassed or not built.
    """

    def inside(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        return run_through(operation, args[0], call) if is_graph(operation) else call(operation, *args, **kwargs)

    return private.run_graph(functional(model), inputs, inside)


def functional(model: keras.Model) -> keras.Model:
    """Return a plain functional model with the graph of `model`; nested models stay nested.

    Raises:
        ModelError: if the model is subclassed, has a `call` of its own or is not built.
    """
    kind = "is not built" if isinstance(model, keras.Sequential) else "is not a functional model"
    if is_graph(model) and private.has_own_call(model):
        kind = "has a call of its own"
    elif isinstance(model, keras.Function):
        # A view on the same graph where compiling, or a class of the user's, would get in the way of cloning.
        plain = private.is_plain(model) and not model.compiled
        return model if plain else keras.Model(model.input, model.output, name=model.name)
    elif isinstance(model, keras.Sequential) and private.functional_of(model) is not None:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    raise ModelError(
        f"`{getattr(model, 'name', model)}` ({type(model).__name__}) {kind}, so its graph cannot be read",
        hint="build it as keras.Model(inputs, outputs), or give a Sequential model an input shape",
    )


def _call_inside(layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
    """Return what `layer` returns; of a nested model the layers are called one by one, under its `training`."""
    if not is_graph(layer):
        return layer(*args, **kwargs)
    training = kwargs.get("training")
    return private.run_graph(
        functional(layer),
        args[0],
        lambda operation, *inner, **options: private.with_training(operation, training)(*inner, **options),
    )
