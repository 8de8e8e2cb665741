"""The variant of a model that an Edge TPU can run whole."""

from __future__ import annotations

import dataclasses

import keras

from rsseg_tf.config import ExportConfig
from rsseg_tf.quantization.freeze import has_low_head


def for_target(export: ExportConfig, model: keras.Model) -> ExportConfig:
    """Return the settings with which `model` is exported for `export.target`.

    For the Edge TPU the head is `logits-low` where the model has one: the last enlargement is the operator that is
    reported not to map (google-coral/edgetpu#31, #377), and the largest logit is not found by one that maps, so the
    host does both.
    """
    if export.target != "edgetpu":
        return export
    return dataclasses.replace(export, head="logits-low" if has_low_head(model) else "logits")
