"""Quantization-aware training as part of an export: batches, loss and teacher from the settings."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import keras
import tensorflow as tf

from rsseg_tf.config import Config, DistillConfig
from rsseg_tf.datasets import Dataset
from rsseg_tf.quantization.calibration import Calibration
from rsseg_tf.quantization.qat.fake_quant import quantization_aware
from rsseg_tf.quantization.qat.train import Objective, convert_student, fine_tune
from rsseg_tf.steps.shared.progress import TrainingProgress
from rsseg_tf.steps.shared.training_data import training_loss, training_schedule
from rsseg_tf.training.distill import distillation_loss
from rsseg_tf.training.loop import EpochRow
from rsseg_tf.training.losses import Loss


def qat_flatbuffer(model: keras.Model, dataset: Dataset, config: Config, calibration: Calibration) -> bytes:
    """The int8 TFLite file of `model` after quantization-aware training on the training split.

    The model stays as it is; it is also the teacher.

    Raises:
        ModelError: a layer of the model cannot be bridged to `tf_keras` or quantized.
        RssegError: the loss became infinite or NaN.
    """
    keras.utils.set_random_seed(config.seed)
    settings = config.export.qat
    student = quantization_aware(model, calibration.images)
    fitting = replace(config.fit, batch_size=settings.batch_size, steps_per_epoch=settings.steps_per_epoch)
    schedule = training_schedule(dataset, config, fitting)
    loss = training_loss(schedule, fitting, num_classes=len(dataset.palette.names))
    fine_tune(
        student,
        schedule.batches,
        objective=_objective(model, loss, settings.distill),
        settings=settings,
        steps=schedule.steps,
        progress=_Progress(settings.epochs),
    )
    return convert_student(student, head=config.export.head)


def _objective(teacher: keras.Model, loss: Loss, settings: DistillConfig) -> Objective:
    def objective(pixels: tf.Tensor, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        cost = loss(labels, logits)
        if settings.weight == 0:
            return cost
        target = tf.stop_gradient(teacher(pixels, training=False))
        distance = distillation_loss(target, logits, temperature=settings.temperature)
        return (1 - settings.weight) * cost + settings.weight * distance

    return objective


class _Progress:
    """Tells of the training on stderr as every training does."""

    def __init__(self, epochs: int) -> None:
        self._told = TrainingProgress("qat", epochs)
        self._started = time.monotonic()

    def step(self, *, epoch: int, step: int, steps: int, loss: float) -> None:
        self._told.step(epoch=epoch, step=step, steps=steps, loss=loss)

    def epoch(self, *, epoch: int, loss: float, learning_rate: float) -> None:
        seconds, self._started = time.monotonic() - self._started, time.monotonic()
        self._told.epoch(EpochRow(epoch, learning_rate, loss, math.nan, seconds))
