"""One gradient step: in parts that fit in memory, and shared among replicas, with the result of the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import tensorflow as tf

from rsseg_tf.config import Distillation, Recipe
from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.tracing.dilation import native_dilation
from rsseg_tf.training.distill import distillation_loss
from rsseg_tf.training.losses import Loss
from rsseg_tf.training.strategy import Replicas, check_shares

_ALONE = Replicas()


@dataclass(frozen=True)
class Teacher:
    """A trained model to learn from, and how.

    Attributes:
        model: maps the same pixels to logits.
        settings: how much it counts.
        classes: its number of each class of the data; empty where it numbers them as the data do.
    """

    model: keras.Model
    settings: Distillation
    classes: tuple[int, ...] = ()


def new_optimizer(settings: Recipe) -> keras.Optimizer:
    """Return the optimizer that the settings name, not built."""
    if settings.optimizer == "sgd":
        return keras.optimizers.SGD(settings.learning_rate, momentum=settings.momentum)
    optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def train_step(
    model: keras.Model,
    optimizer: keras.Optimizer,
    settings: Recipe,
    *,
    loss: Loss,
    teacher: Teacher | None = None,
    replicas: Replicas = _ALONE,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return one traced gradient step, from images uint8 and labels of a batch to the loss before L2.

    L2 is added to the gradients, λ·w for λ/2·‖w‖², of everything but biases: MATLAB's `L2Regularization`
    with its default factors, which the paper trained with. Of `settings.accumulate` parts and of replicas
    the losses and gradients are averaged by the pixels that count, those of a teacher by images, so that they equal
    those of the whole batch. Three things are of one part: a loss that looks at many pixels together (Dice, Lovász, the
    hardest pixels), the mean of pixels that weigh by their class, and, of all replicas together, batch statistics.

    Raises:
        ConfigError: if the batch cannot be shared evenly.
    """
    check_shares(settings.batch_size, replicas, settings.accumulate)
    variables = model.trainable_variables
    factors = [0.0 if variable.name.endswith("bias") else settings.l2 / replicas.count for variable in variables]

    def part(images: tf.Tensor, labels: tf.Tensor, pixels_in_batch: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return a part's share of the loss and of the gradients."""
        pixels = tf.cast(images, tf.float32)
        with tf.GradientTape() as tape:
            logits = model(pixels, training=True)
            cost = loss(labels, logits) * tf.math.divide_no_nan(_counted(labels), pixels_in_batch)
            if teacher is not None:  # which knows all pixels, those without a label too
                cost *= 1 - teacher.settings.weight
                cost += _distillation(teacher, pixels, logits) / (settings.accumulate * replicas.count)
        return cost, tape.gradient(cost, variables)

    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        pixels_in_batch = context.all_reduce(tf.distribute.ReduceOp.SUM, _counted(labels))
        if settings.accumulate == 1:
            cost, gradients = part(images, labels, pixels_in_batch)
        else:
            parts = [_split(values, settings.accumulate) for values in (images, labels)]
            cost, gradients = _accumulated(part, parts, pixels_in_batch, variables)
        gradients = [
            gradient + factor * variable if factor else gradient
            for gradient, factor, variable in zip(gradients, factors, variables, strict=True)
        ]
        optimizer.apply(gradients, variables)
        return context.all_reduce(tf.distribute.ReduceOp.SUM, cost)

    traced = replicas.traced(step)
    models = [model] if teacher is None else [model, teacher.model]

    def run(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with native_dilation(*models):
            return replicas.run(traced, (images, labels))

    return run


def _accumulated(
    part: Callable[..., tuple[tf.Tensor, list[tf.Tensor]]],
    parts: list[tf.Tensor],
    pixels_in_batch: tf.Tensor,
    variables: list[keras.Variable],
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Return the sums of all parts' costs and gradients, one part in memory at a time."""
    images, labels = parts
    start = (tf.constant(0), tf.constant(0.0), [tf.zeros(variable.shape, variable.dtype) for variable in variables])

    def add(
        index: tf.Tensor, cost: tf.Tensor, gradients: list[tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        more_cost, more = part(images[index], labels[index], pixels_in_batch)
        return index + 1, cost + more_cost, [a + b for a, b in zip(gradients, more, strict=True)]

    _, cost, gradients = tf.while_loop(
        lambda index, *_sums: index < len(images), add, start, parallel_iterations=1, maximum_iterations=len(images)
    )
    return cost, gradients


def _split(values: tf.Tensor, parts: int) -> tf.Tensor:
    """Return (N, …) reshaped to (parts, N / parts, …)."""
    return tf.reshape(values, (parts, values.shape[0] // parts, *values.shape[1:]))


def _counted(labels: tf.Tensor) -> tf.Tensor:
    """Return how many pixels are not ignored, float32."""
    return tf.reduce_sum(tf.cast(tf.not_equal(tf.cast(labels, tf.int32), IGNORE), tf.float32))


def _distillation(teacher: Teacher, pixels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return what a teacher's predictions add to the loss."""
    target = tf.stop_gradient(teacher.model(pixels, training=False))
    if teacher.classes:
        target = tf.gather(target, teacher.classes, axis=-1)
    return teacher.settings.weight * distillation_loss(target, logits, temperature=teacher.settings.temperature)
