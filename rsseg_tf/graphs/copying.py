"""New layers and graphs like given ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import tree

from rsseg_tf.graphs import private


def copy_of(operation: keras.Operation, /, **changes: Any) -> keras.Operation:
    """Return a new layer or operation like `operation`, with other entries in its config; weights are not copied."""
    config = {**config_of(operation), **changes}
    if type(operation) is keras.layers.Lambda:
        return keras.layers.Lambda(**{**config, **private.lambda_arguments(operation)})
    return type(operation).from_config(config)


def config_of(operation: keras.Operation) -> dict[str, Any]:
    """Return the config of a layer or operation.

    Keras has none of its `Identity` and `ELU` where these were given a data type as an object.
    """
    if type(operation) in _WITHOUT_CONFIG:
        own = {"alpha": operation.alpha} if isinstance(operation, keras.layers.ELU) else {}
        return {"name": operation.name, "trainable": operation.trainable, "dtype": operation.dtype_policy.name, **own}
    config: dict[str, Any] = operation.get_config()
    return config


_WITHOUT_CONFIG = (keras.layers.Identity, keras.layers.ELU)
"""Keras' own layers that have no `get_config`; findings/keras_layers_without_config.sh shows what that does."""


def without_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a layer's config in which zeros take the place of initializers that hold a value for each weight.

    So the layer can be made with weights of another shape, which are set once it is built.
    """
    return {key: _ZEROS if _holds_values(value) else value for key, value in config.items()}


_ZEROS: Mapping[str, Any] = {
    "module": "keras.initializers",
    "class_name": "Zeros",
    "config": {},
    "registered_name": None,
}


def _holds_values(initializer: Any) -> bool:
    if not isinstance(initializer, Mapping) or initializer.get("class_name") != "Constant":
        return False
    return np.ndim(keras.initializers.deserialize(dict(initializer)).value) > 0


def copy_graph(
    model: keras.Model,
    *,
    make: Callable[[keras.Operation], keras.Operation] = copy_of,
    call: Callable[..., Any] = lambda operation, *args, **kwargs: operation(*args, **kwargs),
) -> keras.Model:
    """Return a functional model of new layers with the names of those of `model`; their weights are not copied.

    Args:
        model: a flat functional model.
        make: returns what takes a layer's place in the copy.
        call: returns what a layer of the copy makes of its arguments.
    """
    return keras.models.clone_model(model, new_inputs(model), clone_function=make, call_function=call)


def new_inputs(model: keras.Model) -> Any:
    """Return inputs like those of a functional model, with the names of its input layers, in the same structure."""
    return tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=private.maker(x).name), model.input
    )


def refresh(operation: keras.Operation) -> None:
    """Make a layer whose weights were set compute with them: Normalization holds copies."""
    if isinstance(operation, keras.layers.Normalization):
        operation.finalize_state()
