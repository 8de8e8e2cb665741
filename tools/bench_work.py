"""What the benchmarks let run: a whole pruning loop, and plain gradient steps, on the same batches in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

NUM_CLASSES = 8

Batch = tuple[NDArray[np.float32], NDArray[np.uint8]]


@dataclass(frozen=True)
class Work:
    """What is measured; two results compare only if these are equal.

    Attributes:
        backbone: of the DeepLabV3+.
        size: height and width of the input, in pixels.
        batch: images a batch.
        loops: of pruning.
        batches: scored in each loop; as many gradient steps are taken.
        macs: share of the multiply-accumulates to keep.
        precision: of the convolutions, as in `fit.precision`.
        criterion: as in `prune.criterion`; empty for the default.
    """

    backbone: str
    size: int
    batch: int
    loops: int
    batches: int
    macs: float
    precision: str
    criterion: str = ""


def random_batches(work: Work) -> list[Batch]:
    """Return seeded noise in memory, with labels."""
    rng = np.random.default_rng(0)
    shape = (work.batch, work.size, work.size)
    return [
        (
            rng.integers(0, 256, (*shape, 3)).astype(np.float32),
            rng.integers(0, NUM_CLASSES, shape, dtype=np.uint8),
        )
        for _ in range(work.batches)
    ]


def dense_model(work: Work) -> keras.Model:
    """Return the seeded network."""
    import keras

    from rsseg_tf.models.deeplab import deeplab_v3_plus

    keras.utils.set_random_seed(0)
    return deeplab_v3_plus(work.backbone, NUM_CLASSES, (work.size, work.size, 3))


def gradient_step(model: keras.Model, *, native: bool = True) -> Callable[[Batch], float]:
    """Return one traced step, to its loss: forward in training mode, backward, SGD with momentum.

    Args:
        model: to train.
        native: compute dilated convolutions in one op, as `fit` does; otherwise as Keras does.
    """
    import keras
    import tensorflow as tf

    from rsseg_tf.tracing.dilation import native_dilation
    from rsseg_tf.training.losses import cross_entropy

    loss, variables = cross_entropy(), model.trainable_variables
    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    optimizer.build(variables)

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            cost = loss(labels, model(images, training=True))
        optimizer.apply(tape.gradient(cost, variables), variables)
        return cost

    def run(batch: Batch) -> float:
        with native_dilation(model) if native else nullcontext():
            return float(step(*(tf.convert_to_tensor(array) for array in batch)))

    return run


def prune(
    work: Work,
    batches: Callable[[int], Iterable[Batch]],
    on_loop: Callable[[int, Any], None] | None = None,
) -> float:
    """Run the whole loop, with a state file as in `rsseg-tf prune`; the share of the multiply-accumulates left."""
    from rsseg_tf import pruning
    from rsseg_tf.training.losses import cross_entropy

    criterion = {"criterion": work.criterion} if work.criterion else {}
    dense = dense_model(work)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "pruning.npz"
        _, plan = pruning.prune_loop(
            dense,
            batches=batches,
            loss=pruning.drawn_labels() if pruning.Loop(**criterion).criterion == "fisher" else cross_entropy(),
            target=pruning.Target(macs=work.macs),
            loop=pruning.Loop(loops=work.loops, **criterion),
            hooks=pruning.Hooks(on_loop=on_loop, state_path=state),
        )
    return plan.share("macs")
