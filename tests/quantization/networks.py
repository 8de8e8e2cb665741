"""Small networks with weights that are not the initializer's."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers


def randomize(model: keras.Model, *, seed: int = 0) -> keras.Model:
    """The model itself, every weight drawn anew; variances stay positive."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            value = rng.normal(size=weight.shape, scale=0.5)
            weight.assign(np.abs(value) + 0.5 if "variance" in weight.name else value)
    return model


def small_network() -> keras.Model:
    """Every case of rounding: fused and unfused ReLUs, a sum, a join, and layers that only move values."""
    x = inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Rescaling(1 / 64, offset=-1, name="normalise")(x)
    x = layers.Conv2D(4, 3, use_bias=False, padding="same", name="stem_conv")(x)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = layers.ReLU(name="stem_relu")(x)
    x = pooled = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Conv2D(4, 1, activation="relu", name="middle")(x)
    x = layers.Add(name="add")([x, pooled])
    x = layers.Activation("relu", name="add_relu")(x)
    x = layers.Concatenate(name="join")([x, layers.ReLU(name="again")(pooled)])
    x = layers.ZeroPadding2D(1, name="pad")(x)
    x = layers.Conv2D(2, 3, name="classifier")(x)
    return randomize(keras.Model(inputs, layers.UpSampling2D(2, interpolation="bilinear", name="logits")(x)))


def pixels(count: int = 3, *, seed: int = 0) -> np.ndarray:
    """Images for it: float32 (count, 8, 8, 3) from 0 to 255."""
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3)).astype(np.float32)
