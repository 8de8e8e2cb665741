"""Class scores of whole images from overlapping tiles, as a chain of generators: strips → tile scores → bands.

Each link may run in a thread of its own (`rsseg_tf.inference.prefetch`), so that reading, the network and blending
overlap; memory holds a few rows of tiles, however tall the image is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.planes import IN_OPENCV, planes
from rsseg_tf.inference.tiling import Image, Infer, Logits, Scores, TileGrid

_BATCH = 8
_STEPS = 64
_BYTES_IN_CACHE = 1 << 19


@dataclass(frozen=True)
class Strip:
    """The pixels under one row of windows.

    Attributes:
        row: which row of windows.
        pixels: uint8 (window height, padded width, bands).
        valid: bool (rows of the image, its width), False where the image has no data; None where it has it everywhere.
    """

    row: int
    pixels: Image
    valid: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class TileScores:
    """What the network says of some windows of a row.

    Attributes:
        row: which row of windows.
        lefts: the first pixel column of each window.
        scores: of each window (h, w, C), of any numeric type; empty where a row has no window with data.
        strip: the pixels that the windows were cut from.
    """

    row: int
    lefts: tuple[int, ...]
    scores: Scores
    strip: Strip


@dataclass(frozen=True)
class Band:
    """Pixel rows that no later window reaches into.

    Attributes:
        row: the row of windows that finished them.
        top: the first pixel row.
        sums: weighted sums of scores (rows, W, C); None where no window had data. The memory is used again for the
            next band: done with when that is asked for.
        weights: sums of weights (rows, W).
        strip: the pixels of the row of windows; the band's are its first rows.
    """

    row: int
    top: int
    sums: Logits | None
    weights: NDArray[np.float32]
    strip: Strip


def blend_weights(length: int, overlap: int) -> NDArray[np.float32]:
    """Return how much each pixel along one side of a window counts: 1 at an edge, rising smoothly over the overlap.

    Whole numbers, so that sums of weighted int8 scores are exact in float32.
    """
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    share = np.minimum(distance / (overlap + 1), 1.0)
    rise = np.sin(share * np.pi / 2) ** 2
    return np.maximum(np.rint(_STEPS * rise), 1).astype(np.float32)


def predict_classes(image: Image, infer: Infer, *, size: tuple[int, int], overlap: int) -> Image:
    """Return the class of every pixel, overlapping windows blended: uint8 (H, W).

    Scores are kept for one row of windows at a time.

    Args:
        image: uint8 (H, W, bands).
        infer: the network, on batches of windows.
        size: height and width of a window.
        overlap: pixels that neighboring windows share.

    Raises:
        ConfigError: if the image has no pixels, or the overlap is not smaller than a window.
    """
    if image.shape[:2] == size:
        return best_class(infer(image[None])[0])
    grid = TileGrid(image.shape[0], image.shape[1], size, overlap)
    classes = np.empty(image.shape[:2], np.uint8)
    for band in blended(scored(strips_of(image, grid), infer, grid), grid):
        best = best_in(band)
        classes[band.top : band.top + len(best)] = best
    return classes


def best_class(scores: NDArray[Any]) -> Image:
    """Return `argmax` over the last axis as uint8, the first of equals: (h, w, C) → (h, w).

    Class by class over whole planes, which is several times faster than `numpy.argmax` for few classes.
    """
    classes = np.zeros(scores.shape[:2], np.uint8)
    rows = max(1, _BYTES_IN_CACHE // max(1, scores[:1].nbytes))
    for top in range(0, len(classes), rows):
        part = planes(scores[top : top + rows])
        chosen = classes[top : top + rows]
        best = part[0].copy()
        for number in range(1, len(part)):
            better = (part[number] > best).view(np.uint8)
            better *= np.uint8(number)
            np.maximum(chosen, better, out=chosen)
            np.maximum(best, part[number], out=best)
    return classes


def best_in(band: Band) -> Image:
    """Return the class of every pixel of a band, uint8 (rows, W); 0 where no window had data."""
    return np.zeros(band.weights.shape, np.uint8) if band.sums is None else best_class(band.sums)


def strips_of(image: Image, grid: TileGrid) -> Iterator[Strip]:
    """Yield the strips of an image in memory."""
    padded = padded_to(image, grid.padded_height, grid.padded_width)
    for row, top in enumerate(grid.tops):
        yield Strip(row, padded[top : top + grid.size[0]])


def padded_to(image: Image, height: int, width: int) -> Image:
    """Return the image, mirrored beyond its bottom and right edges up to `height` and `width`."""
    bottom, right = max(0, height - image.shape[0]), max(0, width - image.shape[1])
    return np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="reflect") if bottom or right else image


def scored(strips: Iterable[Strip], infer: Infer, grid: TileGrid) -> Iterator[TileScores]:
    """Run the network on the windows of every strip; one without any valid pixel is left out."""
    for strip in strips:
        lefts = [left for left in grid.lefts if _has_data(strip, left, grid.size[1])]
        for start in range(0, len(lefts), _BATCH):
            batch = tuple(lefts[start : start + _BATCH])
            windows = np.stack([strip.pixels[:, left : left + grid.size[1]] for left in batch])
            yield TileScores(strip.row, batch, infer(windows), strip)
        if not lefts:
            yield TileScores(strip.row, (), [], strip)


def blended(tiles: Iterable[TileScores], grid: TileGrid) -> Iterator[Band]:
    """Yield finished rows of pixels, top to bottom, from the scores of windows in order.

    Where the scores begin with a later row of windows than the first, bands lack what earlier windows add to them:
    `TileGrid.first_row_into` says where to begin for a band to be whole.
    """
    row_weights, column_weights = blend_weights(grid.size[0], grid.overlap), blend_weights(grid.size[1], grid.overlap)
    row_total = _summed(row_weights, grid.tops, grid.padded_height)
    column_total = _summed(column_weights, grid.lefts, grid.padded_width)[: grid.width]

    sums: Logits | None = None
    for row, group in itertools.groupby(tiles, key=lambda tile: tile.row):
        for tile in group:
            strip = tile.strip
            if not len(tile.scores):
                continue
            if sums is None:
                channels = tile.scores[0].shape[-1]
                sums = np.zeros((grid.size[0], grid.padded_width, channels), np.float32)
                weight = np.repeat(np.outer(row_weights, column_weights), channels, axis=1)
            _add(sums, tile.lefts, tile.scores, weight)
        top, bottom = grid.band(row)
        finished = None if sums is None else sums[: bottom - top, : grid.width]
        yield Band(row, top, finished, np.outer(row_total[top:bottom], column_total), strip)
        if sums is not None and row + 1 < len(grid.tops):
            done = grid.tops[row + 1] - top
            kept = grid.size[0] - done
            sums[:kept] = sums[done:]
            sums[kept:] = 0


def _has_data(strip: Strip, left: int, width: int) -> bool:
    return strip.valid is None or bool(strip.valid[:, left : left + width].any())


def _add(sums: Logits, lefts: Sequence[int], scores: Scores, weight: NDArray[np.float32]) -> None:
    """Add the scores of some windows, (h, w, C) each, times `weight`, (h, w · C), to `sums`, (h, W, C)."""
    channels = sums.shape[-1]
    rows = sums.reshape(len(sums), -1)
    for left, window in zip(lefts, scores, strict=True):
        known = window if window.dtype in IN_OPENCV else window.astype(np.float32)
        weighted = cv2.multiply(np.ascontiguousarray(known).reshape(weight.shape), weight, dtype=cv2.CV_32F)
        place = rows[:, left * channels :][:, : weight.shape[1]]
        cv2.add(place, weighted, dst=place)


def _summed(weights: NDArray[np.float32], starts: Iterable[int], length: int) -> NDArray[np.float32]:
    total = np.zeros(length, np.float32)
    for start in starts:
        total[start : start + len(weights)] += weights
    return total
