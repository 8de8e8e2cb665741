"""The int8 file of a quantization-aware model."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from rsseg_tf.errors import ConfigError
from rsseg_tf.graphs.private import maker
from rsseg_tf.quantization.convert import run_converter
from rsseg_tf.quantization.freeze import check_head, class_map, freeze


def convert_student(student: Any, *, head: str = "logits") -> bytes:
    """Return the int8 TFLite flatbuffer of a quantization-aware model, frozen at batch 1; it takes uint8 pixels.

    Args:
        student: from `fake_quant.quantization_aware`, trained or not; `fake_quant.renew_weight_ranges` comes between.
        head: a name in `rsseg_tf.number_formats.HEADS`.

    Raises:
        ConfigError: for an unknown head, or one that the model does not have.
        ModelError: if the model cannot be converted.
    """
    import tf_keras

    check_head(head)
    model = tf_keras.Model(student.inputs, _before_last_upsampling(student)) if head == "logits-low" else student

    def forward(image: tf.Tensor) -> tf.Tensor:
        logits = model(image, training=False)
        return class_map(logits) if head == "classes" else logits

    def configure(converter: Any) -> None:
        # The ranges are in the graph, so the converter needs no images; asked for integer ops alone, it would insist.
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8 if head == "classes" else tf.int8

    return run_converter(freeze(forward, student.input_shape[1:]), configure, name=student.name)


def _before_last_upsampling(student: Any) -> Any:
    import tf_keras

    last = maker(student.outputs[0])
    inside = getattr(last, "layer", last)
    if not (isinstance(inside, tf_keras.layers.UpSampling2D) and inside.interpolation == "bilinear"):
        raise ConfigError(
            f"`{student.name}` ends in `{last.name}`, not in a bilinear upsampling, so it has no `logits-low` head",
            hint="use the head `logits`",
        )
    return last.input
