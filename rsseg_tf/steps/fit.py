"""The job of `rsseg-tf fit`: data and settings in, a trained `.keras` in a run folder out."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from rsseg_tf import pruning
from rsseg_tf.config import Config
from rsseg_tf.config.training import check_network
from rsseg_tf.datasets import Dataset
from rsseg_tf.datasets.catalog import list_dataset
from rsseg_tf.datasets.images.channels import COLORS
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.datasets.relabeled import known_numbers_of
from rsseg_tf.errors import extras_named
from rsseg_tf.models.architectures import network
from rsseg_tf.models.weights.pretrained import initialize
from rsseg_tf.progress import say, warn
from rsseg_tf.run_folder import open_run, require_startable
from rsseg_tf.runs import CONFIG, atomic_path, write_manifest
from rsseg_tf.steps.shared.data import sound_dataset
from rsseg_tf.steps.shared.model_classes import classes_of, keep_classes, learned_pixel_m
from rsseg_tf.steps.shared.progress import TrainingProgress
from rsseg_tf.steps.shared.teaching import OwnTeacher
from rsseg_tf.steps.shared.training_data import training_loss, training_schedule
from rsseg_tf.steps.shared.validation import validation
from rsseg_tf.tracing.determinism import use_determinism
from rsseg_tf.tracing.precision import use_precision
from rsseg_tf.training.loop import LOG, Trainer
from rsseg_tf.training.strategy import Replicas, check_shares, open_replicas

MODEL = "model.keras"
PLAN = "plan.json"
PRUNING_LOG = "pruning.csv"


@extras_named()
def fit(config: Config, folder: Path | str, *, overwrite: bool = False) -> Mapping[str, Any]:
    """Train the configured network and leave `model.keras`, `log.csv` and `manifest.json` in `folder`.

    The same call on the folder of a killed run resumes from the last saved step. Where several workers train
    together, only the first of them keeps its folder.

    Args:
        config: the settings; `load_config` reads them.
        folder: of the run; it is made.
        overwrite: replace a run that lies there.

    Returns:
        `model` (path), `best_epoch`, `val_miou`, `params`, `macs`, `resumed`.

    Raises:
        RssegError: of any kind, before the folder is touched where settings or data are at fault.
    """
    check_network(config.model)
    replicas = open_replicas(config.strategy)
    check_shares(config.fit.batch_size, replicas, config.fit.accumulate)
    with keeping(Path(folder), replicas) as own:
        return _fit(config, own, replicas, overwrite=overwrite)


@contextlib.contextmanager
def keeping(folder: Path, replicas: Replicas) -> Iterator[Path]:
    """Yield the run folder of this process: `folder` for the chief, for others one that is removed after the block."""
    if replicas.is_chief:
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch) / "run"


def _fit(config: Config, folder: Path, replicas: Replicas, *, overwrite: bool) -> Mapping[str, Any]:
    known = OwnTeacher.of(config.fit.distill, section="fit.distill", out=folder)
    record = known.record_of(config)
    require_startable(folder, record, overwrite=overwrite)
    keras.utils.set_random_seed(config.seed)
    use_determinism(config.fit.deterministic)
    palette = list_dataset(config.data, seed=config.seed).palette  # a wrong folder or file of weights shows before
    with replicas.scope():  # all of the data are read
        model = build_model(config, palette)
    teacher = known.opened(config, palette, replicas)
    dataset, inputs = sound_dataset(config)
    known.warn_of_pixels(config, dataset)
    inputs |= known.inputs
    schedule = training_schedule(dataset, config, config.fit)
    loss = training_loss(schedule, config.fit, num_classes=len(dataset.palette.names))
    with open_run(folder, record, overwrite=overwrite) as run:
        trainer = Trainer(model, schedule, config.fit, loss=loss, folder=run.folder, teacher=teacher)
        validate = validation(model, dataset, config, replicas)
        start = "random weights" if config.model.weights == "none" else f"the weights `{config.model.weights}`"
        if config.model.weights == "imagenet" and config.data.num_bands != COLORS:
            start += f", those of red, green and blue shared among {config.data.num_bands} bands"
        if known.path:
            start += f", learning from `{known.path}` too"
        say(f"fit: {config.fit.epochs * schedule.steps} steps from {start}, in {use_precision(config.fit.precision)}")
        outcome = trainer.run(validate, TrainingProgress("fit", config.fit.epochs), replicas=replicas, inputs=inputs)
        cost = pruning.cost(model)
        results = {
            "model": str(folder / MODEL),
            "best_epoch": outcome.best_epoch,
            "val_miou": outcome.best_val_miou,
            "params": cost.params,
            "macs": cost.macs,
            "resumed": run.resumed,
        }
        finish_run(run.folder, model, config=config, dataset=dataset, inputs=inputs, results=results)
    return results


def build_model(config: Config, palette: Palette) -> keras.Model:
    """Return the configured network with the configured initial weights.

    Of another model the classes of the same name take over the weights of the head.
    """
    model = network(config.model, palette.num_classes, (*config.data.input_size, config.data.num_bands))
    initialize(
        model,
        config.model.weights,
        backbone=config.model.stands_on,
        width=config.model.width,
        classes=_numbers_in(Path(config.model.weights), palette),
    )
    return model


def _numbers_in(weights: Path, palette: Palette) -> tuple[int | None, ...] | None:
    """Return the number of each class in a `.keras` file; None where there is no such file, or it does not say."""
    others = classes_of(weights) if weights.suffix == ".keras" and weights.is_file() else None
    if others is None:
        return None
    numbers = known_numbers_of(others, palette)
    if new := [name for name, number in zip(palette.names, numbers, strict=True) if number is None]:
        warn(f"classes that `{weights}` does not know begin with random weights: {', '.join(new)}")
    return numbers


def finish_run(
    folder: Path,
    model: keras.Model,
    *,
    config: Config,
    dataset: Dataset,
    inputs: Mapping[str, str],
    results: Mapping[str, Any],
) -> None:
    """Save the model, write the manifest last."""
    with atomic_path(folder / MODEL) as temporary:
        model.save(temporary)
        keep_classes(temporary, dataset.palette, pixel_m=learned_pixel_m(config, dataset))
    outputs = [name for name in (MODEL, LOG, CONFIG, PLAN, PRUNING_LOG) if (folder / name).exists()]
    write_manifest(folder, seed=config.seed, inputs=inputs, outputs=outputs, results=results)
