"""The float32 twin of a model that computes in half precision."""

from __future__ import annotations

import keras

from rsseg_tf.graphs.copying import config_of, copy_graph, copy_of, refresh
from rsseg_tf.graphs.flattening import flatten
from rsseg_tf.graphs.walk import all_layers


def in_float32(model: keras.Model) -> keras.Model:
    """Return a model that computes in float32 what `model` computes in a mixed or half precision, by the same weights.

    A model that does so already is returned as it is. The twin is flat: models within it are part of its own graph.
    """
    if all(layer.compute_dtype in ("float32", None) or not layer.weights for layer in all_layers(model)):
        return model
    flat = flatten(model)
    twin = copy_graph(flat, make=_float32_copy)
    for layer in flat.layers:
        if layer.weights:
            copy = twin.get_layer(layer.name)
            copy.set_weights(layer.get_weights())
            refresh(copy)
    return twin


def _float32_copy(operation: keras.Operation) -> keras.Operation:
    is_layer = isinstance(operation, keras.layers.Layer) and "dtype" in config_of(operation)
    return copy_of(operation, dtype="float32") if is_layer else copy_of(operation)
