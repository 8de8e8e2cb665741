"""A `.keras` model behind the same predictor as a `.tflite` file, so both are scored by the same code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rsseg_tf.config import Config
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.edge.predict import TiledPredictor
from rsseg_tf.errors import ModelError
from rsseg_tf.models.pretrained import load_keras_model

Infer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def model_infer(model: keras.Model) -> Infer:
    """A function of pixels uint8 (N, h, w, 3) to logits float32 (N, h, w, C), traced once for every N."""
    signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)

    @tf.function(input_signature=[signature])
    def forward(images: tf.Tensor) -> tf.Tensor:
        return model(tf.cast(images, tf.float32), training=False)

    return lambda images: forward(images).numpy()


def check_classes(model: keras.Model, palette: Palette) -> None:
    """Nothing, if the model has as many classes as the data.

    Raises:
        ModelError: it has more or fewer.
    """
    if model.output_shape[-1] != len(palette.names):
        raise ModelError(
            f"the model `{model.name}` has {model.output_shape[-1]} classes, the data has {len(palette.names)}",
            hint="give the settings that the model was trained with",
        )


def keras_predictor(model: keras.Model, palette: Palette, config: Config) -> TiledPredictor:
    """A predictor of whole images of any size.

    Raises:
        ModelError: the model's classes are not those of the palette.
    """
    check_classes(model, palette)
    return TiledPredictor(
        model_infer(model),
        palette,
        input_size=model.input_shape[1:3],
        fitting=config.data.fitting,
        overlap=config.evaluate.overlap,
    )


def open_keras_predictor(path: Path, config: Config) -> TiledPredictor:
    """A predictor from a `.keras` file and the settings of its data.

    Raises:
        ModelError: the file is not a Keras model, or has another number of classes than the data.
    """
    model = load_keras_model(path)
    return keras_predictor(model, open_dataset(config.data, seed=config.seed).palette, config)
