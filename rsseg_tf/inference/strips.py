"""Large images, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.images.picture import Picture
from rsseg_tf.inference.blending import Strip, padded_to
from rsseg_tf.inference.tiling import Image, TileGrid


def strips_from(picture: Picture, grid: TileGrid, *, first: int = 0, end: int | None = None) -> Iterator[Strip]:
    """Yield the strips of a picture from window row `first` up to `end`; every pixel row is read once, in order."""
    top, bottom = grid.tops[first], _bottom(grid, first)
    pixels, valid = _rows(picture, top, bottom)
    yield _strip(first, pixels, valid, grid)
    for row in range(first + 1, len(grid.tops) if end is None else end):
        skipped = grid.tops[row] - grid.tops[row - 1]
        more, more_valid = _rows(picture, _bottom(grid, row - 1), _bottom(grid, row))
        pixels = np.concatenate([pixels[skipped:], more])
        valid = np.concatenate([valid[skipped:], more_valid])
        yield _strip(row, pixels, valid, grid)


def _rows(picture: Picture, top: int, bottom: int) -> tuple[Image, NDArray[np.bool_]]:
    pixels, valid = picture.rows(top, bottom)
    return pixels, np.ones(pixels.shape[:2], bool) if valid is None else valid


def _bottom(grid: TileGrid, row: int) -> int:
    return min(grid.tops[row] + grid.size[0], grid.height)


def _strip(row: int, pixels: Image, valid: NDArray[np.bool_], grid: TileGrid) -> Strip:
    return Strip(row, padded_to(pixels, grid.size[0], grid.padded_width), None if valid.all() else valid)
