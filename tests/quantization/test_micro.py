"""Maps that are computed in parts: the same numbers to the byte, in less memory."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from rsseg_tf.config.export import ExportConfig, check_export
from rsseg_tf.errors import ConfigError
from rsseg_tf.quantization.checks import proof
from rsseg_tf.quantization.convert import convert
from rsseg_tf.quantization.micro import in_parts
from rsseg_tf.tflite.arena import MICRO, arena_bytes
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.networks import randomize
from tests.quantization.outputs import output


def pooled(width=18):
    """A stem as a ResNet's; its channels do not divide by four."""
    x = inputs = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="bn")(x))
    x = layers.MaxPooling2D(3, strides=2, name="pool")(layers.ZeroPadding2D(1, name="pad")(x))
    return inputs, x


def inverted():
    """An expansion and a strided depthwise convolution, as a MobileNet's."""
    x = inputs = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(24, 1, activation="relu6", name="expand")(x)
    return inputs, layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu6", name="depthwise")(x)


def network(inputs, x):
    return randomize(keras.Model(inputs, layers.Conv2D(3, 1, name="logits")(x)))


def image(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)


def int8(model):
    return convert(model, calibration=[image(seed)[0] for seed in range(3)])


@pytest.mark.parametrize("build", [pooled, inverted])
def test_outputs_are_the_same_in_less_memory(build, tmp_path):
    model = network(*build())
    whole = int8(model)
    parts, pixels = in_parts(whole, name="net"), image(5)[0]
    np.testing.assert_array_equal(
        output(parts, pixels, tmp_path / "parts.tflite"), output(whole, pixels, tmp_path / "whole.tflite")
    )
    before, after = (arena_bytes(parse_model(content, name="net"), MICRO) for content in (whole, parts))
    assert after < 0.8 * before
    names = [layer.name for layer in model.layers]
    assert proof.prove(tmp_path / "parts.tflite", layer_names=names).faults("int8") == []


def without_pool():
    x = inputs = keras.Input((32, 32, 3), name="image")
    return inputs, layers.Conv2D(8, 3, padding="same", name="conv")(
        layers.Conv2D(8, 3, padding="same", name="first")(x)
    )


def read_twice():
    x = inputs = keras.Input((32, 32, 3), name="image")
    large = layers.Conv2D(8, 3, padding="same", activation="relu", name="conv")(x)
    small = layers.UpSampling2D(2, interpolation="bilinear", name="up")(layers.MaxPooling2D(2, name="pool")(large))
    return inputs, layers.Add(name="add")([large, small])


def same_size():
    x = inputs = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", name="conv")(x)
    return inputs, layers.MaxPooling2D(3, strides=1, padding="same", name="pool")(x)


@pytest.mark.parametrize("build", [without_pool, read_twice, same_size])
def test_other_files_stay_as_they_are(build):
    content = int8(network(*build()))
    assert in_parts(content, name="net") == content


def test_a_head_that_micro_cannot_run_is_refused():
    with pytest.raises(ConfigError, match=r"cannot run `export\.head=classes`"):
        check_export(ExportConfig(target="micro", head="classes"))
