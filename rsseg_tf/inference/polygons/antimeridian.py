"""Polygons in longitude and latitude that lie over the 180th meridian or a pole, cut there as RFC 7946 (3.1.9) asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_TURN, _HALF, _POLE = 360.0, 180.0, 90.0
_PIECES = 64
"""Of the longer side of a polygon: each is carried from one system to the other by itself."""

Points: TypeAlias = NDArray[np.float64]


def cut_where_longitudes_begin(
    before: NDArray[np.object_], after: NDArray[np.object_], *, moved: Callable[[Points], Points]
) -> NDArray[np.object_]:
    """Return polygons of which none crosses the 180th meridian: those that did have several parts.

    Args:
        before: polygons of shapely in a coordinate reference system.
        after: the same in longitude and latitude, point by point.
        moved: takes points (n, 2) from the one system to the other.
    """
    import shapely

    west, _, east, _ = shapely.bounds(after).T
    found = after.copy()
    for number in np.flatnonzero((east - west > _HALF) | (east > _HALF) | (west < -_HALF)):
        found[number] = _cut(before[number], moved)
    return found


def _cut(polygon: Any, moved: Callable[[Points], Points]) -> Any:
    """Return one polygon in longitude and latitude, cut into parts.

    It is carried over in short pieces, so that a step of more than half a turn leads over the meridian, and is no side.
    """
    import shapely

    west, south, east, north = shapely.bounds(polygon)
    pieces = shapely.segmentize(polygon, max(east - west, north - south) / _PIECES)
    rings = [moved(shapely.get_coordinates(ring)) for ring in (pieces.exterior, *pieces.interiors)]
    shell, *holes = (_around_the_pole(_contiguous(ring)) for ring in rings)
    low, high = shell[:, 0].min(), shell[:, 0].max()
    for hole in holes:
        hole[:, 0] += _TURN * np.round(((low + high) / 2 - hole[:, 0].mean()) / _TURN)
    whole = shapely.make_valid(shapely.Polygon(shell, holes))
    parts: list[Any] = []
    for turn in range(int((low + _HALF) // _TURN), int((high + _HALF) // _TURN) + 1):
        middle = turn * _TURN
        part = shapely.intersection(whole, shapely.box(middle - _HALF, -_POLE, middle + _HALF, _POLE))
        parts += (shapely.transform(each, lambda points, by=middle: points - (by, 0)) for each in _polygons(part))
    return parts[0] if len(parts) == 1 else shapely.multipolygons(parts)


def _contiguous(ring: Points) -> Points:
    """Return a ring whose longitudes go on beyond 180 degrees instead of beginning again."""
    return np.stack([np.unwrap(ring[:, 0], period=_TURN), ring[:, 1]], axis=1)


def _around_the_pole(ring: Points) -> Points:
    """Return a ring that turns around a pole as one that goes along the pole, a turn back, to where it began."""
    if abs(ring[-1, 0] - ring[0, 0]) < _HALF:
        return ring
    pole = np.copysign(_POLE, ring[:, 1].mean())
    return np.concatenate([ring, [(ring[-1, 0], pole), (ring[0, 0], pole), ring[0]]])


def _polygons(geometry: Any) -> Iterator[Any]:
    """Yield the polygons of what an intersection is: it may be points and lines too."""
    import shapely

    for part in shapely.get_parts(geometry):
        if part.geom_type == "MultiPolygon":
            yield from part.geoms
        elif part.geom_type == "Polygon" and not part.is_empty:
            yield part
