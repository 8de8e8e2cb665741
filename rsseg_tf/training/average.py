"""The exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


class WeightAverage:
    """Averages of a model's float weights and moving statistics.

    Whole numbers, such as the state of a dropout or a count, have no average: the model keeps them as they are.

    Args:
        model: of Keras 3 or tf_keras.
        decay: 0 to 1, how much of the average each step keeps; with 0 there are no averages.

    Attributes:
        values: one for each averaged variable, to be saved and restored with the model.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        floats = [variable for variable in model.variables if keras.backend.is_float_dtype(variable.dtype)]
        self._variables = floats if decay else []
        self._decay = decay
        self.values = [tf.Variable(variable, trainable=False) for variable in self._variables]

    def update(self, step: int) -> None:
        """Take in the weights after `step`, counted from 0, with a warm-up so that the first steps fade quickly."""
        if self.values:
            decay = min(self._decay, (1 + step) / (10 + step))
            current = [tf.convert_to_tensor(variable.value) for variable in self._variables]
            _averaged(self.values, current, tf.constant(decay))

    def put(self) -> None:
        """Give the model the averages."""
        for variable, value in zip(self._variables, self.values, strict=True):
            variable.assign(value)


@tf.function
def _averaged(average: Sequence[tf.Variable], current: Sequence[tf.Tensor], decay: tf.Tensor) -> None:
    for mean, value in zip(average, current, strict=True):
        mean.assign(decay * mean + (1 - decay) * value)
