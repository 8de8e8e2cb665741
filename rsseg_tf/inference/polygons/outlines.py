"""Outlines of connected pixels along the sides of pixels, from the corners where they turn.

Where two pixels of one region touch at a corner alone, the outline keeps them apart, as regions are connected by
sides. A ring that would touch itself there is taken apart, so that every polygon is simple.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.inference.tiling import Image

Ring = NDArray[np.float64]
"""Points (n, 2) in columns and rows of pixels, each once: clockwise to the eye around a region, else around a hole."""

_COORDINATE_BITS = 20
_HALF = 0.5

# own pixel, its neighbor beside, above or below, and across; whether the edges of its corner go east and south
_QUADRANTS = ((0, 1, 2, 3, 0, 0), (1, 0, 3, 2, 1, 0), (2, 3, 0, 1, 0, 1), (3, 2, 1, 0, 1, 1))


@dataclass(frozen=True)
class Corners:
    """Where outlines turn; arrays of one length.

    Attributes:
        region: whose outline.
        row: of the point, 0 above the first row of pixels.
        column: of the point, 0 before the first column.
        east: 1 where the horizontal edge goes from here to the east, else 0.
        south: 1 where the vertical edge goes from here to the south, else 0.
        leaves_sideways: whether the horizontal edge is the one that leaves, with the region on its right.
    """

    region: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    east: NDArray[np.int64]
    south: NDArray[np.int64]
    leaves_sideways: NDArray[np.bool_]

    @classmethod
    def together(cls, parts: list[Corners]) -> Corners:
        """Return all of some as one."""
        columns: list[Any] = [[getattr(part, name) for part in parts] for name in cls.__dataclass_fields__]
        return cls(*map(np.concatenate, columns))

    def chosen(self, which: NDArray[np.bool_], region: NDArray[np.int64]) -> Corners:
        """Return some of them, as those of other regions: `region` (n,) of every one of these."""
        row, column, east, south = self.row[which], self.column[which], self.east[which], self.south[which]
        return Corners(region[which], row, column, east, south, self.leaves_sideways[which])


def corners_between(classes: Image, regions: NDArray[np.int64], *, top: int) -> Corners:
    """Return the corners on the lines between rows of pixels.

    Args:
        classes: uint8 (n + 1, W), 255 for no region.
        regions: the region of each pixel (n + 1, W).
        top: the number of the second row, which is that of the first line.
    """
    padded = np.pad(classes, ((0, 0), (1, 1)), constant_values=IGNORE)
    beside, below = padded[:, :-1] == padded[:, 1:], padded[:-1] == padded[1:]
    straight = (beside[:-1] & beside[1:]) | (below[:, :-1] & below[:, 1:])
    lines, columns = np.nonzero(~straight)
    places = [(lines + down, columns + right) for down in (0, 1) for right in (0, 1)]
    around = [padded[place] for place in places]
    wide = regions.shape[1] - 1
    owners = [regions[row, np.clip(column - 1, 0, wide)] for row, column in places]
    found = []
    for own, side, upright, across, east, south in _QUADRANTS:
        is_side, is_upright = around[own] == around[side], around[own] == around[upright]
        is_class = around[own] != IGNORE
        convex = is_class & ~is_side & ~is_upright
        concave = is_class & is_side & is_upright & (around[own] != around[across])
        for which, flip in ((convex, 0), (concave, 1)):
            count = np.count_nonzero(which)
            found.append(
                Corners(
                    owners[own][which],
                    lines[which] + top,
                    columns[which],
                    np.full(count, east ^ flip),
                    np.full(count, south ^ flip),
                    np.full(count, (east == south) != bool(flip)),
                )
            )
    return Corners.together(found)


def rings_of(corners: Corners) -> Iterator[tuple[int, list[Ring]]]:
    """Yield every region that has all of its corners, with its rings: the outer one, then those of its holes."""
    if not len(corners.region):
        return
    column_major = _key(corners.region, corners.column, corners.row, corners.south)
    row_major = _key(corners.region, corners.row, corners.column, corners.east)
    following = np.where(corners.leaves_sideways, _partners(row_major), _partners(column_major))
    rings = _cycles(following.tolist(), (row_major >> 1).tolist(), _touching(row_major))
    sequence = np.fromiter((corner for ring in rings for corner in ring), np.int64)
    starts = np.cumsum([0, *(len(ring) for ring in rings)])
    points = np.stack([corners.column[sequence], corners.row[sequence]], axis=1)
    regions, outer = corners.region[sequence[starts[:-1]]], _twice_areas(points, starts) > 0
    order = np.lexsort((~outer, regions))
    ends = np.flatnonzero(np.diff(regions[order])) + 1
    real = points.astype(np.float64)
    for group in np.split(order, ends):
        yield int(regions[group[0]]), [real[starts[ring] : starts[ring + 1]] for ring in group.tolist()]


def simplified(ring: Ring) -> Ring:
    """Return a ring with its corners cut half a pixel from each, without the points that leave it by half a pixel.

    Douglas and Peucker's algorithm, of OpenCV. Steps of a slanting line become that line.
    """
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    cut = np.stack([ring - np.sign(before) * _HALF, ring + np.sign(after) * _HALF], axis=1).reshape(-1, 2)
    half_pixels = np.rint(cut / _HALF).astype(np.int32)
    kept = cv2.approxPolyDP(half_pixels[:, None], 1.0, closed=True)[:, 0]
    return kept * _HALF if len(kept) > 2 else cut


def _key(region: NDArray[np.int64], *rest: NDArray[np.int64]) -> NDArray[np.int64]:
    first, second, bit = rest
    return ((((region << _COORDINATE_BITS) | first) << _COORDINATE_BITS) | second) << 1 | bit


def _partners(key: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the other end of each corner's edge: along a line, the corners of a region are ends by turns."""
    order = np.argsort(key)
    partners = np.empty_like(order)
    partners[order[0::2]], partners[order[1::2]] = order[1::2], order[0::2]
    return partners


def _touching(key: NDArray[np.int64]) -> set[int]:
    """Return the points, without the last bit of their key, where two corners of a region meet."""
    points = np.sort(key >> 1)
    return set(points[1:][points[1:] == points[:-1]].tolist())


def _cycles(following: list[int], points: list[int], touching: set[int]) -> list[list[int]]:
    seen = bytearray(len(following))
    rings: list[list[int]] = []
    for start in range(len(following)):
        if seen[start]:
            continue
        ring, at = [], start
        while not seen[at]:
            seen[at] = 1
            ring.append(at)
            at = following[at]
        touches = touching and any(points[corner] in touching for corner in ring)
        rings += _taken_apart(ring, points) if touches else [ring]
    return rings


def _taken_apart(ring: list[int], points: list[int]) -> list[list[int]]:
    """Return a ring as rings that visit no point twice."""
    parts: list[list[int]] = []
    path: list[int] = []
    place_of: dict[int, int] = {}
    for corner in ring:
        place = place_of.get(points[corner])
        if place is not None:
            parts.append(path[place:])
            for passed in path[place:]:
                del place_of[points[passed]]
            del path[place:]
        place_of[points[corner]] = len(path)
        path.append(corner)
    return [*parts, path]


def _twice_areas(points: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return twice the area within each ring, above 0 where it goes clockwise to the eye."""
    after = np.arange(1, len(points) + 1)
    after[starts[1:] - 1] = starts[:-1]
    crossed = points[:, 0] * points[after, 1] - points[after, 0] * points[:, 1]
    areas: NDArray[np.int64] = np.add.reduceat(crossed, starts[:-1])
    return areas
