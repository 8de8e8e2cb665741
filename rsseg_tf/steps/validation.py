"""Validation: several workers predict a part of the split each, and all of them learn the score of the whole."""

from __future__ import annotations

from collections.abc import Callable

import keras

from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.resize import resized_image, resized_mask
from rsseg_tf.edge.evaluate import evaluate
from rsseg_tf.edge.predict import Predictor
from rsseg_tf.metrics import ConfusionMatrix
from rsseg_tf.settings import Config
from rsseg_tf.steps.keras_predictor import keras_predictor
from rsseg_tf.training.strategy import Replicas

_SPLIT = "val"
_ALONE = Replicas()


def validation(
    model: keras.Model, dataset: Dataset, config: Config, replicas: Replicas = _ALONE
) -> Callable[[], float]:
    """A function that scores the model, as its weights are then, on the val split: mIoU from 0 to 1.

    Every worker has to call it at the same point of its work.
    """
    predictor = keras_predictor(model, dataset.palette, config)
    if replicas.processes == 1:
        return lambda: evaluate(predictor, dataset, _SPLIT).miou
    return lambda: _together(predictor, dataset, replicas)


def _together(predictor: Predictor, dataset: Dataset, replicas: Replicas) -> float:
    confusion = ConfusionMatrix(dataset.palette.num_classes)
    for sample in dataset.samples(_SPLIT)[replicas.process :: replicas.processes]:
        image, mask = dataset.read(sample)
        if predictor.fitting == "resize":
            image, mask = resized_image(image, predictor.input_size), resized_mask(mask, predictor.input_size)
        confusion.update(mask, predictor.classes(image))
    (counts,) = replicas.summed([confusion.counts])
    confusion.counts = counts.astype(confusion.counts.dtype)
    return confusion.miou
