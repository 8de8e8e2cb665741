"""The paper's 8-bit scheme simulated in float: every tensor rounded to whole multiples of a power of two.

A device that follows section 2.3 keeps a sign and seven bits of each number. Here the same numbers are
computed with in float32, so that the network can be scored like any other Keras model.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras
import numpy as np
from keras import ops, tree
from numpy.typing import NDArray

from rsseg_tf.graphs import copy_graph
from rsseg_tf.quantization.paper.msb import Window
from rsseg_tf.quantization.paper.ranges import Ranges
from rsseg_tf.quantization.paper.tensors import KINDS, rounded_variables


def rounded(values: Any, window: Window) -> Any:
    """Return `values` as the 8 bits of `window` hold them: a tensor of the same shape and type.

    Rounded to the nearest whole step, halves away from zero, and saturated at ±127 steps, as the paper's examples
    are (a last bit worth 0.125 makes 2.1 into 2.125, 0.03125 into 0 and 16.25 into 15.875). Its remark that
    whatever is below one step becomes 0 would be truncation, which makes 2.1 into 2.

    Examples:
        >>> [float(value) for value in rounded(np.array([2.1, 0.03125, -16.25]), Window(high=3))]
        [2.125, 0.0, -15.875]
    """
    steps = ops.abs(values) / window.step
    whole = ops.floor(steps)
    # steps − whole is exact, where adding a half before rounding down is not.
    nearest = whole + ops.cast(steps - whole >= 0.5, steps.dtype)
    return ops.sign(values) * ops.minimum(nearest * window.step, window.limit)


@keras.saving.register_keras_serializable("rsseg_tf")
class PowerOfTwoRounding(keras.layers.Layer):
    """Rounds its input to what 8 bits hold; see `rounded`.

    Args:
        high: position of the window's first magnitude bit.
        **options: of every Keras layer.
    """

    def __init__(self, high: int, **options: Any) -> None:
        super().__init__(**options)
        self.high = high

    def call(self, values: Any) -> Any:
        """Return the rounded values."""
        return rounded(values, Window(self.high))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return what the layer can be rebuilt from."""
        return {**super().get_config(), "high": self.high}


def simulate(model: keras.Model, ranges: Ranges, *, kinds: Collection[str] = KINDS) -> keras.Model:
    """Return a functional model that computes what `model` would in 8-bit powers of two.

    Weights and biases are rounded once; every activation of `ranges` passes through a layer
    `{name}_rounding`. Sums inside a layer stay in float32, as a device keeps them in 32 bits.

    Args:
        model: the model that `ranges` were measured on.
        ranges: the windows.
        kinds: which tensors to round, of `KINDS`; the others stay in float32, to see what each costs.

    Examples:
        >>> from rsseg_tf.quantization.paper.ranges import measure
        >>> x = keras.Input((4, 4, 3))
        >>> model = keras.Model(x, keras.layers.Conv2D(2, 1, name="stem")(x))
        >>> [layer.name for layer in simulate(model, measure(model, [np.ones((1, 4, 4, 3))])).layers[1:]]
        ['stem', 'stem_rounding']
    """
    windows = {kind: ranges.windows(kind) if kind in kinds else {} for kind in KINDS}
    roundings = {
        name: PowerOfTwoRounding(window.high, name=f"{name}_rounding")
        for name, window in windows["activations"].items()
    }

    def call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        outputs = operation(*args, **kwargs)
        return tree.map_structure(roundings[operation.name], outputs) if operation.name in roundings else outputs

    simulated = copy_graph(model, call=call)
    copies = {operation.name: operation for operation in simulated.operations}
    stored = {variable.path: windows[kind].get(variable.path) for kind, _, variable in rounded_variables(model)}
    for layer in model.layers:
        copies[layer.name].set_weights([_as_stored(variable, stored.get(variable.path)) for variable in layer.weights])
    return simulated


def _as_stored(variable: Any, window: Window | None) -> NDArray[Any]:
    value = np.asarray(variable)
    return value if window is None else np.asarray(rounded(value, window))
