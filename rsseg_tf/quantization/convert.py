"""Keras model → TFLite flatbuffer, in the number formats that need no training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.graphs import live_taps
from rsseg_tf.number_formats import FORMATS
from rsseg_tf.quantization.converting import converting
from rsseg_tf.quantization.delegable import delegable
from rsseg_tf.quantization.freeze import frozen_function
from rsseg_tf.quantization.int8.calibrated import Images, quantize, with_range_slots
from rsseg_tf.quantization.int8.clipping import MIN_MAX, with_method
from rsseg_tf.quantization.int8.equalize import equalized
from rsseg_tf.quantization.int16 import int16_file


@dataclass(frozen=True)
class _Wanted:
    """What a format may need to know besides the model."""

    head: str
    calibration: Images
    method: str
    equalize: bool = False


def convert(
    model: keras.Model,
    *,
    number_format: str = "int8",
    head: str = "logits",
    calibration: Images = (),
    method: str = MIN_MAX,
) -> bytes:
    """Return the TFLite flatbuffer of `model`, without taps of kernels that never meet the picture.

    Integer files take the camera's uint8 pixels as they are, the others the same pixels as float32.

    Args:
        model: any functional model from pixels 0–255, float32 (N, H, W, C), to one output.
        number_format: a name in `CONVERTERS`.
        head: a name in `rsseg_tf.number_formats.HEADS`.
        calibration: images uint8 (H, W, C) on which the ranges of activations are measured, for formats that need any.
        method: a name in `rsseg_tf.quantization.int8.clipping.METHODS`, by which the ranges are chosen.

    Raises:
        ConfigError: for an unknown format or method, no calibration images, or a head that the format does not have.
        ModelError: if the model cannot be converted, or holds a weight that is not finite.
    """
    if number_format not in CONVERTERS:
        raise ConfigError(f"unknown type `{number_format}`", hint=f"known: {', '.join(CONVERTERS)}")
    wanted = _Wanted(head, calibration, method)
    _check(number_format, wanted)
    _check_finite(model)
    return CONVERTERS[number_format](live_taps(model), wanted)


def calibrated_model(
    model: keras.Model, *, head: str, calibration: Images, method: str = MIN_MAX, equalize: bool = False
) -> bytes:
    """Return the float file with ranges that `rsseg_tf.quantization.int8.calibrated.quantize` makes an int8 file from.

    Arguments and errors as `convert`; `equalize` is for `rsseg_tf.quantization.int8.equalize`.
    """
    wanted = _Wanted(head, calibration, method, equalize)
    _check("int8", wanted)
    _check_finite(model)
    return _calibrated(live_taps(model), wanted)


def run_converter(function: Any, configure: Callable[[Any], None], *, name: str = "the model") -> bytes:
    """Return the TFLite flatbuffer of a frozen concrete function.

    Args:
        function: from `rsseg_tf.quantization.freeze`.
        configure: sets options on the converter.
        name: of the model, for messages.

    Raises:
        ModelError: if it cannot be converted.
    """
    with converting(name, function=function):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        configure(converter)
        flatbuffer: bytes = converter.convert()
    return flatbuffer


def _calibrated(model: keras.Model, wanted: _Wanted) -> bytes:
    slots = with_range_slots(frozen_function(delegable(model), head=wanted.head), wanted.calibration[0])
    if wanted.equalize:
        slots = equalized(slots, wanted.calibration)
    return with_method(slots, wanted.calibration, method=wanted.method)


def _int8(model: keras.Model, wanted: _Wanted) -> bytes:
    return quantize(_calibrated(model, wanted), head=wanted.head)


def _int16x8(model: keras.Model, wanted: _Wanted) -> bytes:
    return int16_file(frozen_function(model, head=wanted.head), wanted.calibration)


def _float32(model: keras.Model, wanted: _Wanted) -> bytes:
    return run_converter(frozen_function(model, head=wanted.head), lambda _converter: None)


def _float16(model: keras.Model, wanted: _Wanted) -> bytes:
    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    return run_converter(frozen_function(model, head=wanted.head), configure)


def _dynamic(model: keras.Model, wanted: _Wanted) -> bytes:
    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    return run_converter(frozen_function(model, head=wanted.head), configure)


CONVERTERS: Mapping[str, Callable[[keras.Model, _Wanted], bytes]] = {
    "int8": _int8,
    "int16x8": _int16x8,
    "float32": _float32,
    "float16": _float16,
    "dynamic": _dynamic,
}
"""Number format → what makes its file; `rsseg_tf.number_formats.FORMATS` says what is in it."""


def _check(number_format: str, wanted: _Wanted) -> None:
    """Check that the format has the head and method that are wanted, and the images that it needs."""
    known = FORMATS[number_format]
    if wanted.head not in known.heads:
        raise ConfigError(f"{number_format} has no head `{wanted.head}`", hint=f"known: {', '.join(known.heads)}")
    methods = known.calibration or (MIN_MAX,)
    if wanted.method not in methods:
        raise ConfigError(
            f"{number_format} has no calibration method `{wanted.method}`", hint=f"known: {', '.join(methods)}"
        )
    if known.calibration and len(wanted.calibration) == 0:
        raise ConfigError(
            f"{number_format} needs calibration images, got none", hint="raise export.calibration_samples"
        )


def _check_finite(model: keras.Model) -> None:
    for layer in model.layers:
        if not all(np.isfinite(array).all() for array in layer.get_weights()):
            raise ModelError(f"the layer `{layer.name}` of `{model.name}` holds weights that are NaN or infinite")
