"""A few gradient steps on a model that changes between them."""

from __future__ import annotations

import itertools

import keras

from rsseg_tf.config import Recipe
from rsseg_tf.training.losses import Loss
from rsseg_tf.training.pipeline import BatchSchedule
from rsseg_tf.training.step import new_optimizer, train_step


class Tuner:
    """Trains a model for some steps at a constant learning rate, each time with a fresh optimizer.

    What it does depends on the model and the epoch alone, so an interrupted run can be repeated from any call.

    Args:
        schedule: the training batches.
        settings: optimizer, learning rate and L2.
        loss: of labels (N, H, W) and logits (N, H, W, C).
        steps: gradient steps a call, at most the steps of an epoch.
    """

    def __init__(self, schedule: BatchSchedule, settings: Recipe, *, loss: Loss, steps: int) -> None:
        self._schedule = schedule
        self._settings = settings
        self._loss = loss
        self._steps = steps
        self._model: keras.Model | None = None

    def __call__(self, model: keras.Model, epoch: int) -> None:
        """Train `model` on the first batches of `epoch`; a model that was trained last time is not traced again."""
        if model is not self._model:
            self._model = model
            self._optimizer = new_optimizer(self._settings)
            self._optimizer.build(model.trainable_variables)
            self._step = train_step(model, self._optimizer, self._settings, loss=self._loss)
        for variable in self._optimizer.variables:
            variable.assign(0 * variable)
        self._optimizer.learning_rate.assign(self._settings.learning_rate)
        for images, labels in itertools.islice(self._schedule.batches(epoch), self._steps):
            self._step(images, labels)
