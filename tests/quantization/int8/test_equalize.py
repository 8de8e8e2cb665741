"""Equalization: the function stays what it was, and what int8 loses of it shrinks."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from rsseg_tf.quantization.checks.layer_error import layer_errors
from rsseg_tf.quantization.convert import calibrated_model
from rsseg_tf.quantization.freeze import frozen_function
from rsseg_tf.quantization.int8.calibrated import quantize, with_range_slots
from rsseg_tf.quantization.int8.equalize import equalized
from rsseg_tf.quantization.int8.observe import TensorReader
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.tiny import classifier, pixels, segmenter

IMAGES = pixels()


def uneven() -> keras.Model:
    """A segmenter with channels of very different loudness between its last two convolutions."""
    model = segmenter()
    factors = np.geomspace(0.02, 50, 8).astype(np.float32)
    weights, reader = model.get_layer("third_bn").get_weights(), model.get_layer("classifier").get_weights()
    weights[0], weights[1] = weights[0] * factors, weights[1] * factors
    reader[0] /= factors[:, None]
    model.get_layer("third_bn").set_weights(weights)
    model.get_layer("classifier").set_weights(reader)
    return model


def outputs(file: bytes) -> np.ndarray:
    reader, (result,) = TensorReader(file), parse_model(file, name="file").outputs
    scores = []
    for image in IMAGES:
        reader.run(image)
        scores.append(reader.tensor(result.index).copy())
    return np.stack(scores)


def depthwise() -> keras.Model:
    """A depthwise convolution between two others, behind plain ReLUs."""
    keras.utils.set_random_seed(0)
    image = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(6, 3, activation="relu", bias_initializer="random_normal")(image)
    x = keras.layers.DepthwiseConv2D(3, activation="relu", bias_initializer="random_normal")(x)
    return keras.Model(image, keras.layers.Conv2D(4, 1)(x))


@pytest.mark.parametrize("build", [segmenter, uneven, classifier, depthwise])
def test_the_function_stays_what_it_was(build):
    file = with_range_slots(frozen_function(build()), IMAGES[0])

    before, after = outputs(file), outputs(equalized(file, IMAGES))

    np.testing.assert_allclose(after, before, atol=2e-5 * np.abs(before).max())


@pytest.mark.parametrize(("build", "changes"), [(uneven, True), (depthwise, True), (classifier, False)])
def test_only_chains_that_scaling_passes_through_are_touched(build, changes):
    """ReLU6 lets no scale through."""
    file = with_range_slots(frozen_function(build()), IMAGES[0])

    def kernels(content: bytes) -> list[np.ndarray]:
        return [tensor.values() for tensor in parse_model(content, name="file").tensors if tensor.is_weight]

    before, after = kernels(file), kernels(equalized(file, IMAGES))

    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=False)) == changes


def test_int8_loses_less_of_uneven_channels():
    model = uneven()

    def worst(*, equalize: bool) -> float:
        middle = calibrated_model(model, head="logits", calibration=IMAGES, equalize=equalize)
        return layer_errors(quantize(middle), middle, IMAGES)[0].local_db

    assert worst(equalize=True) > worst(equalize=False) + 6
