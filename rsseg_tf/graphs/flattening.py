"""Models inside models, read as one graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain, count
from typing import Any

import keras

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs import private
from rsseg_tf.graphs.copying import new_inputs
from rsseg_tf.graphs.walk import is_graph


def flatten(model: keras.Model) -> keras.Model:
    """Return a functional model equal to `model` with no models inside it; the layers are the same objects.

    A functional model without nested models comes back as it is. Where layers of several models within have the same
    name, all but the first stand there with the name of their model before it; they hold the same variables.

    Raises:
        ModelError: if the model is subclassed or not built.

    Examples:
        >>> inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="hidden")])
        >>> x = keras.Input((4,))
        >>> flatten(keras.Model(x, inner(x))).get_layer("hidden").units
        3
    """
    flat = functional(model)
    named = _with_names_of_their_own(flat)
    while any(is_graph(operation) for operation in flat.operations):
        try:
            flat = keras.models.clone_model(
                flat, new_inputs(flat), clone_function=lambda layer: layer, call_function=partial(_call_inside, named)
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


def _call_inside(named: Mapping[int, keras.Operation], layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
    """Return what `layer` returns; of a nested model the layers are called one by one, under its `training`.

    `named` gives, by the id of an operation, what takes its place.
    """
    if not is_graph(layer):
        return layer(*args, **kwargs)
    training = kwargs.get("training")

    def inside(operation: keras.Operation, *inner: Any, **options: Any) -> Any:
        own = named.get(id(operation), operation)
        return private.with_training(own, training)(*inner, **options)

    return private.run_graph(functional(layer), args[0], inside)


def _with_names_of_their_own(model: keras.Model) -> dict[int, keras.Operation]:
    """Return, by the id of each operation whose name another has, the same with a name of its own."""
    taken: set[str] = set()
    seen: set[int] = set()
    renamed = {}
    for owner, operation in _within(model):
        if id(operation) in seen:
            continue
        seen.add(id(operation))
        if operation.name in taken:
            stem = f"{owner}_{operation.name}"
            name = next(each for each in chain((stem,), (f"{stem}_{n}" for n in count(1))) if each not in taken)
            renamed[id(operation)] = private.renamed(operation, name)
            taken.add(name)
        taken.add(operation.name)
    return renamed


def _within(model: keras.Model) -> Iterator[tuple[str, keras.Operation]]:
    """Yield each operation that computes something, behind the name of its model; those of models within come last."""
    inner = []
    for operation in functional(model).operations:
        if is_graph(operation):
            inner.append(operation)
        elif not isinstance(operation, keras.layers.InputLayer):
            yield model.name, operation
    for each in inner:
        yield from _within(each)
