"""TensorFlow Model Optimization's magnitude sparsity on a Keras 3 model.

Its wrapper takes tf_keras layers only, but the class beneath it, which holds the schedule and computes the
masks, works on plain `tf.Variable`s, and those are what a Keras 3 variable holds. So the library's own code decides
what is zeroed, layer by layer, with no second model. The wrapper multiplies the kernels by the masks before each
forward pass; here a constraint does so after each gradient step, which is the same sequence of weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import tensorflow as tf

from rsseg_tf.errors import ModelError
from rsseg_tf.quantization.qat.tfmot import tfmot

_SPARSITY = "python.core.sparsity.keras"


class MagnitudeMasks:
    """Masks over the kernels of a model that keep the largest weights of each.

    Args:
        model: its kernels are masked in place by `hold`.
        kept_share: share of the model's parameters to leave other than zero; only kernels are zeroed.

    Raises:
        ModelError: if the other parameters alone are more.
    """

    def __init__(self, model: keras.Model, *, kept_share: float) -> None:
        self._kernels = list(prunable_kernels(model))
        self._masks = [tf.Variable(tf.ones(kernel.shape), trainable=False) for kernel in self._kernels]
        sparsity = kernel_sparsity(model, self._kernels, kept_share)
        variables = [
            (kernel.value, mask, tf.Variable(0.0, trainable=False))
            for kernel, mask in zip(self._kernels, self._masks, strict=True)
        ]
        with tfmot(f"{_SPARSITY}.pruning_schedule") as schedules, tfmot(f"{_SPARSITY}.pruning_impl") as masking:
            self._pruning = masking.Pruning(
                training_step_fn=lambda: tf.constant(0),
                pruning_vars=variables,
                pruning_schedule=schedules.ConstantSparsity(sparsity, begin_step=0),
                block_size=(1, 1),
                block_pooling_type="AVG",
            )

    def hold(self) -> None:
        """Have the library compute and apply the masks, and keep them through any training."""
        self._pruning.conditional_mask_update()
        self._pruning.weight_mask_op()
        for kernel, mask in zip(self._kernels, self._masks, strict=True):
            kernel.constraint = _Masked(mask)


class _Masked(keras.constraints.Constraint):
    """What an optimizer does to a variable after each step: multiply it by a mask."""

    def __init__(self, mask: tf.Variable) -> None:
        self._mask = mask

    def __call__(self, value: tf.Tensor) -> tf.Tensor:
        return value * self._mask


def prunable_kernels(model: keras.Model) -> Iterator[keras.Variable]:
    """Yield the weights that the library's registry names for each kind of layer.

    Raises:
        ModelError: if it knows no layer of a kind, and would refuse the model.
    """
    with tfmot(f"{_SPARSITY}.prune_registry") as registry:
        known = {kind.__name__: names for kind, names in registry.PruneRegistry._LAYERS_WEIGHTS_MAP.items()}
    for layer in model.layers:
        names = known.get(type(layer).__name__)
        if names is None and layer.weights:
            raise ModelError(f"TFMOT prunes no layer of the kind {type(layer).__name__} (`{layer.name}`)")
        yield from (getattr(layer, name) for name in names or ())


def kernel_sparsity(model: keras.Model, kernels: list[keras.Variable], kept_share: float) -> float:
    """Return share of the kernels to zero so that `kept_share` of all trainable parameters stays.

    Raises:
        ModelError: if the parameters outside the kernels are more than that.
    """
    total = sum(int(tf.size(variable.value)) for variable in model.trainable_variables)
    in_kernels = sum(int(tf.size(kernel.value)) for kernel in kernels)
    sparsity = (1 - kept_share) * total / in_kernels
    if sparsity >= 1:
        raise ModelError(f"only {in_kernels / total:.1%} of the parameters are kernels, {1 - kept_share:.1%} are to go")
    return sparsity


def nonzero_params(model: keras.Model) -> int:
    """Return how many trainable parameters are not zero."""
    return sum(int(tf.math.count_nonzero(variable.value)) for variable in model.trainable_variables)


def copy_of(model: keras.Model) -> keras.Model:
    """Return a model of its own with the same weights."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy
