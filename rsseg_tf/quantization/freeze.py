"""The graph that is converted: batch 1, every size fixed, every variable a constant.

Measured reason: converted straight from the Keras model (batch `None`) the same network becomes 11 delegate
partitions with SPACE_TO_BATCH_ND around every dilated convolution; frozen it is one, with the dilation
inside CONV_2D and every batch norm folded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.graphs import copy_of
from rsseg_tf.graphs.private import maker, node_of
from rsseg_tf.number_formats import HEADS
from rsseg_tf.tracing.private import with_constants


def frozen_function(model: keras.Model, *, head: str = "logits") -> Any:
    """Return a concrete function of `model` at batch 1 with its variables frozen to constants.

    Args:
        model: a functional model with one image input (H, W, bands) of fixed size and logits (H, W, C) as output.
        head: a name in `HEADS`.

    Returns:
        A concrete function of float32 (1, H, W, bands).

    Raises:
        ConfigError: for an unknown head, or one that the model does not have.
        ModelError: if the input's size is not fixed, or there is more than one input or output.
    """
    shape = image_shape(model)
    return freeze(_head_function(model, head), shape)


def require_one_of_each(model: keras.Model) -> None:
    """Check that a model has one input and one output.

    Raises:
        ModelError: if it has more; the hint says how to keep one of the outputs, such as the last of a network that
            learned with deep supervision.
    """
    if len(model.inputs) == 1 and len(model.outputs) == 1:
        return
    message = f"`{model.name}` has {len(model.inputs)} inputs and {len(model.outputs)} outputs, expected one of each"
    if len(model.inputs) > 1:
        raise ModelError(message, hint="give a network that sees one image: all bands go into one input")
    shapes = ", ".join(f"{number}: {_size(output)}" for number, output in enumerate(model.outputs))
    raise ModelError(
        message,
        hint="save a model with the output that counts, `keras.Model(model.input, model.outputs[NUMBER])`; "
        f"the outputs are {shapes}",
    )


def _size(output: keras.KerasTensor) -> str:
    return f"`{maker(output).name}` {'×'.join(map(str, output.shape[1:]))}"


def image_shape(model: keras.Model) -> tuple[int, ...]:
    """Return height, width and bands of the one image that a model takes.

    Raises:
        ModelError: if its size is not fixed, or there is more than one input or output.
    """
    require_one_of_each(model)
    shape = tuple(model.inputs[0].shape[1:])
    if None in shape:
        raise ModelError(
            f"the input of `{model.name}` has no fixed size: {shape}", hint="build it with a fixed input shape"
        )
    return shape


def freeze(forward: Callable[[tf.Tensor], tf.Tensor], shape: tuple[int, ...]) -> Any:
    """Return a concrete function of `forward` on float32 (1, *shape), its variables frozen to constants."""
    traced = tf.function(forward).get_concrete_function(tf.TensorSpec((1, *shape), tf.float32, name="image"))
    return with_constants(traced)


def check_head(head: str) -> None:
    """Check that `head` is a name in `HEADS`.

    Raises:
        ConfigError: if it is not.
    """
    if head not in HEADS:
        raise ConfigError(f"unknown head `{head}`", hint=f"known: {', '.join(HEADS)}")


def class_map(logits: tf.Tensor) -> tf.Tensor:
    """Return the likeliest class of each pixel, uint8 (N, H, W), of logits (N, H, W, C)."""
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32), tf.uint8)


def _head_function(model: keras.Model, head: str) -> Callable[[tf.Tensor], tf.Tensor]:
    check_head(head)
    if head == "logits-low":
        model = keras.Model(model.inputs, _before_last_upsampling(model), name=model.name)
    if head == "classes":
        model = without_softmax(model)

    def forward(image: tf.Tensor) -> tf.Tensor:
        logits = model(image, training=False)
        return class_map(logits) if head == "classes" else logits

    return forward


def without_softmax(model: keras.Model) -> keras.Model:
    """Return a model whose outputs have the same order of classes as those of `model`, without a softmax at the end.

    XNNPACK has no int8 softmax over classes, and the likeliest class is the one with the largest logit. A softmax that
    is the activation of the last layer goes too; the result shares all other layers with `model`.
    """
    last, before = maker(model.outputs[0]), node_of(model.outputs[0]).input_tensors
    if _is_softmax(last):
        return without_softmax(keras.Model(model.inputs, before[0], name=model.name))
    if not isinstance(last, keras.layers.Conv2D) or last.activation is not keras.activations.softmax:
        return model
    plain = copy_of(last, activation="linear")
    logits = plain(before[0])
    plain.set_weights(last.get_weights())
    return keras.Model(model.inputs, logits, name=model.name)


def _is_softmax(operation: keras.Operation) -> bool:
    """Return whether a layer is a softmax over the classes and nothing else."""
    if isinstance(operation, keras.layers.Activation):
        return bool(operation.activation is keras.activations.softmax)
    return isinstance(operation, keras.layers.Softmax) and operation.axis == -1


def has_low_head(model: keras.Model) -> bool:
    """Return whether `model` ends in a bilinear upsampling, before which the head `logits-low` ends."""
    last = maker(model.outputs[0])
    return isinstance(last, keras.layers.UpSampling2D) and last.interpolation == "bilinear"


def _before_last_upsampling(model: keras.Model) -> keras.KerasTensor:
    last = maker(model.outputs[0])
    if not has_low_head(model):
        raise ConfigError(
            f"`{model.name}` ends in `{last.name}`, not in a bilinear upsampling, so it has no `logits-low` head",
            hint="use the head `logits`",
        )
    before: keras.KerasTensor = node_of(model.outputs[0]).input_tensors[0]
    return before
