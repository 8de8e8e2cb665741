"""Keras model → TFLite flatbuffer, in the number formats that the TFLite converter knows."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging as absl_logging
from numpy.typing import NDArray

from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.quantization.freeze import frozen_function
from rsseg_tf.quiet import quiet_stderr


def convert(
    model: keras.Model,
    *,
    number_format: str = "int8",
    head: str = "logits",
    calibration: Sequence[NDArray[np.uint8]] = (),
) -> bytes:
    """The TFLite flatbuffer of `model`.

    The int8 file takes the camera's uint8 pixels as they are: the calibration data is extended by pixels of
    0 and 255, so that the input scale is exactly 1 and its zero point 0.

    Args:
        model: from pixels 0–255, float32 (N, H, W, 3), to logits (N, H, W, C).
        number_format: a name in `FORMATS`.
        head: a name in `rsseg_tf.quantization.freeze.HEADS`.
        calibration: (int8) images uint8 (H, W, 3) on which the ranges of activations are measured.

    Raises:
        ConfigError: an unknown format, or no calibration images for int8.
        ModelError: the model cannot be converted, or holds a weight that is not finite.
    """
    if number_format not in FORMATS:
        raise ConfigError(f"unknown type `{number_format}`", hint=f"known: {', '.join(FORMATS)}")
    _check_finite(model)
    return run_converter(
        frozen_function(model, head=head),
        lambda converter: FORMATS[number_format](converter, calibration, head),
        name=model.name,
    )


def run_converter(function: Any, configure: Callable[[Any], None], *, name: str) -> bytes:
    """The TFLite flatbuffer of a frozen concrete function.

    Args:
        function: from `rsseg_tf.quantization.freeze`.
        configure: sets options on the converter.
        name: of the model, for messages.

    Raises:
        ModelError: it cannot be converted.
    """
    with _quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        configure(converter)
        try:
            flatbuffer: bytes = converter.convert()
        except Exception as error:  # the converter raises whatever its C++ side throws
            reason = str(error).strip().splitlines()
            raise ModelError(f"`{name}` cannot be converted: {reason[0] if reason else error!r}") from error
    return flatbuffer


def _as_float32(_converter: Any, _calibration: Sequence[NDArray[np.uint8]], _head: str) -> None:
    """The converter's own default."""


def _as_float16(converter: Any, _calibration: Sequence[NDArray[np.uint8]], _head: str) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _as_dynamic(converter: Any, _calibration: Sequence[NDArray[np.uint8]], _head: str) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _as_int8(converter: Any, calibration: Sequence[NDArray[np.uint8]], head: str) -> None:
    if len(calibration) == 0:
        raise ConfigError("int8 needs calibration images, got none", hint="raise export.calibration_samples")
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8 if head == "classes" else tf.int8
    converter.representative_dataset = lambda: _representative(calibration)


FORMATS: Mapping[str, Callable[[Any, Sequence[NDArray[np.uint8]], str], None]] = {
    "int8": _as_int8,
    "float32": _as_float32,
    "float16": _as_float16,
    "dynamic": _as_dynamic,
}
"""Number format → what it sets on the converter."""


def _representative(images: Sequence[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.float32]]]:
    for number, image in enumerate(images):
        pixels = image.astype(np.float32)[None]
        if number == 0:
            pixels[0, 0, 0], pixels[0, 0, 1] = 0, 255
        yield [pixels]


def _check_finite(model: keras.Model) -> None:
    for layer in model.layers:
        if not all(np.isfinite(array).all() for array in layer.get_weights()):
            raise ModelError(f"the layer `{layer.name}` of `{model.name}` holds weights that are NaN or infinite")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converter's own chatter, from Python and from C++, off stderr."""
    verbosity = absl_logging.get_verbosity()
    with quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        absl_logging.set_verbosity(absl_logging.FATAL)
        try:
            yield
        finally:
            absl_logging.set_verbosity(verbosity)
