"""Keras model → TFLite flatbuffer, in the number formats that TFLite knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.quantization.converting import converting
from rsseg_tf.quantization.delegable import delegable
from rsseg_tf.quantization.freeze import frozen_function
from rsseg_tf.quantization.int8.calibrated import Images, quantize, with_range_slots
from rsseg_tf.quantization.int8.clipping import MIN_MAX, with_method
from rsseg_tf.quantization.int8.equalize import equalized
from rsseg_tf.quantization.int16 import int16_file


@dataclass(frozen=True)
class _Wanted:
    """What a format may need to know beside the graph."""

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
    """The TFLite flatbuffer of `model`.

    Integer files take the camera's uint8 pixels as they are, the others the same pixels as float32.

    Args:
        model: any functional model from pixels 0–255, float32 (N, H, W, C), to one output.
        number_format: a name in `FORMATS`.
        head: a name in `rsseg_tf.quantization.freeze.HEADS`.
        calibration: (int8, int16x8) images uint8 (H, W, C) on which the ranges of activations are measured.
        method: (int8) `min-max`, or a name in `rsseg_tf.quantization.int8.clipping.METHODS`.

    Raises:
        ConfigError: an unknown format or method, no calibration images, or a head that the format does not have.
        ModelError: the model cannot be converted, or holds a weight that is not finite.
    """
    if number_format not in FORMATS:
        raise ConfigError(f"unknown type `{number_format}`", hint=f"known: {', '.join(FORMATS)}")
    _check_finite(model)
    graph = delegable(model) if number_format == "int8" else model
    return FORMATS[number_format](frozen_function(graph, head=head), _Wanted(head, calibration, method))


def calibrated_model(
    model: keras.Model, *, head: str, calibration: Images, method: str = MIN_MAX, equalize: bool = False
) -> bytes:
    """The float file with ranges of which `rsseg_tf.quantization.int8.calibrated.quantize` makes an int8 file.

    Arguments and errors as `convert`; `equalize` is for `rsseg_tf.quantization.int8.equalize`.
    """
    _check_finite(model)
    return _calibrated(frozen_function(delegable(model), head=head), _Wanted(head, calibration, method, equalize))


def run_converter(function: Any, configure: Callable[[Any], None], *, name: str = "the model") -> bytes:
    """The TFLite flatbuffer of a frozen concrete function.

    Args:
        function: from `rsseg_tf.quantization.freeze`.
        configure: sets options on the converter.
        name: of the model, for messages.

    Raises:
        ModelError: it cannot be converted.
    """
    with converting(name, function=function):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        configure(converter)
        flatbuffer: bytes = converter.convert()
    return flatbuffer


def _calibrated(function: Any, wanted: _Wanted) -> bytes:
    _check_images("int8", wanted)
    slots = with_range_slots(function, wanted.calibration[0])
    if wanted.equalize:
        slots = equalized(slots, wanted.calibration)
    return with_method(slots, wanted.calibration, method=wanted.method)


def _int8(function: Any, wanted: _Wanted) -> bytes:
    return quantize(_calibrated(function, wanted), head=wanted.head)


def _int16x8(function: Any, wanted: _Wanted) -> bytes:
    if wanted.head == "classes":
        raise ConfigError("int16x8 has no head `classes`: TFLite has no ARG_MAX on int16", hint="use the head `logits`")
    if wanted.method != MIN_MAX:
        raise ConfigError(
            f"int16x8 is calibrated by {MIN_MAX} only, got `{wanted.method}`",
            hint="65,536 steps are fine enough for the whole range",
        )
    _check_images("int16x8", wanted)
    return int16_file(function, wanted.calibration)


def _float32(function: Any, _wanted: _Wanted) -> bytes:
    return run_converter(function, lambda _converter: None)


def _float16(function: Any, _wanted: _Wanted) -> bytes:
    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    return run_converter(function, configure)


def _dynamic(function: Any, _wanted: _Wanted) -> bytes:
    def configure(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    return run_converter(function, configure)


FORMATS: Mapping[str, Callable[[Any, _Wanted], bytes]] = {
    "int8": _int8,
    "int16x8": _int16x8,
    "float32": _float32,
    "float16": _float16,
    "dynamic": _dynamic,
}
"""Number format → function of a frozen graph."""


def _check_images(number_format: str, wanted: _Wanted) -> None:
    if len(wanted.calibration) == 0:
        raise ConfigError(
            f"{number_format} needs calibration images, got none", hint="raise export.calibration_samples"
        )


def _check_finite(model: keras.Model) -> None:
    for layer in model.layers:
        if not all(np.isfinite(array).all() for array in layer.get_weights()):
            raise ModelError(f"the layer `{layer.name}` of `{model.name}` holds weights that are NaN or infinite")
