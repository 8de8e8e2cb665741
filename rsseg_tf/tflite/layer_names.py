"""Which Keras layers an operator of a `.tflite` file came from.

The converter names a tensor after the TensorFlow operations that it fused into one operator, such as
`net_1/stem_relu_1/Relu;net_1/stem_conv_1/convolution`: name scopes first, and Keras opens one for every layer. Four
things stand between that name and the layer's:

* A scope that was open before is counted up: the layer `conv2d` is traced as `conv2d_1`, which may be another
  layer's name. Files have either all scopes counted or none, so the reading that explains more names is taken.
* A layer that is folded into constants may leave no name: a batch norm whose biases are all equal.
* The graph's outputs are called what the converted function calls them.
* Some operators are the converter's own, such as QUANTIZE.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rsseg_tf.tflite.graph import Op, TFLiteModel

Reading = Callable[[str], str]
"""From the name of a scope to that of the layer which it would be the scope of."""


@dataclass(frozen=True)
class OpTensors:
    """What the tensors of one operator are called.

    Attributes:
        output: the first that it computes.
        inputs: those that it reads and that are not constants.
        constants: those that it reads and that are.
    """

    output: str
    inputs: tuple[str, ...]
    constants: tuple[str, ...]


def op_tensors(model: TFLiteModel) -> tuple[OpTensors, ...]:
    """Return the names of every operator's tensors, in the order of execution."""
    return tuple(
        OpTensors(
            output=op.outputs[0].name if op.outputs else "",
            inputs=tuple(tensor.name for tensor in op.inputs if tensor and not tensor.is_constant),
            constants=tuple(tensor.name for tensor in op.inputs if tensor and tensor.is_constant),
        )
        for op in model.ops
    )


def layers_by_op(model: TFLiteModel, layer_names: Sequence[str]) -> tuple[str, ...]:
    """Return for each operator the last of the Keras layers that it came from, else its output tensor's name.

    Args:
        model: a graph.
        layer_names: the Keras model's layers in topological order.
    """
    found = layers_of_ops(op_tensors(model), dict.fromkeys(layer_names, ()))
    return tuple(layers[-1] if layers else _output_name(op) for op, layers in zip(model.ops, found, strict=True))


def _output_name(op: Op) -> str:
    return op.outputs[0].name if op.outputs else op.name


def layers_of_ops(ops: Sequence[OpTensors], layers: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Return the Keras layers that each operator came from.

    An operator that the converter added (QUANTIZE) or that follows the last layer (ARG_MAX) counts to the layer
    whose output it reads, and one that prepares constants to the layers that use them.

    Args:
        ops: all operators of a file, in the order of execution.
        layers: the layers of the model that was converted, in topological order → those that each reads; empty where
            that is not known, and then layers without a trace in the file are left out.

    Returns:
        For each operator the names of its layers in the order of `layers`; empty where unknown.

    Examples:
        >>> op = OpTensors("net_1/relu_1/Relu;net_1/conv_1/convolution", ("image",), ())
        >>> layers_of_ops([op], {"image": (), "conv": ("image",), "relu": ("conv",)})
        (('conv', 'relu'),)
    """
    found = _named(ops, layers)
    _add_unnamed(found, ops, layers)
    _add_inherited(found, ops, layers)
    order = {name: place for place, name in enumerate(layers)}
    return tuple(tuple(sorted(names, key=order.__getitem__)) for names in found)


def _named(ops: Sequence[OpTensors], layers: Mapping[str, Sequence[str]]) -> list[set[str]]:
    """Return layers by the name of the output; where that says nothing, by constants of layers that no output names."""
    readings = _readings([name for op in ops for name in (op.output, *op.constants)], layers)
    by_output = [_mentioned([op.output], layers, readings) for op in ops]
    taken = set().union(*by_output)
    return [
        names or _mentioned(op.constants, layers, readings) - taken for names, op in zip(by_output, ops, strict=True)
    ]


def _readings(names: Iterable[str], layers: Mapping[str, Sequence[str]]) -> tuple[Reading, Reading]:
    """Return the two ways to read a scope, the one that explains more names first."""
    parts = {part for name in names for part in name.split(";")}
    plain, counted = (
        sum(_layer_in(part, layers, reading) is not None for part in parts) for reading in (_plain, _counted)
    )
    return (_counted, _plain) if counted > plain else (_plain, _counted)


def _plain(scope: str) -> str:
    return scope


def _counted(scope: str) -> str:
    """Return the scope's name before it was counted up; empty where it was not."""
    match = re.fullmatch(r"(.+)_\d+", scope)
    return match[1] if match else ""


def _mentioned(
    names: Iterable[str], layers: Mapping[str, Sequence[str]], readings: tuple[Reading, Reading]
) -> set[str]:
    mentioned = set()
    for part in (part for name in names for part in name.split(";")):
        first, second = (_layer_in(part, layers, reading) for reading in readings)
        mentioned.add(first or second)
    return {layer for layer in mentioned if layer is not None}


def _layer_in(part: str, layers: Mapping[str, Sequence[str]], reading: Reading) -> str | None:
    """Return the layer in whose scope an operation was traced.

    The outermost scope is the model's, the last component is the operation itself (`add` in `bn/batchnorm/add` is
    not the layer `add`), and scopes within a layer's are its own affair.
    """
    model, *scopes = part.split("/")
    candidates = (reading(scope) for scope in (*scopes[:-1], model))
    return next((name for name in candidates if name in layers), None)


def _add_unnamed(found: list[set[str]], ops: Sequence[OpTensors], layers: Mapping[str, Sequence[str]]) -> None:
    """Name the layers that no tensor is named after: those of the graph's outputs, and those folded away."""
    producers = {op.output: index for index, op in enumerate(ops)}
    holders = {name: index for index, names in enumerate(found) for name in names}
    ends = set(layers) - {name for reads in layers.values() for name in reads}
    for layer, reads in layers.items():
        before = {holders.get(name) for name in reads}
        if layer in holders or not before or None in before:
            continue
        nameless = [index for index, op in enumerate(ops) if not found[index] and _producers(op, producers) == before]
        if layer in ends and nameless:
            holders[layer] = nameless[0]
        elif layer not in ends and len(before) == 1:
            holders[layer] = next(index for index in before if index is not None)
        else:
            continue
        found[holders[layer]].add(layer)


def _producers(op: OpTensors, producers: Mapping[str, int]) -> set[int | None]:
    return {producers.get(name) for name in op.inputs}


def _add_inherited(found: list[set[str]], ops: Sequence[OpTensors], layers: Mapping[str, Sequence[str]]) -> None:
    """Put operators that came from no layer with what they read, or constants with what reads them."""
    order = {name: place for place, name in enumerate(layers)}
    producers = {op.output: index for index, op in enumerate(ops)}
    for index, op in enumerate(ops):
        if found[index]:
            continue
        for name in op.inputs:
            before = found[producers[name]] if name in producers else {name} & set(layers)
            found[index].update(sorted(before, key=order.__getitem__)[-1:])
        if not op.inputs:
            found[index].update(
                *(names for names, reader in zip(found, ops, strict=True) if op.output in reader.inputs)
            )
