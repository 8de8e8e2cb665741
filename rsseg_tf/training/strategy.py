"""Work on several devices or machines: who takes which part of the batches, and what happens when one is lost."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rsseg_tf.errors import ConfigError, RssegError, first_line
from rsseg_tf.graphs import all_layers
from rsseg_tf.training.cluster import CLUSTER, EXAMPLE, KINDS, Cluster, read_cluster
from rsseg_tf.training.meeting import default_signals, meet

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
    def here(self) -> int:
        """Copies in this process."""
        return self.count // self.processes

    @property
    def _tasks(self) -> dict[str, int]:
        jobs = self._strategy.cluster_resolver.cluster_spec().as_dict()
        return {kind: len(jobs.get(kind, ())) for kind in KINDS}

    @property
    def _is_cluster(self) -> bool:
        return isinstance(self._strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def scope(self) -> Any:
        """Return the context in which variables must be made so that every copy has them."""
        return self._strategy.scope() if self._strategy else contextlib.nullcontext()

    def mirrored(self, model: keras.Model) -> keras.Model:
        """Return `model` with weights that every copy has, as it would be if it had been made in the scope."""
        if self._strategy is None:
            return model
        with self.scope():
            clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        return clone

    def alone(self, model: keras.Model) -> keras.Model:
        """Return `model` as a process without others has it: itself where there is one copy, else a copy of it."""
        if self._strategy is None:
            return model
        clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        return clone

    def run(self, step: Callable[..., tf.Tensor], batch: Sequence[tf.Tensor]) -> tf.Tensor:
        """Return what `step`, which has to return the same in every copy, makes of this process's part of a batch."""
        if self._strategy is None:
            return step(*batch)
        share = len(batch[0]) // self.here

        def part(context: Any) -> tuple[tf.Tensor, ...]:
            start = self._local(context) * share
            return tuple(values[start : start + share] for values in batch)

        parts = self._strategy.experimental_distribute_values_from_function(part)
        return self._strategy.experimental_local_results(step(*parts))[0]

    def each(
        self, step: Callable[..., Sequence[tf.Tensor]], batches: Iterable[Sequence[Any]]
    ) -> Iterator[Sequence[tf.Tensor]]:
        """Yield what `step`, traced, makes of each of this process's share of `batches`: a whole batch a copy."""
        own = itertools.islice(batches, self.process, None, self.processes)
        while some := list(itertools.islice(own, self.here)):
            yield from self._side_by_side(step, some)

    def _side_by_side(
        self, step: Callable[..., Sequence[tf.Tensor]], batches: Sequence[Sequence[Any]]
    ) -> Iterator[Sequence[tf.Tensor]]:
        if self._strategy is None:
            yield step(*batches[0])
            return
        last = len(batches) - 1  # A copy without a batch of its own repeats the last one, for nothing.
        parts = self._strategy.experimental_distribute_values_from_function(
            lambda context: tuple(batches[min(self._local(context), last)])
        )
        found = [self._strategy.experimental_local_results(value) for value in step(*parts)]
        for copy in range(len(batches)):
            yield [values[copy] for values in found]

    def _local(self, context: Any) -> int:
        """Return the number of a copy among those of its process."""
        return int(context.replica_id_in_sync_group) % self.here

    def traced(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return `step` as one graph, carried out by every copy."""
        if self._strategy is None:
            return tf.function(step, reduce_retracing=True)
        strategy = self._strategy
        return tf.function(lambda *parts: strategy.run(step, args=parts))

    def from_chief(self, values: Sequence[Any]) -> list[Any]:
        """Return the chief's `values`, arrays of the same shapes everywhere, in every process."""
        own = [np.asarray(value) for value in values]
        if not self._is_cluster:
            return own
        sums = self.summed(own if self.is_chief else [np.zeros_like(value) for value in own])
        return [total.astype(value.dtype) for total, value in zip(sums, own, strict=True)]

    def file_from_chief(self, path: Path) -> None:
        """Give `path` the chief's contents in every process; without such a file there, nothing happens."""
        if not self._is_cluster:
            return
        content = path.read_bytes() if self.is_chief and path.exists() else b""
        (length,) = self.from_chief([np.int64(len(content))])
        if not length:
            return
        own = np.frombuffer(content, np.uint8) if self.is_chief else np.zeros(int(length), np.uint8)
        (shared,) = self.from_chief([own])
        if not self.is_chief:
            path.write_bytes(shared.tobytes())

    def check_same(self, what: str, digest: str) -> None:
        """Check that `digest`, hexadecimal, is the chief's too.

        Raises:
            ConfigError: if it is not.
        """
        own = np.frombuffer(bytes.fromhex(digest), np.uint8)
        (chiefs,) = self.from_chief([own])
        if not np.array_equal(own, chiefs):
            raise ConfigError(f"{what} is not the same on this machine as on the first one", hint="copy it from there")

    def parts(self, count: Callable[[Sequence[int]], Iterator[Any]], images: int) -> Iterator[Any]:
        """Return what this process's share of so many images yields; see `rsseg_tf.evaluation.share`."""
        return count(range(self.process, images, self.processes))

    def summed(self, values: Sequence[Any]) -> list[Any]:
        """Return the sums over all processes of `values`, arrays of the same shapes everywhere, in float64."""
        own = [np.asarray(value, np.float64) for value in values]
        if not self._is_cluster or not any(value.size for value in own):  # TensorFlow crashes on a sum of nothing.
            return own
        total = self._total(tf.constant(np.concatenate([value.ravel() for value in own])))
        whole = self._strategy.experimental_local_results(total)[0].numpy()
        parts = np.split(whole, np.cumsum([value.size for value in own])[:-1])
        return [part.reshape(value.shape) for part, value in zip(parts, own, strict=True)]

    @functools.cached_property
    def _total(self) -> Callable[[tf.Tensor], Any]:
        def total(values: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            is_first = tf.cast(tf.equal(context.replica_id_in_sync_group % self.here, 0), tf.float64)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, is_first * values)

        return self.traced(total)


def open_replicas(name: str) -> Replicas:
    """Return the copies that the setting `strategy` asks for; to be called before TensorFlow does anything else.

    Args:
        name: `none`; `mirrored` for all GPUs of this machine; `multiworker` for the machines that the environment
            variable TF_CONFIG names; `auto` for whichever of them there is more than one of.

    Raises:
        ConfigError: for `multiworker` without TF_CONFIG, or a TF_CONFIG that cannot be used.
        RssegError: if another worker did not come, or the port of this one is taken.
    """
    cluster = read_cluster()
    if name == "multiworker" and cluster is None:
        raise ConfigError(
            f"`strategy: multiworker` needs the environment variable {CLUSTER}",
            hint=f"{CLUSTER}='{EXAMPLE}', with another index on each machine",
        )
    if cluster and (name == "multiworker" or (name == "auto" and len(cluster.all) > 1)):
        return Replicas(_connected(cluster))
    if name == "mirrored" or (name == "auto" and len(tf.config.list_physical_devices("GPU")) > 1):
        return Replicas(tf.distribute.MirroredStrategy())
    return Replicas()


def _connected(cluster: Cluster) -> tf.distribute.Strategy:
    meet(cluster)
    with default_signals():
        return tf.distribute.MultiWorkerMirroredStrategy()


def open_workers(name: str) -> Replicas:
    """Return the machines of TF_CONFIG that share work without a common step, if `strategy` allows them.

    Unlike `open_replicas` it asks for no cluster: a run that was trained by several machines is scored by one too.

    Raises:
        ConfigError: if TF_CONFIG cannot be used.
        RssegError: if another worker did not come, or the port of this one is taken.
    """
    cluster = read_cluster() if name in ("auto", "multiworker") else None
    if cluster and cluster.others:
        return open_replicas("multiworker")
    return Replicas()


@contextlib.contextmanager
def watching(replicas: Replicas, where: Callable[[], str]) -> Iterator[None]:
    """Turn what TensorFlow raises when another worker is lost into one message.

    Raises:
        RssegError: if a worker was lost within the block.
    """
    try:
        yield
    except _LOST as error:
        if replicas.count == 1:
            raise
        raise RssegError(
            f"a worker was lost in {where()}: {first_line(error)}",
            hint="start the same command on all workers again: the run resumes from its last saved step",
        ) from error


@contextlib.contextmanager
def synchronized(model: keras.Model, replicas: Replicas) -> Iterator[None]:
    """Make the batch norms of `model` normalize by what all replicas see, within the block."""
    norms = [layer for layer in all_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.synchronized = replicas.count > 1
    try:
        yield
    finally:
        for norm in norms:
            norm.synchronized = False


def check_shares(batch_size: int, replicas: Replicas, accumulate: int) -> None:
    """Check that a batch can be shared evenly.

    Raises:
        ConfigError: if it cannot.
    """
    parts = replicas.count * accumulate
    if batch_size % parts:
        raise ConfigError(
            f"`batch_size` must be a multiple of {parts} ({replicas.count} replicas × `accumulate` {accumulate}), "
            f"got {batch_size}",
            hint=f"the next one is {-(-batch_size // parts) * parts}",
        )
