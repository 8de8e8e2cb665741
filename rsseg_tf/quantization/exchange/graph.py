"""Keras model → ONNX graph.

By tf2onnx, which Keras' own `export(format="onnx")` calls too, but with the batch fixed and dilated convolutions traced
as one operator: so every batch norm is folded, nothing is transposed, and a DeepLabV3+ becomes Conv, Relu, Add, Concat,
Resize and MaxPool alone. Keras' own has an open batch, a Transpose on either side and SpaceToBatch around dilations.
"""

from __future__ import annotations

import logging
from typing import Any

import keras
import tensorflow as tf

from rsseg_tf.graphs import live_taps
from rsseg_tf.quantization.converting import converting
from rsseg_tf.quantization.freeze import image_shape
from rsseg_tf.tracing.dilation import native_dilation

IMAGE, PROBABILITIES = "image", "probabilities"
"""Names of the input and the output."""

OPSET = 17
"""Of 2022: what ONNX Runtime 1.12 and later read, so those of older GIS installations do."""


def onnx_model(model: keras.Model) -> Any:
    """Return the ONNX model of a network, without taps of kernels that never meet the picture.

    It takes `image`, float32 (1, bands, H, W) from 0 to 1, and returns `probabilities`, float32 (1, C, H, W): scaling,
    normalization and softmax are in the graph.

    Args:
        model: a functional model from pixels 0–255, float32 (N, H, W, bands), to logits (N, H, W, C).

    Raises:
        ModelError: if it cannot be converted, its size is not fixed, or there is more than one input or output.
        ModuleNotFoundError: where tf2onnx is not installed.
    """
    import tf2onnx

    height, width, bands = image_shape(model)
    live = live_taps(model)

    def forward(image: tf.Tensor) -> tf.Tensor:
        logits = live(255.0 * tf.transpose(image, (0, 2, 3, 1)), training=False)
        return tf.transpose(tf.nn.softmax(logits), (0, 3, 1, 2))

    signature = [tf.TensorSpec((1, bands, height, width), tf.float32, name=IMAGE)]
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with converting(model.name), native_dilation(live):
        converted, _ = tf2onnx.convert.from_function(tf.function(forward), signature, opset=OPSET)
    _rename_output(converted.graph, PROBABILITIES)
    converted.graph.name = model.name
    return converted


def _rename_output(graph: Any, name: str) -> None:
    old = graph.output[0].name
    for node in graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [name if tensor == old else tensor for tensor in tensors]
    graph.output[0].name = name
