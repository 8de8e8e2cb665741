"""Bias correction: the shift is what the rounded kernel adds on average, and it is gone afterwards."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from rsseg_tf.quantization.convert import calibrated_model
from rsseg_tf.quantization.int8.bias_correction import bias_corrected
from rsseg_tf.quantization.int8.calibrated import quantize
from rsseg_tf.quantization.int8.constants import constant_views
from rsseg_tf.quantization.int8.noise import dequantized
from rsseg_tf.quantization.int8.observe import TensorReader
from rsseg_tf.tflite.flatbuffer import Tensor, parse_model
from tests.quantization.tiny import SIZE, pixels, segmenter

IMAGES = pixels()


def separable() -> keras.Model:
    """A network of depthwise and 1×1 convolutions."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(layers.Rescaling(1 / 255)(image))
    for strides in (1, 2):
        x = layers.DepthwiseConv2D(3, strides=strides, padding="same", activation="relu")(x)
        x = layers.Conv2D(24, 1, activation="relu")(x)
    return keras.Model(image, layers.Conv2D(5, 1)(x))


def biases(content: bytes) -> dict[str, np.ndarray]:
    return {
        op.outputs[0].name: op.inputs[2].values()
        for op in parse_model(content, name="file").ops
        if op.name == "CONV_2D"
    }


@pytest.mark.parametrize("together", [False, True])
def test_each_bias_is_changed_by_the_mean_of_what_the_rounding_adds(together):
    """With strides, dilation and padding, against TensorFlow's own convolution of the kernel's error."""
    model = segmenter()
    calibrated = calibrated_model(model, head="logits", calibration=IMAGES)
    before, after = biases(calibrated), biases(corrected := bias_corrected(calibrated, IMAGES, together=together))
    exact, rough = (
        [op for op in parse_model(content, name="file").ops if op.name == "CONV_2D"]
        for content in (calibrated, quantize(corrected))
    )
    sources = ("normalise", "first_relu", "add", "third_relu")

    for name, float_op, int8_op in zip(sources, exact, rough, strict=True):
        error = dequantized(int8_op.inputs[1], int8_op.inputs[1].values()) - float_op.inputs[1].values()
        x = keras.Model(model.input, model.get_layer(name).output)(np.stack(IMAGES).astype(np.float32))
        added = tf.nn.conv2d(
            x,
            error.transpose(1, 2, 3, 0).astype(np.float32),
            strides=float_op.attributes["stride_h"],
            padding="SAME",
            dilations=float_op.attributes["dilation_h_factor"],
        )
        output = float_op.outputs[0].name
        np.testing.assert_allclose(
            after[output] - before[output], -np.asarray(added).mean(axis=(0, 1, 2)), atol=1e-6, rtol=1e-3
        )


@pytest.mark.parametrize("model", [segmenter(filters=24), separable()], ids=["segmenter", "separable"])
def test_kernels_rounded_together_stay_so_in_the_int8_file_and_change_its_scores_less(model):
    images = pixels(count=12)
    calibrated = calibrated_model(model, head="logits", calibration=images)
    together = bias_corrected(calibrated, images, together=True)
    alone = bytearray(bias_corrected(calibrated, images))
    for tensor, rough in kernels(calibrated, quantize(calibrated)):
        constant_views(alone)[tensor.index][:] = dequantized(rough, rough.values())
    for tensor, rough in kernels(together, quantize(together)):
        np.testing.assert_allclose(dequantized(rough, rough.values()), tensor.values(), rtol=1e-5, atol=1e-7)

    exact, nearest, ours = (scores(content, images) for content in (calibrated, bytes(alone), together))

    assert np.square(ours - exact).mean() < np.square(nearest - exact).mean()


def kernels(ranged: bytes, int8: bytes) -> list[tuple[Tensor, Tensor]]:
    convolutions = [
        {op.outputs[0].name: op.inputs[1] for op in parse_model(content, name="file").ops if "CONV_2D" in op.name}
        for content in (ranged, int8)
    ]
    exact, rough = convolutions
    return [(tensor, rough[name]) for name, tensor in exact.items() if name in rough]


def scores(content: bytes, images: list[np.ndarray]) -> np.ndarray:
    reader, output = TensorReader(content), parse_model(content, name="file").outputs[0].index
    found = []
    for image in images:
        reader.run(image)
        found.append(reader.tensor(output).copy())
    return np.stack(found)
