"""Tiny networks as `.tflite` bytes; TensorFlow is needed to make them, not to run them."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rsseg_tf.tflite.metadata import ModelMetadata

SIZE = 32
CLASSES = 4
METADATA = ModelMetadata(
    class_names=("road", "roof", "tree", "car"),
    class_colors=((128, 64, 128), (128, 0, 0), (0, 128, 0), (64, 0, 128)),
    input_size=(SIZE, SIZE),
    overlap=8,
    ground_sampling_distance_m=0.5,
)


@functools.cache
def tiny_model(kind: str = "int8", head: str = "logits") -> bytes:
    """A few convolutions: `kind` is int8 (uint8 in) or float32, `head` as in `ModelMetadata`."""
    keras = _keras()
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIZE, SIZE, 3), batch_size=1, name="pixels")
    x = keras.layers.Rescaling(1 / 127.5, -1, name="scaled")(pixels)
    x = keras.layers.Conv2D(8, 3, padding="same", strides=2, activation="relu", name="stem")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", dilation_rate=2, activation="relu", name="depthwise")(x)
    x = keras.layers.Conv2D(CLASSES, 1, name="classifier")(x)
    if head != "logits-low":
        x = keras.layers.UpSampling2D(2, interpolation="bilinear", name="enlarged")(x)
    return converted(keras.Model(pixels, x), kind=kind, head=head)


@functools.cache
def image_model(channels: int = 3, *, out_size: int = SIZE) -> bytes:
    """A float network of one convolution for images of `channels`."""
    keras = _keras()
    pixels = keras.Input((SIZE, SIZE, channels), batch_size=1)
    x = keras.layers.Conv2D(CLASSES, 1)(pixels)
    x = keras.layers.CenterCrop(out_size, out_size)(x) if out_size < SIZE else x
    return converted(keras.Model(pixels, x), kind="float32")


@functools.cache
def scratchless_model(kind: str) -> bytes:
    """A branching network whose kernels need no memory but their inputs and outputs."""
    keras = _keras()
    pixels = keras.Input((SIZE, SIZE, 3), batch_size=1)
    wide = keras.layers.Conv2D(8, 1, activation="relu")(pixels)
    pooled = keras.layers.Conv2D(16, 1)(keras.layers.MaxPooling2D(2)(wide))
    added = keras.layers.Add()([pooled, keras.layers.Conv2D(16, 1)(pooled)])
    joined = keras.layers.Concatenate()([wide, keras.layers.UpSampling2D(2, interpolation="bilinear")(added)])
    return converted(keras.Model(pixels, keras.layers.Conv2D(CLASSES, 1)(joined)), kind=kind)


@functools.cache
def products_model() -> bytes:
    """A float network with a transposed convolution and a dense layer, for counting."""
    keras = _keras()
    pixels = keras.Input((8, 8, 3), batch_size=1)
    x = keras.layers.Conv2DTranspose(5, 3, strides=2, padding="same")(pixels)
    x = keras.layers.Flatten()(x)
    return converted(keras.Model(pixels, keras.layers.Dense(7)(x)), kind="float32")


def with_float16_weights() -> bytes:
    """A network whose weights are unpacked by DEQUANTIZE operators."""
    import keras
    import tensorflow as tf

    inputs = keras.Input((8, 8, 3), batch_size=1)
    x = keras.layers.Conv2D(2, 1)(keras.layers.Conv2D(4, 3, bias_initializer="ones")(inputs))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, x))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    content: bytes = converter.convert()
    return content


def converted(model: Any, *, kind: str, head: str = "logits") -> bytes:
    """A batch-1 graph with frozen weights as a flatbuffer."""
    import tensorflow as tf

    from rsseg_tf.tracing.private import with_constants

    def forward(pixels: Any) -> Any:
        scores = model(pixels, training=False)
        return tf.cast(tf.argmax(scores, -1, output_type=tf.int32), tf.uint8) if head == "classes" else scores

    signature = tf.TensorSpec(model.inputs[0].shape, tf.float32)
    frozen = with_constants(tf.function(forward).get_concrete_function(signature))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], model)
    if kind == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = _calibration(model.inputs[0].shape)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8 if head == "classes" else tf.int8
    model_bytes: bytes = converter.convert()
    return model_bytes


def frame(seed: int = 0, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    """A random image."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _calibration(shape: tuple[int, ...]) -> Callable[[], Iterator[list[np.ndarray]]]:
    """Random images that hold 0 and 255, so that the input's scale is exactly 1."""

    def batches() -> Iterator[list[np.ndarray]]:
        for seed in range(4):
            pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)
            pixels.flat[:2] = 0, 255
            yield [pixels]

    return batches


def _keras() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    logging.getLogger("absl").setLevel(logging.ERROR)
    return keras
