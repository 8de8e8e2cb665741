"""Opens a trained model of either kind for prediction; a `.tflite` file needs no TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rsseg_tf.config import Config, DataConfig, DistillConfig, load_config
from rsseg_tf.config.data import SplitBy
from rsseg_tf.errors import ConfigError, ModelError, RssegError, extras_named
from rsseg_tf.models.weights.archive import require_archive
from rsseg_tf.progress import warn
from rsseg_tf.runs import CONFIG, read_manifest

if TYPE_CHECKING:
    from rsseg_tf.inference.predict import ForeignModel, TiledPredictor


_EXPORTED = {".tflite": "a TFLite", ".onnx": "an ONNX"}


def is_keras(model: Path) -> bool:
    """Return whether the file is a Keras model by its ending; anything else is taken for TFLite."""
    return model.suffix.lower() in (".keras", ".h5")


def find_model(path: Path | str) -> Path:
    """Return the model file that `path` names: itself, or `model.keras` or `model.tflite` in a folder.

    Raises:
        ConfigError: if there is no such file.
        ModelError: if a `.keras` file is none, as its table of contents tells without TensorFlow.
    """
    for candidate in (Path(path), Path(path, "model.keras"), Path(path, "model.tflite")):
        if candidate.is_file():
            if is_keras(candidate):
                require_archive(candidate)
            return candidate
    raise ConfigError(f"no model at `{path}`", hint="give a .keras or .tflite file, or the folder of a finished run")


def find_keras_model(path: Path | str) -> Path:
    """Return the `.keras` file that `path` names: itself, or `model.keras` in a folder.

    Raises:
        ConfigError: if there is no such file.
        ModelError: if it is a TFLite file, or no `.keras` file.
    """
    model = find_model(path)
    if not is_keras(model):
        what = f"is {_EXPORTED[model.suffix]} file already" if model.suffix in _EXPORTED else "is not a .keras file"
        raise ModelError(f"`{model}` {what}", hint="give the .keras file that a .tflite file is made from")
    return model


def find_teacher(settings: DistillConfig, *, section: str, out: Path) -> Path | None:
    """Return the `.keras` file of the teacher that the settings of a training name, None where it has none of its own.

    Args:
        settings: of the section.
        section: such as `fit.distill`, for messages.
        out: folder of the run.

    Raises:
        ConfigError: if there is no such file, or it lies in the folder of the run.
        ModelError: if it is no `.keras` file.
    """
    if not settings.teacher or not settings.weight:
        return None
    try:
        teacher = find_keras_model(settings.teacher)
    except RssegError as error:
        raise type(error)(
            f"`{section}.teacher`: {error.message}", hint="give a .keras file, or the folder of a finished run"
        ) from error
    if out.resolve() == teacher.resolve().parent:
        raise ConfigError(f"`{out}` holds the teacher `{teacher}`", hint="choose another --out")
    return teacher


def config_for(model: Path, config_path: Path | None, overrides: tuple[str, ...] = ()) -> Config:
    """Return the settings in the file `config_path`, or else those of the run that `model` lies in.

    Warns on stderr where they deal the images to other splits than when the model was trained.

    Raises:
        ConfigError: if neither exists, or they do not parse.
    """
    beside = model.parent / CONFIG
    if config_path is None and not beside.is_file():
        raise ConfigError(f"no {CONFIG} beside `{model}`", hint="give the settings: -c FILE, in Python `config`")
    config = load_config(config_path or beside, overrides, is_record=config_path is None)
    if config_path is not None or overrides:
        warn_of_splits(model, config.data)
    return config


def warn_of_splits(model: Path, data: DataConfig) -> None:
    """Warn on stderr where the settings deal images to other splits than those that a model was trained on."""
    if error := splits_error(model, data):
        warn(error.message, hint=error.hint or "")


def splits_error(model: Path, data: DataConfig) -> ConfigError | None:
    """Return the error that settings deal images to other splits than those that a model was trained on, if they do.

    Their test split may then be images that the model has seen. Told by the hash of `train`, which a run and a
    `.tflite` file hold: nothing is known where the data are others.
    """
    if data.name != "folder" or not (seen := _trained_on(model)):
        return None
    from rsseg_tf.datasets.catalog import list_dataset
    from rsseg_tf.datasets.readers.files import FileDataset

    def train(by: SplitBy) -> str:
        dataset = list_dataset(replace(data, folder=replace(data.folder, split_by=by)))
        is_dealt = isinstance(dataset, FileDataset) and dataset.dealing
        return dataset.fingerprint("train") if is_dealt else ""

    own = data.folder.split_by
    try:
        if train(own) == seen:
            return None
        other = next((by for by in get_args(SplitBy) if by != own and train(by) == seen), None)
    except RssegError:  # said when the data are opened
        return None
    if other is None:
        return None
    return ConfigError(
        f"`{model}` was trained on images dealt by {other}, these settings deal by {own}: it may have seen what is now "
        "in other splits",
        hint=f"set data.folder.split_by={other}",
    )


def _trained_on(model: Path) -> str:
    """Return the hash of the listing that a model was trained on; empty where it is not known."""
    if is_keras(model):
        return str((read_manifest(model.parent) or {}).get("inputs", {}).get("data:train", ""))
    from rsseg_tf.tflite.metadata import metadata_in

    try:
        metadata = metadata_in(model.read_bytes(), path=model)
    except (OSError, RssegError):  # said when the model is opened
        return ""
    return str(metadata.hashes.get("data", "")) if metadata else ""


def _warn_of_fitting(model: Path, config: Config) -> None:
    """Warn on stderr where a model is to see whole images resized and learned from windows, or the other way around."""
    beside = model.parent / CONFIG
    own = load_config(beside, is_record=True).data.fitting if beside.is_file() else config.data.fitting
    if own != config.data.fitting:
        warn(
            f"`{model}` was trained with data.fitting={own}, and the settings say {config.data.fitting}",
            hint=f"data.fitting={own} shows it images as it learned to see them",
        )


@extras_named()
def open_model(
    path: Path | str,
    config: Config | None = None,
    *,
    threads: int = 1,
    delegate: Path | str | None = None,
    runtime: str = "",
    foreign: ForeignModel | None = None,
) -> TiledPredictor:
    """Open a trained model; its `predict` turns an image of any size into a class map.

    Args:
        path: a `.tflite`, `.onnx` or `.keras` file, or the folder of a finished run.
        config: the settings of the data to predict. A `.keras` file needs them; by default they are those of the run
            that it lies in. Without them a `.tflite` file is set up by what it says about itself.
        threads: CPU threads of a `.tflite` file.
        delegate: what runs a `.tflite` file in the CPU's place: `edgetpu`, or the path of a shared library.
        runtime: what carries out a `.tflite` or `.onnx` file: `litert`, `openvino`, `onnxruntime`, or `auto` for the
            fastest that is installed; by default `litert`, of ONNX `onnxruntime`.
        foreign: the classes and the normalization of a `.tflite` file that another program made.

    Raises:
        ConfigError: if there is no such file, or no settings for a `.keras` file.
        ModelError: if the file is damaged, or not a segmentation network for the classes of the data.
        MissingExtraError: for a `.keras` file where TensorFlow is not installed.
    """
    model = find_model(path)
    if is_keras(model):
        from rsseg_tf.steps.shared.keras_predictor import open_keras_predictor

        if runtime:
            raise ConfigError(
                f"`{model}` is run by Keras, not by {runtime}", hint="export it first: export-tflite or export-onnx"
            )
        if config:
            _warn_of_fitting(model, config)
        return open_keras_predictor(model, config or config_for(model, None))
    from rsseg_tf.datasets.catalog import palette_of
    from rsseg_tf.inference.predict import open_predictor, with_usual_overlap
    from rsseg_tf.tflite.delegates import delegate_library

    library = delegate_library(str(delegate)) if delegate else None
    palette = palette_of(config.data) if config else None
    predictor = open_predictor(
        model, threads=threads, delegate=library, runtime=runtime, palette=palette, foreign=foreign
    )
    return with_usual_overlap(predictor, config.evaluate.overlap) if config else predictor
