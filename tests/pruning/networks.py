"""A tiny network with data, for what needs gradients."""

import keras
import numpy as np
from keras import layers

from tests.pruning.law import randomize


def tiny_network():
    """stem conv → BN → ReLU → conv with a fused ReLU and bias → 1×1 classifier."""
    keras.utils.set_random_seed(5)  # `randomize` fits the kernels that it finds
    x = inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, use_bias=False, name="stem")(x)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_bn")(x))
    x = layers.Conv2D(6, 3, activation="relu", name="middle")(x)
    x = layers.Conv2D(8, 1, name="last")(x)
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="classifier")(x))
    randomize(model, seed=5)
    return model


def batches(count=2, size=3):
    rng = np.random.default_rng(7)
    return [
        (rng.normal(size=(size, 6, 6, 3)).astype(np.float32), rng.normal(size=(size, 2, 2, 2)).astype(np.float32))
        for _ in range(count)
    ]


def loss(y, prediction):
    return keras.ops.mean(keras.ops.square(y - prediction))
