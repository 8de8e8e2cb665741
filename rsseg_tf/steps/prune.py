"""The job of `rsseg-tf prune`: a dense `.keras` in, a slimmer retrained one and its plan in a run folder out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from rsseg_tf import pruning
from rsseg_tf.benchmark.profile import load_profile
from rsseg_tf.config import Config, dump_yaml
from rsseg_tf.config.pruning import LATENCY
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.sample import hash_of
from rsseg_tf.errors import ConfigError, extras_named
from rsseg_tf.models.weights.pretrained import load_keras_model
from rsseg_tf.runs import file_hash, open_run, write_text
from rsseg_tf.steps.fit import MODEL, PLAN, PRUNING_LOG, finish_run, keeping
from rsseg_tf.steps.opening import find_model
from rsseg_tf.steps.shared.data import sound_dataset
from rsseg_tf.steps.shared.keras_predictor import check_model
from rsseg_tf.steps.shared.progress import PruningProgress, TrainingProgress, say, warn
from rsseg_tf.steps.shared.training_data import float_batches, scoring_loss, training_loss, training_schedule
from rsseg_tf.steps.shared.validation import validation
from rsseg_tf.tracing.determinism import use_determinism
from rsseg_tf.tracing.precision import use_precision
from rsseg_tf.training.loop import BEST, STATE, Outcome, Trainer
from rsseg_tf.training.pipeline import BatchSchedule
from rsseg_tf.training.step import Teacher
from rsseg_tf.training.strategy import Replicas, check_shares, open_replicas, watching
from rsseg_tf.training.tune import Tuner

_STATE = "pruning.npz"


@extras_named()
def prune(model: Path | str, config: Config, folder: Path | str, *, overwrite: bool = False) -> Mapping[str, Any]:
    """Remove channels of a trained model loop by loop, retrain, and leave the result in `folder`.

    The folder gets `model.keras`, `plan.json` (replays on the dense model), `pruning.csv` (shares of the dense
    model's MACs and parameters left after each loop), `log.csv` and `manifest.json`.
    The same call on the folder of a killed run resumes where it stopped. Several workers share the batches that
    are scored, those that retrain, and the validation; only the first of them keeps its folder.

    Args:
        model: the `.keras` file, or the folder of a finished run.
        config: the settings; `config.prune` says how much goes.
        folder: of the new run; it is made.
        overwrite: replace a run that lies there.

    Returns:
        `model` (path), `params`, `macs`, `dense_params`, `dense_macs`, `val_miou_before_retraining`,
        `val_miou`, `best_epoch`, `loops` (fewer than asked for where the accuracy floor stopped them), `resumed`; with
        a profile also `latency_ms` and `dense_latency_ms`, estimated from it.

    Raises:
        RssegError: of any kind, before the folder is touched where settings, data or model are at fault.
    """
    dense_path = find_model(model)
    if Path(folder).resolve() == dense_path.resolve().parent:
        raise ConfigError(f"`{folder}` holds the model that is to be pruned", hint="choose another --out")
    if not config.prune.given:
        raise ConfigError("the targets of `prune` keep everything", hint="for example prune.macs=0.5")
    if config.prune.profile and (doubt := load_profile(Path(config.prune.profile)).doubt):
        warn(f"`{config.prune.profile}`: {doubt}")
    replicas = open_replicas(config.strategy)
    check_shares(config.prune.retrain.batch_size, replicas, config.prune.retrain.accumulate)
    with keeping(Path(folder), replicas) as own:
        return _prune(dense_path, config, own, replicas, overwrite=overwrite)


def _prune(dense_path: Path, config: Config, folder: Path, replicas: Replicas, *, overwrite: bool) -> Mapping[str, Any]:
    dataset, inputs = sound_dataset(config)
    keras.utils.set_random_seed(config.seed)
    use_determinism(config.prune.retrain.deterministic)
    dense = load_keras_model(dense_path)
    check_model(dense, dataset.palette, size=config.data.input_size)
    dense_hash = file_hash(dense_path)
    retrain = config.prune.retrain
    schedule = training_schedule(dataset, config, retrain)
    loss = training_loss(schedule, retrain, num_classes=len(dataset.palette.names))
    made_from = f"the model with SHA-256 {dense_hash}, data with SHA-256 {hash_of(inputs)}"
    config_text = f"# Of {made_from}\n{dump_yaml(config)}"
    with open_run(folder, config_text, overwrite=overwrite) as resumed:
        with watching(replicas, lambda: "pruning"):
            replicas.check_same(f"`{dense_path}`", dense_hash)
            slim, plan = _slimmed(dense, dataset, config, schedule, folder=folder, replicas=replicas)
            score = validation(slim, dataset, config, replicas)
            score_before = score()
        say(f"pruned: val mIoU {100 * score_before:.2f} before retraining")
        teacher = Teacher(dense, config.prune.distill) if config.prune.distill.weight > 0 else None
        outcome = Outcome(0, score_before, ())
        if retrain.epochs:
            trainer = Trainer(slim, schedule, retrain, loss=loss, folder=folder, teacher=teacher)
            outcome = trainer.run(score, TrainingProgress("retrain", retrain.epochs), replicas=replicas, inputs=inputs)
        before, after = pruning.cost(dense), pruning.cost(slim)
        results = {
            "model": str(folder / MODEL),
            "params": after.params,
            "macs": after.macs,
            "dense_params": before.params,
            "dense_macs": before.macs,
            "val_miou_before_retraining": score_before,
            "val_miou": outcome.best_val_miou,
            "best_epoch": outcome.best_epoch,
            "loops": plan.details["loops"],
            **_latencies(plan),
            "resumed": resumed,
        }
        inputs = {str(dense_path): dense_hash, **inputs}
        finish_run(folder, slim, config=config, inputs=inputs, results=results, leftovers=(STATE, BEST, _STATE))
    return results


def _slimmed(
    dense: keras.Model,
    dataset: Dataset,
    config: Config,
    schedule: BatchSchedule,
    *,
    folder: Path,
    replicas: Replicas,
) -> tuple[keras.Model, pruning.Plan]:
    """Return the pruned model with recalibrated batch norms, and its plan, which is left in the folder."""
    settings = config.prune
    precision = use_precision(settings.retrain.precision)
    steps = settings.retrain.epochs * schedule.steps
    say(f"prune: {settings.loops} loops, then {steps} steps of retraining, in {precision}")
    loss = scoring_loss(schedule, config, num_classes=len(dataset.palette.names))
    replicas.file_from_chief(folder / _STATE)
    slim, plan = pruning.prune_loop(
        dense,
        batches=lambda loop: float_batches(schedule, epoch=loop, count=settings.batches),
        loss=loss,
        target=settings,
        loop=settings,
        hooks=pruning.Hooks(
            on_loop=_LoopLog(folder / PRUNING_LOG, PruningProgress(settings.loops)),
            tune=Tuner(schedule, settings.retrain, loss=loss, steps=settings.tune_steps),
            accuracy=_Accuracy(dataset, config, replicas),
            together=replicas,
            state_path=folder / _STATE,
        ),
    )
    write_text(folder / PLAN, plan.to_json())
    pruning.recalibrate(slim, float_batches(schedule, epoch=0, count=settings.recalibration_batches))
    return replicas.mirrored(slim), plan


def _latencies(plan: pruning.Plan) -> dict[str, float]:
    """Return the estimated latency of the pruned and the dense model, where a profile was measured."""
    costs = (("latency_ms", plan.cost), ("dense_latency_ms", plan.dense_cost))
    return {name: cost[LATENCY] for name, cost in costs if LATENCY in cost}


class _LoopLog:
    """Writes a line of `pruning.csv` for each loop, and shows it; loops that are repeated replace their lines.

    If a profile was measured, the estimated milliseconds are in a column of their own.
    """

    def __init__(self, path: Path, show: PruningProgress) -> None:
        self._path, self._show = path, show
        self._lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []

    def __call__(self, loop: int, plan: pruning.Plan) -> None:
        values = {"loop": loop, "macs": plan.share("macs"), "params": plan.share("params")}
        if LATENCY in plan.cost:
            values[LATENCY] = plan.cost[LATENCY]
        self._lines = [",".join(values), *self._lines[1:loop], ",".join(map(repr, values.values()))]
        write_text(self._path, "\n".join(self._lines) + "\n")
        self._show(loop, plan)


class _Accuracy:
    """Measures the mIoU of a model on the val split; a model that was measured before is not traced again."""

    def __init__(self, dataset: Dataset, config: Config, replicas: Replicas) -> None:
        self._data = dataset, config, replicas
        self._model: keras.Model | None = None

    def __call__(self, model: keras.Model) -> float:
        if model is not self._model:
            self._model, self._score = model, validation(model, *self._data)
        return self._score()
