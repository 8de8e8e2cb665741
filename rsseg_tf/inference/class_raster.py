"""Class maps and maps of confidence written row by row as GeoTIFFs: tiled, compressed, with colors and overviews."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsseg_tf.datasets.files.place import Place
from rsseg_tf.datasets.files.raster import library_settings, placeless_files, raster_errors, reason_of
from rsseg_tf.datasets.images.picture import Picture
from rsseg_tf.datasets.palette import IGNORE, Palette
from rsseg_tf.errors import RssegError
from rsseg_tf.inference.confidence import STEPS
from rsseg_tf.inference.tiling import Image
from rsseg_tf.runs import atomic_path

_BLOCK = 512
_SMALLEST_OVERVIEW = 256


class ClassRaster:
    """The class map that is being written; see `create_class_raster`.

    Attributes:
        checksum: CRC-32 of all rows so far.
    """

    def __init__(self, dataset: Any) -> None:
        self.checksum = 0
        self._dataset = dataset

    def write(self, top: int, classes: Image) -> None:
        """Store some rows, uint8 (rows, W); from top to bottom, each once."""
        from rasterio.windows import Window

        self.checksum = zlib.crc32(classes.tobytes(), self.checksum)
        with library_settings():
            self._dataset.write(classes, 1, window=Window(0, top, classes.shape[1], classes.shape[0]))


@contextlib.contextmanager
def create_class_raster(path: Path, like: Picture, place: Place, palette: Palette | None) -> Iterator[ClassRaster]:
    """Yield a new class map with the size of `like`, where `place` says; it appears as `path` when the block ends.

    Class numbers are stored with the colors of `palette`, 255 where there is no data. Overviews hold the most
    frequent class. Without a palette it is a map of confidence in steps, whose overviews hold means.

    Raises:
        RssegError: if it cannot be written.
    """
    import rasterio
    from rasterio.crs import CRS

    with atomic_path(path) as temporary:
        try:
            with placeless_files():
                dataset = rasterio.open(temporary, "w", **_profile(like, place))
            with dataset:
                if place.control:
                    points, crs = place.control
                    dataset.gcps = points, crs or CRS()
                _describe(dataset, palette)
                output = ClassRaster(dataset)
                yield output
            _add_overviews(temporary, max(like.height, like.width), of_classes=palette is not None)
            _check_written(temporary, path, checksum=output.checksum)
        except raster_errors() as error:
            raise RssegError(f"cannot write `{path}`: {reason_of(error)}", hint="is the disk full?") from error


def _describe(dataset: Any, palette: Palette | None) -> None:
    if palette is None:
        dataset.scales = (1 / STEPS,)
        dataset.set_band_description(1, "confidence")
        return
    dataset.write_colormap(1, dict(enumerate(palette.colors)))
    dataset.update_tags(**{f"CLASS_{number}": name for number, name in enumerate(palette.names)})


def _check_written(temporary: Path, path: Path, *, checksum: int) -> None:
    """Read again what arrived: GDAL closes a file without an error on a full disk."""
    import rasterio
    from rasterio.windows import Window

    arrived = 0
    with placeless_files():
        dataset = rasterio.open(temporary)
    with dataset, library_settings():
        for top in range(0, dataset.height, _BLOCK):
            rows = min(_BLOCK, dataset.height - top)
            arrived = zlib.crc32(dataset.read(1, window=Window(0, top, dataset.width, rows)).tobytes(), arrived)
    if arrived != checksum:
        raise RssegError(f"cannot write `{path}`: its rows did not arrive as they were", hint="is the disk full?")


def _profile(like: Picture, place: Place) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 1,
        "height": like.height,
        "width": like.width,
        "crs": place.crs,
        "transform": place.transform,
        "nodata": IGNORE,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "deflate",
        "bigtiff": "if_safer",
    }


def _add_overviews(path: Path, side: int, *, of_classes: bool) -> None:
    import rasterio
    from rasterio.enums import Resampling

    factors: list[int] = []
    while side // 2 ** (len(factors) + 1) >= _SMALLEST_OVERVIEW:
        factors.append(2 ** (len(factors) + 1))
    with placeless_files():
        dataset = rasterio.open(path, "r+")
    with dataset, library_settings(GDAL_NUM_THREADS="ALL_CPUS"):  # the network waits: its cores are free
        if factors:
            dataset.build_overviews(factors, Resampling.mode if of_classes else Resampling.average)
