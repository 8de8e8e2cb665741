"""Every private name of TensorFlow that this package uses; `tests/tracing/test_private.py` checks them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.optimize.calibrator import Calibrator
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

__all__ = ["Calibrator", "mlir_quantize", "stop_after_calibration", "with_constants"]


def with_constants(function: Any) -> Any:
    """Return a concrete function with its variables as constants."""
    return convert_variables_to_constants_v2(function)


def stop_after_calibration(converter: tf.lite.TFLiteConverter) -> None:
    """Make a converter return the float file with ranges instead of the rounded one."""
    converter._experimental_calibrate_only = True
