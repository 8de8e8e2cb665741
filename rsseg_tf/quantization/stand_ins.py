"""A network in which others compute what some of its layers and operations do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs import copy_graph, flatten
from rsseg_tf.graphs.copying import refresh

StandIn = Callable[[keras.Operation], keras.Operation]
"""Makes what takes an operation's place, under the same name."""

StandIns = Mapping[str, StandIn]
"""Name of a layer or operation → what makes the one that takes its place."""


def of_kind(kind: type[keras.Operation], **changes: Any) -> StandIn:
    """Return what makes a layer of a class from the configuration of another, with other entries in it."""
    return lambda layer: kind.from_config({**layer.get_config(), **changes})


def with_stand_ins(model: keras.Model, stand_ins: Callable[[keras.Model], StandIns]) -> keras.Model:
    """Return a network like `model` in which others take the place of some operations; itself where none do.

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
    for layer in copy.layers:
        if layer.name in found:
            layer.set_weights(flat.get_layer(layer.name).get_weights())
            refresh(layer)
    return copy


def _made(operation: keras.Operation, stand_ins: StandIns) -> keras.Operation:
    stand_in = stand_ins.get(operation.name)
    return stand_in(operation) if stand_in else operation
