"""How large the pixels of an image are on the ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.place import Place, place_of, reprojected
from rsseg_tf.datasets.files.raster import open_dataset_of
from rsseg_tf.errors import DataError

_SEMI_MAJOR_M = 6378137.0
_ECCENTRICITY = 0.0818191908426215
_SAMPLED_EVERY_M = 20_000.0
_FEWEST, _MOST = 5, 129
"""Rows, and columns, of an image at which its pixels are measured."""
_HALF_STEP_PX = 8
_LONGITUDE_LATITUDE = "EPSG:4326"
_FAR_APART = 4 / 3
"""Ratio of two sizes of a pixel from which on a network sees things of a size that it did not learn."""


def cell_areas_m2(latitudes: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return the areas between `latitudes` over `width` of longitude, both in radians, on the WGS 84 ellipsoid.

    The closed form behind the authalic latitude (Snyder 1987, "Map Projections: A Working Manual", equation 3-12).
    """
    sine = np.sin(latitudes)
    e = _ECCENTRICITY
    zone = sine / (1 - (e * sine) ** 2) - np.log((1 - e * sine) / (1 + e * sine)) / (2 * e)
    half_square = _SEMI_MAJOR_M**2 * (1 - e**2) / 2
    return np.abs(np.diff(zone)) * half_square * abs(width)


def row_areas_m2(place: Place, height: int, width: int) -> NDArray[np.float64] | None:
    """Return the square meters on the ground of a pixel in each row (H,); None where the file does not say.

    Projections such as Web Mercator enlarge areas, so the pixels are measured on the WGS 84 ellipsoid: exactly where
    rows are parallels, else at points all over the image.
    """
    crs, transform = place.crs, place.transform
    if crs is None or transform is None or not (crs.is_geographic or crs.is_projected):
        return None
    if crs.is_geographic and transform.b == transform.d == 0:
        _, radians = crs.units_factor
        borders = transform.f + transform.e * np.arange(height + 1)
        return cell_areas_m2(borders * radians, transform.a * radians)
    try:
        right, down = _steps_m(place, height, width)
    except DataError:  # beyond what the projection is made for
        unit = 1.0 if crs.is_geographic else crs.linear_units_factor[1]
        return None if crs.is_geographic else np.full(height, abs(transform.determinant) * unit**2)
    areas = np.linalg.norm(np.cross(right, down), axis=-1).mean(axis=1)
    return np.interp(np.arange(height) + 0.5, np.linspace(0, height, len(areas)), areas)


def sides_m(path: Path, place: Place | None) -> tuple[float, float] | None:
    """Return the height and width of an image's pixels in meters, as most of them are; None where it does not say.

    On a grid of degrees they differ: at 60° north a pixel is half as wide as it is high.

    Args:
        path: the image.
        place: where it lies.

    Raises:
        DataError: if it cannot be read.
    """
    if place is None:
        return None
    with open_dataset_of(path) as dataset:
        height, width = dataset.height, dataset.width
    areas = row_areas_m2(place, height, width)
    if areas is None:
        return None
    side = float(np.sqrt(np.median(areas)))
    try:
        right, down = (np.median(np.linalg.norm(step, axis=-1)) for step in _steps_m(place, height, width))
    except DataError:  # beyond what the projection is made for
        right, down = np.hypot(*place.transform.column_vectors[0]), np.hypot(*place.transform.column_vectors[1])
    slimness = float(np.sqrt(right / down))
    return side / slimness, side * slimness


def square_side_m(path: Path) -> float | None:
    """Return meters per pixel of an image whose pixels are about square; None for others, or where it does not say.

    Raises:
        DataError: if it cannot be read.
    """
    sides = sides_m(path, place_of(path))
    return None if sides is None or are_far_apart(*sides) else float(np.sqrt(sides[0] * sides[1]))


def are_far_apart(first_m: float, second_m: float, *, by: float = _FAR_APART) -> bool:
    """Return whether one size of a pixel is more than `by` times another, by default a third above it."""
    return max(first_m, second_m) > by * min(first_m, second_m)


def shown(side: float) -> str:
    """Return the side of a pixel as people write it.

    Examples:
        >>> shown(0.05), shown(3.0)
        ('0.05 m', '3 m')
    """
    return f"{side:.3g} m"


def _steps_m(place: Place, height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what one pixel to the right and one down are on the ground, at places in rows and columns of an image.

    Both are float64 (rows, columns, 3), meters in space: the Jacobian from pixels to the WGS 84 ellipsoid, which has no
    seam and no pole there. Rows are the first, the last and some between; columns the middles of equal parts.
    """
    unit = place.crs.units_factor[1] * (_SEMI_MAJOR_M if place.crs.is_geographic else 1.0)
    a, b, c, d, e, f = place.transform[:6]
    edges = np.linspace(0, height, _sampled(height, np.hypot(b, e) * unit))
    parts = _sampled(width, np.hypot(a, d) * unit)
    rows, columns = np.meshgrid(edges, (np.arange(parts) + 0.5) * width / parts, indexing="ij")
    across = np.array([1, -1, 0, 0])[:, None, None] * _HALF_STEP_PX + columns
    along = np.array([0, 0, 1, -1])[:, None, None] * _HALF_STEP_PX + rows
    x, y = a * across + b * along + c, d * across + e * along + f
    degrees = reprojected(np.stack([x.ravel(), y.ravel()], axis=1), source=place.crs, target=_LONGITUDE_LATITUDE)
    right, left, down, up = _in_space(degrees).reshape(*x.shape, 3)
    return (right - left) / (2 * _HALF_STEP_PX), (down - up) / (2 * _HALF_STEP_PX)


def _sampled(length: int, side_m: float) -> int:
    """Return at how many places a side of an image is measured: what a pixel is changes with the place on the Earth."""
    return int(np.clip(np.ceil(length * side_m / _SAMPLED_EVERY_M), _FEWEST, _MOST))


def _in_space(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points of the WGS 84 ellipsoid, longitude and latitude (n, 2), in meters from the middle of the Earth.

    Hofmann-Wellenhof, Lichtenegger and Collins 2001, "GPS: Theory and Practice", equation 10.1 with a height of 0.
    """
    longitude, latitude = np.radians(degrees).T
    sine = np.sin(latitude)
    radius = _SEMI_MAJOR_M / np.sqrt(1 - (_ECCENTRICITY * sine) ** 2)
    east, north = radius * np.cos(latitude), radius * (1 - _ECCENTRICITY**2) * sine
    return np.stack([east * np.cos(longitude), east * np.sin(longitude), north], axis=-1)
