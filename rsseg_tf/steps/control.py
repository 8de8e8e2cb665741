"""Controls of a pruning: the dense model trained on as the pruned one is, which is what that one is judged against.

A pruned network has been trained for longer than the dense one that it came from, and may have learned from it as
well. What pruning cost shows only beside a network that had both and kept its channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from rsseg_tf import pruning
from rsseg_tf.config import Config
from rsseg_tf.config.pruning import Control, PruneConfig
from rsseg_tf.errors import ConfigError, extras_named
from rsseg_tf.models.weights.pretrained import load_segmenter
from rsseg_tf.run_folder import open_run
from rsseg_tf.runs import read_manifest
from rsseg_tf.steps.fit import MODEL, finish_run, keeping
from rsseg_tf.steps.opening import find_model
from rsseg_tf.steps.shared.retraining import Retraining
from rsseg_tf.steps.shared.validation import validation
from rsseg_tf.training.strategy import Replicas, check_shares, open_replicas, watching

_FOUND = ("val_miou", "best_epoch", "averaged")


def control_folder(folder: Path, control: Control) -> Path:
    """Return the folder below `folder` that a control is trained in."""
    return folder / f"control-{control}"


def check_controls(settings: PruneConfig, controls: Sequence[Control]) -> None:
    """Check that the controls that are asked for can tell something about a pruning by `settings`.

    Raises:
        ConfigError: if there is no retraining to repeat, or no teacher in it.
    """
    if controls and not settings.retrain.epochs:
        raise ConfigError(
            "a control is trained for as long as the pruned network is, and `prune.retrain.epochs` is 0",
            hint="retrain for some epochs, or do without controls",
        )
    if "teacher" in controls and not settings.distill.weight:
        raise ConfigError(
            "the control `teacher` learns from a teacher, and `prune.distill.weight` is 0",
            hint="prune.control=plain is the control of a retraining without a teacher",
        )


@extras_named()
def train_control(
    model: Path | str, config: Config, folder: Path | str, control: Control, *, loops: int
) -> Mapping[str, Any]:
    """Train a dense model on for as many steps as `prune` trains the pruned one, and leave it in `folder`.

    The batches, the seed and the recipe are those of `config.prune.retrain`, and where `prune.tune_steps` is set it
    takes these steps too. The folder is that of a run: `export` and `evaluate` take it. The same call on the folder of
    a killed run resumes, and on that of a finished one returns what it found.

    Args:
        model: the `.keras` file of the dense model, or the folder of its run.
        config: the settings that the model is pruned with.
        folder: of the new run; it is made.
        control: `plain`, or `teacher` to learn from a teacher as the pruned network does.
        loops: pruning loops that were carried out, for `prune.tune_steps`.

    Returns:
        `control`, `model` (path), `val_miou`, `best_epoch`, `averaged` (whether its weights are the mean of those
        before and after the steps), `params` and `macs`.

    Raises:
        RssegError: of any kind, before the folder is touched where settings, data or model are at fault.
    """
    replicas = open_replicas(config.strategy)
    check_shares(config.prune.retrain.batch_size, replicas, config.prune.retrain.accumulate)
    with keeping(Path(folder), replicas) as own:
        return carry_out(
            Retraining.of(find_model(model), config, replicas, out=Path(folder)), own, control, loops=loops
        )


def carry_out(
    job: Retraining, folder: Path, control: Control, *, loops: int, known_as: Path | None = None
) -> dict[str, Any]:
    """Return what `train_control` returns, of a job whose data and model are open.

    `known_as` is where the folder will be in the end, where that is another place.
    """
    named = known_as or folder
    with watching(job.replicas, lambda: f"the training of {folder.name}"):
        known = _finished(folder, job.replicas)
    if known is None:
        with open_run(folder, job.config_text):  # never replaced, so what it yields is `folder`
            model = job.replicas.mirrored(_tuned(job, loops))
            validate, title = validation(model, job.dataset, job.config, job.replicas), folder.name
            outcome = job.run(model, validate, folder=folder, title=title, has_teacher=control == "teacher")
            known = {
                "val_miou": outcome.best_val_miou,
                "best_epoch": outcome.best_epoch,
                "averaged": outcome.is_average,
            }
            results = _results(job.dense, named, control, known)
            data = job.dataset
            finish_run(folder, model, config=job.config, dataset=data, inputs=job.all_inputs, results=results)
    return _results(job.dense, named, control, known)


def _results(dense: keras.Model, folder: Path, control: Control, found: Mapping[str, Any]) -> dict[str, Any]:
    cost = pruning.cost(dense)
    return {"control": control, "model": str(folder / MODEL), **found, "params": cost.params, "macs": cost.macs}


def _finished(folder: Path, replicas: Replicas) -> dict[str, Any] | None:
    """Return what the chief's finished control found, in every process; None where it is not finished."""
    manifest = read_manifest(folder)
    found = [float(manifest["results"].get(key, 0)) if manifest else 0.0 for key in _FOUND]
    is_done, val_miou, epoch, averaged = replicas.from_chief([float(manifest is not None), *found])
    return {"val_miou": float(val_miou), "best_epoch": int(epoch), "averaged": bool(averaged)} if is_done else None


def _tuned(job: Retraining, loops: int) -> keras.Model:
    """Return the dense model after the steps that a pruned one takes between removals."""
    model, settings = load_segmenter(job.dense_path, output=job.config.model.output), job.config.prune
    if settings.tune_steps:
        tune = job.tuner()
        for loop in range(loops):
            tune(model, loop)
    return model
