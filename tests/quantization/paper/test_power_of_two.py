from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from keras import layers

from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.quantization.paper.folding import fold_batch_norms
from rsseg_tf.quantization.paper.msb import Window, exponent_counts, histogram_of
from rsseg_tf.quantization.paper.power_of_two import rounded, simulate
from rsseg_tf.quantization.paper.ranges import measure
from tests.quantization.networks import pixels, randomize, small_network

windows = st.builds(Window, st.integers(-20, 20))
values = arrays(np.float32, array_shapes(max_dims=1, max_side=30), elements=st.floats(-1e7, 1e7, width=32))


def oracle(array: np.ndarray, window: Window) -> np.ndarray:
    """The integers that a device would hold, in float64, and what they are worth."""
    steps = np.abs(array.astype(np.float64)) / window.step
    integers = np.copysign(np.minimum(np.floor(steps + 0.5), 127), array).astype(np.int8)
    return integers * window.step


@given(values, windows)
def test_values_are_what_eight_bits_hold_of_them(array, window):
    assert np.array_equal(np.asarray(rounded(array, window)), oracle(array, window))


@given(values, windows)
def test_inside_the_window_the_error_is_at_most_half_a_step(array, window):
    inside = array[np.abs(array) <= window.limit]
    got = np.asarray(rounded(inside, window), np.float64)

    assert (np.abs(got - inside) <= window.step / 2).all()


@given(values, windows)
def test_outside_it_values_saturate_with_their_sign(array, window):
    outside = array[np.abs(array) >= 2.0 ** (window.high + 1)]

    assert np.array_equal(np.asarray(rounded(outside, window)), np.sign(outside) * window.limit)


@given(values, windows)
def test_rounding_again_changes_nothing(array, window):
    once = np.asarray(rounded(array, window))

    assert np.array_equal(np.asarray(rounded(once, window)), once)


@given(values, windows)
def test_the_shares_count_what_rounding_does(array, window):
    histogram = histogram_of(exponent_counts(array))
    normal = array[np.abs(array) >= np.finfo(np.float32).tiny]
    got = np.asarray(rounded(normal, window))

    assert window.underflow(histogram) == pytest.approx(np.mean(got == 0) if normal.size else 0)
    assert window.overflow(histogram) == pytest.approx(
        np.mean(np.abs(normal) >= 2.0 ** (window.high + 1)) if normal.size else 0
    )


def test_the_papers_own_examples():
    """Section 2.3; the paper prints 15.874, which no seven bits with a last bit of 0.125 make."""
    got = rounded(np.array([0.03125, 2.1, 16.25], np.float32), Window(high=3))

    assert np.asarray(got).tolist() == [0, 2.125, 15.875]


def test_the_network_is_rounded_where_a_device_rounds():
    """A NumPy device: conv, ReLU and classifier by hand, rounding weights, biases and what each layer hands on."""
    x = inputs = keras.Input((4, 4, 3))
    x = layers.ReLU(name="relu")(layers.Conv2D(5, 1, name="conv")(x))
    model = randomize(keras.Model(inputs, layers.Conv2D(2, 1, name="last")(x)))
    image = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32)
    ranges = measure(model, [image])
    window = {tensor.name: tensor.window for tensor in ranges.tensors}
    weights = {weight.path: oracle(np.asarray(weight), window[weight.path]) for weight in model.weights}

    hidden = np.maximum(image @ weights["conv/kernel"][0, 0] + weights["conv/bias"], 0).astype(np.float32)
    hidden = oracle(hidden, window["relu"])
    logits = oracle((hidden @ weights["last/kernel"][0, 0] + weights["last/bias"]).astype(np.float32), window["last"])

    difference = np.abs(np.asarray(simulate(model, ranges)(image)) - logits)
    assert difference.max() <= window["last"].step, "sums in another order may round a tie the other way"
    assert (difference > 0).mean() < 0.1


@pytest.fixture(scope="module")
def folded() -> keras.Model:
    return fold_batch_norms(small_network())


def test_every_activation_is_on_its_grid(folded):
    ranges = measure(folded, [pixels()])
    simulated = simulate(folded, ranges)
    windows = ranges.windows("activations")
    values = keras.Model(simulated.input, {name: simulated.get_layer(f"{name}_rounding").output for name in windows})(
        pixels(seed=1)
    )

    for name, window in windows.items():
        integers = np.asarray(values[name]) / window.step
        assert np.array_equal(integers, np.round(integers)), name
        assert np.abs(integers).max() <= 127, name


def test_of_kinds_only_those_asked_for_are_rounded(folded):
    ranges = measure(folded, [pixels()])
    kernel, bias = simulate(folded, ranges, kinds=["biases"]).get_layer("middle").get_weights()

    assert np.array_equal(kernel, folded.get_layer("middle").get_weights()[0])
    assert np.array_equal(
        bias, oracle(folded.get_layer("middle").get_weights()[1], ranges.windows("biases")["middle/bias"])
    )


def test_nothing_rounded_is_the_model_itself(folded):
    same = simulate(folded, measure(folded, [pixels()]), kinds=())

    assert np.array_equal(np.asarray(same(pixels())), np.asarray(folded(pixels())))


def test_a_layer_called_twice_is_rounded_twice():
    x = keras.Input((8, 8, 3))
    twice = layers.Conv2D(3, 1, name="twice")
    model = randomize(keras.Model(x, twice(layers.AveragePooling2D(2, name="between")(twice(x)))))
    ranges = measure(model, [pixels()])
    step = ranges.windows("activations")["twice"].step

    integers = np.asarray(simulate(model, ranges)(pixels())) / step

    assert np.array_equal(integers, np.round(integers))


def test_the_simulation_is_saved_like_any_model(folded, tmp_path):
    simulated = simulate(folded, measure(folded, [pixels()]))
    simulated.save(tmp_path / "simulated.keras")

    again = keras.saving.load_model(tmp_path / "simulated.keras")

    assert np.array_equal(np.asarray(again(pixels())), np.asarray(simulated(pixels())))


@pytest.mark.slow
def test_the_whole_network_still_says_much_the_same():
    keras.utils.set_random_seed(0)
    model = fold_batch_norms(deeplab_v3_plus("resnet18", 3, (32, 32, 3)))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = np.asarray(model(images))

    noise = np.asarray(simulate(model, measure(model, [images]))(images)) - expected

    assert 0 < (noise**2).mean() / expected.var() < 0.2
