"""Training batches and their loss from a configuration: what fit and prune share."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf import pruning
from rsseg_tf.config import AugmentConfig, Config, Recipe
from rsseg_tf.config.pruning import PruneConfig
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.datasets.parts import InParts, size_in_parts
from rsseg_tf.pruning.scoring.drawn_labels import drawn_labels
from rsseg_tf.training.losses import Loss, balanced_weights, cross_entropy, summed
from rsseg_tf.training.pipeline import BatchSchedule, Parts, TrainingSource
from rsseg_tf.training.region_losses import dice_loss, lovasz_softmax


def windows_of(dataset: Dataset, config: Config, augment: AugmentConfig, *, split: str = "train") -> TrainingSource:
    """Return windows of a split, changed at random as `augment` says."""
    samples = dataset.samples(split)

    @functools.cache
    def in_parts(index: int) -> Parts | None:
        size = size_in_parts(dataset, samples[index])
        if size is None or not isinstance(dataset, InParts):
            return None
        return Parts(size, functools.partial(dataset.read_part, samples[index]))

    return TrainingSource(
        read=lambda index: dataset.read(samples[index]),
        count=len(samples),
        size=config.data.input_size,
        crop=config.data.fitting == "crop",
        augment=augment,
        seed=config.seed,
        cache=config.data.cache,
        in_parts=in_parts,
        bands=config.data.num_bands,
    )


def training_schedule(dataset: Dataset, config: Config, fitting: Recipe) -> BatchSchedule:
    """Return batches of the training split, after every file of it has been read once.

    Raises:
        DataError: if a pair is missing or damaged.
    """
    source = windows_of(dataset, config, fitting.augment)
    if dataset.samples("train")[0].image is not None:  # Generated scenes cannot be damaged.
        source.preload()
    if fitting.class_sampling > 0:
        source = source.drawn_by_class(fitting.class_sampling, num_classes=dataset.palette.num_classes)
    return BatchSchedule.of(source, batch_size=fitting.batch_size, steps=fitting.steps_per_epoch)


def training_loss(schedule: BatchSchedule, fitting: Recipe, *, num_classes: int) -> Loss:
    """Return the loss that `fitting` asks for, with class weights from the training masks."""
    weights = _class_weights(schedule, fitting.class_weights, num_classes)
    pixels = cross_entropy(
        class_weights=weights, label_smoothing=fitting.label_smoothing, hard_pixels=fitting.hard_pixels
    )
    regions = [(fitting.dice, dice_loss()), (fitting.lovasz, lovasz_softmax())]
    return summed([(1.0, pixels), *(term for term in regions if term[0] > 0)])


def scoring_loss(schedule: BatchSchedule, config: Config, criterion: str, *, num_classes: int) -> Loss:
    """Return the loss that a criterion scores by, with the class weights that `config.prune` asks for.

    The cross-entropy of every pixel: of labels that are drawn from the model's predictions for `fisher`, else of the
    masks.
    """
    retrain = config.prune.retrain
    kind = retrain.class_weights if config.prune.class_weights == "retrain" else config.prune.class_weights
    if criterion == "fisher":
        return drawn_labels(class_weights=_class_weights(schedule, kind, num_classes), ignore=IGNORE)
    scored = replace(retrain, class_weights=kind, hard_pixels=1.0, dice=0.0, lovasz=0.0)
    return training_loss(schedule, scored, num_classes=num_classes)


def _class_weights(schedule: BatchSchedule, kind: str, num_classes: int) -> NDArray[np.float32] | None:
    return balanced_weights(schedule.source.class_counts(num_classes)) if kind == "balanced" else None


def float_batches(
    schedule: BatchSchedule, *, epoch: int, count: int, start: int = 0
) -> list[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Return `count` batches of an epoch from step `start` on: pixels float32 (B, h, w, bands), and labels."""
    return [(images.astype(np.float32), labels) for images, labels in schedule.first_batches(epoch, count, start=start)]


def recalibrate(model: keras.Model, schedule: BatchSchedule, settings: PruneConfig) -> None:
    """Measure the batch-norm statistics of `model` again on so many training batches, one at a time in memory."""
    batches = schedule.first_batches(0, settings.recalibration_batches)
    pruning.recalibrate(model, (images.astype(np.float32) for images, _ in batches))


def batches_as_asked(
    schedule: BatchSchedule, *, epoch: int, count: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Yield the batches of `float_batches`; those after the first are not read before the second is asked for."""
    yield from float_batches(schedule, epoch=epoch, count=1)
    yield from float_batches(schedule, epoch=epoch, count=count - 1, start=1)
