"""A network in which other classes compute what some of its layers do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs import copy_graph, flatten
from rsseg_tf.graphs.copying import refresh

StandIns = Mapping[str, type[keras.Operation]]
"""Name of a layer → the class that takes its place; it is made from the layer's configuration."""


def with_stand_ins(model: keras.Model, stand_ins: Callable[[keras.Model], StandIns]) -> keras.Model:
    """Return a network like `model` in which other classes take the place of some layers; itself where none do.

    Layers keep their names and weights, and what stays is shared with `model`. Models within it, and layers that are
    made of layers, become part of its graph. A network that is not functional stays as it is.

    Args:
        model: any model.
        stand_ins: returns what takes the place of which layers of a flat functional model.
    """
    try:
        flat = flatten(model)
    except ModelError:
        return model
    found = stand_ins(flat)
    if not found:
        return flat
    copy = copy_graph(flat, make=lambda operation: _made(operation, found))
    for name in found:
        layer = copy.get_layer(name)
        layer.set_weights(flat.get_layer(name).get_weights())
        refresh(layer)
    return copy


def _made(operation: keras.Operation, stand_ins: StandIns) -> keras.Operation:
    stand_in = stand_ins.get(operation.name)
    return stand_in.from_config(operation.get_config()) if stand_in else operation
