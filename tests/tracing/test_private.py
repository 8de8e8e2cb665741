"""TensorFlow still has every private name that `rsseg_tf.tracing.private` uses (2.21 has, looked up on 2026-11-28)."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from rsseg_tf.tracing import private


def test_variables_become_constants():
    weight = tf.Variable(3.0)
    traced = tf.function(lambda x: x * weight).get_concrete_function(tf.TensorSpec((1,), tf.float32))
    fixed = private.with_constants(traced)
    weight.assign(5.0)
    assert not fixed.graph.variables
    assert fixed(tf.constant([2.0]))[0].numpy() == 6.0


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
def test_a_converter_stops_before_it_rounds():
    traced = tf.function(lambda x: tf.nn.relu(x) * 2.0).get_concrete_function(tf.TensorSpec((1, 4), tf.float32))

    def converted(*, stop: bool) -> bytes:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter([[np.float32([[-1, 0, 1, 2]])]])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if stop:
            private.stop_after_calibration(converter)
        return converter.convert()

    def types(data: bytes) -> set[np.dtype]:
        return {np.dtype(each["dtype"]) for each in Interpreter(model_content=data).get_tensor_details()}

    assert np.dtype(np.int8) in types(converted(stop=False))
    assert np.dtype(np.int8) not in types(converted(stop=True))
