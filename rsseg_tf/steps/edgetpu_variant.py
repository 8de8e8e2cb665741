"""The variant of a model that an Edge TPU can run whole."""

from __future__ import annotations

import dataclasses

import keras

from rsseg_tf.config import ExportConfig
from rsseg_tf.errors import ConfigError
from rsseg_tf.number_formats import FORMATS
from rsseg_tf.quantization.freeze import has_low_head


def for_target(export: ExportConfig, model: keras.Model) -> ExportConfig:
    """Return the settings with which `model` is exported for `export.target`.

    For the Edge TPU the head is `logits-low` where the model has one: the last enlargement is the operator that is
    reported not to map (google-coral/edgetpu#31, #377), and the largest logit is not found by one that maps, so the
    host does both.

    Raises:
        ConfigError: if the Edge TPU cannot compute in the number format that is asked for.
    """
    if export.target == "cpu":
        return export
    if not FORMATS[export.type].is_int8:
        raise ConfigError(
            f"the Edge TPU computes on 8-bit integers alone, not on {export.type}", hint="use export.type=int8"
        )
    return dataclasses.replace(export, head="logits-low" if has_low_head(model) else "logits")
