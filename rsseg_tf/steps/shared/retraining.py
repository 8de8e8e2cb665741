"""What the retraining of a pruned model and the training of its controls have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config import Config
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.sample import hash_of
from rsseg_tf.models.weights.pretrained import load_segmenter
from rsseg_tf.progress import say
from rsseg_tf.runs import file_hash
from rsseg_tf.steps.shared.data import sound_dataset
from rsseg_tf.steps.shared.keras_predictor import check_model
from rsseg_tf.steps.shared.model_classes import numbered_as
from rsseg_tf.steps.shared.progress import TrainingProgress
from rsseg_tf.steps.shared.teaching import OwnTeacher
from rsseg_tf.steps.shared.training_data import recalibrate, training_loss, training_schedule
from rsseg_tf.tracing.determinism import use_determinism
from rsseg_tf.training.loop import Outcome, Trainer
from rsseg_tf.training.losses import Loss
from rsseg_tf.training.pipeline import BatchSchedule
from rsseg_tf.training.step import Teacher
from rsseg_tf.training.strategy import Replicas, watching
from rsseg_tf.training.tune import Tuner


@dataclass(frozen=True)
class Retraining:
    """One recipe, and all that it is carried out on.

    Attributes:
        dense_path: the dense model's file.
        dense: the dense model; it stays as it is.
        config: the settings; `config.prune.retrain` is the recipe.
        dataset: checked.
        inputs: name → hash of what a training reads of it.
        schedule: the training batches.
        replicas: share them.
        own_teacher: that of `config.prune.distill`.
        teacher: it, or else the dense model.
    """

    dense_path: Path
    dense: keras.Model
    config: Config
    dataset: Dataset
    inputs: Mapping[str, str]
    schedule: BatchSchedule
    replicas: Replicas
    own_teacher: OwnTeacher
    teacher: Teacher

    @classmethod
    def of(cls, dense_path: Path, config: Config, replicas: Replicas, *, out: Path) -> Retraining:
        """Return the recipe of `config` on its data and the model at `dense_path`, for a run in the folder `out`.

        Raises:
            RssegError: of any kind, where settings, data or model are at fault.
        """
        known = OwnTeacher.of(config.prune.distill, section="prune.distill", out=out)
        dataset, inputs = sound_dataset(config)
        known.warn_of_pixels(config, dataset)
        dataset = numbered_as(dense_path, dataset)
        keras.utils.set_random_seed(config.seed)
        use_determinism(config.prune.retrain.deterministic)
        dense = load_segmenter(dense_path, output=config.model.output)
        check_model(dense, dataset.palette, size=config.data.input_size, bands=config.data.num_bands)
        teacher = known.opened(config, dataset.palette, replicas) or Teacher(dense, config.prune.distill)
        schedule = training_schedule(dataset, config, config.prune.retrain)
        return cls(dense_path, dense, config, dataset, inputs, schedule, replicas, known, teacher)

    @property
    def num_classes(self) -> int:
        """Of the data."""
        return len(self.dataset.palette.names)

    @cached_property
    def dense_hash(self) -> str:
        """SHA-256 of the dense model's file."""
        return file_hash(self.dense_path)

    @property
    def config_text(self) -> str:
        """The settings as a run folder keeps them, with what its model and data are."""
        made_from = f"the model with SHA-256 {self.dense_hash}, data with SHA-256 {hash_of(self.inputs)}"
        return f"# Of {made_from}\n{self.own_teacher.record_of(self.config)}"

    @property
    def all_inputs(self) -> dict[str, str]:
        """Name → hash of the dense model, of a teacher of its own, and of the data."""
        return {str(self.dense_path): self.dense_hash, **self.own_teacher.inputs, **self.inputs}

    @cached_property
    def loss(self) -> Loss:
        """What the recipe minimizes, of the masks."""
        return training_loss(self.schedule, self.config.prune.retrain, num_classes=self.num_classes)

    def tuner(self) -> Tuner:
        """Return what trains a model between removals, by `prune.tune_steps`."""
        settings = self.config.prune
        return Tuner(self.schedule, settings.retrain, loss=self.loss, steps=settings.tune_steps)

    def run(
        self,
        model: keras.Model,
        validate: Callable[[], float],
        *,
        folder: Path,
        title: str,
        has_teacher: bool,
        start: float | None = None,
    ) -> Outcome:
        """Train `model` in `folder`, from a teacher too if it has one, and leave the best weights in it.

        Those that it comes with count as epoch 0: a few steps can cost a network more than they give. And the mean of
        these and of the trained ones counts: it is often better than both (Wortsman et al. 2022, "Robust fine-tuning of
        zero-shot models", eq. 1 at one half), once its batch norms are measured anew (Izmailov et al. 2018, "Averaging
        weights leads to wider optima and better generalization", section 3.2).

        Args:
            model: what is trained, of any width.
            validate: mIoU of it as it is.
            start: what `validate` gives before; measured where it is not given.
            folder: gets the log and the states that a killed training resumes from.
            title: what progress calls it.
            has_teacher: whether it learns from the teacher of `prune.distill`.
        """
        recipe, teacher = self.config.prune.retrain, self.teacher if has_teacher else None
        trainer = Trainer(model, self.schedule, recipe, loss=self.loss, folder=folder, teacher=teacher)
        with watching(self.replicas, lambda: f"the validation before {title}"):
            before, weights = validate() if start is None else start, model.get_weights()
        progress = TrainingProgress(title, recipe.epochs)
        outcome = trainer.run(validate, progress, replicas=self.replicas, inputs=self.inputs)
        with watching(self.replicas, lambda: f"the validation after {title}"):
            trained = self.replicas.from_chief(model.get_weights())  # it alone ends with the best ones
            model.set_weights(list(map(_mean, weights, trained)))
            between = self._recalibrated(model)
            model.set_weights(between)
            average = replace(outcome, best_val_miou=validate(), is_average=True)
        say(f"{title}: val mIoU {100 * average.best_val_miou:.2f} by the mean of the weights before and after")
        found = [(Outcome(0, before, outcome.rows), weights), (outcome, trained), (average, between)]
        best, kept = max(reversed(found), key=lambda each: each[0].best_val_miou)
        model.set_weights(kept)
        return best

    def _recalibrated(self, model: keras.Model) -> list[NDArray[Any]]:
        """Return the weights of `model` with batch-norm statistics of `prune.recalibration_batches`."""
        alone = self.replicas.alone(model)
        recalibrate(alone, self.schedule, self.config.prune)
        return self.replicas.from_chief(alone.get_weights())


def _mean(before: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of a variable's values, or what it is now where it counts."""
    return (before + after) / 2 if np.issubdtype(after.dtype, np.floating) else after
