"""Doing what a plan says: zeroing channels in place, and building the graph without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.pruning.graph import flatten, new_inputs, refresh
from rsseg_tf.pruning.groups import kept_ids
from rsseg_tf.pruning.plan import Plan
from rsseg_tf.pruning.wiring import CONTRACTED, LayerWiring, Variable, Wiring, trace

Array = NDArray[Any]
Kept = NDArray[np.bool_]


def mask(model: keras.Model, plan: Plan) -> None:
    """Zero in `model` what a plan removes: kernels' output slices, biases, batch-norm scales and offsets.

    The model then computes what `rebuild` would make of it. Nothing is traced or compiled again.

    Raises:
        ModelError: the plan was made for another model.

    Example:
        >>> from rsseg_tf import pruning
        >>> x = keras.Input((8, 8, 3))
        >>> y = keras.layers.Conv2D(4, 3, name="stem")(x)
        >>> model = keras.Model(x, keras.layers.Conv2D(2, 1)(y))
        >>> mask(model, pruning.random_plan(pruning.find_groups(model), fraction=0.5, seed=0))
        >>> int((model.get_layer("stem").get_weights()[0] == 0).all((0, 1, 2)).sum())
        2
    """
    wiring = trace(model)
    mask_wired(flatten(model), wiring, kept_ids(wiring, plan))


def mask_wired(flat: keras.Model, wiring: Wiring, kept: Kept) -> None:
    """Zero what belongs to channel ids outside `kept`, bool (ids,), in a flat model."""
    for operation in flat.operations:
        layer = wiring.layers[operation.name]
        for variable in layer.variables:
            lost = _lost(variable, layer, kept)
            if lost is not None:
                weight = operation.weights[variable.index]
                value = keras.ops.convert_to_numpy(weight).copy()
                value[lost] = 0
                weight.assign(value)


def _lost(variable: Variable, layer: LayerWiring, kept: Kept) -> Array | None:
    """Which elements of a variable mask zeroes, None for none."""
    lost = np.zeros((1,) * len(variable.shape), bool)
    for axis, label in variable.labels.items():
        if label != CONTRACTED:
            along = ~kept[layer.axes[label]]
            lost = lost | np.expand_dims(along, [other for other in range(len(variable.shape)) if other != axis])
    return np.broadcast_to(lost, variable.shape) if lost.any() else None


def rebuild(model: keras.Model, plan: Plan) -> keras.Model:
    """A new, plain functional model without the channels that a plan removes.

    Layers keep their names, data types and whether they are trainable; nested models are inlined.
    `model`, masked or not, stays as it is. Where a removed channel would go on sending a constant
    (sigmoid(0), say), the layers that receive it take it into their biases. The result is not compiled.

    Raises:
        ModelError: the plan was made for another model.

    Example:
        >>> from rsseg_tf import pruning
        >>> x = keras.Input((8, 8, 3))
        >>> y = keras.layers.Conv2D(4, 3, name="stem")(x)
        >>> model = keras.Model(x, keras.layers.Conv2D(2, 1)(y))
        >>> slim = rebuild(model, pruning.random_plan(pruning.find_groups(model), fraction=0.5, seed=0))
        >>> slim.get_layer("stem").filters
        2
    """
    wiring = trace(model)
    kept = kept_ids(wiring, plan)
    flat = flatten(model)

    def resized(operation: keras.Operation) -> keras.Operation:
        config = operation.get_config()
        for key, ids in wiring.layers[operation.name].resize.items():
            config[key] = _resized(config[key], int(kept[ids].sum()))
        return type(operation).from_config(config)

    slim = keras.models.clone_model(flat, new_inputs(flat), clone_function=resized)
    sources = {operation.name: operation for operation in flat.operations}
    for operation in slim.operations:
        source = sources[operation.name]
        if getattr(source, "weights", ()):
            weights = [keras.ops.convert_to_numpy(weight) for weight in source.weights]
            operation.set_weights(_sliced(weights, wiring.layers[operation.name], kept))
            refresh(operation)
    return slim


def _resized(value: Any, width: int) -> Any:
    """A config entry with another number of channels; −1 stands for whatever is there."""
    if isinstance(value, tuple | list):
        return (*value[:-1], width if value[-1] != -1 else -1)
    return width if value != -1 else -1


def _sliced(weights: list[Array], layer: LayerWiring, kept: Kept) -> list[Array]:
    """The layer's weights along the channels that stay, with folded constants."""
    by_name = {variable.name: weights[variable.index] for variable in layer.variables}
    if layer.folds is not None:
        constants = np.where(kept[layer.axes[CONTRACTED]], 0.0, layer.folds)
        weights = [
            weight + _folded(by_name["kernel"], constants) if variable.name == "bias" else weight
            for variable, weight in zip(layer.variables, weights, strict=True)
        ]
    return [
        _cut(weight, variable.labels, layer, kept) for variable, weight in zip(layer.variables, weights, strict=True)
    ]


def _folded(kernel: Array, constants: NDArray[np.float64]) -> Array:
    """What removed channels go on adding to each output: Σ constant · kernel over positions and channels."""
    by_channel = kernel.reshape(-1, *kernel.shape[-2:]).sum(axis=0, dtype=np.float64)
    return (constants @ by_channel).astype(kernel.dtype)


def _cut(weight: Array, labels: Mapping[int, str], layer: LayerWiring, kept: Kept) -> Array:
    for axis, label in labels.items():
        weight = np.compress(kept[layer.axes[label]], weight, axis=axis)
    return weight
