"""The law of folding: the network computes what it did, with the batch norms gone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.errors import ModelError
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.quantization.paper.folding import fold_batch_norms
from tests.quantization.networks import randomize

LAYERS = {
    "conv": lambda: layers.Conv2D(6, 3, use_bias=False),
    "biased conv": lambda: layers.Conv2D(6, 3),
    "grouped conv": lambda: layers.Conv2D(6, 3, groups=3),
    "transposed conv": lambda: layers.Conv2DTranspose(6, 4, strides=2),
    "depthwise conv": lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
    "separable conv": lambda: layers.SeparableConv2D(6, 3),
    "dense": lambda: layers.Dense(6),
}


def norms(model: keras.Model) -> int:
    return sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers)


def same_outputs(model: keras.Model, folded: keras.Model) -> bool:
    x = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    expected, got = (np.asarray(each(x, training=False)) for each in (model, folded))
    return bool(np.abs(expected - got).max() < 1e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}], ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_a_batch_norm_folds_into_the_layer_before_it(kind, options):
    x = inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(**options)(LAYERS[kind]()(x))
    model = randomize(keras.Model(inputs, layers.ReLU()(x)))

    folded = fold_batch_norms(model)

    assert norms(folded) == 0
    assert same_outputs(model, folded)


def shared_output(x):
    y = layers.Conv2D(4, 3)(x)
    return layers.Add()([layers.BatchNormalization()(y), y])


def activated(x):
    return layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(x))


def shared_layer(x):
    conv = layers.Conv2D(3, 3, padding="same")
    return layers.Add()([layers.BatchNormalization()(conv(x)), conv(conv(x))])


def first(x):
    return layers.Conv2D(4, 3)(layers.BatchNormalization(scale=False, center=False)(x))


@pytest.mark.parametrize("build", [shared_output, activated, shared_layer, first], ids=lambda build: build.__name__)
def test_one_that_cannot_fold_becomes_a_product_and_a_sum(build):
    inputs = keras.Input((8, 8, 3))
    model = randomize(keras.Model(inputs, build(inputs)))

    folded = fold_batch_norms(model)
    (norm,) = (layer for layer in folded.layers if isinstance(layer, layers.BatchNormalization))

    assert same_outputs(model, folded)
    assert not np.asarray(norm.moving_mean).any()
    assert np.asarray(norm.moving_variance) + norm.epsilon == pytest.approx(1)


def test_a_model_whose_output_is_a_batch_norm_folds():
    inputs = keras.Input((8, 8, 3))
    model = randomize(keras.Model(inputs, layers.BatchNormalization()(layers.Conv2D(4, 3)(inputs))))

    assert same_outputs(model, fold_batch_norms(model))


def test_the_whole_network_folds_and_stays_as_it_was():
    model = randomize(deeplab_v3_plus("resnet18", 3, (32, 32, 3)))
    before = [weight.copy() for weight in model.get_weights()]

    folded = fold_batch_norms(model)

    assert (norms(model), norms(folded)) == (28, 0)
    assert same_outputs(model, folded)
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
    assert folded.input.name == model.input.name


def test_a_nested_model_is_named():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3)], name="inner")
    x = keras.Input((4,))

    with pytest.raises(ModelError, match="`inner` is nested"):
        fold_batch_norms(keras.Model(x, inner(x)))


def test_a_model_that_is_not_functional_is_named():
    class Subclassed(keras.Model):
        pass

    with pytest.raises(ModelError, match="not a functional model"):
        fold_batch_norms(Subclassed(name="odd"))
