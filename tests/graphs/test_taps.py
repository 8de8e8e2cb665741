"""Taps that never meet the picture: without them a network computes what it did, to the bit."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from rsseg_tf.graphs import Window, live_taps, windows

KINDS = {
    layers.Conv1D: 1,
    layers.Conv2D: 2,
    layers.Conv3D: 3,
    layers.DepthwiseConv1D: 1,
    layers.DepthwiseConv2D: 2,
    layers.SeparableConv1D: 1,
    layers.SeparableConv2D: 2,
}
DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)


def whole_numbers(shape, seed):
    """Small integers: float32 sums of their products are exact, in whatever order they are taken."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def filled(model, seed=0):
    for number, layer in enumerate(model.layers):
        layer.set_weights([whole_numbers(weight.shape, seed + number) for weight in layer.get_weights()])
    return model


def network(kind, shape, **arguments):
    x = keras.Input(shape)
    filters = () if kind in DEPTHWISE else (3,)
    return filled(keras.Model(x, kind(*filters, **arguments, name="conv")(x)))


def outputs(model, images):
    return np.asarray(model(images, training=False))


@st.composite
def convolutions(draw):
    kind = draw(st.sampled_from(list(KINDS)))
    axes = KINDS[kind]
    sizes = tuple(draw(st.lists(st.integers(1, 9), min_size=axes, max_size=axes)))
    kernel = tuple(draw(st.lists(st.integers(1, 5), min_size=axes, max_size=axes)))
    arguments = {"kernel_size": kernel, "padding": "same"}
    if draw(st.booleans()):
        arguments["strides"] = draw(st.integers(1, 3))
    else:
        rates = st.integers(1, 10)
        arguments["dilation_rate"] = tuple(draw(st.lists(rates, min_size=axes, max_size=axes)))
    if kind is layers.Conv1D:
        arguments["padding"] = draw(st.sampled_from(["same", "causal"]))
    return kind, (*sizes, 2), arguments


@settings(max_examples=150)
@given(convolutions())
def test_outputs_are_equal_to_the_bit_without_the_taps_that_only_meet_padding(drawn):
    kind, shape, arguments = drawn
    model = network(kind, shape, **arguments)
    images = whole_numbers((2, *shape), 7)
    expected = outputs(model, images)

    live = live_taps(model)

    np.testing.assert_array_equal(outputs(live, images), expected)
    np.testing.assert_array_equal(outputs(model, images), expected)


@settings(max_examples=150)
@given(convolutions())
def test_the_taps_that_stay_at_the_ends_of_an_odd_kernel_meet_the_picture(drawn):
    kind, shape, arguments = drawn
    if "strides" in arguments or not all(size % 2 for size in arguments["kernel_size"]):
        return
    layer = live_taps(network(kind, shape, **arguments)).get_layer("conv")

    for window, length in zip(windows(layer), shape, strict=False):
        assert window.reach(length)[0] > 0
        assert window.reach(length)[-1] > 0


@settings(max_examples=50)
@given(convolutions(), st.integers(1, 4))
def test_a_tap_that_never_meets_the_picture_is_one_whose_value_does_not_matter(drawn, axis_seed):
    kind, shape, arguments = drawn
    model = network(kind, shape, **arguments)
    images, layer = whole_numbers((1, *shape), 7), model.get_layer("conv")
    expected, axis = outputs(model, images), axis_seed % KINDS[kind]
    weights = layer.get_weights()
    dead = np.flatnonzero(windows(layer)[axis].reach(shape[axis]) == 0)
    np.moveaxis(weights[0], axis, 0)[dead] = 1000.0
    layer.set_weights(weights)

    np.testing.assert_array_equal(outputs(model, images), expected)


@pytest.mark.parametrize(
    ("size", "rate", "kernel", "left_rate"),
    [
        ((16, 16), 18, (1, 1), (1, 1)),
        ((8, 8), 6, (3, 3), (6, 6)),
        ((16, 40), 18, (1, 3), (18, 18)),
        ((18, 18), 18, (1, 1), (1, 1)),
        ((19, 18), 18, (3, 1), (18, 18)),
        ((None, 16), 18, (3, 1), (18, 18)),
        ((None, None), 18, (3, 3), (18, 18)),
    ],
)
def test_each_axis_stands_for_itself(size, rate, kernel, left_rate):
    model = network(layers.Conv2D, (*size, 2), kernel_size=3, padding="same", dilation_rate=rate)

    left = live_taps(model).get_layer("conv")

    assert (left.kernel_size, left.dilation_rate) == (kernel, left_rate)


def test_a_layer_that_is_called_at_several_sizes_keeps_what_any_of_them_meets():
    conv = layers.Conv2D(2, 5, padding="same", dilation_rate=3, name="conv")
    x = keras.Input((7, 3, 2))
    model = filled(keras.Model(x, conv(layers.Cropping2D(((1, 4), (0, 0)))(conv(x)))))
    images = whole_numbers((2, 7, 3, 2), 1)

    live = live_taps(model)

    assert live.get_layer("conv").kernel_size == (5, 1)
    np.testing.assert_array_equal(outputs(live, images), outputs(model, images))


def test_taps_that_would_be_padded_to_another_place_stay():
    # Two taps at -2 and 3 on three pixels: the first meets them alone, and no centered kernel has it.
    model = network(layers.Conv1D, (3, 2), kernel_size=2, padding="same", dilation_rate=5)

    assert live_taps(model) is model


class OwnConvolution(layers.Conv2D):
    def call(self, inputs):
        return super().call(inputs) * self.kernel[0, 0, 0, 0]


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    "make",
    [
        lambda: network(layers.Conv2D, (4, 4, 2), kernel_size=3, padding="same", dilation_rate=3),
        lambda: network(layers.Conv2D, (9, 9, 2), kernel_size=3, padding="valid", dilation_rate=4),
        lambda: network(OwnConvolution, (4, 4, 2), kernel_size=3, padding="same", dilation_rate=4),
        Subclassed,
    ],
    ids=["all live", "not padded", "a class of its own", "not functional"],
)
def test_a_model_with_nothing_to_leave_out_comes_back_itself(make):
    model = make()

    assert live_taps(model) is model


def test_names_settings_and_statistics_stay_and_the_given_model_is_not_touched():
    x = inputs = keras.Input((6, 6, 3), name="image")
    start = keras.initializers.Constant(np.ones((3, 3, 3, 4), np.float32))
    x = layers.Conv2D(4, 3, padding="same", dilation_rate=6, kernel_initializer=start, name="wide")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2D(4, 3, padding="same", groups=2, dilation_rate=(6, 2), activation="relu", name="grouped")(x)
    x = layers.Normalization(name="scaled")(x)
    model = keras.Model(inputs, keras.ops.tanh(x + 1.0), name="net")
    model.get_layer("norm").trainable = False
    for weight in model.weights:
        weight.assign(np.abs(whole_numbers(weight.shape, 3)).astype(weight.dtype) + 1)
    model.get_layer("scaled").finalize_state()
    before, images = model.get_weights(), whole_numbers((2, 6, 6, 3), 5)

    live = live_taps(model)

    assert live.name == "net"
    assert [layer.name for layer in live.layers] == [layer.name for layer in model.layers]
    assert live.get_layer("grouped").kernel.shape == (1, 3, 2, 4)
    assert not live.get_layer("norm").trainable
    np.testing.assert_allclose(outputs(live, images), outputs(model, images), rtol=1e-6)
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
    assert live_taps(live) is live


def test_reach_is_the_share_of_places_at_which_a_tap_meets_the_picture():
    np.testing.assert_allclose(Window(3, 1, 6, "same").reach(8), [2 / 8, 1, 2 / 8])
    np.testing.assert_allclose(Window(3, 2, 1, "same").reach(5), [2 / 3, 1, 2 / 3])
    np.testing.assert_allclose(Window(3, 1, 2, "causal").reach(4), [0, 2 / 4, 1])
    np.testing.assert_allclose(Window(3, 1, 9, "valid").reach(20), [1, 1, 1])


def test_models_within_are_looked_at_too():
    inner = network(layers.Conv2D, (4, 4, 3), kernel_size=3, padding="same", dilation_rate=4)
    image = keras.Input((4, 4, 3))
    outer = keras.Model(image, inner(image))
    live = live_taps(outer)
    assert live.count_params() == live_taps(inner).count_params() < outer.count_params()
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(live(images)), np.asarray(outer(images)), rtol=1e-5, atol=1e-5)
