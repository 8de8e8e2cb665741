from __future__ import annotations

import os

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.errors import ModelError
from rsseg_tf.quantization.qat.bridge import short_name, to_tf_keras
from rsseg_tf.quantization.qat.fake_quant import prepared, quantization_aware, renew_weight_ranges
from tests.quantization.qat.networks import images, small


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return small()


@pytest.fixture(scope="module")
def student(model):
    return quantization_aware(model, images())


def batch() -> np.ndarray:
    return np.stack(images()).astype(np.float32)


def ranges(student) -> dict[str, float]:
    return {
        f"{layer.name}/{short_name(weight)}": float(weight.numpy())
        for layer in student.layers
        for weight in layer.weights
        if short_name(weight).endswith(("_min", "_max")) and weight.shape.rank == 0
    }


def test_preparing_changes_nothing(model):
    twin = prepared(to_tf_keras(model))

    expected = np.asarray(model(batch(), training=False))
    assert np.abs(twin(batch(), training=False).numpy() - expected).max() <= 1e-5 * np.abs(expected).max()


def test_rounding_starts_close_to_the_model(model, student):
    expected = np.asarray(model(batch(), training=False))
    rounded = student(batch(), training=False).numpy()

    noise = ((rounded - expected) ** 2).mean() / expected.var()
    assert 0 < noise < 1e-3


def test_the_inputs_range_is_that_of_a_camera(student):
    found = {key.rpartition("_")[2]: value for key, value in ranges(student).items() if "quantize_layer" in key}

    assert found == {"min": 0, "max": 255}


@pytest.mark.parametrize("name", ["stem_relu", "residual_bn", "sum_relu", "joined", "enlarged", "classifier"])
def test_activations_start_from_the_range_that_the_images_show(model, student, name):
    inner = np.asarray(keras.Model(model.input, model.get_layer(name).output)(batch(), training=False))

    found = {key.rpartition("_")[2]: value for key, value in ranges(student).items() if key.startswith(f"{name}/")}

    assert found == pytest.approx({"min": min(0, inner.min()), "max": max(0, inner.max())}, rel=1e-4, abs=1e-5)


def test_every_kernel_is_rounded_and_spans_its_own_range(model, student):
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            found = {short_name(weight): weight.numpy() for weight in student.get_layer(layer.name).weights}
            kernel = "depthwise_kernel" if "depthwise_kernel" in found else "kernel"
            upper, axes = found[f"{kernel}_max"], tuple(range(4 - found[f"{kernel}_max"].ndim))
            assert np.array_equal(upper, np.abs(found[kernel]).max(axis=axes)), layer.name
            assert np.array_equal(found[f"{kernel}_min"], -upper), layer.name


def test_a_kernel_of_zeros_keeps_a_range():
    image = layers.Input((4, 4, 3))
    model = keras.Model(image, layers.Conv2D(2, 1, kernel_initializer="zeros", name="empty")(image))
    student = quantization_aware(model, [np.zeros((4, 4, 3), np.uint8)])

    renew_weight_ranges(student)

    found = {short_name(weight): weight.numpy() for weight in student.get_layer("empty").weights}
    assert (found["kernel_max"] > 0).all()


def test_batch_norms_keep_their_statistics_in_training(student):
    weights = {short_name(weight): weight for weight in student.get_layer("stem_bn").weights}
    before = weights["moving_mean"].numpy()

    student(batch()[:2] / 2, training=True)

    assert np.array_equal(weights["moving_mean"].numpy(), before)


def test_child_processes_keep_keras_3(student):
    assert student is not None
    assert "TF_USE_LEGACY_KERAS" not in os.environ


def test_a_layer_that_cannot_be_rounded_is_named():
    image = layers.Input((4, 4, 3))
    model = keras.Model(image, layers.BatchNormalization(name="alone")(layers.MaxPooling2D(name="pool")(image)))

    with pytest.raises(ModelError, match="alone"):
        quantization_aware(model, [np.zeros((4, 4, 3), np.uint8)])


def test_a_layer_used_twice_is_named():
    image = layers.Input((4, 4, 3))
    twice = layers.Conv2D(3, 1, name="twice")
    model = keras.Model(image, twice(twice(image)))

    with pytest.raises(ModelError, match="`twice` is used 2 times"):
        quantization_aware(model, [np.zeros((4, 4, 3), np.uint8)])


def test_a_separable_convolution_is_named():
    image = layers.Input((4, 4, 3))
    model = keras.Model(image, layers.SeparableConv2D(3, 3, name="separable")(image))

    with pytest.raises(ModelError, match="`separable` is a SeparableConv2D"):
        quantization_aware(model, [np.zeros((4, 4, 3), np.uint8)])


def test_an_activation_inside_a_layer_that_cannot_be_rounded_is_named():
    image = layers.Input((4, 4, 3))
    model = keras.Model(image, layers.Conv2D(2, 1, activation="sigmoid", name="squashed")(image))

    with pytest.raises(ModelError, match="`squashed`"):
        quantization_aware(model, [np.zeros((4, 4, 3), np.uint8)])
