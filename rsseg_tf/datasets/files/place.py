"""Where a file lies on the ground: georeference, ground control points, world files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.opening import OPENCV_SUFFIXES
from rsseg_tf.datasets.files.raster import library, open_dataset_of, raster_errors, reason_of
from rsseg_tf.datasets.images.header import read_header
from rsseg_tf.errors import DataError

_SMALLEST = 1e-30
"""No pixel covers less, in whatever unit."""

_FARTHEST = 1e10
"""No system has coordinates as large; of 1e20 m of Web Mercator GDAL takes turns off until it is killed."""


@dataclass(frozen=True)
class Place:
    """What a file says about where it lies.

    Attributes:
        crs: the coordinate reference system of rasterio, or None.
        transform: from pixels to coordinates; None where there is none.
        control: ground control points, and their coordinate reference system; None for none.
    """

    crs: Any = None
    transform: Any = None
    control: tuple[list[Any], Any] | None = None


def place_of(path: Path) -> Place | None:
    """Return where a file lies; None where neither it nor a file beside it says so, or rasterio is not installed.

    Raises:
        DataError: if it cannot be read.
    """
    if library() is None or not _may_have_one(path):
        return None
    with open_dataset_of(path) as dataset:
        transform = transform_of(dataset)
        points, crs = dataset.gcps
        found = Place(dataset.crs, transform, (points, crs) if points else None)
    return None if found == Place() else found


def transform_of(dataset: Any) -> Any:
    """Return how an open dataset of rasterio leads from pixels to coordinates; None where it does not say.

    Of PPM files GDAL gives numbers that nobody wrote, where there is no world file.
    """
    found = dataset.transform
    if dataset.driver == "PNM" and world_file_of(Path(dataset.name)) is None:
        return None
    area = abs(found.determinant)
    is_usable = math.isfinite(found.c + found.f) and _SMALLEST < area < math.inf
    return found if is_usable and not found.is_identity else None


def reprojected(points: NDArray[np.float64], *, source: Any, target: Any) -> NDArray[np.float64]:
    """Return points (n, 2), x and y, of a coordinate reference system in those of another one.

    Raises:
        DataError: if one of them has no place there.
    """
    from rasterio.warp import transform

    words = f"coordinates in {source} have no place in {target}"
    if not (np.abs(points) < _FARTHEST).all():
        raise DataError(f"{words}: they are too large")
    try:
        moved = np.array(transform(source, target, *points.T.tolist())).T
    except raster_errors() as error:
        raise DataError(f"{words}: {reason_of(error)}") from error
    if not np.isfinite(moved).all():
        raise DataError(f"{words}: they are beyond what it is made for")
    return moved


def _may_have_one(path: Path) -> bool:
    if path.suffix.lower() not in OPENCV_SUFFIXES or path.with_name(f"{path.name}.aux.xml").exists():
        return True
    return read_header(path).is_geotiff or world_file_of(path) is not None


def world_file_of(path: Path) -> Path | None:
    """Return the world file beside an image, such as `a.tfw` or `a.tifw` of `a.tif`, or `a.wld`; None for none."""
    ending = path.suffix[1:].lower()
    short = f".{ending[:1]}{ending[-1:]}w"
    for suffix in (short, f".{ending}w", ".wld"):
        for spelled in (suffix, suffix.upper()):
            if path.with_suffix(spelled).exists():
                return path.with_suffix(spelled)
    return None
