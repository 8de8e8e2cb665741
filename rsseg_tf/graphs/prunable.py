"""The network as pruning takes it: with the same outputs, in a form in which more of its channels can go."""

from __future__ import annotations

import keras
import numpy as np

from rsseg_tf.errors import ModelError
from rsseg_tf.graphs.copying import copy_graph, copy_of, refresh
from rsseg_tf.graphs.facts import keys
from rsseg_tf.graphs.flattening import flatten
from rsseg_tf.graphs.foreign import AFFINE
from rsseg_tf.graphs.taps import live_taps
from rsseg_tf.graphs.walk import Call, all_within, calls

_IMAGE = 4


def prunable(model: keras.Model) -> keras.Model:
    """Return a network with the outputs of `model` that is `live_taps` of it and `channelwise`.

    Layers keep their names, so what is removed of the result is named as in `model`.

    Args:
        model: any model; it stays as it is, and comes back itself where nothing is to be done.
    """
    return channelwise(live_taps(model))


def channelwise(model: keras.Model) -> keras.Model:
    """Return a network with the outputs of `model` in which no layer has one scale and one offset for all channels.

    KerasHub's HGNetV2 has such layers behind its activations, y = s·x + b. A channel that goes would still give b to
    the layers behind them, and where their padding is zeros, no offset of theirs stands for that. A depthwise 1×1
    convolution with s and b for each channel computes the same, for two parameters a channel.

    Args:
        model: any model; it stays as it is, and comes back itself where it has no such layer on images.
    """
    if not any(AFFINE in keys(type(layer)) for layer in all_within(model)):
        return model
    try:
        flat = flatten(model)
    except ModelError:
        return model
    widths = {call.operation.name: call.inputs[0].shape[-1] for call in calls(flat) if _is_affine(call)}
    if not widths:
        return model
    copy = copy_graph(flat, make=lambda operation: _made(operation, is_affine=operation.name in widths))
    for layer in copy.layers:
        weights = [keras.ops.convert_to_numpy(weight) for weight in flat.get_layer(layer.name).weights]
        if layer.name in widths:
            scale, offset = weights
            weights = [np.full((1, 1, widths[layer.name], 1), scale), np.full(widths[layer.name], offset)]
        layer.set_weights(weights)
        refresh(layer)
    return copy


def _is_affine(call: Call) -> bool:
    shapes = [tensor.shape for tensor in call.inputs]
    is_image = len(shapes) == 1 and len(shapes[0]) == _IMAGE and shapes[0][-1] is not None
    return is_image and AFFINE in keys(type(call.operation)) and keras.config.image_data_format() == "channels_last"


def _made(operation: keras.Operation, *, is_affine: bool) -> keras.Operation:
    if not is_affine:
        return copy_of(operation)
    return keras.layers.DepthwiseConv2D(1, name=operation.name, dtype=operation.dtype_policy)
