"""Polygons in longitude and latitude that lie over the 180th meridian or a pole, cut there as RFC 7946 (3.1.9) asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_TURN, _HALF, _POLE = 360.0, 180.0, 90.0
_PIECES = 64
"""Of the longer side of a ring: each is carried from one system to the other by itself."""

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

    rings = shapely.get_rings(polygon)
    west, south, east, north = shapely.bounds(rings).T
    pieces = shapely.segmentize(rings, np.maximum(east - west, north - south) / _PIECES)
    shell, *holes = (_contiguous(moved(shapely.get_coordinates(ring))) for ring in pieces)
    whole = _within(shell)
    west, _, east, _ = shapely.bounds(whole)
    turns = np.arange((west + _HALF) // _TURN, (east + _HALF) // _TURN + 1)
    if _is_around_a_pole(shell):
        turns = np.zeros(1)  # the others show the same
    for hole in holes:
        within = _within(hole)
        by_turns = np.arange(-1, 2) + np.round(((west + east) / 2 - hole[:, 0].mean()) / _TURN)
        moved_by = [0.0] if _is_around_a_pole(hole) else by_turns * _TURN
        whole = shapely.difference(whole, shapely.union_all([_shifted(within, by) for by in moved_by]))
    parts: list[Any] = []
    for middle in turns * _TURN:
        part = shapely.intersection(whole, shapely.box(middle - _HALF, -_POLE, middle + _HALF, _POLE))
        parts += (_shifted(each, -middle) for each in _polygons(part))
    return parts[0] if len(parts) == 1 else shapely.multipolygons(parts)


def _contiguous(ring: Points) -> Points:
    """Return a ring whose longitudes go on beyond 180 degrees instead of beginning again."""
    return np.stack([np.unwrap(ring[:, 0], period=_TURN), ring[:, 1]], axis=1)


def _is_around_a_pole(ring: Points) -> bool:
    """Return whether a contiguous ring ends a turn from where it began."""
    return bool(abs(ring[-1, 0] - ring[0, 0]) > _HALF)


def _within(ring: Points) -> Any:
    """Return what lies within a contiguous ring, as shapely has it.

    Around a pole that is what lies between the ring and the pole, here over three turns, of which the middle one holds
    every longitude from -180 to 180: so all rings around one pole begin and end at the same longitudes.
    """
    import shapely

    if _is_around_a_pole(ring):
        turn, pole = ring[-1, 0] - ring[0, 0], np.copysign(_POLE, ring[:, 1].mean())
        turns = [ring + np.array((by * turn, 0)) for by in (-1, 0, 1)]
        ring = np.concatenate([*turns, [(turns[-1][-1, 0], pole), (turns[0][0, 0], pole)]])
    return shapely.make_valid(shapely.Polygon(ring))


def _shifted(geometry: Any, longitude: float) -> Any:
    import shapely

    return shapely.transform(geometry, lambda points: points + np.array((longitude, 0)))


def _polygons(geometry: Any) -> Iterator[Any]:
    """Yield the polygons of what an intersection is: it may be points and lines too."""
    import shapely

    for part in shapely.get_parts(geometry):
        if part.geom_type == "MultiPolygon":
            yield from part.geoms
        elif part.geom_type == "Polygon" and not part.is_empty:
            yield part
