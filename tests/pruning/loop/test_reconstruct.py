"""Laws of the reconstruction: what can be taken over is taken over exactly, and what cannot in the least squares."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from rsseg_tf.graphs import flatten
from rsseg_tf.pruning.groups import find_groups
from rsseg_tf.pruning.loop.reconstruct import Reconstruction
from rsseg_tf.pruning.randomize import randomize
from rsseg_tf.pruning.rebuild import mask_wired
from rsseg_tf.pruning.wiring import trace

_SIZE = 12


def _twin_model(*, kernel: int, activation: str = "relu", norm: bool = True, bias: bool = True) -> keras.Model:
    """Return a network whose `twins` has channels 4 to 7 that equal sums of channels 0 to 3 wherever it is read."""
    image = keras.Input((_SIZE, _SIZE, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", name="twins")(image)
    x = keras.layers.Activation(activation)(x)
    y = keras.layers.Conv2D(6, kernel, padding="valid", use_bias=bias, name="reader")(x)
    y = keras.layers.BatchNormalization(name="norm")(y) if norm else y
    return keras.Model(image, keras.layers.Conv2D(2, 1, name="head")(keras.layers.ReLU()(y)))


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_channels_that_are_linear_in_the_others_go_without_a_trace(kernel: int, norm: bool, bias: bool) -> None:
    model = _twin_model(kernel=kernel, activation="linear", norm=norm, bias=bias)
    randomize(model)
    rng = np.random.default_rng(0)
    weights, offsets = model.get_layer("twins").get_weights()
    mix = rng.normal(size=(4, 4)).astype(np.float32)
    constant = 0.5 if norm or bias else 0.0
    weights[..., 4:] = weights[..., :4] @ mix
    offsets[4:] = offsets[:4] @ mix + constant
    model.get_layer("twins").set_weights([weights, offsets])
    images = rng.normal(size=(4, _SIZE, _SIZE, 3)).astype(np.float32)
    expected = model(images).numpy()
    wiring = trace(model)
    before = np.ones(len(wiring.group_of), bool)
    after = before.copy()
    after[wiring.layers["twins"].axes["out"][4:]] = False
    reconstruction = Reconstruction(flatten(model), wiring, ridge=1e-6)
    reconstruction.take_over(reconstruction.measured([(images, None)]), before, after)
    mask_wired(model, wiring, after)
    assert find_groups(model)
    np.testing.assert_allclose(model(images).numpy(), expected, atol=1e-3 * np.abs(expected).max())


LAYERS = {
    "1-D": (1, lambda: keras.layers.Conv1D(3, 3, padding="same", dilation_rate=4, name="reader")),
    "causal": (1, lambda: keras.layers.Conv1D(3, 3, padding="causal", dilation_rate=2, name="reader")),
    "strided": (2, lambda: keras.layers.Conv2D(3, 5, padding="same", strides=2, name="reader")),
    "wider than the picture": (2, lambda: keras.layers.Conv2D(3, 3, padding="same", dilation_rate=9, name="reader")),
    "3-D": (3, lambda: keras.layers.Conv3D(3, 3, padding="same", name="reader")),
    "dense": (2, lambda: keras.layers.Dense(3, name="reader")),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_constant_channel_leaves_the_mean_of_every_sum_as_it_was_padding_or_not(kind: str) -> None:
    rank, reader = LAYERS[kind]
    image = keras.Input((7,) * rank + (2,))
    convolution = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D, 3: keras.layers.Conv3D}[rank]
    x = convolution(6, 1, name="stem")(image)
    model = keras.Model(image, keras.layers.Dense(2, name="head")(reader()(x)))
    randomize(model)
    weights, offsets = model.get_layer("stem").get_weights()
    weights[..., 4:] = 0
    model.get_layer("stem").set_weights([weights, np.where(np.arange(6) < 4, offsets, 2.0)])
    images = np.random.default_rng(0).normal(size=(4, *image.shape[1:])).astype(np.float32)
    sums = keras.Model(image, model.get_layer("reader").output)
    expected = sums(images).numpy().mean(axis=tuple(range(rank + 1)))
    wiring = trace(model)
    before = np.ones(len(wiring.group_of), bool)
    after = before.copy()
    after[wiring.layers["stem"].axes["out"][4:]] = False
    reconstruction = Reconstruction(flatten(model), wiring)
    reconstruction.take_over(reconstruction.measured([(images, None)]), before, after)
    mask_wired(model, wiring, after)
    np.testing.assert_allclose(sums(images).numpy().mean(axis=tuple(range(rank + 1))), expected, rtol=1e-4, atol=1e-5)


def _known(model: keras.Model, images: np.ndarray, ridge: float) -> np.ndarray:
    """Return what `unexplained` says of the channels of `stem`."""
    wiring = trace(model)
    reconstruction = Reconstruction(flatten(model), wiring, ridge=ridge)
    everything = np.ones(len(wiring.group_of), bool)
    found = reconstruction.unexplained(reconstruction.measured([(images, None)]), everything)
    return found[wiring.group_of[wiring.layers["stem"].axes["out"]]]


def _read_twice() -> keras.Model:
    """Return a network with a layer of six channels that two others read, one of them half of it behind a ReLU."""
    image = keras.Input((_SIZE, _SIZE, 8))
    x = keras.layers.Conv2D(6, 1, name="stem")(image)
    y = keras.layers.Add()(
        [keras.layers.Conv2D(3, 1, name="one")(x), keras.layers.Conv2D(3, 1, name="other")(keras.layers.ReLU()(x))]
    )
    model = keras.Model(image, keras.layers.Conv2D(2, 1, name="head")(y))
    randomize(model)
    return model


def test_what_is_left_of_a_channel_is_its_residual_in_the_least_squares_on_all_others() -> None:
    model = _read_twice()
    images = np.random.default_rng(0).normal(1, 1, size=(4, _SIZE, _SIZE, 8)).astype(np.float32)
    found = _known(model, images, ridge=1e-6)
    features = model.get_layer("stem")(images).numpy().reshape(-1, 6).astype(np.float64)
    expected = np.zeros(6)
    for values in (features, np.maximum(features, 0)):
        for channel in range(6):
            others = np.column_stack([np.delete(values, channel, axis=1), np.ones(len(values))])
            rest = values[:, channel] - others @ np.linalg.lstsq(others, values[:, channel], rcond=None)[0]
            unbiased = (rest**2).sum() / (len(values) - others.shape[1])
            expected[channel] += np.clip(unbiased / (values[:, channel] ** 2).mean(), 1e-3, 1) / 2
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=2e-3)


def test_a_twin_is_left_with_nothing_a_constant_too_and_a_stranger_with_its_variance() -> None:
    model = _read_twice()
    weights = np.zeros_like(model.get_layer("stem").get_weights()[0])
    weights[0, 0, [0, 0, 1, 2], [0, 1, 2, 3]] = 1, 2, 1, 1
    model.get_layer("stem").set_weights([weights, np.float32([9, 9, 9, 9, 5, 0])])
    images = np.random.default_rng(0).uniform(-1, 1, size=(4, _SIZE, _SIZE, 8)).astype(np.float32)
    found = _known(model, images, ridge=1e-6)
    variance = images[..., 1].var()
    np.testing.assert_allclose(found[[0, 1, 4]], 1e-3, atol=1e-3)
    np.testing.assert_allclose(found[2:4], variance / (variance + 81), rtol=0.1)
    np.testing.assert_allclose(found[5], 1e-3, atol=1e-3)


def test_of_fewer_places_than_channels_nothing_is_known() -> None:
    image = keras.Input((_SIZE, _SIZE, 8))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(6, 1, name="stem")(image))
    model = keras.Model(image, keras.layers.Dense(2, name="head")(x))
    randomize(model)
    images = np.random.default_rng(0).normal(size=(4, _SIZE, _SIZE, 8)).astype(np.float32)
    np.testing.assert_array_equal(_known(model, images, ridge=1e-6), 1)
