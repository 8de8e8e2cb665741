"""Class maps of images of any size, from a network that sees windows of one size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ConfigError

Image: TypeAlias = NDArray[np.uint8]
Logits: TypeAlias = NDArray[np.float32]
Infer: TypeAlias = Callable[[Image], NDArray[Any]]
"""uint8 (n, h, w, 3) → scores (n, h, w, C), of any numeric type."""

_BATCH = 8
_STEPS = 64
_ROWS_IN_CACHE = 16


@dataclass(frozen=True)
class Window:
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The first column to the right of it."""
        return self.left + self.width


def tile_windows(height: int, width: int, *, size: tuple[int, int], overlap: int) -> list[Window]:
    """Windows of `size` that cover an image of `height` × `width` pixels, row by row.

    Neighbours share at least `overlap` pixels; the last ones are shifted inwards. An image that is
    smaller than a window gets one that sticks out to the bottom or right: pad the image.

    Raises:
        ConfigError: `overlap` is not smaller than the window, or a size is not positive.

    Example:
        >>> [window.left for window in tile_windows(4, 10, size=(4, 4), overlap=0)]
        [0, 4, 6]
    """
    if min(height, width, *size) < 1:
        raise ConfigError(f"cannot tile an image of {height} × {width} pixels with windows of {size[0]} × {size[1]}")
    if not 0 <= overlap < min(size):
        raise ConfigError(
            f"the overlap must be at least 0 and below the window's {min(size)} pixels, got {overlap}",
            hint="give a smaller overlap",
        )
    tops, lefts = _starts(height, size[0], overlap), _starts(width, size[1], overlap)
    return [Window(top, left, *size) for top in tops for left in lefts]


def blend_weights(length: int, overlap: int) -> NDArray[np.float32]:
    """How much each pixel along one side of a window counts: 1 at an edge, rising smoothly over the overlap.

    Whole numbers, so that sums of weighted int8 scores are exact in float32.
    """
    distance = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    share = np.minimum(distance / (overlap + 1), 1.0)
    rise = np.sin(share * np.pi / 2) ** 2
    return np.maximum(np.rint(_STEPS * rise), 1).astype(np.float32)


def predict_logits(image: Image, infer: Infer, *, size: tuple[int, int], overlap: int) -> Logits:
    """Scores of every pixel, overlapping windows blended: float32 (H, W, C).

    Args:
        image: uint8 (H, W, 3).
        infer: the network, on batches of windows.
        size: height and width of a window.
        overlap: pixels that neighbouring windows share.
    """
    bands = [np.moveaxis(band / total, 0, -1) for _, band, total in _bands(image, infer, size=size, overlap=overlap)]
    logits: Logits = np.concatenate(bands)
    return logits


def predict_classes(image: Image, infer: Infer, *, size: tuple[int, int], overlap: int) -> Image:
    """The class of every pixel: uint8 (H, W). Arguments as `predict_logits`.

    Scores are kept for one row of windows at a time.
    """
    if image.shape[:2] == size:
        return best_class(infer(image[None])[0])
    classes = np.empty(image.shape[:2], np.uint8)
    for top, band, _ in _bands(image, infer, size=size, overlap=overlap):
        classes[top : top + band.shape[1]] = _best_plane(band)
    return classes


def best_class(scores: NDArray[Any]) -> Image:
    """`argmax` over the last axis as uint8, the first of equals: (h, w, C) → (h, w).

    Class by class over whole planes, which is several times faster than `numpy.argmax` for few classes.
    """
    return _best_plane(np.ascontiguousarray(np.moveaxis(scores, -1, 0)))


def _best_plane(planes: NDArray[Any]) -> Image:
    """The number of the largest plane at every pixel: (C, h, w) → uint8 (h, w), a few rows at a time for the cache."""
    classes = np.zeros(planes.shape[1:], np.uint8)
    for top in range(0, len(classes), _ROWS_IN_CACHE):
        part = planes[:, top : top + _ROWS_IN_CACHE]
        chosen = classes[top : top + _ROWS_IN_CACHE]
        best = part[0].copy()
        for number in range(1, len(part)):
            better = (part[number] > best).view(np.uint8)
            better *= np.uint8(number)
            np.maximum(chosen, better, out=chosen)
            np.maximum(best, part[number], out=best)
    return classes


def _starts(length: int, size: int, overlap: int) -> list[int]:
    if length <= size:
        return [0]
    return [*range(0, length - size, size - overlap), length - size]


def _bands(
    image: Image, infer: Infer, *, size: tuple[int, int], overlap: int
) -> Iterator[tuple[int, Logits, NDArray[np.float32]]]:
    """Finished rows, top to bottom: (top, weighted sums of scores (C, rows, W), sums of weights (rows, W)).

    The sums are those of one row of windows, used again for the next: done with when the next are asked for.
    """
    height, width = image.shape[:2]
    padded = _padded(image, size)
    windows = tile_windows(*padded.shape[:2], size=size, overlap=overlap)
    tops = sorted({window.top for window in windows})
    lefts = sorted({window.left for window in windows})
    row_weights, column_weights = blend_weights(size[0], overlap), blend_weights(size[1], overlap)
    row_total = _summed(row_weights, tops, padded.shape[0])
    column_total = _summed(column_weights, lefts, padded.shape[1])[:width]

    sums: Logits | None = None
    for top, following in itertools.pairwise([*tops, padded.shape[0]]):
        strip = padded[top : top + size[0]]
        sums = _add_windows(sums, strip, infer, lefts=lefts, weight=np.outer(row_weights, column_weights))
        done, bottom = following - top, min(following, height)
        yield top, sums[:, : bottom - top, :width], np.outer(row_total[top:bottom], column_total)
        kept = size[0] - done
        sums[:, :kept] = sums[:, done:]
        sums[:, kept:] = 0


def _add_windows(
    sums: Logits | None, strip: Image, infer: Infer, *, lefts: list[int], weight: NDArray[np.float32]
) -> Logits:
    """Add the weighted scores of a row of windows to `sums` (C, rows, W), or to zeros where there are none yet."""
    size = weight.shape[1]
    for start in range(0, len(lefts), _BATCH):
        batch = lefts[start : start + _BATCH]
        scores = infer(np.stack([strip[:, left : left + size] for left in batch]))
        if sums is None:
            sums = np.zeros((scores.shape[-1], *strip.shape[:2]), np.float32)
        for left, window in zip(batch, scores, strict=True):
            weighted = np.ascontiguousarray(np.moveaxis(window, -1, 0)).astype(np.float32)
            weighted *= weight
            sums[:, :, left : left + size] += weighted
    if sums is None:
        raise ConfigError("an image without pixels cannot be predicted")
    return sums


def _padded(image: Image, size: tuple[int, int]) -> Image:
    """The image, mirrored beyond its bottom and right edges up to the size of one window."""
    bottom, right = max(0, size[0] - image.shape[0]), max(0, size[1] - image.shape[1])
    return np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="reflect") if bottom or right else image


def _summed(weights: NDArray[np.float32], starts: list[int], length: int) -> NDArray[np.float32]:
    total = np.zeros(length, np.float32)
    for start in starts:
        total[start : start + len(weights)] += weights
    return total
