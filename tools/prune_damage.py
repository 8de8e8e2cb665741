"""What pruning alone does to the predictions of a trained network, before any retraining.

python tools/prune_damage.py runs/dubai prune.macs=0.25 prune.criterion=taylor-bn prune.reconstruct=false

Prunes as `rsseg-tf prune` does, measures the batch norms again, and prints how far the predictions on windows of the
val split are from those of the dense network: mean Kullback-Leibler divergence over the pixels, over those of each
class that the dense network sees, and the share of pixels with the same class. Less noisy than mIoU on few images, and
ready in a minute or two.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.cli.main import main as run
from rsseg_tf.cli.shared.options import ANY_PATH, overrides_argument, quiet_tensorflow
from rsseg_tf.config import AugmentConfig, Config, load_config
from rsseg_tf.runs import CONFIG
from rsseg_tf.text import text_table

if TYPE_CHECKING:
    import keras

_PLAIN = AugmentConfig(flip_horizontal=False, translate_px=0)
_BATCH = 8


@dataclass(frozen=True)
class Damage:
    """How far predictions are from those of the dense network.

    Attributes:
        divergence: mean over the pixels of KL(dense ‖ pruned), in nats.
        by_class: the same over the pixels of each class that the dense network sees; NaN where it sees none.
        agreement: share of the pixels with the same class.
    """

    divergence: float
    by_class: tuple[float, ...]
    agreement: float


def damage(dense: NDArray[np.floating], pruned: NDArray[np.floating]) -> Damage:
    """Compare logits of the same pixels, (…, C) each."""
    p, q = _log_softmax(dense), _log_softmax(pruned)
    divergences = (np.exp(p) * (p - q)).sum(axis=-1)
    classes = p.argmax(axis=-1)
    sums = np.bincount(classes.ravel(), divergences.ravel(), minlength=p.shape[-1])
    counts = np.bincount(classes.ravel(), minlength=p.shape[-1])
    by_class = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return Damage(float(divergences.mean()), tuple(by_class.tolist()), float((classes == q.argmax(axis=-1)).mean()))


def _log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    shifted = np.asarray(logits, np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def pruned_and_compared(config: Config, folder: Path, *, windows: int) -> tuple[list[str], Damage]:
    """Prune the network of a run; return what is left of it and how it differs."""
    import keras

    from rsseg_tf import pruning
    from rsseg_tf.datasets.catalog import open_dataset
    from rsseg_tf.models.weights.pretrained import load_keras_model
    from rsseg_tf.steps.shared.training_data import (
        batches_as_asked,
        float_batches,
        recalibrate,
        scoring_loss,
        training_schedule,
        windows_of,
    )
    from rsseg_tf.tracing.precision import use_precision
    from rsseg_tf.training.pipeline import BatchSchedule

    settings = config.prune
    keras.utils.set_random_seed(config.seed)
    use_precision(settings.retrain.precision)
    dataset = open_dataset(config.data, seed=config.seed)
    dense = load_keras_model(folder / "model.keras")
    schedule = training_schedule(dataset, config, settings.retrain)
    started = time.monotonic()
    slim, plan = pruning.prune_loop(
        dense,
        batches=lambda loop: batches_as_asked(schedule, epoch=loop, count=settings.batches),
        loss=scoring_loss(schedule, config, settings.criterion, num_classes=dataset.palette.num_classes),
        target=settings,
        loop=settings,
    )
    seconds = time.monotonic() - started
    recalibrate(slim, schedule, settings)
    source = windows_of(dataset, config, _PLAIN, split="val")
    steps = -(-windows // _BATCH)
    images = [
        x for x, _ in float_batches(BatchSchedule.of(source, batch_size=_BATCH, steps=steps), epoch=0, count=steps)
    ]
    left = [f"{plan.share(metric):.3f}" for metric in ("macs", "params")]
    return [*left, f"{seconds:.0f}"], damage(_logits(dense, images), _logits(slim, images))


def _logits(model: keras.Model, images: list[NDArray[np.float32]]) -> NDArray[np.floating]:
    import tensorflow as tf

    from rsseg_tf.tracing.dilation import native_dilation

    with native_dilation(model):
        predict = tf.function(lambda x: model(x, training=False))
        return np.concatenate([predict(batch).numpy() for batch in images])


@click.command(name="prune_damage")
@click.argument("folder", type=ANY_PATH)
@click.option("--windows", type=click.IntRange(1), default=64, show_default=True, help="Of the val split.")
@overrides_argument
def main(folder: Path, windows: int, overrides: tuple[str, ...]) -> None:
    """Prune the network of the run in FOLDER, and say how far its predictions are from what they were."""
    quiet_tensorflow()
    config = load_config(folder / CONFIG, overrides)
    left, found = pruned_and_compared(config, folder, windows=windows)
    heads = ("MACs left", "params left", "s", "KL", "mean over classes", "same class %")
    mean = float(np.nanmean(found.by_class))
    figures = (f"{found.divergence:.4f}", f"{mean:.4f}", f"{100 * found.agreement:.2f}")
    click.echo(text_table([heads, (*left, *figures)]))
    click.echo("KL by class: " + ", ".join(f"{value:.3f}" for value in found.by_class))


if __name__ == "__main__":
    sys.exit(run(command=main, name="prune_damage"))
