"""A process's part in an evaluation that several share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Share(Protocol):
    """What an evaluation asks of the processes that share it; each of them makes the same calls."""

    @property
    def process(self) -> int:
        """The number of this process, from 0."""

    @property
    def processes(self) -> int:
        """How many there are."""

    def summed(self, values: Sequence[Any]) -> list[Any]:
        """Return the sums over all processes of `values`, arrays of the same shapes everywhere."""


@dataclass(frozen=True)
class _Whole:
    """The part of a process that is alone."""

    process: int = 0
    processes: int = 1

    def summed(self, values: Sequence[Any]) -> list[Any]:
        return list(values)


WHOLE = _Whole()
