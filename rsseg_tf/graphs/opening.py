"""Layers that are made of other layers, opened: the graph of what their `call` does.

A block of KerasHub or keras_cv, or one of your own, is one layer to Keras: what is inside cannot be pruned, rewritten
or named. Where such a layer has no variables of its own, its `call` on symbolic tensors gives the graph of its layers
and operations, with the same variables.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import tree

from rsseg_tf.errors import first_line
from rsseg_tf.graphs import private
from rsseg_tf.graphs.copying import copy_of
from rsseg_tf.graphs.facts import is_known, keys

_BATCHES = (1009, 1013, 1019)
"""Primes that stand for the size of the batch while a layer is opened, so that whatever depends on it shows."""


@dataclass(frozen=True)
class Opened:
    """What a layer computes, as a graph at a batch of `batch`.

    Attributes:
        inputs: symbolic tensors in place of those that the layer takes.
        nodes: Keras' records of the calls, each after those that it depends on.
        outputs: what the layer returns, in its structure.
        batch: the size that stands for that of the batch in the shapes of all tensors.
    """

    inputs: tuple[keras.KerasTensor, ...]
    nodes: tuple[Any, ...]
    outputs: Any
    batch: int

    def shape(self, tensor: keras.KerasTensor, batch: int | None) -> tuple[int | None, ...]:
        """Return the shape of a tensor of the graph at another batch, None where it is open."""
        return tuple(_at_batch(size, self.batch, batch) for size in tensor.shape)


class _CannotOpenError(Exception):
    """Why a layer stays whole, in words that follow `it`."""


_OPENED: weakref.WeakKeyDictionary[Any, dict[str, Opened | str]] = weakref.WeakKeyDictionary()
"""Layer → what it is called with → its graph or why it stays whole: the same each time, with the same operations."""


def opened(node: Any) -> Opened | None:
    """Return the graph of the layer that a node calls, None where the layer stays whole.

    It stays whole where it is of Keras' own (but for attention and Lambda), known otherwise, has a variable of its own,
    or does something that a graph of its layers would not do: `why_whole` says what.
    """
    layer = node.operation
    if not _is_composite(layer):
        return None
    arguments = (node.arguments.args, node.arguments.kwargs)
    found = _OPENED.setdefault(layer, {})
    key = repr(tree.map_structure(_described, arguments))
    if key not in found:
        try:
            found[key] = _open(layer, *arguments)
        except _CannotOpenError as error:
            found[key] = str(error)
    graph = found[key]
    return None if isinstance(graph, str) else graph


def why_whole(layer: keras.Operation) -> str:
    """Return why a layer made of others was not opened, in words that follow `it`; empty for other layers."""
    return next((why for why in _OPENED.get(layer, {}).values() if isinstance(why, str)), "")


def _is_composite(layer: keras.Operation) -> bool:
    """Return whether a layer may be opened: it is someone else's, not known, and all that it holds is layers."""
    if not isinstance(layer, keras.Layer) or isinstance(layer, keras.Model) or is_known(layer):
        return False
    if type(layer).__module__.startswith("keras.src."):
        return isinstance(layer, keras.layers.MultiHeadAttention | keras.layers.Lambda)
    return bool(private.sublayers(layer)) or not private.own_variables(layer)


def _open(layer: keras.Layer, args: Any, kwargs: Any) -> Opened:
    own = private.own_variables(layer)
    if own:
        raise _CannotOpenError(f"holds `{own[0].name}`, a variable of its own")
    tensors = [x for x in tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]
    if any(private.mask_of(x) is not None for x in tensors):
        raise _CannotOpenError("takes a mask")
    if layer.activity_regularizer is not None:
        raise _CannotOpenError("adds to the loss what it returns")
    sizes = [size for tensor in tensors for size in tensor.shape[1:] if size]
    batch = next(prime for prime in _BATCHES if all(size % prime for size in sizes) or prime == _BATCHES[-1])
    graph = _traced(layer, args, kwargs, batch)
    if "training" in inspect.signature(layer.call).parameters:
        _check_training(layer, args, kwargs, graph)
    _check(layer, graph)
    return replace(graph, nodes=tuple(_with_open_batch(node, batch) for node in graph.nodes))


def _traced(layer: keras.Layer, args: Any, kwargs: Any, batch: int, **options: Any) -> Opened:
    """Return what the layer's `call` does with symbolic tensors like the given ones.

    Attention that is asked for its scores multiplies, shares out and multiplies by operations of their own. The one
    that Keras has for all of it takes values to be as wide as queries.
    """
    inputs: list[keras.KerasTensor] = []

    def stand_in(value: Any) -> Any:
        if not isinstance(value, keras.KerasTensor):
            return value
        shape = (batch, *value.shape[1:]) if value.shape[:1] == (None,) else value.shape
        inputs.append(keras.KerasTensor(shape, dtype=value.dtype))
        return _cast(layer, inputs[-1])

    own_args, own_kwargs = tree.map_structure(stand_in, (args, kwargs))
    is_asked = any(kwargs.get(key) for key in ("return_attention_scores", "use_causal_mask"))
    may_ask = isinstance(layer, keras.layers.MultiHeadAttention) and not is_asked
    in_steps = {"return_attention_scores": True} if may_ask else {}
    try:
        outputs = layer.call(*own_args, **{**own_kwargs, **in_steps, **options})
        outputs = outputs[0] if in_steps else outputs
    except Exception as error:  # A layer's own code may raise anything.
        raise _CannotOpenError(f"cannot be called on symbolic tensors: {first_line(error)}") from error
    flat = tree.flatten(outputs)
    if not flat or not all(isinstance(y, keras.KerasTensor) for y in flat):
        raise _CannotOpenError("returns what is not a tensor of the graph")
    return Opened(tuple(inputs), tuple(_nodes(flat, {id(x) for x in inputs})), outputs, batch)


def _cast(layer: keras.Layer, tensor: keras.KerasTensor) -> Any:
    """Return a tensor as calling the layer would cast it."""
    if not layer.autocast or not keras.backend.is_float_dtype(tensor.dtype) or tensor.dtype == layer.compute_dtype:
        return tensor
    return keras.ops.cast(tensor, layer.compute_dtype)


def _nodes(outputs: Sequence[keras.KerasTensor], known: set[int]) -> Iterator[Any]:
    """Yield the records of the calls that lead from the tensors of which `known` holds the ids to `outputs`."""
    ready = set(known)
    waiting = [*reversed(outputs)]
    while waiting:
        tensor = waiting[-1]
        node = private.node_of(tensor) if id(tensor) not in ready else None
        before = [x for x in node.input_tensors if id(x) not in ready] if node else []
        if before:
            waiting.extend(reversed(before))
            continue
        waiting.pop()
        if node is None and id(tensor) not in ready:
            raise _CannotOpenError("returns what does not depend on its inputs alone")
        if node is not None:
            ready.update(map(id, node.outputs))
            yield node


def _check_training(layer: keras.Layer, args: Any, kwargs: Any, graph: Opened) -> None:
    training = _traced(layer, args, kwargs, graph.batch, training=True)
    if list(map(_step, graph.nodes)) != list(map(_step, training.nodes)):
        raise _CannotOpenError("computes otherwise in training")


def _step(node: Any) -> tuple[type, str]:
    """Return what a node computes, but for its tensors and whether it is in training."""
    kwargs = {key: value for key, value in node.arguments.kwargs.items() if key != "training"}
    own = {} if isinstance(node.operation, keras.Layer) else private.settings(node.operation)
    given = tree.flatten((node.arguments.args, kwargs, own))
    return type(node.operation), repr([value for value in given if not isinstance(value, keras.KerasTensor)])


def _check(layer: keras.Layer, graph: Opened) -> None:
    """Check that the graph has the layer's variables, and nothing of one batch alone."""
    attention = [node.input_tensors for node in graph.nodes if private.ATTENTION in keys(type(node.operation))]
    if any(query.shape[-1] != value.shape[-1] for query, _, value, *_ in attention):
        raise _CannotOpenError("attends to values of another width than its queries'")
    held = {id(weight) for weight in layer.weights}
    used = {id(weight) for node in graph.nodes for weight in getattr(node.operation, "weights", ())}
    if used - held:
        raise _CannotOpenError("makes new variables in each call")
    constants = [value for node in graph.nodes for value in _constants(node)]
    if any(isinstance(value, keras.Variable) for value in constants):
        raise _CannotOpenError("computes with the variables of its layers")
    floats = [
        value for value in constants if keras.backend.is_float_dtype(keras.backend.standardize_dtype(value.dtype))
    ]
    if held - used and any(np.prod(value.shape) > 1 for value in floats):
        raise _CannotOpenError("computes with the values of variables")
    if any(size and size % graph.batch == 0 for value in constants for size in value.shape):
        raise _CannotOpenError("makes a constant for each image of a batch")
    if any(size == 0 for tensor in tree.flatten(graph.outputs) for size in tensor.shape):
        raise _CannotOpenError("returns an empty tensor")


def _constants(node: Any) -> list[Any]:
    values = tree.flatten((node.arguments.args, node.arguments.kwargs))
    return [value for value in values if hasattr(value, "dtype") and not isinstance(value, keras.KerasTensor)]


def _with_open_batch(node: Any, batch: int) -> Any:
    """Return the call of an operation that takes any batch, also where it was told the size of the stand-in."""
    operation = node.operation
    if private.is_reshape(operation) and node.outputs[0].shape[0] % batch == 0:
        operation = copy_of(operation, newshape=(-1, *node.outputs[0].shape[1:]))
        private.add_call(operation, node.arguments.args, node.arguments.kwargs, node.outputs)
        node = private.node_of(node.outputs[0])
    own = {} if isinstance(operation, keras.Layer) else private.settings(operation)
    numbers = tree.flatten((node.arguments.args, node.arguments.kwargs, own))
    if any(isinstance(number, int) and number and number % batch == 0 for number in numbers):
        raise _CannotOpenError(f"uses the size of the batch in `{type(operation).__name__}`")
    return node


def _described(value: Any) -> Any:
    if isinstance(value, keras.KerasTensor):
        return value.shape, value.dtype
    return value if isinstance(value, bool | int | float | str | None) else id(value)


def _at_batch(size: int | None, stand_in: int, batch: int | None) -> int | None:
    if not size or size % stand_in:
        return size
    return None if batch is None else size // stand_in * batch
