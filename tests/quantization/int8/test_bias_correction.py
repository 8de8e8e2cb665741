"""Bias correction: the shift is what the rounded kernel adds on average, and it is gone afterwards."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from rsseg_tf.quantization.convert import calibrated_model
from rsseg_tf.quantization.int8.bias_correction import bias_corrected
from rsseg_tf.quantization.int8.calibrated import quantize
from rsseg_tf.quantization.int8.noise import dequantized
from rsseg_tf.tflite.flatbuffer import parse_model
from tests.quantization.tiny import pixels, segmenter

IMAGES = pixels()


def biases(content: bytes) -> dict[str, np.ndarray]:
    return {
        op.outputs[0].name: op.inputs[2].values()
        for op in parse_model(content, name="file").ops
        if op.name == "CONV_2D"
    }


def test_each_bias_is_changed_by_the_mean_of_what_the_rounding_adds():
    """With strides, dilation and padding, against TensorFlow's own convolution of the kernel's error."""
    model = segmenter()
    calibrated = calibrated_model(model, head="logits", calibration=IMAGES)
    before, after = biases(calibrated), biases(bias_corrected(calibrated, IMAGES))
    exact, rough = (
        [op for op in parse_model(content, name="file").ops if op.name == "CONV_2D"]
        for content in (calibrated, quantize(calibrated))
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
