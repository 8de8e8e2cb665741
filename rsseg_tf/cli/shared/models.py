"""Opens a model file of either kind as a predictor."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsseg_tf.cli.shared.options import quiet_tensorflow
from rsseg_tf.config import Config

if TYPE_CHECKING:
    from rsseg_tf.datasets.palette import Palette
    from rsseg_tf.evaluation.share import Share
    from rsseg_tf.inference.predict import ForeignModel, TiledPredictor


def is_keras(model: Path) -> bool:
    """Whether the file is a Keras model by its ending; anything else is taken for TFLite."""
    return model.suffix.lower() in (".keras", ".h5")


@contextlib.contextmanager
def sharing(models: Sequence[Path], config: Config) -> Iterator[Share]:
    """This process's part in scoring `models`: the machines of TF_CONFIG share them where a Keras model is among them.

    Raises:
        RssegError: another machine was lost within the block.
    """
    from rsseg_tf.evaluation.share import WHOLE

    if not any(is_keras(model) for model in models):
        yield WHOLE
        return
    quiet_tensorflow()
    from rsseg_tf.training.strategy import open_workers, watching

    workers = open_workers(config.strategy)
    with watching(workers, lambda: "evaluation"):
        yield workers


def open_keras(model: Path, config: Config) -> TiledPredictor:
    """A predictor on a `.keras` file; needs TensorFlow."""
    quiet_tensorflow()
    from rsseg_tf.runs import file_hash
    from rsseg_tf.steps.shared.keras_predictor import open_keras_predictor

    return dataclasses.replace(
        open_keras_predictor(model, config),
        ground_sampling_distance_m=config.data.ground_sampling_distance_m,
        model_sha256=file_hash(model),
    )


def open_tflite(model: Path, opening: Mapping[str, Any], *, palette: Palette | None = None) -> TiledPredictor:
    """A predictor on a `.tflite` file, by what `options.opening_options` read.

    `palette` serves files without names.
    """
    from rsseg_tf.inference.predict import open_predictor
    from rsseg_tf.tflite.delegates import delegate_library

    delegate = delegate_library(opening["delegate"]) if opening["delegate"] else None
    foreign = _foreign(opening)
    return open_predictor(model, threads=opening["threads"], delegate=delegate, palette=palette, foreign=foreign)


def _foreign(opening: Mapping[str, Any]) -> ForeignModel | None:
    """What the options say of a file from elsewhere; None where they say nothing."""
    if all(opening.get(name) is None for name in ("names", "fitting", "mean", "std")):
        return None
    from rsseg_tf.inference.predict import ForeignModel
    from rsseg_tf.inference.runner import Normalization

    names = tuple(name.strip() for name in (opening["names"] or "").split(",") if name.strip())
    mean, std = opening["mean"] or 0.0, 1.0 if opening["std"] is None else opening["std"]
    return ForeignModel(names, opening["fitting"] or "crop", Normalization(mean, std))


def open_for_data(model: Path, config: Config, opening: Mapping[str, Any], *, palette: Palette) -> TiledPredictor:
    """A predictor on a file of either kind, with the overlap of `config`; the rest as `open_tflite`."""
    if is_keras(model):
        return open_keras(model, config)
    from rsseg_tf.inference.predict import with_usual_overlap

    return with_usual_overlap(open_tflite(model, opening, palette=palette), config.evaluate.overlap)
