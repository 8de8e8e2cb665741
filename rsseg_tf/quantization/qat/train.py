"""Quantization-aware training and the int8 file that comes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import tensorflow as tf

from rsseg_tf.config import QatConfig
from rsseg_tf.errors import ConfigError, RssegError
from rsseg_tf.graphs.private import maker
from rsseg_tf.quantization.convert import run_converter
from rsseg_tf.quantization.freeze import check_head, class_map, freeze
from rsseg_tf.quantization.qat.bridge import short_name
from rsseg_tf.quantization.qat.fake_quant import is_batch_norm, renew_weight_ranges
from rsseg_tf.tracing.dilation import native_dilation

Objective = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

_LEARNED = ("kernel", "depthwise_kernel", "pointwise_kernel", "bias", "gamma", "beta", "alpha")


class Progress(Protocol):
    """Where the training tells how far it is; `epoch` and `step` count from 1."""

    def step(self, *, epoch: int, step: int, steps: int, loss: float) -> None:
        """After every step, with the mean loss of the epoch so far."""

    def epoch(self, *, epoch: int, loss: float, learning_rate: float) -> None:
        """After every epoch."""


def fine_tune(
    student: Any,
    batches: Callable[[int], Iterable[tuple[Any, Any]]],
    *,
    objective: Objective,
    settings: QatConfig,
    steps: int,
    progress: Progress,
) -> None:
    """Train a quantization-aware model in place by Adam, with a learning rate that falls to zero as a cosine.

    Args:
        student: from `fake_quant.quantization_aware`.
        batches: epoch, counted from 0 → `steps` pairs of images uint8 (B, H, W, 3) and labels (B, H, W).
        objective: of pixels float32 (B, H, W, 3), labels and the student's logits; a scalar.
        settings: epochs and learning rate.
        steps: batches an epoch.
        progress: is told of every step and epoch.

    Raises:
        RssegError: the loss became infinite or NaN.
    """
    import tf_keras

    rates = tf_keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.epochs * steps)
    step_on = _train_step(student, tf_keras.optimizers.Adam(rates), objective)
    for epoch in range(settings.epochs):
        total = 0.0
        for number, (images, labels) in enumerate(batches(epoch), start=1):
            loss = float(step_on(images, labels))
            if not math.isfinite(loss):
                raise RssegError(
                    f"the loss became {loss} in epoch {epoch + 1}, step {number} of the quantization-aware training",
                    hint="lower export.qat.learning_rate",
                )
            total += loss
            progress.step(epoch=epoch + 1, step=number, steps=steps, loss=total / number)
        progress.epoch(epoch=epoch + 1, loss=total / steps, learning_rate=float(rates(epoch * steps)))
    renew_weight_ranges(student)


def convert_student(student: Any, *, head: str = "logits") -> bytes:
    """The int8 TFLite flatbuffer of a quantization-aware model, frozen at batch 1; it takes the camera's uint8 pixels.

    Args:
        student: from `fake_quant.quantization_aware`, trained or not.
        head: a name in `rsseg_tf.quantization.freeze.HEADS`.

    Raises:
        ConfigError: an unknown head, or one that the model does not have.
        ModelError: the model cannot be converted.
    """
    import tf_keras

    check_head(head)
    model = tf_keras.Model(student.inputs, _before_last_upsampling(student)) if head == "logits-low" else student

    def forward(image: tf.Tensor) -> tf.Tensor:
        logits = model(image, training=False)
        return class_map(logits) if head == "classes" else logits

    def configure(converter: Any) -> None:
        # The ranges are in the graph, so the converter needs no images; asked for integer ops alone, it would insist.
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8 if head == "classes" else tf.int8

    return run_converter(freeze(forward, student.input_shape[1:]), configure, name=student.name)


def _before_last_upsampling(student: Any) -> Any:
    import tf_keras

    last = maker(student.outputs[0])
    inside = getattr(last, "layer", last)
    if not (isinstance(inside, tf_keras.layers.UpSampling2D) and inside.interpolation == "bilinear"):
        raise ConfigError(
            f"`{student.name}` ends in `{last.name}`, not in a bilinear upsampling, so it has no `logits-low` head",
            hint="use the head `logits`",
        )
    return last.input


def _train_step(student: Any, optimizer: Any, objective: Objective) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    variables = _learned(student)

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(images, tf.float32)
        with tf.GradientTape() as tape:
            cost = objective(pixels, labels, student(pixels, training=True))
        optimizer.apply_gradients(zip(tape.gradient(cost, variables), variables, strict=True))
        return cost

    def run(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with native_dilation(student):
            return step(images, labels)

    return run


def _learned(student: Any) -> list[tf.Variable]:
    """What the training changes, each once: a wrapped batch norm names its scale and offset twice."""
    found = {
        weight.ref(): weight
        for layer in student.layers
        for weight in layer.weights
        if short_name(weight) in _LEARNED and (layer.trainable or is_batch_norm(layer))
    }
    return list(found.values())
