"""The proof that a plan is exact: what mask leaves computes what rebuild makes, and a saved file the same."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import tree
from numpy.typing import NDArray

from rsseg_tf.errors import first_line
from rsseg_tf.pruning.cost import cost
from rsseg_tf.pruning.groups import find_groups
from rsseg_tf.pruning.plan import Plan
from rsseg_tf.pruning.randomize import random_inputs
from rsseg_tf.pruning.rebuild import mask, rebuild
from rsseg_tf.pruning.rules.table import Rules

TOLERANCE = 1e-4
"""Largest error that float32 rounding explains, as a share of the outputs' scale."""

_HALF_PRECISION_TOLERANCE = {"float16": 0.01, "bfloat16": 0.08}
"""The same where layers compute in half precision: about ten of its smallest steps."""


@dataclass(frozen=True)
class Verification:
    """How far a model and a plan are from exact; errors are largest differences over the output's largest value.

    Attributes:
        masked_error: between the masked and the rebuilt model.
        identity_error: between the model and what a plan that keeps everything makes of it.
        reload_error: between the rebuilt model and its file, loaded with no custom objects; None where it
            does not load.
        params_predicted: parameters of the rebuilt model, as the plan predicts them.
        params_built: its parameters.
        signal: how far the model's outputs for two inputs are apart. Where this is small, most of the output is
            constant, and so would be errors near the input.
        cost_as_predicted: whether every layer's parameters, multiply-accumulates and bytes are as predicted.
        tolerance: largest error that rounding explains.
        reload_fault: why the file does not load; empty where it does.
    """

    masked_error: float
    identity_error: float
    reload_error: float | None
    signal: float
    params_predicted: int
    params_built: int
    cost_as_predicted: bool
    tolerance: float = TOLERANCE
    reload_fault: str = ""

    @property
    def largest_error(self) -> float:
        """The largest of the errors; NaN where an output is not a number."""
        return float(np.max([self.masked_error, self.identity_error, self.reload_error or 0.0]))

    @property
    def holds(self) -> bool:
        """Whether the errors are no more than rounding, the cost is as predicted and the file loads."""
        loads = self.reload_error is not None
        return loads and self.largest_error <= self.tolerance and self.cost_as_predicted

    def __str__(self) -> str:
        verdict = "exact" if self.holds else "NOT exact"
        fault = f"not loadable ({self.reload_fault})"
        reloaded = fault if self.reload_error is None else f"by {self.reload_error:.1e}"
        return (
            f"{verdict}: masked and rebuilt differ by {self.masked_error:.1e} of the output's scale, model and "
            f"keep-all by {self.identity_error:.1e}, saved and loaded {reloaded}, "
            f"two inputs by {self.signal:.1e}; {self.params_built:,} parameters, {self.params_predicted:,} predicted"
        )


def verify(model: keras.Model, plan: Plan, x: Any = None, *, seed: int = 0, rules: Rules | None = None) -> Verification:
    """Return how exactly a plan can be carried out on a model, which stays as it is.

    A network that was never trained hides errors behind biases of 0 and scales of 1: `randomize` it first.

    Args:
        model: the dense model.
        plan: made for it.
        x: a batch of at least two inputs in the structure that the model takes; drawn at random by default.
        seed: of the random inputs.
        rules: for layers that `RULES` does not know, as for `find_groups`.

    Raises:
        ModelError: if the plan was made for another model, or no inputs can be drawn because sizes are open.

    Examples:
        >>> from rsseg_tf import pruning
        >>> x = keras.Input((8, 8, 3))
        >>> y = keras.layers.Conv2D(4, 3, activation="relu")(x)
        >>> model = keras.Model(x, keras.layers.Conv2D(2, 1)(y))
        >>> verify(model, pruning.random_plan(pruning.find_groups(model), 0.5, seed=0)).holds
        True
    """
    x = random_inputs(model, seed=seed) if x is None else x
    groups = find_groups(model, rules=rules)
    twin = rebuild(model, groups.plan(np.zeros(len(groups), bool)), rules=rules)
    dense_outputs = outputs(model, x)
    identity_error = distance(dense_outputs, outputs(twin, x))
    slim = rebuild(model, plan, rules=rules)
    mask(twin, plan, rules=rules)
    predicted, built = groups.cost(plan), cost(slim, rules=rules)
    slim_outputs = outputs(slim, x)
    reloaded, fault = _reloaded(slim)
    return Verification(
        masked_error=distance(outputs(twin, x), slim_outputs),
        identity_error=identity_error,
        reload_error=None if reloaded is None else distance(slim_outputs, outputs(reloaded, x)),
        signal=distance([y[:1] for y in dense_outputs], [y[-1:] for y in dense_outputs]),
        params_predicted=predicted.params,
        params_built=built.params,
        cost_as_predicted=predicted == built,
        tolerance=_tolerance(twin),
        reload_fault=fault,
    )


def outputs(model: keras.Model, x: Any) -> list[NDArray[Any]]:
    """Return what `model` makes of `x`, in inference."""
    return [keras.ops.convert_to_numpy(y) for y in tree.flatten(model(x, training=False))]


def distance(first: list[NDArray[Any]], second: list[NDArray[Any]]) -> float:
    """Return the largest absolute difference over the largest absolute value, of all outputs; NaN where one is NaN."""
    pairs = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(first, second, strict=True)]
    return float(np.max([np.abs(a - b).max() / max(np.abs(a).max(), 1e-30) for a, b in pairs]))


def _reloaded(model: keras.Model) -> tuple[keras.Model | None, str]:
    """Return the model once saved and loaded; None and why, where that takes custom objects or cannot be done."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "slim.keras")
        try:
            model.save(path)
            return keras.saving.load_model(path, compile=False), ""
        except Exception as error:  # A layer's own code may raise anything.
            return None, _why(error)


def _why(error: Exception) -> str:
    """Return why Keras did not load a file: the innermost of the errors that it tells of."""
    unknown = re.search(r"Could not locate \w+ '([^']+)'", str(error))
    if unknown:
        return f"`{unknown[1]}` is not registered with Keras"
    kinds = re.findall(r"deserializing class '(\w+)'", str(error))
    causes = re.findall(r"Exception encountered: (.+)", str(error))
    if kinds and causes:
        return f"`{kinds[-1]}` cannot be made again from its get_config: {causes[-1]}"
    return first_line(error)


def _tolerance(model: keras.Model) -> float:
    return max(_HALF_PRECISION_TOLERANCE.get(layer.compute_dtype, TOLERANCE) for layer in model.layers)
