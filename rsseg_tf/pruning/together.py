"""Processes or devices that prune one model together: each scores a part of the batches, all remove the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import tensorflow as tf

Step = Callable[..., Any]


class Together(Protocol):
    """What pruning asks of those that work together; every process makes the same calls in the same order."""

    def traced(self, step: Step) -> Step:
        """Return `step` as one graph that every copy carries out."""

    def each(self, step: Step, batches: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """Return what `step`, traced, makes of each of those `batches` that are this process's to work on."""

    def summed(self, values: Sequence[Any]) -> list[Any]:
        """Return the sums over all processes of `values`, arrays of the same shapes everywhere, in float64."""

    def from_chief(self, values: Sequence[Any]) -> list[Any]:
        """Return the first process's `values`, arrays of the same shapes everywhere, in every process."""


class Alone:
    """One process with one device."""

    def traced(self, step: Step) -> Step:
        """Return `step` as one graph, traced again where the batches' shapes differ."""
        return tf.function(step, reduce_retracing=True)

    def each(self, step: Step, batches: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """Return what `step` makes of each batch."""
        return (step(*batch) for batch in batches)

    def summed(self, values: Sequence[Any]) -> list[Any]:
        """Return `values`."""
        return list(values)

    def from_chief(self, values: Sequence[Any]) -> list[Any]:
        """Return `values`."""
        return list(values)


ALONE = Alone()
