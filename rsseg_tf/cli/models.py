"""Opens a model file of either kind as a predictor."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from rsseg_tf.cli.shared import quiet_tensorflow
from rsseg_tf.settings import Config

if TYPE_CHECKING:
    from rsseg_tf.datasets.palette import Palette
    from rsseg_tf.edge.predict import TiledPredictor


def is_keras(model: Path) -> bool:
    """Whether the file is a Keras model by its ending; anything else is taken for TFLite."""
    return model.suffix.lower() in (".keras", ".h5")


def open_keras(model: Path, config: Config) -> TiledPredictor:
    """A predictor on a `.keras` file; needs TensorFlow."""
    quiet_tensorflow()
    from rsseg_tf.runs import file_hash
    from rsseg_tf.steps.keras_predictor import open_keras_predictor

    return dataclasses.replace(
        open_keras_predictor(model, config),
        ground_sampling_distance_m=config.data.ground_sampling_distance_m,
        model_sha256=file_hash(model),
    )


def open_for_data(model: Path, config: Config, *, palette: Palette, threads: int) -> TiledPredictor:
    """A predictor on a file of either kind, with the overlap of `config`; `palette` serves files without names."""
    if is_keras(model):
        return open_keras(model, config)
    from rsseg_tf.edge.predict import open_predictor, usual_overlap, with_overlap

    predictor = open_predictor(model, threads=threads, palette=palette)
    if predictor.fitting == "resize":
        return predictor
    return with_overlap(predictor, usual_overlap(config.evaluate.overlap, predictor.input_size))
