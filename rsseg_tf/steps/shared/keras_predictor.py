"""A `.keras` model behind the same predictor as a `.tflite` file, so both are scored by the same code."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from rsseg_tf.config import Config
from rsseg_tf.datasets.catalog import palette_of
from rsseg_tf.datasets.images.channels import COLORS, Channels
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.errors import ModelError
from rsseg_tf.inference.predict import TiledPredictor, usual_overlap
from rsseg_tf.models.weights.pretrained import load_segmenter
from rsseg_tf.quantization.freeze import require_one_of_each
from rsseg_tf.runs import file_hash
from rsseg_tf.steps.shared.model_classes import classes_of, pixel_m_of, with_pixel_m
from rsseg_tf.tracing.dilation import native_dilation

Infer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def model_infer(model: keras.Model) -> Infer:
    """Return a function of pixels uint8 (N, h, w, bands) to logits float32 (N, h, w, C), traced once for every N."""
    signature = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)

    @tf.function(input_signature=[signature])
    def forward(images: tf.Tensor) -> tf.Tensor:
        return model(tf.cast(images, tf.float32), training=False)

    def infer(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with native_dilation(model):
            logits: NDArray[np.float32] = forward(images).numpy()
        return logits

    return infer


def check_model(
    model: keras.Model, palette: Palette, *, size: tuple[int, int] | None = None, bands: int = COLORS
) -> None:
    """Check that the model maps images of one fixed size to logits for the classes of the data.

    Args:
        model: any model.
        palette: the classes of the data.
        size: height and width that the images must have; None for any.
        bands: how many they have.

    Raises:
        ModelError: if it does not.
    """
    require_one_of_each(model)
    shape, logits = tuple(model.inputs[0].shape[1:]), tuple(model.outputs[0].shape[1:])
    if len(shape) != 3 or None in shape or logits[:2] != shape[:2] or len(logits) != 3:
        raise ModelError(
            f"`{model.name}` maps {shape} to {logits}, expected a fixed (height, width, bands) to (height, width, C)"
        )
    if shape[2] != bands:
        raise ModelError(
            f"the model `{model.name}` sees {shape[2]} bands, the settings of the data name {bands}",
            hint="give the settings that the model was trained with: data.bands",
        )
    if logits[-1] != len(palette.names):
        raise ModelError(
            f"the model `{model.name}` has {logits[-1]} classes, the data has {len(palette.names)}",
            hint="give the settings that the model was trained with",
        )
    if size is not None and shape[:2] != tuple(size):
        raise ModelError(
            f"the model `{model.name}` takes {shape[0]}×{shape[1]} pixels, `data.input_size` is {size[0]}×{size[1]}",
            hint="give the settings that the model was trained with",
        )


def keras_predictor(model: keras.Model, palette: Palette, config: Config) -> TiledPredictor:
    """Return a predictor of whole images of any size.

    Raises:
        ModelError: if the model's classes are not those of the palette.
    """
    check_model(model, palette, bands=config.data.num_bands)
    return TiledPredictor(
        model_infer(model),
        palette,
        input_size=model.input_shape[1:3],
        fitting=config.data.fitting,
        overlap=usual_overlap(config.evaluate.overlap, model.input_shape[1:3]),
        ground_sampling_distance_m=config.data.ground_sampling_distance_m,
        channels=Channels.of(config.data.bands, config.data.scale),
        num_bands=model.input_shape[3],
        learned_pixel_m=0.0 if config.data.fitting == "resize" else config.data.ground_sampling_distance_m,
    )


def open_keras_predictor(path: Path, config: Config) -> TiledPredictor:
    """Return a predictor from a `.keras` file and the settings of its data.

    Raises:
        ModelError: if the file is not a Keras model, or has another number of classes than the data.
    """
    palette = classes_of(path) or palette_of(config.data)
    config = with_pixel_m(config, pixel_m_of(path))
    predictor = keras_predictor(load_segmenter(path, output=config.model.output), palette, config)
    return dataclasses.replace(predictor, model_sha256=file_hash(path))
