"""Doing what a plan says: zeroing channels in place, and building the graph without them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError, first_line
from rsseg_tf.graphs import all_within, config_of, copy_graph, copy_of, refresh, without_values
from rsseg_tf.pruning.groups import kept_ids
from rsseg_tf.pruning.plan import Plan
from rsseg_tf.pruning.rules.table import Rules
from rsseg_tf.pruning.wiring import CONTRACTED, LayerWiring, Variable, Wiring, trace
from rsseg_tf.tracing.kept import MASKED, count_kept

Array = NDArray[Any]
Kept = NDArray[np.bool_]


def mask(model: keras.Model, plan: Plan, *, rules: Rules | None = None) -> None:
    """Zero in `model` what a plan removes: kernels' output slices, biases, scales and offsets of normalizations.

    The model then computes what `rebuild` would make of it. Nothing is traced or compiled again. Layer and RMS
    normalizations leave masked channels out of their statistics from now on, but not in what was traced before or in a
    file that the masked model is saved to: save what `rebuild` makes.

    Args:
        model: the dense model; changed in place.
        plan: made for it.
        rules: for layers that `RULES` does not know, as for `find_groups`.

    Raises:
        ModelError: if the plan was made for another model.

    Examples:
        >>> from rsseg_tf import pruning
        >>> x = keras.Input((8, 8, 3))
        >>> y = keras.layers.Conv2D(4, 3, name="stem")(x)
        >>> model = keras.Model(x, keras.layers.Conv2D(2, 1)(y))
        >>> mask(model, pruning.random_plan(pruning.find_groups(model), fraction=0.5, seed=0))
        >>> int((model.get_layer("stem").get_weights()[0] == 0).all((0, 1, 2)).sum())
        2
    """
    wiring = trace(model, rules)
    count_kept(all_within(model))
    mask_wired(wiring.flat(model), wiring, kept_ids(wiring, plan))


def mask_wired(flat: keras.Model, wiring: Wiring, kept: Kept) -> None:
    """Zero what belongs to channel ids outside `kept`, bool (ids,), in a flat model."""
    count_kept(flat.operations)
    for operation in flat.operations:
        layer = wiring.layers[operation.name]
        for variable in layer.variables:
            lost = _lost(variable, layer, kept)
            if lost is not None:
                weight = operation.weights[variable.index]
                value = keras.ops.convert_to_numpy(weight).copy()
                value[lost.reshape(value.shape)] = MASKED
                weight.assign(value)


def _lost(variable: Variable, layer: LayerWiring, kept: Kept) -> Array | None:
    """Return which elements of a variable mask zeroes, None for none."""
    lost = np.zeros((1,) * len(variable.shape), bool)
    for axis, label in variable.labels.items():
        if label != CONTRACTED:
            along = ~kept[layer.axes[label]]
            lost = lost | np.expand_dims(along, [other for other in range(len(variable.shape)) if other != axis])
    return np.broadcast_to(lost, variable.shape) if lost.any() else None


def rebuild(model: keras.Model, plan: Plan, *, rules: Rules | None = None) -> keras.Model:
    """Return a new, plain functional model without the channels that a plan removes.

    Layers keep their names, data types and whether they are trainable; nested models are inlined.
    `model`, masked or not, stays as it is. Where a removed channel would keep sending a constant
    (sigmoid(0), say), the layers that receive it take it into their biases. The result is not compiled.
    A layer that loses nothing, or has no weights, and cannot be made again from its config is shared with `model`.

    Args:
        model: the dense model.
        plan: made for it.
        rules: for layers that `RULES` does not know, as for `find_groups`.

    Raises:
        ModelError: if the plan was made for another model, or a layer cannot be rebuilt.

    Examples:
        >>> from rsseg_tf import pruning
        >>> x = keras.Input((8, 8, 3))
        >>> y = keras.layers.Conv2D(4, 3, name="stem")(x)
        >>> model = keras.Model(x, keras.layers.Conv2D(2, 1)(y))
        >>> slim = rebuild(model, pruning.random_plan(pruning.find_groups(model), fraction=0.5, seed=0))
        >>> slim.get_layer("stem").filters
        2
    """
    wiring = trace(model, rules)
    kept = kept_ids(wiring, plan)
    flat = wiring.flat(model)
    slim = _built(flat, wiring, kept)
    sources = {operation.name: operation for operation in flat.operations}
    for operation in slim.operations:
        source = sources[operation.name]
        if getattr(source, "weights", ()) and operation is not source:
            weights = [keras.ops.convert_to_numpy(weight) for weight in source.weights]
            _set_weights(operation, _sliced(weights, wiring.layers[operation.name], kept))
    return slim


def _built(flat: keras.Model, wiring: Wiring, kept: Kept) -> keras.Model:
    """Return the slim graph, with weights yet to be set."""

    def resized(operation: keras.Operation) -> keras.Operation:
        layer = wiring.layers[operation.name]
        try:
            return copy_of(operation, **_slim_config(operation, layer, kept))
        except ModelError:
            raise
        except Exception as error:  # A layer's own code may raise anything.
            if _can_be_shared(operation, layer, kept):
                return operation
            raise ModelError(
                f"`{operation.name}` ({type(operation).__name__}) cannot be copied: {first_line(error)}",
                hint="give it a get_config that holds every argument of its __init__",
            ) from error

    try:
        return copy_graph(flat, make=resized)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"`{flat.name}` cannot be built with fewer channels: {first_line(error)}") from error


def _slim_config(operation: keras.Operation, layer: LayerWiring, kept: Kept) -> dict[str, Any]:
    config = config_of(operation)
    for key, ids in layer.resize.items():
        if key not in config:
            raise ModelError(
                f"the config of `{operation.name}` ({type(operation).__name__}) has no `{key}`, which its rule names",
                hint=f"it has {', '.join(config)}",
            )
        config[key] = _resized(config[key], kept[ids])
    return config if _loses_nothing(layer, kept) else without_values(config)


def _can_be_shared(operation: keras.Operation, layer: LayerWiring, kept: Kept) -> bool:
    """Return whether a layer can stand in the slim graph as it is: it loses nothing, or nothing of it has a width."""
    has_width = bool(getattr(operation, "weights", ())) or bool(layer.resize)
    return _loses_nothing(layer, kept) or not has_width


def _loses_nothing(layer: LayerWiring, kept: Kept) -> bool:
    emitted = () if layer.emitted is None else (layer.emitted,)
    return all(kept[ids].all() for ids in (*layer.axes.values(), *layer.resize.values(), *emitted))


def _set_weights(operation: keras.Operation, weights: list[Array]) -> None:
    shapes = [tuple(weight.shape) for weight in operation.weights]
    for weight, shape, value in zip(operation.weights, shapes, weights, strict=True):
        if math.prod(shape) != value.size or (len(shape) == value.ndim and shape != value.shape):
            raise ModelError(
                f"`{operation.name}` ({type(operation).__name__}) has `{weight.name}` of shape {shape} "
                f"after slimming, expected {value.shape}",
                hint="its rule has to say which axes channels index, and which config entries hold their number",
            )
    operation.set_weights([value.reshape(shape) for value, shape in zip(weights, shapes, strict=True)])
    refresh(operation)


def _resized(value: Any, kept: Kept) -> Any:
    """Return a config entry with as many channels, or rows and columns, as are kept; −1 stands for any number."""
    widths = [int(kept.any(axis=1).sum()), int(kept.any(axis=0).sum())] if kept.ndim == 2 else [int(kept.sum())]
    before = value if isinstance(value, tuple | list) else [value]
    after = [width if old != -1 else -1 for old, width in zip(before[-len(widths) :], widths, strict=True)]
    return (*before[: -len(widths)], *after) if isinstance(value, tuple | list) else after[0]


def _sliced(weights: list[Array], layer: LayerWiring, kept: Kept) -> list[Array]:
    """Return the layer's weights along the channels that stay, with folded constants."""
    weights = [weight.reshape(variable.shape) for weight, variable in zip(weights, layer.variables, strict=True)]
    if layer.folds is not None:
        constants = np.where(kept[layer.axes[CONTRACTED]], 0.0, layer.folds)
        kernel = layer.folding
        folded = _folded(weights[kernel.index], kernel.labels, constants)
        weights = [
            weight + folded if variable.name == layer.bias else weight
            for variable, weight in zip(layer.variables, weights, strict=True)
        ]
    return [
        _cut(weight, variable.labels, layer, kept) for variable, weight in zip(layer.variables, weights, strict=True)
    ]


def _folded(kernel: Array, labels: Mapping[int, str], constants: NDArray[np.float64]) -> Array:
    """Return what removed channels keep adding to each output: Σ constant · kernel over positions and channels."""
    summed = next(axis for axis, label in labels.items() if label == CONTRACTED)
    positions = tuple(axis for axis in range(kernel.ndim) if axis not in labels)
    return (
        np.tensordot(constants, kernel.sum(axis=positions, dtype=np.float64, keepdims=True), (0, summed))
        .reshape(-1)
        .astype(kernel.dtype)
    )


def _cut(weight: Array, labels: Mapping[int, str], layer: LayerWiring, kept: Kept) -> Array:
    for axis, label in labels.items():
        weight = np.compress(kept[layer.axes[label]], weight, axis=axis)
    return weight
