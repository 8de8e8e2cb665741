"""Quantization-aware training as part of an export: what is learned from the settings, and where its state waits."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from rsseg_tf.config import Config, Recipe, to_dict
from rsseg_tf.datasets import Dataset
from rsseg_tf.errors import ConfigError
from rsseg_tf.graphs import live_taps
from rsseg_tf.quantization.calibration import Calibration
from rsseg_tf.quantization.qat.convert import convert_student
from rsseg_tf.quantization.qat.fake_quant import quantization_aware, renew_weight_ranges
from rsseg_tf.run_folder import holds_nothing, only_writer, remove_own, remove_run
from rsseg_tf.runs import write_text
from rsseg_tf.steps.shared.progress import TrainingProgress
from rsseg_tf.steps.shared.training_data import training_loss, training_schedule
from rsseg_tf.training.loop import STATE, Trainer
from rsseg_tf.training.step import Teacher

_RECIPE = "recipe.json"


def qat_flatbuffer(
    model: keras.Model,
    dataset: Dataset,
    config: Config,
    calibration: Calibration,
    *,
    out: Path,
    hashes: Mapping[str, str],
) -> bytes:
    """Return the int8 TFLite file of `model` after quantization-aware training on the training split.

    The model stays as it is; it is also the teacher. The same call after a kill resumes from the last saved step, and
    after the last one until `forget_training`: what is trained is not lost where the file is refused.

    Args:
        model: a `.keras` as it was trained.
        dataset: its training split is learned from.
        config: the settings; the training's own are `export.qat`, the others those of `fit`.
        calibration: images that the ranges of activations start from.
        out: the file that is being made; the folder `{out}.qat` beside it keeps the training's state.
        hashes: name → SHA-256 of what the file is made from.

    Raises:
        ModelError: if a layer of the model cannot be bridged to `tf_keras` or quantized.
        RssegError: if the loss became infinite or NaN.
    """
    keras.utils.set_random_seed(config.seed)
    live = live_taps(model)
    student = quantization_aware(live, calibration.images)
    fitting, distill = _fitting(config), config.export.qat.distill
    schedule = training_schedule(dataset, config, fitting)
    loss = training_loss(schedule, fitting, num_classes=len(dataset.palette.names))
    recipe: dict[str, Any] = {
        "made_from": {**hashes, "calibration": calibration.sha256},
        "seed": config.seed,
        "data": to_dict(config.data),
        "fit": to_dict(fitting),
        "distill": to_dict(distill),
    }
    if live is not model:  # a state from when all taps learned is none of this student
        recipe["taps"] = "live"
    with _state_beside(out, json.dumps(recipe)) as folder:
        teacher = Teacher(model, distill) if distill.weight > 0 else None
        trainer = Trainer(student, schedule, fitting, loss=loss, folder=folder, teacher=teacher)
        trainer.run(None, TrainingProgress("qat", fitting.epochs))
        renew_weight_ranges(student)
        return convert_student(student, head=config.export.head)


def _fitting(config: Config) -> Recipe:
    """Return the settings of `fit` with plain Adam and a learning rate that decays to zero on a cosine schedule."""
    settings = config.export.qat
    return replace(
        config.fit,
        epochs=settings.epochs,
        steps_per_epoch=settings.steps_per_epoch,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        schedule="cosine",
        warmup_steps=0,
        optimizer="adamw",
        weight_decay=0.0,
        l2=0.0,
        ema=0.0,
        accumulate=1,
        precision="float32",
    )


def forget_training(out: Path) -> None:
    """Delete the state of the training of a file, once that is where it belongs."""
    folder = _state_of(out)
    with only_writer(folder):
        _remove(folder)


def _state_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.qat")


@contextlib.contextmanager
def _state_beside(out: Path, recipe: str) -> Iterator[Path]:
    """Yield the folder of a training's state, empty unless there was a training by the same recipe.

    It stays only where the training has saved a state.
    """
    folder = _state_of(out)
    noted = folder / _RECIPE
    if folder.exists() and not noted.is_file() and not holds_nothing(folder):
        raise ConfigError(f"`{folder}`, where the training keeps its state, is in the way", hint="choose another --out")
    if noted.is_file() and noted.read_text(encoding="utf-8") != recipe:
        with only_writer(folder):  # not another process's
            _remove(folder)
    with only_writer(folder):
        write_text(noted, recipe)
        try:
            yield folder
        finally:
            if not (folder / STATE).exists():
                _remove(folder)


def _remove(folder: Path) -> None:
    """Delete a training's state; the recipe, which says that the folder is ours, goes last."""
    remove_run(folder)
    remove_own(folder, _RECIPE)
