"""Where a network rounds as int8 will round it: the `tf_keras` twin with fake quantization (Jacob et al. 2018).

tensorflow-model-optimization puts the rounding in, by its default 8-bit scheme; this module prepares the twin for it
and says from which ranges the rounding starts. Where it departs from TFMOT's own ways:

* Ranges start from calibration images, as those of the int8 type do, not from ±6. The input's is 0 to 255 for good,
  so that its scale is exactly 1.
* Batch norms normalize by their stored statistics throughout, as in the exported file, in which they are part of the
  convolution; the statistics of batches of four would be noise. Their scales and offsets learn.
* A rescaling becomes a fixed 1×1 convolution with a diagonal kernel. Its rounding is exact for the kernel, one weight
  a channel, and happens once, at the output.
* A ReLU after a convolution without batch norm becomes the convolution's activation: TFMOT 0.8.1 leaves the kernel of
  such a convolution unrounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError
from rsseg_tf.quantization.qat.bridge import short_name, to_tf_keras
from rsseg_tf.quantization.qat.tfmot import QUANTIZE_CONFIGS, tfmot
from rsseg_tf.tracing.dilation import native_dilation

Ranges = Mapping[str, tuple[float, float]]

_LEARNED = ("kernel", "depthwise_kernel", "pointwise_kernel", "bias", "gamma", "beta", "alpha")
_LEAST_BOUND = 1e-7
"""Of a kernel's range: a channel that is all zero still needs a scale."""


def quantization_aware(model: keras.Model, images: Sequence[NDArray[np.uint8]]) -> Any:
    """Return a `tf_keras` model that computes like `model` with int8 rounding, and can learn under it.

    Args:
        model: from pixels 0–255, float32 (N, H, W, bands), to logits; of layers that `bridge.LAYERS` names.
        images: uint8 (H, W, bands) each; the ranges of activations are measured on them.

    Returns:
        A functional model whose layers have the names of those of `model`, and whose `trainable_variables` are what
        it is to learn, scales and offsets of batch norms among them.

    Raises:
        ModelError: if a layer cannot be bridged or quantized; the message names it.
    """
    twin = prepared(to_tf_keras(model))
    student = _annotated(twin)
    _freeze_batch_norms(student)
    _set_ranges(student, _measured(twin, images))
    renew_weight_ranges(student)
    return _learning(student)


def renew_weight_ranges(student: Any) -> None:
    """Set the range of every kernel to what the kernel spans now: after a training TFMOT's is one step behind."""
    for layer in student.layers:
        weights = {short_name(weight): weight for weight in layer.weights}
        for name, weight in weights.items():
            if f"{name}_min" in weights:
                upper = weights[f"{name}_max"]
                shared = list(range(weight.shape.rank - upper.shape.rank))
                bound = tf.maximum(tf.reduce_max(tf.abs(weight), axis=shared), _LEAST_BOUND)
                upper.assign(bound)
                weights[f"{name}_min"].assign(-bound)


def prepared(twin: Any) -> Any:
    """Return the twin as TFMOT can quantize all of it, computing the same, with layers of the same names.

    Args:
        twin: from `rsseg_tf.quantization.qat.bridge.to_tf_keras`.

    Raises:
        ModelError: if a layer is called more than once, or is of a type that TFMOT would replace under another name.
    """
    import tf_keras

    layers = tf_keras.layers
    _check_layers(twin)
    rescalings = {
        layer.name: layer
        for layer in twin.layers
        if isinstance(layer, layers.Rescaling) and layer.output.shape.rank == 4
    }
    activated = {layer.name: relu for layer in twin.layers if (relu := _relu_behind(layer, twin)) is not None}
    inside = {relu.name for relu in activated.values()}

    def replaced(layer: Any) -> Any:
        if layer.name in rescalings:
            return layers.Conv2D(layer.output.shape[-1], 1, name=layer.name, trainable=False)
        if layer.name in inside:
            return layers.Activation("linear", name=layer.name)
        changes = {"activation": "relu"} if layer.name in activated else {}
        return type(layer).from_config({**layer.get_config(), **changes})

    changed = tf_keras.models.clone_model(twin, clone_function=replaced)
    for layer in twin.layers:
        weights = _diagonal(layer) if layer.name in rescalings else layer.get_weights()
        changed.get_layer(layer.name).set_weights(weights)
    return changed


def _check_layers(twin: Any) -> None:
    for layer in twin.layers:
        if len(layer.inbound_nodes) > 1:
            raise ModelError(
                f"the layer `{layer.name}` is used {len(layer.inbound_nodes)} times, so it has no one range",
                hint="export another type, such as int8",
            )
        if type(layer).__name__ == "SeparableConv2D":
            raise ModelError(
                f"the layer `{layer.name}` is a SeparableConv2D, which quantization-aware training cannot take",
                hint="build it as a DepthwiseConv2D and a 1×1 Conv2D",
            )


def _relu_behind(layer: Any, twin: Any) -> Any | None:
    """Return the plain ReLU that alone reads a convolution or dense layer without activation, or None."""
    import tf_keras

    layers = tf_keras.layers
    weighing = isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense)
    if not weighing or isinstance(layer, layers.Conv2DTranspose) or layer.activation is not tf_keras.activations.linear:
        return None
    readers = [node.layer for node in layer.outbound_nodes]
    if len(readers) != 1 or any(layer.output is output for output in twin.outputs):
        return None
    plain = isinstance(readers[0], layers.ReLU) and layers.ReLU(name=readers[0].name).get_config()
    return readers[0] if plain and {**readers[0].get_config(), "dtype": plain["dtype"]} == plain else None


def _behind_transposed(layer: Any) -> bool:
    """Return whether a layer is a ReLU that reads a transposed convolution, which TFLite cannot merge in int8."""
    import tf_keras

    if not isinstance(layer, tf_keras.layers.ReLU):
        return False
    return isinstance(layer.inbound_nodes[0].inbound_layers, tf_keras.layers.Conv2DTranspose)


def _diagonal(rescaling: Any) -> list[NDArray[np.float32]]:
    """Return the kernel and bias of the 1×1 convolution that rescales."""
    channels = rescaling.output.shape[-1]
    scale, offset = (np.broadcast_to(np.float32(value), channels) for value in (rescaling.scale, rescaling.offset))
    return [np.diag(scale)[None, None], offset]


def _annotated(twin: Any) -> Any:
    """Return the twin with fake quantization put in by TFMOT's default 8-bit scheme."""
    import tf_keras

    with tfmot() as library:
        tools = library.quantization.keras
        configs = _configs()

        def annotated(layer: Any) -> Any:
            if _behind_transposed(layer):
                return type(layer).from_config(layer.get_config())  # TFMOT then rounds before and behind it.
            return tools.quantize_annotate_layer(layer, configs.get(type(layer).__name__))

        try:
            with tools.quantize_scope():
                marked = tf_keras.models.clone_model(twin, clone_function=annotated)
                return tools.quantize_apply(marked, quantized_layer_name_prefix="")
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"`{twin.name}` cannot be trained quantization-aware: {error}") from error


def _configs() -> Mapping[str, Any]:
    """Return type of layer → where it is quantized, for types that TFMOT does not know or handles badly.

    A bilinear upsampling keeps the scale of its input in TFLite; a range of its own would put a step of
    requantization before it.
    """
    with tfmot(QUANTIZE_CONFIGS) as known:
        output, nothing = known.Default8BitOutputQuantizeConfig(), known.NoOpQuantizeConfig()
    return {
        "UpSampling2D": nothing,
        "Identity": nothing,
        **dict.fromkeys(("Subtract", "Multiply", "Average", "Maximum", "Minimum", "ELU", "PReLU"), output),
    }


def _freeze_batch_norms(student: Any) -> None:
    for layer in student.layers:
        if _is_batch_norm(layer):
            layer.layer.trainable = False


def _is_batch_norm(layer: Any) -> bool:
    import tf_keras

    return isinstance(getattr(layer, "layer", None), tf_keras.layers.BatchNormalization)


def _learning(student: Any) -> Any:
    """Return the student as a model that counts what it learns among its trainable variables, and nothing else.

    A batch norm that normalizes by its stored statistics is not trainable in the eyes of tf_keras.
    """
    import tf_keras

    learned = {
        weight.ref(): weight  # a wrapped batch norm names its scale and offset twice
        for layer in student.layers
        for weight in layer.weights
        if short_name(weight) in _LEARNED and (layer.trainable or _is_batch_norm(layer))
    }

    class Student(tf_keras.Model):
        @property
        def trainable_weights(self) -> list[tf.Variable]:
            return list(learned.values())

    return Student(student.inputs, student.outputs, name=student.name)


def _measured(twin: Any, images: Sequence[NDArray[np.uint8]]) -> Ranges:
    """Return the least and greatest value of each layer's output over the images, 0 included, as TFLite does."""
    import tf_keras

    names = [layer.name for layer in twin.layers]
    ends = [end for layer in twin.layers for end in (tf.reduce_min(layer.output), tf.reduce_max(layer.output))]
    probe = tf.function(tf_keras.Model(twin.inputs, [tf.stack(ends)]))
    with native_dilation(twin):
        seen = np.stack([probe(image.astype(np.float32)[None]).numpy() for image in images]).reshape(-1, len(names), 2)
    lower, upper = np.minimum(seen[..., 0].min(axis=0), 0), np.maximum(seen[..., 1].max(axis=0), 0)
    return {name: (float(low), float(high)) for name, low, high in zip(names, lower, upper, strict=True)}


def _set_ranges(student: Any, ranges: Ranges) -> None:
    for layer in student.layers:
        for weight in layer.weights:
            kind, _, end = short_name(weight).rpartition("_")
            if kind == "pre_activation":
                raise ModelError(
                    f"the activation inside the layer `{layer.name}` cannot be quantized before it is applied",
                    hint="make the activation a layer of its own",
                )
            if kind in ("post_activation", "output") and end in ("min", "max"):
                weight.assign(ranges[layer.name][end == "max"])
            elif kind == layer.name and end in ("min", "max"):
                weight.assign(255.0 if end == "max" else 0.0)
