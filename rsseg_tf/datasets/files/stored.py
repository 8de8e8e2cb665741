"""What a file of pixels holds, whichever library opened it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import DataError

Box: TypeAlias = tuple[slice, slice]
"""Rows and columns of an image, as an array takes them."""

WHOLE: Box = (slice(None), slice(None))

LARGE_PIXELS = 50_000_000
"""Images of more are read in parts, where the format allows it."""

_STRIP_PIXELS = 1 << 24
_STRIP_ROWS = 512

Values: TypeAlias = NDArray[Any]


class Stored(Protocol):
    """The numbers in a file, as they are stored there.

    Attributes:
        path: the file.
        height: in pixels.
        width: in pixels.
        kinds: the NumPy type of each band.
        names: what each band is: `red`, `green`, `blue`, `gray`, `alpha`, `palette`, or another word.
        bits: of a number in a file of fewer than 8 bits; else 8.
        nodata: the number of each band that stands for nothing; None for none.
        palette: the color of each number of a band with a palette, uint8 (n, 4) RGBA; None for none.
        is_alpha_sure: whether the format leaves no doubt that a band called `alpha` is one.
    """

    path: Path
    height: int
    width: int
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    bits: int
    nodata: tuple[float | None, ...]
    palette: NDArray[np.uint8] | None
    is_alpha_sure: bool

    def read(self, bands: tuple[int, ...], box: Box) -> Values:
        """Return the numbers of some bands, counted from 1, in a part of the file: (h, w, bands).

        Raises:
            DataError: if the file is damaged there.
        """
        ...

    def mask(self, box: Box) -> NDArray[np.bool_] | None:
        """Return where the file's own mask, within it or beside it, says that there is data; None without one.

        Raises:
            DataError: if the file is damaged there.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def bounds(box: Box, *, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the top, bottom, left and right of a part of an image."""
    (top, bottom, _), (left, right, _) = box[0].indices(height), box[1].indices(width)
    return top, bottom, left, right


def strips(height: int, width: int) -> Iterator[Box]:
    """Yield parts of whole rows that cover an image, each a multiple of 512 rows and about 16 megapixels at most."""
    rows = max(1, _STRIP_PIXELS // (width * _STRIP_ROWS)) * _STRIP_ROWS
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height)), slice(0, width)


def blocks(height: int, width: int, *, side: int) -> Iterator[Box]:
    """Yield parts of at most `side` by `side` pixels that cover an image, row by row."""
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield slice(top, min(top + side, height)), slice(left, min(left + side, width))


@contextlib.contextmanager
def fitting_memory(path: Path) -> Iterator[None]:
    """Name the file that is being read where memory ends; serves as a `with` block.

    Raises:
        DataError: in place of a MemoryError.
    """
    try:
        yield
    except MemoryError as error:
        raise DataError(f"`{path}` does not fit into the memory that is left", hint="cut it into tiles") from error
