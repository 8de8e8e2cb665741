"""A model of mixed precision and its float32 twin have the same weights and nearly the same outputs."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.graphs.float32 import in_float32
from rsseg_tf.models.weights.pretrained import load_keras_model
from rsseg_tf.pruning.randomize import randomize


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16", "float16"])
def policy(request: pytest.FixtureRequest) -> Iterator[str]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


def network() -> keras.Model:
    inner_image = keras.Input((16, 16, 8))
    inner = keras.Model(
        inner_image, layers.DepthwiseConv2D(3, padding="same", name="depthwise")(inner_image), name="in"
    )
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(layers.Rescaling(1 / 255, name="scaled")(image))
    x = layers.ReLU(name="active")(layers.BatchNormalization(name="norm")(x))
    x = layers.Add(name="sum")([x, inner(x)])
    return keras.Model(image, layers.Conv2D(2, 1, name="classifier")(x))


@pytest.mark.usefixtures("policy")
def test_the_twin_computes_in_float32_by_the_same_weights(tmp_path):
    model = network()
    randomize(model)
    model.save(tmp_path / "half.keras")
    keras.config.set_dtype_policy("float32")
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.float32)
    for twin in (in_float32(model), load_keras_model(tmp_path / "half.keras")):
        outputs = np.asarray(twin(images))
        assert outputs.dtype == np.float32
        assert {layer.compute_dtype for layer in twin.layers} == {"float32"}
        expected = np.asarray(keras.ops.cast(model(images), "float32"))
        np.testing.assert_allclose(outputs, expected, atol=0.03 * np.abs(expected).max())
    plain = network()
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(np.asarray(plain(images)), outputs, rtol=1e-5, atol=1e-5)


def test_a_float32_model_stays_as_it_is():
    model = network()
    assert in_float32(model) is model


@pytest.mark.usefixtures("policy")
def test_a_normalization_that_was_adapted_is_as_it_was():
    norm = layers.Normalization()
    norm.adapt(np.random.default_rng(0).uniform(50, 90, (8, 16, 16, 3)).astype(np.float32))
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, layers.Conv2D(2, 1)(norm(image)))
    keras.config.set_dtype_policy("float32")
    images = np.random.default_rng(1).uniform(50, 90, (2, 16, 16, 3)).astype(np.float32)
    expected = np.asarray(keras.ops.cast(model(images), "float32"))
    np.testing.assert_allclose(np.asarray(in_float32(model)(images)), expected, atol=0.05 * np.abs(expected).max())
