"""Training on several devices or machines: who takes which part of a batch, and what happens when one is lost."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rsseg_tf.errors import ConfigError, RssegError

_CLUSTER = "TF_CONFIG"
_KINDS = ("chief", "worker")
_EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class Replicas:
    """The copies of a network that share each batch: one a device, on one machine or on several.

    Args:
        strategy: TensorFlow's; None for a single copy.
    """

    def __init__(self, strategy: Any = None) -> None:
        self._strategy = strategy

    @property
    def count(self) -> int:
        """Copies on all machines together."""
        return self._strategy.num_replicas_in_sync if self._strategy else 1

    @property
    def processes(self) -> int:
        """Processes that train together, one a machine."""
        return sum(self._tasks.values()) if self._is_cluster else 1

    @property
    def process(self) -> int:
        """The number of this process among them, from 0."""
        if not self._is_cluster:
            return 0
        resolver = self._strategy.cluster_resolver
        return int(resolver.task_id) + (self._tasks["chief"] if resolver.task_type == "worker" else 0)

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.process == 0

    @property
    def _tasks(self) -> dict[str, int]:
        jobs = self._strategy.cluster_resolver.cluster_spec().as_dict()
        return {kind: len(jobs.get(kind, ())) for kind in _KINDS}

    @property
    def _is_cluster(self) -> bool:
        return isinstance(self._strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def scope(self) -> Any:
        """The context in which variables must be made so that every copy has them."""
        return self._strategy.scope() if self._strategy else contextlib.nullcontext()

    def run(self, step: Callable[..., tf.Tensor], batch: Sequence[tf.Tensor]) -> tf.Tensor:
        """What `step`, which has to return the same in every copy, makes of each copy's part of a batch."""
        if self._strategy is None:
            return step(*batch)
        share = len(batch[0]) // self.count

        def part(context: Any) -> tuple[tf.Tensor, ...]:
            start = context.replica_id_in_sync_group * share
            return tuple(values[start : start + share] for values in batch)

        parts = self._strategy.experimental_distribute_values_from_function(part)
        return self._strategy.experimental_local_results(step(*parts))[0]

    def traced(self, step: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
        """`step` as one graph, carried out by every copy."""
        if self._strategy is None:
            return tf.function(step)
        strategy = self._strategy
        return tf.function(lambda *parts: strategy.run(step, args=parts))

    def from_chief(self, values: Sequence[Any]) -> list[Any]:
        """The chief's `values`, arrays of the same shapes everywhere, in every process."""
        own = [np.asarray(value) for value in values]
        return self.summed(own if self.is_chief else [np.zeros_like(value) for value in own])

    def summed(self, values: Sequence[Any]) -> list[Any]:
        """The sums over all processes of `values`, arrays of the same shapes everywhere, in float64."""
        own = [np.asarray(value, np.float64) for value in values]
        if not self._is_cluster:
            return own

        @tf.function
        def total() -> list[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            local = context.replica_id_in_sync_group % (self.count // self.processes)
            is_first = tf.cast(tf.equal(local, 0), tf.float64)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, [is_first * tf.constant(value) for value in own])

        return [self._strategy.experimental_local_results(value)[0].numpy() for value in self._strategy.run(total)]


def open_replicas(name: str) -> Replicas:
    """The copies that the setting `strategy` asks for; to be called before TensorFlow does anything else.

    Args:
        name: `none`; `mirrored` for all GPUs of this machine; `multiworker` for the machines that the environment
            variable TF_CONFIG names; `auto` for whichever of them there is more than one of.

    Raises:
        ConfigError: `multiworker` without a usable TF_CONFIG.
    """
    workers = _worker_count()
    if name == "multiworker" and workers == 0:
        raise ConfigError(
            f"`strategy: multiworker` needs the environment variable {_CLUSTER}",
            hint=f"{_CLUSTER}='{_EXAMPLE}', with another index on each machine",
        )
    if name == "multiworker" or (name == "auto" and workers > 1):
        return Replicas(tf.distribute.MultiWorkerMirroredStrategy())
    if name == "mirrored" or (name == "auto" and len(tf.config.list_physical_devices("GPU")) > 1):
        return Replicas(tf.distribute.MirroredStrategy())
    return Replicas()


def _worker_count() -> int:
    text = os.environ.get(_CLUSTER, "")
    if not text:
        return 0
    try:
        cluster = json.loads(text)["cluster"]
        return sum(len(cluster.get(kind, ())) for kind in _KINDS)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the environment variable {_CLUSTER} is not what TensorFlow reads: {error}") from error


@contextlib.contextmanager
def watching(replicas: Replicas, where: Callable[[], str]) -> Iterator[None]:
    """Turns what TensorFlow raises when another worker is gone into one message.

    Raises:
        RssegError: a worker was lost within the block.
    """
    try:
        yield
    except _LOST as error:
        if replicas.count == 1:
            raise
        raise RssegError(
            f"a worker was lost in {where()}: {str(error).splitlines()[0]}",
            hint="start the same command on all workers again: the run goes on from its last saved step",
        ) from error


@contextlib.contextmanager
def synchronised(model: keras.Model, replicas: Replicas) -> Iterator[None]:
    """Has the batch norms of `model` normalise by what all replicas see, within the block."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.synchronized = replicas.count > 1
    try:
        yield
    finally:
        for norm in norms:
            norm.synchronized = False


def check_shares(batch_size: int, replicas: Replicas, accumulate: int) -> None:
    """Nothing, if a batch can be shared evenly.

    Raises:
        ConfigError: it cannot.
    """
    parts = replicas.count * accumulate
    if batch_size % parts:
        raise ConfigError(
            f"`batch_size` must be a multiple of {parts} ({replicas.count} replicas × `accumulate` {accumulate}), "
            f"got {batch_size}"
        )
