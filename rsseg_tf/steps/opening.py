"""Opens a trained model of either kind for prediction; a `.tflite` file needs no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsseg_tf.config import Config, load_config
from rsseg_tf.errors import ConfigError, extras_named
from rsseg_tf.runs import CONFIG

if TYPE_CHECKING:
    from rsseg_tf.inference.predict import ForeignModel, TiledPredictor


def is_keras(model: Path) -> bool:
    """Return whether the file is a Keras model by its ending; anything else is taken for TFLite."""
    return model.suffix.lower() in (".keras", ".h5")


def find_model(path: Path | str) -> Path:
    """Return the model file that `path` names: itself, or `model.keras` or `model.tflite` in a folder.

    Raises:
        ConfigError: if there is no such file.
    """
    for candidate in (Path(path), Path(path, "model.keras"), Path(path, "model.tflite")):
        if candidate.is_file():
            return candidate
    raise ConfigError(f"no model at `{path}`", hint="give a .keras or .tflite file, or the folder of a finished run")


def config_for(model: Path, config_path: Path | None, overrides: tuple[str, ...] = ()) -> Config:
    """Return the settings in the file `config_path`, or else those of the run that `model` lies in.

    Raises:
        ConfigError: if neither exists, or they do not parse.
    """
    beside = model.parent / CONFIG
    if config_path is None and not beside.is_file():
        raise ConfigError(f"no {CONFIG} beside `{model}`", hint="give the settings: -c FILE, in Python `config`")
    return load_config(config_path or beside, overrides, is_record=config_path is None)


@extras_named()
def open_model(
    path: Path | str,
    config: Config | None = None,
    *,
    threads: int = 1,
    delegate: Path | str | None = None,
    foreign: ForeignModel | None = None,
) -> TiledPredictor:
    """Open a trained model; its `predict` turns an image of any size into a class map.

    Args:
        path: a `.tflite` or `.keras` file, or the folder of a finished run.
        config: the settings of the data to predict. A `.keras` file needs them; by default they are those of the run
            that it lies in. Without them a `.tflite` file is set up by what it says about itself.
        threads: CPU threads of a `.tflite` file.
        delegate: what runs a `.tflite` file in the CPU's place: `edgetpu`, or the path of a shared library.
        foreign: the classes and the normalization of a `.tflite` file that another program made.

    Raises:
        ConfigError: if there is no such file, or no settings for a `.keras` file.
        ModelError: if the file is damaged, or not a segmentation network for the classes of the data.
        MissingExtraError: for a `.keras` file where TensorFlow is not installed.
    """
    model = find_model(path)
    if is_keras(model):
        from rsseg_tf.steps.shared.keras_predictor import open_keras_predictor

        return open_keras_predictor(model, config or config_for(model, None))
    from rsseg_tf.datasets.catalog import palette_of
    from rsseg_tf.inference.predict import open_predictor, with_usual_overlap
    from rsseg_tf.tflite.delegates import delegate_library

    library = delegate_library(str(delegate)) if delegate else None
    palette = palette_of(config.data) if config else None
    predictor = open_predictor(model, threads=threads, delegate=library, palette=palette, foreign=foreign)
    return with_usual_overlap(predictor, config.evaluate.overlap) if config else predictor
