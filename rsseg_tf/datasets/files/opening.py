"""Which library opens a file: the one place where that is decided, for every command."""

from __future__ import annotations

import contextlib
from pathlib import Path

from rsseg_tf.datasets.files.decoded import decode
from rsseg_tf.datasets.files.raster import Raster, Resampled, library
from rsseg_tf.datasets.files.stored import LARGE_PIXELS, Stored
from rsseg_tf.datasets.images.header import JPEG, PNG, TIFFS, read_header
from rsseg_tf.datasets.images.integrity import tiff_damage
from rsseg_tf.errors import DataError, unreadable
from rsseg_tf.runs import require_regular

OPENCV_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
SUFFIXES = (*OPENCV_SUFFIXES, ".jp2", ".webp", ".bmp")
"""The file endings that are looked for in folders, in lower case; the last three need rasterio. A VRT is read where
it is named: in a folder it lies beside the tiles that it is made of."""


def open_stored(path: Path, *, numbers: bool = False, size: tuple[int, int] | None = None) -> Stored:
    """Return what a file holds, for its user to close.

    PNG and JPEG are decoded by OpenCV, a large PNG and everything else is read by GDAL. Where rasterio is not
    installed, OpenCV reads the TIFFs that it reads as GDAL does.

    Args:
        path: the file.
        numbers: whether a palette's numbers are wanted, not its colors.
        size: height and width in which it is to be seen, by rasterio alone; None for its own.

    Raises:
        DataError: if the file is missing, damaged or of another kind.
        MissingExtraError: if rasterio, which alone reads such a file, is not installed.
    """
    by_gdal = is_read_by_gdal(path)
    if size is not None:
        return Resampled(path, size)
    return Raster(path) if by_gdal else decode(path, numbers=numbers)


def is_read_by_gdal(path: Path) -> bool:
    """Return whether rasterio reads a file, if it is installed or not.

    Raises:
        DataError: if it is missing, or a TIFF that is cut off.
    """
    try:
        require_regular(path)
        with path.open("rb") as stream:
            start = stream.read(len(PNG))
            wrong = tiff_damage(stream) if start.startswith(TIFFS) else ""
    except OSError as error:
        raise unreadable(path, error) from error
    if wrong:
        raise DataError(f"cannot read `{path}`: {wrong}", hint="fetch or export the file again")
    if start.startswith(TIFFS):
        return library() is not None
    if start.startswith(PNG):
        return read_header(path).pixels > LARGE_PIXELS and library() is not None
    return not start.startswith(JPEG) and bool(start) and path.suffix.lower() not in OPENCV_SUFFIXES


def windowed_size(path: Path) -> tuple[int, int] | None:
    """Return height and width of a large file of which a part is read without the rest, None for another one.

    Raises:
        DataError: if it cannot be opened.
    """
    if not is_read_by_gdal(path):
        return None
    with path.open("rb") as stream:
        start = stream.read(len(PNG))
    if start.startswith(PNG) or (start.startswith(TIFFS) and read_header(path).pixels <= LARGE_PIXELS):
        return None
    with contextlib.closing(Raster(path)) as raster:
        return (raster.height, raster.width) if raster.height * raster.width > LARGE_PIXELS else None
