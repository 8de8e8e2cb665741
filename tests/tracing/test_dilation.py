"""Dilated convolutions in one op: the same numbers and gradients as Keras' own, and nothing left behind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from rsseg_tf.tracing import dilation
from rsseg_tf.tracing.dilation import native_dilation

needs_gradient = pytest.mark.skipif(
    not dilation.has_gradient(tf.float32), reason="this TensorFlow has no gradient of dilated convolutions"
)


def network(layer, shape=(13, 10, 4)):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))


def values_and_gradients(model, x):
    """The model's output, and the gradients of the sum of its squares by input and weights, in one graph."""
    variables = model.trainable_variables

    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            y = model(images, training=True)
            cost = tf.reduce_sum(y**2)
        return [y, *tape.gradient(cost, [images, *variables])]

    return step(x)


def ops_of(model, shape=(13, 10, 4)):
    traced = tf.function(lambda x: model(x, training=True))
    graph = traced.get_concrete_function(tf.TensorSpec((2, *shape))).graph
    functions = graph.as_graph_def().library.function
    return {op.type for op in graph.get_operations()} | {node.op for f in functions for node in f.node_def}


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "rate"), [(3, 2), (3, 4), (2, 3), ((3, 1), (4, 1)), ((1, 5), (2, 2)), (3, (2, 3))])
def test_values_and_gradients_are_those_of_keras(kernel, rate, padding):
    model = network(keras.layers.Conv2D(5, kernel, padding=padding, dilation_rate=rate, activation="tanh"))
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 13, 10, 4)).astype(np.float32))
    expected = values_and_gradients(model, x)
    with native_dilation(model):
        found = values_and_gradients(model, x)

    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_rate_beyond_the_image_leaves_the_middle_of_the_kernel():
    model = network(keras.layers.Conv2D(5, 3, padding="same", dilation_rate=18))
    x = tf.random.stateless_normal((2, 13, 10, 4), (0, 0))
    with native_dilation(model):
        y = model(x)

    kernel, bias = model.get_weights()
    np.testing.assert_allclose(y, x.numpy() @ kernel[1, 1] + bias, rtol=1e-5, atol=1e-5)


@needs_gradient
def test_the_graph_cuts_nothing_into_pieces():
    model = network(keras.layers.Conv2D(5, 3, padding="same", dilation_rate=6))
    assert "SpaceToBatchND" in ops_of(model)
    with native_dilation(model):
        assert "SpaceToBatchND" not in ops_of(model)
    assert "SpaceToBatchND" in ops_of(model)


@needs_gradient
def test_models_and_wrapped_layers_inside_are_reached():
    inner = network(keras.layers.Conv2D(4, 3, padding="same", dilation_rate=2))
    outer = network(keras.layers.TimeDistributed(inner), shape=(3, 13, 10, 4))
    with native_dilation(outer):
        assert "SpaceToBatchND" not in ops_of(outer, shape=(3, 13, 10, 4))


def test_a_layer_of_tf_keras_is_reached_too():
    layer = tf_keras.layers.Conv2D(5, 3, padding="same", dilation_rate=3)
    model = tf_keras.Sequential([tf_keras.Input((13, 10, 4)), layer])
    x = tf.random.stateless_normal((2, 13, 10, 4), (0, 0))
    expected = values_and_gradients(model, x)
    with native_dilation(model):
        assert ("SpaceToBatchND" in ops_of(model)) != dilation.has_gradient(tf.float32)
        found = values_and_gradients(model, x)

    assert "SpaceToBatchND" in ops_of(model)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_models_are_as_they_were_afterwards():
    layer = keras.layers.Conv2D(5, 3, padding="same", dilation_rate=2)
    model = network(layer)
    before = dict(vars(layer))
    with native_dilation(model, model), native_dilation(model):
        assert "convolution_op" in vars(layer)
    assert vars(layer) == before

    with pytest.raises(ValueError, match="incompatible"), native_dilation(model):
        model(tf.zeros((1, 13, 10, 3)))
    assert vars(layer) == before


class Own(keras.layers.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel) + 1


@pytest.mark.parametrize(
    "layer",
    [
        Own(4, 3, dilation_rate=2),
        keras.layers.Conv2D(4, 3, dilation_rate=2, groups=2),
        keras.layers.Conv2D(4, 3),
        keras.layers.DepthwiseConv2D(3, dilation_rate=2),
        keras.layers.SeparableConv2D(4, 3, dilation_rate=2),
    ],
    ids=["own", "grouped", "plain", "depthwise", "separable"],
)
def test_other_layers_are_left_alone(layer):
    model = network(layer)
    with native_dilation(model):
        assert "convolution_op" not in vars(layer)


@pytest.mark.parametrize(("layer", "shape"), [("Conv1D", (13, 4)), ("Conv3D", (7, 7, 7, 2))])
def test_other_ranks_are_left_alone(layer, shape):
    made = getattr(keras.layers, layer)(4, 3, dilation_rate=2)
    model = network(made, shape)
    with native_dilation(model):
        assert "convolution_op" not in vars(made)


def test_where_tensorflow_lacks_the_gradient_keras_computes(monkeypatch):
    monkeypatch.setattr(dilation, "has_gradient", lambda _dtype: False)
    model = network(keras.layers.Conv2D(5, 3, padding="same", dilation_rate=6))
    with native_dilation(model):
        assert "SpaceToBatchND" in ops_of(model)


def test_a_number_format_without_the_gradient_is_found_out():
    model = network(keras.layers.Conv2D(2, 3, padding="same", dilation_rate=2, dtype="float64"))
    x = tf.random.stateless_normal((2, 13, 10, 4), (0, 0), dtype=tf.float64)
    expected = values_and_gradients(model, x)
    with native_dilation(model):
        found = values_and_gradients(model, x)

    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
