"""Laws of folded batch norms: the same outputs and gradients as those of the layers apart, and nothing stays behind."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rsseg_tf.graphs import flatten
from rsseg_tf.pruning.randomize import randomize
from rsseg_tf.pruning.scoring.taps import TapFinder
from rsseg_tf.pruning.wiring import trace
from rsseg_tf.tracing.dilation import native_dilation
from rsseg_tf.tracing.folding import folded

LAYERS = {
    "convolution": lambda: layers.Conv2D(6, 3, padding="same", use_bias=False),
    "with a bias": lambda: layers.Conv2D(6, 3, padding="same"),
    "dilated": lambda: layers.Conv2D(6, 3, padding="same", dilation_rate=2),
    "grouped": lambda: layers.Conv2D(6, 3, groups=2),
    "depthwise": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
    "separable": lambda: layers.SeparableConv2D(6, 3, use_bias=False),
    "transposed": lambda: layers.Conv2DTranspose(6, 3, strides=2),
    "dense": lambda: layers.Dense(6),
}


def _network(layer: keras.layers.Layer, **norm: object) -> keras.Model:
    image = keras.Input((9, 9, 4))
    x = layers.BatchNormalization(name="norm", **norm)(layer(image))
    model = keras.Model(image, layers.Conv2D(2, 1, name="head")(layers.ReLU()(x)))
    randomize(model)
    return model


def _results(model: keras.Model, images: tf.Tensor) -> list[np.ndarray]:
    variables = [weight.value for weight in model.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch([images, *variables])
        output = model(images, training=False)
        value = tf.reduce_sum(output**2)
    return [output.numpy(), *(gradient.numpy() for gradient in tape.gradient(value, [images, *variables]))]


@pytest.mark.parametrize("norm", [{}, {"center": False}, {"scale": False}], ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_and_gradients_are_those_of_the_layers_apart(kind: str, norm: dict[str, object]) -> None:
    model = _network(LAYERS[kind](), **norm)
    images = tf.constant(np.random.default_rng(0).normal(size=(2, 9, 9, 4)), tf.float32)
    expected = _results(model, images)
    flat = flatten(model)
    folds = TapFinder(flat, trace(model)).folds()
    assert [fold.norm.name for fold in folds] == ["norm"]
    with native_dilation(model), folded(folds):
        found = _results(flat, images)
    for value, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-3, atol=1e-4 * np.abs(other).max())
    for value, other in zip(_results(model, images), expected, strict=True):
        np.testing.assert_array_equal(value, other)


def test_layers_of_mixed_precision_fold_too() -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = _network(layers.Conv2D(6, 3, padding="same"))
    finally:
        keras.config.set_dtype_policy("float32")
    images = tf.constant(np.random.default_rng(0).normal(size=(2, 9, 9, 4)), tf.float32)
    expected = model(images, training=False).numpy().astype(np.float32)
    with folded(TapFinder(model, trace(model)).folds()):
        found = model(images, training=False).numpy().astype(np.float32)
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())


def _shared_norm() -> keras.Model:
    image = keras.Input((9, 9, 4))
    norm = layers.BatchNormalization()
    return keras.Model(image, layers.Add()([norm(layers.Conv2D(6, 1)(image)), norm(layers.Conv2D(6, 1)(image))]))


def _read_twice() -> keras.Model:
    image = keras.Input((9, 9, 4))
    x = layers.Conv2D(6, 1)(image)
    return keras.Model(image, layers.Add()([x, layers.BatchNormalization()(x)]))


class Standardized(layers.Conv2D):
    """A convolution whose sums do not depend on the size of its kernel."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel / (1e-3 + keras.ops.std(kernel)))


OTHERS = {
    "a batch norm of two layers": _shared_norm,
    "a layer that others read": _read_twice,
    "an activation between": lambda: _network(layers.Conv2D(6, 3, activation="relu")),
    "a subclass": lambda: _network(Standardized(6, 3)),
    "another axis": lambda: _network(layers.Conv2D(6, 3), axis=1),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_would_not_be_equal_is_left_alone(kind: str) -> None:
    model = OTHERS[kind]()
    assert TapFinder(flatten(model), trace(model)).folds() == []
