"""The one door to TensorFlow Model Optimization: its import would change which Keras everybody else gets."""

from __future__ import annotations

import contextlib
import importlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

_SWITCH = "TF_USE_LEGACY_KERAS"

QUANTIZE_CONFIGS = "python.core.quantization.keras.default_8bit.default_8bit_quantize_configs"
"""The module of TFMOT's 8-bit choices for each type of layer, which has no public name."""


@contextlib.contextmanager
def tfmot(module: str = "") -> Iterator[Any]:
    """Yield the package `tensorflow_model_optimization`, or a module in it; within the block it does not warn.

    Its import sets a variable of the environment that would turn `tf.keras` into `tf_keras`, here and in child
    processes. Here `tf.keras` is settled before, and for the others the environment is put back.
    """
    kept = os.environ.get(_SWITCH)
    hasattr(tf.keras, "version")  # The attribute of a lazy module makes it choose.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = importlib.import_module(".".join(filter(None, ["tensorflow_model_optimization", module])))
        finally:
            if kept is None:
                os.environ.pop(_SWITCH, None)
            else:
                os.environ[_SWITCH] = kept
        yield found
