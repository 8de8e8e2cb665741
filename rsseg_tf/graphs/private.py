"""Every private name of Keras that this package uses; `tests/graphs/test_private.py` says which versions have them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.src.models.functional import Functional, operation_fn
from keras.src.ops.node import Node
from keras.src.utils.naming import to_snake_case


def _named(module: str, *names: str) -> tuple[str, ...]:
    return tuple(f"keras.src.{module}.{name}" for name in names)


LAYER_SCALE = "keras.src.applications.convnext.LayerScale"
STOCHASTIC_DEPTH = "keras.src.applications.convnext.StochasticDepth"
SCALED_SUM = "keras.src.applications.inception_resnet_v2.CustomScaleLayer"

ADDITIONS = _named("ops.numpy", "Add", "Subtract")
PRODUCTS = _named("ops.numpy", "Multiply")
OTHER_MERGES = _named("ops.numpy", "Divide", "TrueDivide", "Maximum", "Minimum", "Power")
ELEMENTWISE = (
    *_named("ops.numpy", "Absolute", "Abs", "Clip", "Exp", "Negative", "Sqrt", "Square", "Tanh"),
    *_named("ops.nn", "Relu", "Relu6", "Sigmoid", "Softplus", "Softsign", "Silu", "LogSigmoid", "LeakyRelu"),
    *_named("ops.nn", "HardSigmoid", "HardSilu", "Elu", "Selu", "Gelu", "Celu", "HardTanh"),
    *_named("ops.core", "Cast"),
    *_named("activations.activations", "ReLU"),
)
POOLS = _named("ops.nn", "MaxPool", "AveragePool")
REDUCTIONS = _named("ops.numpy", "Mean", "Max", "Amax", "Min", "Amin")
SPLIT = "keras.src.ops.numpy.Split"
TRANSPOSE = "keras.src.ops.numpy.Transpose"
MATMUL = "keras.src.ops.numpy.Matmul"
EINSUM = "keras.src.ops.numpy.Einsum"
ATTENTION = "keras.src.ops.nn.DotProductAttention"
PAD = "keras.src.ops.numpy.Pad"
RESHAPE = "keras.src.ops.numpy.Reshape"
SOFTMAX = "keras.src.ops.nn.Softmax"
HARD_SILU = "keras.src.ops.nn.HardSilu"
RELU6 = "keras.src.ops.nn.Relu6"
AXIS_CHANGES = _named("ops.numpy", "ExpandDims", "Squeeze")
CONCATENATE = "keras.src.ops.numpy.Concatenate"

CLASSES = (
    *(
        LAYER_SCALE,
        STOCHASTIC_DEPTH,
        SCALED_SUM,
        SPLIT,
        TRANSPOSE,
        MATMUL,
        EINSUM,
        ATTENTION,
        PAD,
        RESHAPE,
        CONCATENATE,
        SOFTMAX,
    ),
    *(*ADDITIONS, *PRODUCTS, *OTHER_MERGES, *ELEMENTWISE, *POOLS, *REDUCTIONS, *AXIS_CHANGES),
)
"""Module and name of every class without a public name that a table of ours has a row for.

Tables hold the names as text: if Keras moves one, its layers have no row any more and nothing else breaks.
"""

_GRAPH_CALLS = (Functional.call, keras.Function.call, keras.Sequential.call)
"""What calling a model does where its graph says it all."""


def has_own_call(model: keras.Model) -> bool:
    """Return whether a functional or Sequential model computes something else than its graph."""
    return type(model).call not in _GRAPH_CALLS


def is_plain(model: keras.Model) -> bool:
    """Return whether a functional model has no class of its own."""
    return type(model) is Functional


def functional_of(model: keras.Sequential) -> keras.Model | None:
    """Return the functional model behind a Sequential one, None where it is not built."""
    return model._functional


def nodes(model: keras.Model) -> list[Any]:
    """Return Keras' records of the calls of a functional model, each after those that it depends on."""
    return [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]


def maker(tensor: Any) -> Any:
    """Return the layer or operation that returns a symbolic tensor of Keras 3, or the layer of one of `tf_keras`."""
    history = tensor._keras_history
    return history.operation if hasattr(history, "operation") else history.layer


def node_of(tensor: Any) -> Any:
    """Return Keras' record of the call that returned a symbolic tensor, None where no call did."""
    history = getattr(tensor, "_keras_history", None)
    return history.operation._inbound_nodes[history.node_index] if history and history.operation else None


def add_call(operation: keras.Operation, args: Any, kwargs: Any, outputs: Any) -> None:
    """Record that calling an operation returned `outputs`, new symbolic tensors."""
    Node(operation=operation, call_args=args, call_kwargs=kwargs, outputs=outputs)


def run_graph(model: keras.Model, inputs: Any, call: Callable[..., Any]) -> Any:
    """Return what a functional model makes of `inputs` when `call(operation, *args, **kwargs)` makes its calls."""

    def bound(operation: keras.Operation) -> Callable[..., Any]:
        return lambda *args, **kwargs: call(operation, *args, **kwargs)

    return model._run_through_graph(inputs, operation_fn=bound)


def with_training(operation: keras.Operation, training: bool | None) -> Callable[..., Any]:
    """Return the operation as a function that passes `training` on where it takes it."""
    bound: Callable[..., Any] = operation_fn(operation, training=training)
    return bound


def sublayers(operation: keras.Operation) -> list[keras.Layer]:
    """Return the layers that a layer holds."""
    return list(getattr(operation, "_layers", ()))


def own_variables(layer: keras.Layer) -> list[Any]:
    """Return the variables that a layer holds itself, not in layers within it."""
    seeds = [generator.state for generator in layer._seed_generators]
    return [*layer._trainable_variables, *layer._non_trainable_variables, *seeds]


def mask_of(tensor: keras.KerasTensor) -> Any:
    """Return the mask that a symbolic tensor carries, None where it has none."""
    return getattr(tensor, "_keras_mask", None)


def is_reshape(operation: keras.Operation) -> bool:
    """Return whether an operation is `keras.ops.reshape`."""
    kind = type(operation)
    return f"{kind.__module__}.{kind.__qualname__}" == RESHAPE


def settings(operation: keras.Operation) -> dict[str, Any]:
    """Return what an operation that is not a layer was made with."""
    return {key: value for key, value in vars(operation).items() if not key.startswith("_") and key != "name"}


def snake_case(name: str) -> str:
    """Return the name that Keras gives to the first layer of a class of that name."""
    snake: str = to_snake_case(name)
    return snake


def renamed(operation: keras.Operation, name: str) -> keras.Operation:
    """Return an operation with the same variables, layers and settings under another name, which no graph holds yet."""
    twin: keras.Operation = object.__new__(type(operation))
    twin.__dict__.update(operation.__dict__, name=name, _inbound_nodes=[], _outbound_nodes=[])
    return twin


@contextlib.contextmanager
def watched_moments(norm: keras.layers.BatchNormalization, seen: Callable[[Any, Any], None]) -> Iterator[None]:
    """Have mean and variance of a batch given to `seen` at each call of a batch norm that trains, within the block."""
    measured = norm._moments

    def moments(*args: Any, **kwargs: Any) -> Any:
        found = measured(*args, **kwargs)
        seen(*found)
        return found

    norm._moments = moments
    try:
        yield
    finally:
        del norm._moments


def lambda_arguments(layer: keras.layers.Lambda) -> dict[str, Any]:
    """Return what a Lambda was made with: from its config Keras makes Python's byte code, and only after asking."""
    return {
        "function": layer.function,
        "output_shape": layer._output_shape,
        "mask": layer.mask,
        "arguments": layer.arguments,
    }
