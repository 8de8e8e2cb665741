"""Networks of a few layers, of the kinds that a user may bring, and pixels for them."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

SIZE = 24


def pixels(count: int = 4, *, low: int = 0, high: int = 255, seed: int = 0) -> list[np.ndarray]:
    """Smooth-ish random images: each has a brightness of its own."""
    rng = np.random.default_rng(seed)
    span = np.linspace(0.4, 1.0, count)
    return [(low + (high - low) * share * rng.random((SIZE, SIZE, 3))).astype(np.uint8) for share in span]


def segmenter(*, size: int = SIZE, classes: int = 4, filters: int = 8) -> keras.Model:
    """Three normalized convolutions with a residual addition and a last upsampling, every layer named."""
    keras.utils.set_random_seed(0)
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1, name="normalise")(image)
    x = _conv(x, filters, "first", strides=2)
    x = layers.Add(name="add")([x, _conv(x, filters, "second", dilation_rate=2)])
    x = _conv(x, filters, "third")
    x = layers.Conv2D(classes, 1, name="classifier")(x)
    model = keras.Model(image, layers.UpSampling2D(2, interpolation="bilinear", name="up")(x), name="segmenter")
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            rng = np.random.default_rng(layer.gamma.shape[0])
            layer.set_weights([rng.uniform(0.5, 2, array.shape) for array in layer.get_weights()])
    return model


def classifier() -> keras.Model:
    """What `keras.applications` looks like from afar: no normalization of ours, pooling, dense, softmax."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.ZeroPadding2D(1)(layers.Rescaling(1 / 255)(image))
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, use_bias=False)(x)))
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)))
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))
    return keras.Model(image, layers.Dense(5, activation="softmax")(x))


def pointwise() -> keras.Model:
    """Two 1×1 convolutions straight on the pixels, so that NumPy can follow every number."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Conv2D(6, 1, name="spread", bias_initializer="random_normal", activation="relu")(image)
    return keras.Model(image, layers.Conv2D(4, 1, name="join")(x))


def _conv(x: keras.KerasTensor, filters: int, name: str, **arguments: int) -> keras.KerasTensor:
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_conv", **arguments)(x)
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))
