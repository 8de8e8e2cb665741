"""Small networks with everything that the rounding of a segmentation network meets."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from rsseg_tf.models.resnet import conv_bn, conv_bn_relu

SHAPE = (24, 32, 3)
CLASSES = 3


def small(seed: int = 0, *, shape: tuple[int, int, int] = SHAPE, classes: int = CLASSES) -> keras.Model:
    """Normalization, padding, dilation, a residual, bare convolutions, two concatenations, both upsamplings."""
    keras.utils.set_random_seed(seed)
    image = layers.Input(shape, name="image")
    x = layers.Rescaling([1 / 58, 1 / 57, 1 / 56], [-2.1, -2.0, -1.8], name="normalise")(image)
    x = conv_bn_relu(x, 8, 3, stride=2, name="stem")
    y = conv_bn(x, 8, 3, dilation=2, name="residual")
    x = layers.ReLU(name="sum_relu")(layers.Add(name="sum")([x, y]))
    z = layers.ReLU(name="bare_relu")(layers.Conv2D(8, 3, padding="same", name="bare")(x))
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(z)
    pooled = layers.UpSampling2D(z.shape[1:3], interpolation="bilinear", name="spread")(pooled)
    x = layers.Concatenate(name="joined")([x, z, pooled])
    x = layers.Conv2DTranspose(8, 4, strides=2, padding="same", use_bias=False, name="enlarged")(x)
    x = layers.ReLU(name="through_relu")(layers.DepthwiseConv2D(3, padding="same", name="through")(x))
    x = layers.MaxPooling2D(2, name="halved")(x)
    x = layers.Conv2D(classes, 1, name="classifier")(x)
    model = keras.Model(image, layers.UpSampling2D(2, interpolation="bilinear", name="logits")(x), name="small")
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([weight + rng.uniform(-0.2, 0.2, weight.shape) for weight in layer.get_weights()])
    return model


def images(count: int = 8, seed: int = 0) -> list[np.ndarray]:
    """Pictures uint8 of a bright and a dark half each."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 100, (count, *SHAPE), dtype=np.uint8)
    for picture in pictures:
        column = rng.integers(8, 24)
        picture[:, column:] += 150
    return list(pictures)


def labels(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Class 1 where bright, 0 where dark, 2 in the top row of blocks, 255 at the left edge."""
    masks = []
    for picture in pictures:
        mask = (picture.min(axis=-1) >= 150).astype(np.uint8)
        mask[:8] = 2
        mask[:, 0] = 255
        masks.append(mask)
    return masks
