"""The training loop: steps, validation, the best weights, logs, and a state from which any kill is resumed exactly."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from rsseg_tf.checkpoint import load_arrays, save_arrays
from rsseg_tf.config import Recipe
from rsseg_tf.errors import ConfigError, RssegError
from rsseg_tf.runs import write_text
from rsseg_tf.tracing.precision import use_precision
from rsseg_tf.training.average import WeightAverage
from rsseg_tf.training.losses import Loss
from rsseg_tf.training.pipeline import BatchSchedule
from rsseg_tf.training.step import Teacher, new_optimizer, train_step
from rsseg_tf.training.strategy import Replicas, synchronized, watching

STATE = "state.npz"
BEST = "best.npz"
LOG = "log.csv"

_ALONE = Replicas()


@dataclass(frozen=True)
class EpochRow:
    """One line of the log; `val_miou` is nan in an epoch without validation."""

    epoch: int
    learning_rate: float
    loss: float
    val_miou: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """The result of a training: the model holds the weights of `best_epoch`, 0 where no epoch was validated or won.

    Or `is_average` of them and of those that it came with.
    """

    best_epoch: int
    best_val_miou: float
    rows: tuple[EpochRow, ...]
    is_average: bool = False


@dataclass
class _State:
    """Where a training is: what its state file says besides the values of variables.

    Attributes:
        epoch: epochs that are done.
        position: steps of the running epoch that are done.
        loss_sum: over these steps.
        seconds: that these steps took.
        best_epoch: counted from 1; 0 before the first validation.
        best: its score.
        rows: of the epochs that are done.
        inputs: name → hash of what the training reads.
    """

    epoch: int = 0
    position: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    best_epoch: int = 0
    best: float = -math.inf
    rows: list[EpochRow] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)

    def close_epoch(self, row: EpochRow) -> None:
        self.rows.append(row)
        self.epoch, self.position, self.loss_sum, self.seconds = self.epoch + 1, 0, 0.0, 0.0


class Progress(Protocol):
    """Where a training reports how far it is."""

    def step(self, *, epoch: int, step: int, steps: int, loss: float) -> None:
        """Report a step that is done; `epoch` and `step` count from 1."""

    def epoch(self, row: EpochRow) -> None:
        """Report an epoch that is done."""


def learning_rate(settings: Recipe, *, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of global step `step`, counted from 0.

    A linear warm-up, then `step`: lr · factor^⌊epoch / step_epochs⌋ (the paper's section 3.2),
    `cosine`: from lr to 0 over all steps (Loshchilov and Hutter 2017, eq. 5, without restarts), or `constant`.

    Examples:
        >>> learning_rate(Recipe(), step=25, steps_per_epoch=2) == 1e-3 * 0.3
        True
    """
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "step":
        return settings.learning_rate * settings.step_factor ** (step // steps_per_epoch // settings.step_epochs)
    if settings.schedule == "cosine":
        total = settings.epochs * steps_per_epoch - settings.warmup_steps
        return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - settings.warmup_steps) / max(1, total)))
    return settings.learning_rate


class Trainer:
    """Trains one model in one folder; a second `Trainer` on the same folder resumes where the first stopped.

    Args:
        model: trained in place; of Keras 3 or tf_keras.
        schedule: the training batches.
        settings: the recipe.
        loss: of labels (N, H, W) and logits (N, H, W, C).
        folder: gets `state.npz`, `best.npz`, `log.csv` and `tensorboard/`.
        teacher: distil from it, where given.
    """

    def __init__(
        self,
        model: keras.Model,
        schedule: BatchSchedule,
        settings: Recipe,
        *,
        loss: Loss,
        folder: Path,
        teacher: Teacher | None = None,
    ) -> None:
        self._model = model
        self._schedule = schedule
        self._settings = settings
        self._folder = folder
        self._loss = loss
        self._teacher = teacher
        self._replicas = _ALONE
        use_precision(settings.precision)
        self._average = WeightAverage(model, settings.ema)
        self._state = _State()

    def run(
        self,
        validate: Callable[[], float] | None,
        progress: Progress,
        *,
        replicas: Replicas = _ALONE,
        inputs: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Train to the last epoch and leave the best weights in the model, or the last ones without `validate`.

        Of several processes that train together only the chief writes, and ends with the best weights.

        Args:
            validate: mIoU of the model as it is, on held-out data; the highest wins, the later of equals.
            progress: called for every step and epoch.
            replicas: share each batch; the model was built in their scope.
            inputs: name → hash of what the training reads; resuming requires the same.

        Raises:
            ConfigError: if the batch cannot be shared evenly, or the folder's state is of a training on other inputs.
            RssegError: if the loss became infinite or NaN, or another worker was lost.
        """
        self._replicas = replicas
        self._state.inputs = dict(inputs or {})
        with replicas.scope(), synchronized(self._model, replicas), watching(replicas, self._where):
            return self._run(validate, progress)

    def _run(self, validate: Callable[[], float] | None, progress: Progress) -> Outcome:
        self._optimizer = new_optimizer(self._settings)
        self._optimizer.build(self._model.trainable_variables)
        self._step = train_step(
            self._model,
            self._optimizer,
            self._settings,
            loss=self._loss,
            teacher=self._teacher,
            replicas=self._replicas,
        )
        self._restore()
        state = self._state
        while state.epoch < self._settings.epochs:
            self._run_epoch(progress)
            state.close_epoch(self._row(validate))
            self._write_logs()
            self._save()
            progress.epoch(state.rows[-1])
        if self._replicas.is_chief and validate:
            load_arrays(self._folder / BEST, self._model.variables)
        return Outcome(state.best_epoch, state.best, tuple(state.rows))

    def _run_epoch(self, progress: Progress) -> None:
        steps, state = self._schedule.steps, self._state
        started = time.monotonic() - state.seconds
        share = (self._replicas.process, self._replicas.processes)
        for images, labels in self._schedule.batches(state.epoch, start=state.position, share=share):
            global_step = state.epoch * steps + state.position
            rate = learning_rate(self._settings, step=global_step, steps_per_epoch=steps)
            self._optimizer.learning_rate.assign(rate)
            loss = float(self._step(images, labels))
            if not math.isfinite(loss):
                raise RssegError(
                    f"the loss became {loss} in {self._where()}",
                    hint="lower the learning rate",
                )
            self._average.update(global_step)
            state.position += 1
            state.loss_sum += loss
            state.seconds = time.monotonic() - started
            progress.step(epoch=state.epoch + 1, step=state.position, steps=steps, loss=state.loss_sum / state.position)
            if state.position % self._settings.checkpoint_steps == 0 and state.position < steps:
                self._save()

    def _row(self, validate: Callable[[], float] | None) -> EpochRow:
        """Return the log's line of the epoch whose steps are done."""
        steps, settings, state = self._schedule.steps, self._settings, self._state
        last = state.epoch + 1 == settings.epochs
        score = math.nan
        if validate and (last or (state.epoch + 1) % settings.validate_every == 0):
            score = self._validated(validate)
        return EpochRow(
            epoch=state.epoch + 1,
            learning_rate=learning_rate(settings, step=(state.epoch + 1) * steps - 1, steps_per_epoch=steps),
            loss=state.loss_sum / steps,
            val_miou=score,
            seconds=state.seconds,
        )

    def _validated(self, validate: Callable[[], float]) -> float:
        """Return the score of the weights that would be kept: the averaged ones, where they are averaged."""
        trained = [np.asarray(variable) for variable in self._model.variables]
        self._average.put()
        score, state = validate(), self._state
        if score >= state.best or state.best_epoch == 0:
            state.best_epoch, state.best = state.epoch + 1, score
            if self._replicas.is_chief:
                save_arrays(self._folder / BEST, self._model.variables, {"epoch": state.epoch + 1, "val_miou": score})
        _assign(self._model.variables, trained)
        return score

    @cached_property
    def _board(self) -> tf.summary.SummaryWriter:
        """Opened once there is something to write: a training that fails before that leaves nothing."""
        return tf.summary.create_file_writer(str(self._folder / "tensorboard"))

    def _variables(self) -> Sequence[Any]:
        return [*self._model.variables, *self._optimizer.variables, *self._average.values]

    def _where(self) -> str:
        return f"epoch {self._state.epoch + 1}, step {self._state.position + 1}"

    def _save(self) -> None:
        if self._replicas.is_chief:
            save_arrays(self._folder / STATE, self._variables(), asdict(self._state))

    def _require_same(self, inputs: Mapping[str, str]) -> None:
        other = [f"`{name}`" for name, digest in self._state.inputs.items() if inputs.get(name) != digest]
        if other:
            raise ConfigError(
                f"the unfinished run in `{self._folder}` was started with different {' and '.join(other)}",
                hint="restore it, choose another --out, or --overwrite to start over; if it is from before there was "
                "data.folder.split_by, set that to `name`",
            )

    def _restore(self) -> None:
        """Resume from the saved state, where there is one; every process from the chief's."""
        if (self._folder / STATE).exists():
            info = load_arrays(self._folder / STATE, self._variables())
            self._require_same(info.get("inputs", self._state.inputs))
            rows = [EpochRow(**row) for row in info["rows"]]
            self._state = _State(**{**info, "rows": rows, "inputs": self._state.inputs})
        state = self._state
        if self._replicas.count > 1:
            place = [state.epoch, state.position, state.loss_sum, state.best_epoch, max(state.best, 0.0)]
            (epoch, position, loss_sum, best_epoch, state.best), *values = self._replicas.from_chief(
                [place, *self._variables()]
            )
            state.epoch, state.position, state.best_epoch = int(epoch), int(position), int(best_epoch)
            state.loss_sum = loss_sum
            _assign(self._variables(), values)

    def _write_logs(self) -> None:
        if not self._replicas.is_chief:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([item.name for item in fields(EpochRow)])
        writer.writerows([list(asdict(row).values()) for row in self._state.rows])
        write_text(self._folder / LOG, text.getvalue())
        row = self._state.rows[-1]
        with self._board.as_default(step=row.epoch):
            for name in ("loss", "learning_rate", "val_miou"):
                if math.isfinite(getattr(row, name)):
                    tf.summary.scalar(name, getattr(row, name))
        self._board.flush()


def _assign(variables: Sequence[Any], values: Sequence[object]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
