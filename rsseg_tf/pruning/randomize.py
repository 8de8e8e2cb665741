"""Random weights that hide nothing, for verifying networks that were never trained.

With biases of 0 and scales of 1 a wrongly sliced bias does not show; with statistics that have nothing to do
with the data, the input's share of the output fades by a factor a layer (to 1e-7 in MobileNetV3), and with it
whatever goes wrong in the first layers. So biases, slopes and batch norms become random, and kernels and
statistics are fitted to what flows through, one layer after the other.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import tree
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs import Call, calls, flatten, refresh

_BATCH = 8
_HOMOGENEOUS = (None, keras.activations.linear, keras.activations.relu)
"""Activations under which the output grows as the kernel does."""

Values = NDArray[np.float64]


def randomize(model: keras.Model, seed: int = 0, *, x: Any = None) -> None:
    """Give `model` random biases, scales, offsets, slopes and statistics under which its input still matters.

    Args:
        model: changed in place.
        seed: of everything random.
        x: a batch of inputs that kernels and statistics are fitted to; drawn at random by default.

    Raises:
        ModelError: if no inputs can be drawn because sizes are open, or the model's graph cannot be read.
    """
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        _randomize_variable(variable, rng)
    flat = flatten(model)
    known = dict(zip(map(id, tree.flatten(flat.input)), tree.flatten(_given(model, x, rng)), strict=True))
    for operation in flat.operations:
        refresh(operation)
    for call in calls(flat):
        _fit(call, known, rng)
        known.update(zip(map(id, call.outputs), tree.flatten(call.run(known)), strict=True))


def random_inputs(model: keras.Model, *, batch: int = 2, seed: int = 1) -> Any:
    """Return inputs in the structure that `model` takes: standard normal, or 0 and 1 where it takes integers.

    Raises:
        ModelError: if a size is open.
    """
    rng = np.random.default_rng(seed)

    def draw(tensor: keras.KerasTensor) -> NDArray[Any]:
        shape = tensor.shape[1:]
        if None in shape:
            raise ModelError(f"the input size {tuple(shape)} of `{model.name}` is open", hint="give inputs of your own")
        if keras.backend.is_float_dtype(tensor.dtype):
            return rng.normal(0, 1, (tensor.shape[0] or batch, *shape)).astype(np.float32)
        return rng.integers(0, 2, (tensor.shape[0] or batch, *shape)).astype(tensor.dtype)

    return tree.map_structure(draw, flatten(model).input)


def _given(model: keras.Model, x: Any, rng: np.random.Generator) -> Any:
    x = random_inputs(model, batch=_BATCH, seed=int(rng.integers(2**31))) if x is None else x
    return tree.map_structure(keras.ops.convert_to_tensor, x)


def _randomize_variable(variable: Any, rng: np.random.Generator) -> None:
    name = variable.path.rsplit("/", 1)[-1]
    if not keras.backend.is_float_dtype(variable.dtype):
        return
    if "variance" in name or "gamma" in name:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    elif len(variable.shape) <= 1 or "alpha" in name:
        variable.assign(rng.normal(0.0, 0.3, variable.shape))


def _fit(call: Call, known: dict[int, Any], rng: np.random.Generator) -> None:
    layer = call.operation
    if isinstance(layer, keras.layers.BatchNormalization):
        _fit_statistics(layer, keras.ops.convert_to_numpy(known[id(call.inputs[0])]).astype(np.float64), rng)
    elif getattr(layer, "activation", None) in _HOMOGENEOUS:
        kernels = [weight for weight in getattr(layer, "weights", ()) if "kernel" in weight.name]
        if kernels and len(call.outputs) == 1:
            _fit_kernels(kernels, _spread_without_bias(call, known))


def _fit_statistics(layer: keras.layers.BatchNormalization, x: Values, rng: np.random.Generator) -> None:
    """Set statistics near those of `x`: nearly, so that they do not cancel."""
    others = tuple(axis for axis in range(x.ndim) if axis != layer.axis % x.ndim)
    mean, variance = x.mean(axis=others), x.var(axis=others)
    variance = np.where(variance > 0, variance, 1.0) * rng.uniform(0.5, 1.5, variance.shape)
    layer.moving_mean.assign(mean + np.sqrt(variance) * rng.normal(0.0, 0.3, mean.shape))
    layer.moving_variance.assign(variance)


def _fit_kernels(kernels: list[Any], spread: float) -> None:
    if np.isfinite(spread) and spread > 0:
        for kernel in kernels:
            kernel.assign(kernel * spread ** (-1 / len(kernels)))


def _spread_without_bias(call: Call, known: dict[int, Any]) -> float:
    """Return the standard deviation of a layer's output within its channels, as if the bias were 0."""
    biases = [weight for weight in getattr(call.operation, "weights", ()) if weight.name == "bias"]
    kept = [keras.ops.convert_to_numpy(bias) for bias in biases]
    for bias in biases:
        bias.assign(np.zeros(bias.shape))
    y = keras.ops.convert_to_numpy(call.run(known)).astype(np.float64)
    for bias, value in zip(biases, kept, strict=True):
        bias.assign(value)
    return float(np.sqrt(y.var(axis=tuple(range(y.ndim - 1))).mean()))
