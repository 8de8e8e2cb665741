"""Pairs that are too large to be read as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from rsseg_tf.datasets.files.stored import Box, blocks
from rsseg_tf.datasets.palette import Pixels
from rsseg_tf.datasets.sample import Dataset, Sample

BLOCK_PX = 4096
"""Height and width of the blocks in which a large pair is scored."""


@runtime_checkable
class InParts(Protocol):
    """A data set whose large pairs need not be read as a whole."""

    def size_in_parts(self, sample: Sample) -> tuple[int, int] | None:
        """Return height and width of a pair that is too large to be read as a whole; None for one that is not.

        Raises:
            DataError: if a file cannot be opened, or their sizes differ.
        """
        ...

    def read_part(self, sample: Sample, box: Box) -> tuple[Pixels, Pixels]:
        """Return some rows and columns of what `Dataset.read` returns, without reading the rest of a large pair.

        Raises:
            DataError: as `Dataset.read`.
        """
        ...


def size_in_parts(dataset: Dataset, sample: Sample) -> tuple[int, int] | None:
    """Return height and width of a pair that is to be read in parts, None for one that is read as a whole."""
    return dataset.size_in_parts(sample) if isinstance(dataset, InParts) else None


def read_some(dataset: Dataset, sample: Sample) -> tuple[Pixels, Pixels]:
    """Return image and mask of a sample, or the middle 4096 × 4096 pixels of a large pair.

    Raises:
        DataError: as `Dataset.read`.
    """
    size = size_in_parts(dataset, sample)
    if size is None or not isinstance(dataset, InParts):
        return dataset.read(sample)
    starts = [max(0, (side - BLOCK_PX) // 2) for side in size]
    rows, columns = (slice(start, min(start + BLOCK_PX, side)) for start, side in zip(starts, size, strict=True))
    return dataset.read_part(sample, (rows, columns))


def read_in_blocks(dataset: Dataset, sample: Sample) -> Iterator[tuple[str, Pixels, Pixels]]:
    """Yield the name, image and mask of a sample: one, or of a large pair one for every 4096 × 4096 pixels of it.

    Raises:
        DataError: as `Dataset.read`.
    """
    size = size_in_parts(dataset, sample)
    if size is None or not isinstance(dataset, InParts):
        yield sample.name, *dataset.read(sample)
        return
    for box in blocks(*size, side=BLOCK_PX):
        yield f"{sample.name}, row {box[0].start}, column {box[1].start}", *dataset.read_part(sample, box)
