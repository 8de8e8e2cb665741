"""What a `.keras` model is made of, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsseg_tf import pruning
from rsseg_tf.models.pretrained import load_keras_model


def inspect_keras(path: Path) -> Mapping[str, Any]:
    """Parameters, multiply-accumulates and bytes of the model in `path` and of each of its layers.

    Raises:
        ModelError: the file is not a Keras model.
    """
    model = load_keras_model(path)
    cost = pruning.cost(model)
    layers = [
        {
            "name": layer.name,
            "type": type(model.get_layer(layer.name)).__name__,
            "output_shape": list(model.get_layer(layer.name).output.shape),
            "params": layer.params,
            "macs": layer.macs,
            "bytes": layer.bytes,
        }
        for layer in cost.layers
    ]
    return {"model": model.name, "params": cost.params, "macs": cost.macs, "bytes": cost.bytes, "layers": layers}
