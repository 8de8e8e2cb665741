"""Validation: several workers predict a part of the split each, and all of them learn the score of the whole."""

from __future__ import annotations

from collections.abc import Callable

import keras

from rsseg_tf.config import Config
from rsseg_tf.datasets import Dataset
from rsseg_tf.evaluation.scoring import Evaluation, evaluate
from rsseg_tf.evaluation.share import WHOLE, Share
from rsseg_tf.steps.shared.keras_predictor import keras_predictor


def validation(model: keras.Model, dataset: Dataset, config: Config, share: Share = WHOLE) -> Callable[[], float]:
    """Return a function that scores the model, as its weights are then, on the val split: mIoU from 0 to 1.

    Every worker has to call it at the same point of its work.
    """
    evaluated = evaluation(model, dataset, config, share)
    return lambda: evaluated().miou


def evaluation(model: keras.Model, dataset: Dataset, config: Config, share: Share = WHOLE) -> Callable[[], Evaluation]:
    """Return a function that gives all scores of the model, as its weights are then, on the val split.

    Every worker has to call it at the same point of its work.
    """
    predictor = keras_predictor(model, dataset.palette, config)
    return lambda: evaluate(predictor, dataset, "val", settings=config.evaluate, share=share)
