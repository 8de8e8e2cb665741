"""Models inside models, and layers made of layers, read as one graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import keras
from keras import tree

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs import private
from rsseg_tf.graphs.copying import new_inputs
from rsseg_tf.graphs.lengths import has_open_lengths, known_lengths
from rsseg_tf.graphs.opening import Opened, opened
from rsseg_tf.graphs.walk import is_graph

Whole = Callable[[keras.Operation], bool]


def flatten(model: keras.Model, *, whole: Whole = lambda _layer: False) -> keras.Model:
    """Return a functional model equal to `model` with no models inside it; the layers are the same objects.

    Layers that are made of others and have no variable of their own are opened as well: see `rsseg_tf.graphs.opening`.
    A functional model without such layers or nested models comes back as it is. Where layers of several models within
    have the same name, all but the first stand there with the name of their model before it; they hold the same
    variables.

    Args:
        model: a functional or Sequential model.
        whole: says of a layer whether it is not to be opened.

    Raises:
        ModelError: if the model is subclassed or not built.

    Examples:
        >>> inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="hidden")])
        >>> x = keras.Input((4,))
        >>> flatten(keras.Model(x, inner(x))).get_layer("hidden").units
        3
    """
    flat = functional(model)
    joined = _Joined(_part_of_model(flat, flat.name), whole)
    if not joined.inner:
        return flat
    inputs = new_inputs(flat)
    try:
        outputs = joined.run(tree.flatten(inputs))
        return keras.Model(inputs, outputs, name=flat.name)
    except ValueError as error:
        raise ModelError(
            f"the models nested in `{model.name}` cannot be joined into one graph: {error}",
            hint="give every layer a name of its own",
        ) from error


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


@dataclass(frozen=True)
class _Part:
    """A graph that becomes a part of another: a model, or a layer that was opened.

    Attributes:
        owner: the name of the model or layer.
        inputs: the tensors that the part takes.
        nodes: Keras' records of its calls, each after those that it depends on.
        outputs: what it returns, in its structure.
        layer: the layer that was opened, None for a model.
        names_alike: whether every such layer calls its own by the same names: Keras' attention does.
    """

    owner: str
    inputs: Sequence[keras.KerasTensor]
    nodes: Sequence[Any]
    outputs: Any
    layer: Opened | None = None
    names_alike: bool = False

    def batch(self, given: Sequence[keras.KerasTensor]) -> int | None:
        """Return the size of the batch of tensors that the part is given, None where it is open."""
        sizes = [x.shape[0] for own, x in zip(self.inputs, given, strict=True) if own.shape[:1] == self._stand_in]
        return sizes[0] if sizes else None

    @property
    def _stand_in(self) -> tuple[int, ...]:
        return (self.layer.batch,) if self.layer else ()

    def like(self, tensor: keras.KerasTensor, batch: int | None) -> keras.KerasTensor:
        """Return a new tensor like one of the part, at another batch."""
        shape = self.layer.shape(tensor, batch) if self.layer else tensor.shape
        return keras.KerasTensor(shape, dtype=tensor.dtype, sparse=tensor.sparse)

    def given(self, args: Any, kwargs: Any) -> list[Any]:
        """Return what the part is called with, in the order of its inputs."""
        if self.layer is None:
            return list(tree.flatten(args[0]))
        return [x for x in tree.flatten((args, kwargs)) if isinstance(x, keras.KerasTensor)]


def _part_of_model(model: keras.Model, owner: str) -> _Part:
    return _Part(owner, model.inputs, [node for node in private.nodes(model) if not node.is_input], model.output)


class _Joined:
    """A model and the parts within it, with names that are all different.

    Attributes:
        inner: id of a node → the part that it calls.
    """

    def __init__(self, model: _Part, whole: Whole) -> None:
        self.inner: dict[int, _Part] = {}
        self._model = model
        self._whole = whole
        self._names: dict[int, str] = {}
        self._taken: set[str] = set()
        self._twins: dict[int, keras.Operation] = {}
        self._look_into(model)

    def run(self, inputs: Sequence[keras.KerasTensor]) -> Any:
        """Return what the model makes of new symbolic inputs, called layer by layer."""
        return self._run(self._model, inputs, training=None)

    def _look_into(self, part: _Part) -> None:
        """Name the operations of a part, then those of the parts within it."""
        found = []
        for node in part.nodes:
            name = self._name(node.operation, part)
            inner = self._part(node, name)
            if inner is not None:
                self.inner[id(node)] = inner
                found.append(inner)
        for inner in found:
            self._look_into(inner)

    def _part(self, node: Any, name: str) -> _Part | None:
        operation = node.operation
        if is_graph(operation):
            return _part_of_model(functional(operation), name)
        layer = None if self._whole(operation) else opened(node)
        if layer is None:
            return None
        alike = isinstance(operation, keras.layers.MultiHeadAttention)
        return _Part(name, layer.inputs, layer.nodes, layer.outputs, layer, alike)

    def _name(self, operation: keras.Operation, part: _Part) -> str:
        """Return the name of an operation in the joined graph.

        It is its own, unless another has that, or Keras gave it to a part of an opened layer: then it would be another
        one in another process.
        """
        if id(operation) in self._names:
            return self._names[id(operation)]
        name: str = operation.name
        kind = private.snake_case(type(operation).__name__)
        is_automatic = part.names_alike or (
            part.layer is not None and re.fullmatch(rf"{kind}(_\d+)?", name) is not None
        )
        if is_automatic or name in self._taken:
            stem = f"{part.owner}_{name if part.names_alike or not is_automatic else kind}"
            name = next(each for each in chain((stem,), (f"{stem}_{n}" for n in count(1))) if each not in self._taken)
        self._taken.add(name)
        self._names[id(operation)] = name
        return name

    def _run(self, part: _Part, inputs: Sequence[Any], *, training: bool | None) -> Any:
        known = dict(zip(map(id, part.inputs), inputs, strict=True))
        batch = part.batch(inputs)
        for node in part.nodes:
            args, kwargs = node.arguments.fill_in(known)
            inner = self.inner.get(id(node))
            if inner is None:
                outputs = self._call(part, node, known, batch, training)
            else:
                own = kwargs.get("training")
                outputs = self._run(inner, inner.given(args, kwargs), training=training if own is None else own)
            known.update(zip(map(id, node.outputs), tree.flatten(outputs), strict=True))
        return tree.map_structure(lambda y: known[id(y)], part.outputs)

    def _call(self, part: _Part, node: Any, known: dict[int, Any], batch: int | None, training: bool | None) -> Any:
        """Return what an operation makes of its arguments: what is known already, where these are as they were."""
        args, kwargs = node.arguments.fill_in(known)
        before = [part.like(x, batch) for x in node.input_tensors]
        now = [known[id(x)] for x in node.input_tensors]
        if has_open_lengths(node.operation):
            return private.with_training(self._sized(node.operation, now[0].shape), training)(*args, **kwargs)
        operation = self._twin(node.operation)
        if training is None and all((a.shape, a.dtype) == (b.shape, b.dtype) for a, b in zip(before, now, strict=True)):
            outputs = [part.like(y, batch) for y in node.outputs]
            private.add_call(operation, args, kwargs, outputs)
            return outputs
        return private.with_training(operation, training)(*args, **kwargs)

    def _sized(self, operation: keras.layers.EinsumDense, shape: tuple[int | None, ...]) -> keras.Operation:
        """Return a layer that says how long its result is, where all its calls agree: Keras leaves that open."""
        lengths = known_lengths(operation, shape)
        if id(operation) not in self._twins:
            self._twins[id(operation)] = private.renamed(operation, self._names[id(operation)])
            self._twins[id(operation)].partial_output_shape = lengths
        twin = self._twins[id(operation)]
        if twin.partial_output_shape != lengths:
            twin.partial_output_shape = operation.partial_output_shape
        return twin

    def _twin(self, operation: keras.Operation) -> keras.Operation:
        """Return the operation, under the name that it has in the joined graph."""
        name = self._names[id(operation)]
        if name == operation.name:
            return operation
        return self._twins.setdefault(id(operation), private.renamed(operation, name))
