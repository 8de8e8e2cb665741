"""How processes share an evaluation: TensorFlow's workers, who each count a part, or Dask's, who are dealt it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from numpy.typing import NDArray

Counts: TypeAlias = Sequence[Sequence[NDArray[Any]]]
"""What each metric counts of an image: its totals."""


class Part(NamedTuple):
    """What is counted of an image, or of a block of it: the image's number, and the counts of every predictor."""

    image: int
    counts: Sequence[Counts]


Count: TypeAlias = Callable[[Sequence[int]], Iterator[Part]]
"""Counts the images of some numbers, in this process."""


class Share(Protocol):
    """What an evaluation asks of those that share it; each process makes the same calls."""

    @property
    def process(self) -> int:
        """The number of this process, from 0; the first says the scores."""

    def parts(self, count: Count, images: int) -> Iterator[Part]:
        """Yield what this process is to add up of so many images, in the order of the images."""

    def summed(self, values: Sequence[Any]) -> list[Any]:
        """Return the sums over all processes of `values`, arrays of the same shapes everywhere."""


@dataclass(frozen=True)
class _Whole:
    """The part of a process that is alone."""

    process: int = 0

    def parts(self, count: Count, images: int) -> Iterator[Part]:
        return count(range(images))

    def summed(self, values: Sequence[Any]) -> list[Any]:
        return list(values)


WHOLE = _Whole()
