"""One worker of a training of a tiny network, as a program: FOLDER [STEPS], and after so many steps it kills itself.

It writes `result.json` into its folder: losses of the epochs, the weights, whether it is the chief.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np

from rsseg_tf.config import AugmentConfig, FitConfig
from rsseg_tf.errors import RssegError
from rsseg_tf.training.loop import EpochRow, Trainer
from rsseg_tf.training.losses import cross_entropy
from rsseg_tf.training.pipeline import BatchSchedule, TrainingSource
from rsseg_tf.training.strategy import open_replicas

SETTINGS = FitConfig(epochs=3, batch_size=4, learning_rate=0.05, l2=1e-3, checkpoint_steps=1, ema=0.9)


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.layers.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    return keras.Model(image, keras.layers.Conv2D(2, 1)(keras.layers.ReLU()(x)))


def schedule() -> BatchSchedule:
    """Batches of 4 in which a third of the pixels is ignored, unevenly."""
    rng = np.random.default_rng(1)
    masks = [np.where(rng.random((16, 16)) < 0.5, 1, 0).astype(np.uint8) for _ in range(8)]
    pairs = [(np.repeat(mask[..., None] * 150 + 40, 3, axis=2).astype(np.uint8), mask.copy()) for mask in masks]
    for number, (_, mask) in enumerate(pairs):
        mask[: 2 * (number % 6)] = 255
    source = TrainingSource(pairs.__getitem__, 8, (16, 16), crop=False, augment=AugmentConfig(), seed=0)
    return BatchSchedule.of(source, batch_size=4, steps=4)


class Progress:
    """Counts steps and, after a number of them, ends the process as a power cut would."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step(self, **_place: float) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def epoch(self, _row: EpochRow) -> None:
        pass


def main(folder: Path, steps: int = 0) -> int:
    replicas = open_replicas("auto")
    folder.mkdir(parents=True, exist_ok=True)
    with replicas.scope():
        model = network()
    trainer = Trainer(model, schedule(), SETTINGS, loss=cross_entropy(), folder=folder)
    try:
        outcome = trainer.run(lambda: 0.5, Progress(steps), replicas=replicas)
    except RssegError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        return error.exit_code
    result = {
        "replicas": replicas.count,
        "is_chief": replicas.is_chief,
        "losses": [row.loss for row in outcome.rows],
        "weights": [np.asarray(weight).tolist() for weight in model.get_weights()],
        "synchronized": [layer.get_config()["synchronized"] for layer in model.layers if "batch" in layer.name],
    }
    (folder / "result.json").write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    # Without the interpreter's farewell, in which TensorFlow may wait for workers that are gone.
    code = main(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:]))
    sys.stderr.flush()
    os._exit(code)
