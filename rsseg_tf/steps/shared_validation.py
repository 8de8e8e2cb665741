"""Validation by several workers: each predicts its part of the split, and all of them learn the score of the whole."""

from __future__ import annotations

from collections.abc import Callable

import keras

from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.resize import resized_image, resized_mask
from rsseg_tf.metrics import ConfusionMatrix
from rsseg_tf.settings import Config
from rsseg_tf.steps.keras_predictor import keras_predictor
from rsseg_tf.training.strategy import Replicas


def shared_validation(
    model: keras.Model, dataset: Dataset, config: Config, replicas: Replicas, *, split: str = "val"
) -> Callable[[], float]:
    """A function that scores the model, as its weights are then, on a split: mIoU from 0 to 1.

    Every worker has to call it at the same point of the training.
    """
    predictor = keras_predictor(model, dataset.palette, config)

    def score() -> float:
        confusion = ConfusionMatrix(dataset.palette.num_classes)
        for sample in dataset.samples(split)[replicas.process :: replicas.processes]:
            image, mask = dataset.read(sample)
            if predictor.fitting == "resize":
                image, mask = resized_image(image, predictor.input_size), resized_mask(mask, predictor.input_size)
            confusion.update(mask, predictor.classes(image))
        (counts,) = replicas.summed([confusion.counts])
        confusion.counts = counts.astype(confusion.counts.dtype)
        return confusion.miou

    return score
