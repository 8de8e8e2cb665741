"""Class maps of images of any size, from a network that sees windows of one size."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ConfigError

Image: TypeAlias = NDArray[np.uint8]
Logits: TypeAlias = NDArray[np.float32]
Scores: TypeAlias = list[NDArray[Any]] | NDArray[Any]
"""Of n windows, (h, w, C) each, of any numeric type: a list, or an array (n, h, w, C)."""

Infer: TypeAlias = Callable[[Image], Scores]
"""uint8 (n, h, w, bands) → scores of each window."""


@dataclass(frozen=True)
class TileGrid:
    """How windows of one size lie over an image, row by row.

    Neighbors share at least `overlap` pixels; the last ones are shifted inward. An image that is smaller than a
    window gets one that sticks out to the bottom or right: pad the image.

    Attributes:
        height: of the image, in pixels.
        width: of the image.
        size: height and width of a window.
        overlap: pixels that neighbors share at least.

    Raises:
        ConfigError: if `overlap` is not smaller than the window, or a size is not positive.

    Examples:
        >>> TileGrid(4, 10, size=(4, 4), overlap=0).lefts
        (0, 4, 6)
    """

    height: int
    width: int
    size: tuple[int, int]
    overlap: int

    def __post_init__(self) -> None:
        """Refuse what no windows can cover."""
        if min(self.height, self.width, *self.size) < 1:
            sides = (self.height, self.width, *self.size)
            raise ConfigError("cannot tile an image of {} × {} pixels with windows of {} × {}".format(*sides))
        if not 0 <= self.overlap < min(self.size):
            raise ConfigError(
                f"the overlap must be at least 0 and below the window's {min(self.size)} pixels, got {self.overlap}",
                hint="give a smaller overlap",
            )

    @functools.cached_property
    def tops(self) -> tuple[int, ...]:
        """The first pixel row of every row of windows."""
        return tuple(_starts(self.padded_height, self.size[0], self.overlap))

    @functools.cached_property
    def lefts(self) -> tuple[int, ...]:
        """The first pixel column of every column of windows."""
        return tuple(_starts(self.padded_width, self.size[1], self.overlap))

    @property
    def padded_height(self) -> int:
        """The height that the windows cover: at least that of one."""
        return max(self.height, self.size[0])

    @property
    def padded_width(self) -> int:
        """The width that the windows cover: at least that of one."""
        return max(self.width, self.size[1])

    def band(self, row: int) -> tuple[int, int]:
        """Return the top and bottom of the pixel rows of the image that are finished once window row `row` is."""
        end = self.tops[row + 1] if row + 1 < len(self.tops) else self.padded_height
        return self.tops[row], min(end, self.height)

    def first_row_into(self, row: int) -> int:
        """Return the first row of windows that reaches into the pixels that `band(row)` starts with."""
        return next(index for index, top in enumerate(self.tops) if top + self.size[0] > self.tops[row])


def _starts(length: int, size: int, overlap: int) -> list[int]:
    if length <= size:
        return [0]
    return [*range(0, length - size, size - overlap), length - size]
