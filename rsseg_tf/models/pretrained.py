"""Weights from another model, taken over layer by layer by name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras

from rsseg_tf.errors import ConfigError, ModelError


def load_keras_model(path: Path) -> keras.Model:
    """The model in a `.keras` file, without its training state.

    Raises:
        ModelError: the file is missing, is not a `.keras` file, or needs code that is not here.
    """
    if not path.is_file():
        raise ModelError(f"no model at `{path}`")
    if path.suffix == ".tflite":
        raise ModelError(f"`{path}` is a TFLite file already", hint="give the .keras file that it was made from")
    if not zipfile.is_zipfile(path):
        raise ModelError(f"`{path}` is not a .keras file, or is damaged", hint="save it again with model.save")
    try:
        model: keras.Model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises a dozen types here, from zipfile's to its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"cannot read `{path}` as a Keras model: {reason}") from error
    return model


def initialise(model: keras.Model, weights: str) -> int:
    """Copy weights into `model` wherever a layer of the same name has the same shapes.

    Args:
        model: changed in place.
        weights: `none`, or the path of a `.keras` file.

    Returns:
        The number of layers that took over weights.

    Raises:
        ConfigError: `weights` names nothing known.
        ModelError: the file cannot be read, or fits less than half of the weights.
    """
    if weights == "none":
        return 0
    path = Path(weights)
    if path.suffix != ".keras":
        raise ConfigError(f"`model.weights` must be `none` or the path of a .keras file, got `{weights}`")
    source = {layer.name: layer.get_weights() for layer in load_keras_model(path).layers}
    copied = copied_params = 0
    for layer in model.layers:
        own, theirs = layer.get_weights(), source.get(layer.name, [])
        if own and [array.shape for array in own] == [array.shape for array in theirs]:
            layer.set_weights(theirs)
            copied, copied_params = copied + 1, copied_params + layer.count_params()
    if copied_params < model.count_params() / 2:
        raise ModelError(
            f"`{weights}` fits only {copied_params:,} of the {model.count_params():,} weights of `{model.name}`",
            hint="use weights of a model with the same backbone",
        )
    return copied
