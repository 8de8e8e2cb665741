"""Keras 3 graphs as `tf_keras` graphs: tensorflow-model-optimization knows only the latter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs import FACTS, flatten
from rsseg_tf.graphs.facts import ACTIVATIONS

LAYERS: Mapping[str, tuple[str, ...]] = {
    kind.__name__: known.settings
    for kind, known in FACTS.items()
    if isinstance(kind, type) and known.settings is not None
}
"""Type of layer that both Kerases have → the settings that make it up, named as in Keras 3."""

_RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}
_TWINS = {**{name: twin for name, twin in ACTIVATIONS.items() if twin}, "softmax": "softmax"}


def to_tf_keras(model: keras.Model) -> Any:
    """Return the `tf_keras` twin of a Keras 3 model: same layer names, same weights, equal outputs.

    Args:
        model: functional or Sequential, of layers in `LAYERS`; models inside it are read as if they were inlined.

    Returns:
        A functional `tf_keras.Model` with weights of its own.

    Raises:
        ModelError: if the model is not such a graph; the message names the layer and its type.

    Examples:
        >>> x = keras.Input((8, 8, 3))
        >>> to_tf_keras(keras.Model(x, keras.layers.Conv2D(2, 1, name="classifier")(x))).get_layer("classifier").filters
        2
    """
    import tf_keras

    flat = flatten(model)
    graph = flat.get_config()
    entries = {entry["name"]: entry for entry in graph["layers"]}
    layers = {name: _twin_layers(entry) for name, entry in entries.items() if entry["class_name"] != "InputLayer"}

    @functools.cache
    def tensor(name: str, node: int) -> Any:
        entry = entries[name]
        if name not in layers:
            shape, dtype = entry["config"]["batch_shape"], entry["config"]["dtype"]
            return tf_keras.Input(batch_shape=tuple(shape), dtype=dtype, name=name)
        call = entry["inbound_nodes"][node]
        first, *then = layers[name]
        y = first(*_resolved(call["args"], tensor), **_call_options(entry, call["kwargs"]))
        return functools.reduce(lambda x, layer: layer(x), then, y)

    inputs, outputs = (_resolved_ends(graph[end], tensor) for end in ("input_layers", "output_layers"))
    twin = tf_keras.Model(inputs, outputs, name=model.name)
    for name, (first, *_) in layers.items():
        first.set_weights(flat.get_layer(name).get_weights())
    return twin


def short_name(weight: Any) -> str:
    """Return the name of a `tf_keras` weight within its layer, such as `kernel`.

    Examples:
        >>> import tensorflow as tf
        >>> short_name(tf.Variable(0.0, name="stem_conv/kernel"))
        'kernel'
    """
    name: str = weight.name
    return name.rpartition("/")[2].partition(":")[0]


def _twin_layers(entry: Mapping[str, Any]) -> list[Any]:
    """Return a layer's twin, and behind it that of the layer which it was given as an activation."""
    settings, name = entry["config"], entry["name"]
    inner = settings.get("activation")
    if not isinstance(inner, Mapping):
        return [_twin_layer(entry)]
    kind = inner.get("class_name")
    if kind not in LAYERS:
        raise ModelError(
            f"the layer `{name}` applies a function that Keras does not know by name, which has no tf_keras twin",
            hint=f"known: {', '.join(_TWINS)}",
        )
    if kind == "PReLU":
        raise ModelError(
            f"the layer `{name}` has a PReLU as its activation, whose slopes no file of Keras keeps",
            hint="put the PReLU behind the layer",
        )
    if entry["class_name"] == "Activation":
        return _twin_layers({**inner, "name": name})
    plain = {**entry, "config": {**settings, "activation": "linear"}}
    return [_twin_layer(plain), *_twin_layers({**inner, "name": f"{name}_activation"})]


def _twin_layer(entry: Mapping[str, Any]) -> Any:
    """Return a `tf_keras` layer, not built yet, from a layer's entry in the configuration of a Keras 3 model."""
    import tf_keras

    kind, name, settings = entry["class_name"], entry["name"], entry["config"]
    if entry["module"] != "keras.layers" or kind not in LAYERS:
        raise ModelError(
            f"the layer `{name}` is a {kind}, which quantization-aware training cannot take",
            hint="export another type, such as int8",
        )
    if settings.get("activation", "linear") not in _TWINS:
        raise ModelError(
            f"the layer `{name}` ({kind}) has the activation {settings['activation']!r}, which has no tf_keras twin",
            hint=f"known: {', '.join(_TWINS)}",
        )
    arguments = {_RENAMED.get((kind, key), key): settings[key] for key in LAYERS[kind]}
    if "activation" in arguments:
        arguments["activation"] = _TWINS[arguments["activation"]]
    return getattr(tf_keras.layers, kind)(**arguments, name=name)


def _call_options(entry: Mapping[str, Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    given = {key: value for key, value in options.items() if value is not None}
    if set(given) - {"training"}:
        raise ModelError(f"the layer `{entry['name']}` ({entry['class_name']}) is called with {', '.join(given)}")
    return given


def _resolved(argument: Any, tensor: Callable[[str, int], Any]) -> Any:
    """Return an argument of a call with the twin's tensors in place of Keras' own."""
    if isinstance(argument, list | tuple):
        return [_resolved(item, tensor) for item in argument]
    if isinstance(argument, Mapping) and argument.get("class_name") == "__keras_tensor__":
        name, node, _ = argument["config"]["keras_history"]
        return tensor(name, node)
    return argument


def _resolved_ends(ends: Any, tensor: Callable[[str, int], Any]) -> Any:
    """Return the inputs or outputs of a model: one `[layer, node, tensor]`, or a list of such."""
    if isinstance(ends[0], str):
        return tensor(ends[0], ends[1])
    return [_resolved_ends(end, tensor) for end in ends]
