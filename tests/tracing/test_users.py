"""Whatever traces a model to compute much with it does so with dilated convolutions in one op."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from rsseg_tf import pruning
from rsseg_tf.config import FitConfig
from rsseg_tf.pruning.loop.recalibrate import recalibrate
from rsseg_tf.pruning.scoring.criteria import Scorer
from rsseg_tf.quantization.paper import ranges
from rsseg_tf.steps.shared.keras_predictor import model_infer
from rsseg_tf.tracing import dilation
from rsseg_tf.training.losses import cross_entropy
from rsseg_tf.training.step import new_optimizer, train_step

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
LABELS = np.zeros((2, 16, 16), np.uint8)
BATCHES = [(IMAGES.astype(np.float32), LABELS)]


def train(model: keras.Model) -> None:
    settings = FitConfig(batch_size=2)
    optimizer = new_optimizer(settings)
    optimizer.build(model.trainable_variables)
    train_step(model, optimizer, settings, loss=cross_entropy())(tf.constant(IMAGES), tf.constant(LABELS))


USERS = {
    "training": train,
    "scores": lambda model: Scorer(model, criterion="taylor-bn", loss=cross_entropy())(BATCHES),
    "the oracle": lambda model: pruning.oracle(model, pruning.find_groups(model), BATCHES, loss=cross_entropy()),
    "recalibration": lambda model: recalibrate(model, BATCHES),
    "prediction": lambda model: model_infer(model)(IMAGES),
    "ranges": lambda model: ranges.measure(model, [BATCHES[0][0]]),
}


@pytest.mark.parametrize("name", USERS)
def test_it_computes_in_one_op(name, monkeypatch):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", dilation_rate=2, use_bias=False, name="dilated")(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1)(x))
    asked = []
    monkeypatch.setattr(dilation, "has_gradient", lambda dtype: asked.append(dtype) or True)
    USERS[name](model)

    assert asked
