"""Where an image lies, by its first bytes or its world file: the same on every machine, with GDAL or not."""

from __future__ import annotations

import contextlib
import math
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from rsseg_tf.datasets.files.opening import OPENCV_SUFFIXES
from rsseg_tf.datasets.files.place import place_of, world_file_of
from rsseg_tf.datasets.images.header import TIFFS, directory_at, exif_of, first_directory, size_of
from rsseg_tf.errors import DataError

_SCALE, _TIES, _MATRIX, _KEYS, _NUMBERS = 33550, 33922, 34264, 34735, 34736  # OGC GeoTIFF 1.1, annex B
_GPS, _NORTH, _LATITUDE, _EAST, _LONGITUDE = 34853, 1, 2, 3, 4  # EXIF 2.3, tables 4 and 15
_EARTH_M = 6378137.0
_MOST_DEGREES = 85.0

Affine = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f of x = a column + b row + c, y = d column + e row + f."""


@dataclass(frozen=True)
class Position:
    """Where an image lies.

    Attributes:
        space: what its coordinates are of: those of two spaces cannot be compared.
        corners: x and y of each, one after the other around the image; a camera's place is one.
    """

    space: Any
    corners: tuple[tuple[float, float], ...]

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top."""
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def center(self) -> tuple[float, float]:
        """X and y of its middle."""
        left, bottom, right, top = self.box
        return (left + right) / 2, (bottom + top) / 2

    @property
    def side(self) -> float:
        """The longer side of the box, 0 for a camera's place."""
        left, bottom, right, top = self.box
        return max(right - left, top - bottom)


CAMERA = "camera"
"""The space of places that a camera wrote down, in meters of the Mercator projection (a little long in the north)."""


def position_of(path: Path) -> Position | None:
    """Return where an image lies: by its georeference, its world file, or the place that its camera wrote down.

    None where nothing of it is there or can be read; an image that is damaged is for others to name.
    """
    with contextlib.suppress(OSError, ValueError, LookupError, struct.error, DataError):
        if path.suffix.lower() not in OPENCV_SUFFIXES:
            return _by_gdal(path)
        return _by_tags(path) or _by_world_file(path) or _by_camera(path)
    return None


def _by_tags(path: Path) -> Position | None:
    with path.open("rb") as stream:
        if not stream.read(4).startswith(TIFFS):
            return None
        tags, _ = first_directory(stream, (256, 257, _SCALE, _TIES, _MATRIX, _KEYS, _NUMBERS))
    affine = _affine(tags)
    if affine is None:
        return None
    width, height = tags[256][0], tags[257][0]
    return Position((tags.get(_KEYS, ()), tags.get(_NUMBERS, ())), _corners(affine, width, height))


def _affine(tags: dict[int, tuple[Any, ...]]) -> Affine | None:
    matrix, ties, scale = (tags.get(tag, ()) for tag in (_MATRIX, _TIES, _SCALE))
    if len(matrix) == 16:
        return matrix[0], matrix[1], matrix[3], matrix[4], matrix[5], matrix[7]
    if len(ties) == 6 and len(scale) >= 2:
        column, row, _, x, y, _ = ties
        return scale[0], 0.0, x - column * scale[0], 0.0, -scale[1], y + row * scale[1]
    return None


def _by_world_file(path: Path) -> Position | None:
    world = world_file_of(path)
    if world is None:
        return None
    a, d, b, e, x, y = (float(word.replace(",", ".")) for word in world.read_text(encoding="utf-8").split()[:6])
    height, width = size_of(path)
    if not height * width:
        return None
    return Position("world file", _corners((a, b, x - (a + b) / 2, d, e, y - (d + e) / 2), width, height))


def _by_gdal(path: Path) -> Position | None:
    place = place_of(path)
    if place is None or place.transform is None:
        return None
    from rsseg_tf.datasets.files.raster import open_dataset_of

    with open_dataset_of(path) as dataset:
        affine: Affine = tuple(place.transform)[:6]
        return Position(str(place.crs), _corners(affine, dataset.width, dataset.height))


def _corners(affine: Affine, width: int, height: int) -> tuple[tuple[float, float], ...]:
    a, b, c, d, e, f = affine
    around = ((0, 0), (width, 0), (width, height), (0, height))
    corners = tuple((a * column + b * row + c, d * column + e * row + f) for column, row in around)
    if not all(map(math.isfinite, (*corners[0], *corners[2]))) or abs(a * e - b * d) * width * height == 0:
        raise ValueError("coordinates that are not numbers, or no area")
    return corners


def _by_camera(path: Path) -> Position | None:
    with exif_of(path) as tags:
        if tags is None:
            return None
        first, _ = first_directory(tags, (_GPS,))
        if not first.get(_GPS):
            return None
        latitude, longitude = _degrees(tags, first[_GPS][0])
    if not (latitude or longitude) or abs(latitude) > _MOST_DEGREES or abs(longitude) > 180:
        return None  # cameras without a fix write zeros
    x, y = math.radians(longitude), math.asinh(math.tan(math.radians(latitude)))
    return Position(CAMERA, ((x * _EARTH_M, y * _EARTH_M),))


def _degrees(tags: BinaryIO, place: int) -> tuple[float, float]:
    """Return latitude and longitude in degrees; zeros where they are missing."""
    wanted = (_NORTH, _LATITUDE, _EAST, _LONGITUDE)
    found = directory_at(tags, place, wanted)
    angles = []
    for sign, angle, negative in ((_NORTH, _LATITUDE, b"S"), (_EAST, _LONGITUDE, b"W")):
        parts = found.get(angle, ())
        degrees = sum(part / 60**power for power, part in enumerate(parts))
        angles.append(-degrees if found.get(sign, (b"",))[0][:1].upper() == negative else degrees)
    return angles[0], angles[1]
