"""A network in which other classes compute what some of its layers do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras

from rsseg_tf.graphs import copy_graph, copy_of, is_graph
from rsseg_tf.graphs.copying import refresh

StandIns = Mapping[str, type[keras.Operation]]
"""Name of a layer → the class that takes its place; it is made from the layer's configuration."""


def with_stand_ins(model: keras.Model, stand_ins: Callable[[keras.Model], StandIns]) -> keras.Model:
    """Return a copy of `model` in which other classes take the place of some layers; itself where none do.

    Layers keep their names and weights. A network that is not functional, in which a model is nested, or with a layer
    that cannot be made again from its configuration, stays as it is.

    Args:
        model: any model.
        stand_ins: returns what takes the place of which layers of a flat functional model.
    """
    if not isinstance(model, keras.Function) or any(map(is_graph, model.operations)):
        return model
    found = stand_ins(model)
    if not found:
        return model
    try:
        copy = copy_graph(model, make=lambda operation: _made(operation, found))
    except (NotImplementedError, TypeError, ValueError):  # What Keras raises of others' layers and of Lambda.
        return model
    for layer in copy.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
        refresh(layer)
    return copy


def _made(operation: keras.Operation, stand_ins: StandIns) -> keras.Operation:
    stand_in = stand_ins.get(operation.name)
    return stand_in.from_config(operation.get_config()) if stand_in else copy_of(operation)
