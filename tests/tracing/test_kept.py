"""A normalization that counts the channels that a mask leaves is Keras' own on those channels alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rsseg_tf.tracing.kept import MASKED, count_kept, counts_kept

NORMS = {
    "layer norm": layers.LayerNormalization,
    "without offset": lambda **more: layers.LayerNormalization(center=False, **more),
    "of another epsilon": lambda **more: layers.LayerNormalization(epsilon=0.5, **more),
    "RMS": layers.RMSNormalization,
}
X = np.random.default_rng(0).normal(3, 2, (2, 5, 6)).astype(np.float32)
KEPT = np.asarray([0, 2, 3, 5])


def normed(make, width, **more):
    """A norm of so many channels with random weights."""
    layer = make(**more)
    layer.build((None, 5, width))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(1, 0.5, weight.shape) for weight in layer.weights])
    return layer


@pytest.mark.parametrize("make", NORMS.values(), ids=NORMS)
def test_without_masked_channels_it_computes_as_before(make):
    layer = normed(make, 6)
    expected = layer(X).numpy()
    count_kept([layer])
    np.testing.assert_allclose(layer(X), expected, atol=1e-5)


@pytest.mark.parametrize("make", NORMS.values(), ids=NORMS)
def test_masked_channels_are_not_there(make):
    layer, less = normed(make, 6), normed(make, len(KEPT))
    less.set_weights([weight[KEPT] for weight in layer.get_weights()])
    count_kept([layer])
    call = tf.function(layer)
    call(X)  # traced before the mask
    layer.set_weights([np.where(np.isin(np.arange(6), KEPT), weight, MASKED) for weight in layer.get_weights()])

    found = call(X).numpy()

    np.testing.assert_allclose(found[..., KEPT], less(X[..., KEPT]), atol=1e-5)
    assert not found[..., [1, 4]].any()


def test_half_precision_is_kept():
    layer = normed(layers.LayerNormalization, 6, dtype="mixed_float16")
    expected = layer(X)
    count_kept([layer])
    assert layer(X).dtype == expected.dtype == "float16"
    np.testing.assert_allclose(layer(X), expected, atol=0.01)


def test_others_are_not_known():
    others = (
        layers.LayerNormalization(scale=False),
        layers.LayerNormalization(axis=(1, 2)),
        layers.UnitNormalization(),
    )
    for layer in others:
        layer.build((None, 5, 6))
    assert [counts_kept(layer) for layer in others] == [False, False, False]
    assert not counts_kept(keras.layers.BatchNormalization())


@pytest.mark.parametrize("kind", [layers.LayerNormalization, layers.RMSNormalization])
@pytest.mark.parametrize("axis", [1, (1,), (2, 3), 3])
def test_a_normalization_of_another_axis_computes_as_before(kind, axis):
    image = layers.Input((6, 6, 6))
    norm = kind(axis=axis)
    model = keras.Model(image, norm(image))
    pixels = np.random.default_rng(0).normal(size=(2, 6, 6, 6)).astype(np.float32)
    before = np.asarray(model(pixels))

    count_kept(model.operations)

    np.testing.assert_allclose(np.asarray(model(pixels)), before, atol=1e-6)
