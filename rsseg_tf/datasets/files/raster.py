"""Files that GDAL reads, through rasterio: TIFF and whatever else it opens, any part of them at a time."""

from __future__ import annotations

import contextlib
import math
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.stored import Box, Values, bounds
from rsseg_tf.datasets.planes import interleaved
from rsseg_tf.errors import DataError, MissingExtraError

_CACHE_BYTES = 96 << 20
_SURE_OF_ALPHA = ("PNG", "WEBP")
_OPAQUE = 255
_NO_CODEC = "missing codec"
_FILTERS = threading.RLock()


class Raster:
    """An open file; implements `Stored`.

    Args:
        path: the file.

    Raises:
        DataError: if it cannot be read.
        MissingExtraError: if rasterio is not installed.
    """

    def __init__(self, path: Path) -> None:
        dataset = _opened(path)
        self.path = path
        self.height: int = dataset.height
        self.width: int = dataset.width
        self.kinds = tuple(dataset.dtypes)
        self.names = tuple(color.name for color in dataset.colorinterp)
        self.bits = int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
        self.nodata: tuple[float | None, ...] = tuple(dataset.nodatavals)
        self.palette = _palette(dataset) if self.names[0] == "palette" else None
        self.is_alpha_sure = dataset.driver in _SURE_OF_ALPHA
        self._dataset = dataset
        self._has_mask = _has_mask(dataset)

    def read(self, bands: tuple[int, ...], box: Box) -> Values:
        """See `Stored.read`."""
        with _told(self.path), library_settings():
            values = self._dataset.read(list(bands), window=self._window(box))
        return interleaved(values)

    def mask(self, box: Box) -> NDArray[np.bool_] | None:
        """See `Stored.mask`."""
        if not self._has_mask:
            return None
        with _told(self.path), library_settings():
            return self._dataset.read_masks(1, window=self._window(box)) > 0

    def close(self) -> None:
        """See `Stored.close`."""
        self._dataset.close()

    def _window(self, box: Box) -> Any:
        from rasterio.windows import Window

        top, bottom, left, right = bounds(box, height=self.height, width=self.width)
        return Window(left, top, right - left, bottom - top)


class Resampled(Raster):
    """A file seen in another size; implements `Stored`. Numbers of a palette and what a mask says are not mixed.

    Args:
        path: the file.
        size: height and width in which it is seen. Where it shrinks, pixels are averaged; where it grows, they are
            interpolated.

    Raises:
        DataError: if it cannot be read.
        MissingExtraError: if rasterio is not installed.
    """

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        super().__init__(path)
        self._stored_size = self.height, self.width
        self.height, self.width = size

    def read(self, bands: tuple[int, ...], box: Box) -> Values:
        """See `Stored.read`."""
        from rasterio.enums import Resampling
        from rasterio.windows import Window

        top, bottom, left, right = bounds(box, height=self.height, width=self.width)
        (down, across), shrinks = self._ratios, math.prod(self._ratios) > 1
        usual = Resampling.average if shrinks else Resampling.bilinear
        with _told(self.path), library_settings():
            values = self._dataset.read(
                list(bands),
                window=Window(left * across, top * down, (right - left) * across, (bottom - top) * down),
                out_shape=(len(bands), bottom - top, right - left),
                resampling=usual if self.palette is None else Resampling.nearest,
            )
        return interleaved(values)

    def mask(self, box: Box) -> NDArray[np.bool_] | None:
        """See `Stored.mask`."""
        if not self._has_mask:
            return None
        from rasterio.windows import Window

        top, bottom, left, right = bounds(box, height=self.height, width=self.width)
        rows = self._sources(np.arange(top, bottom), axis=0)
        columns = self._sources(np.arange(left, right), axis=1)
        window = Window(columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
        with _told(self.path), library_settings():
            known = self._dataset.read_masks(1, window=window) > 0
        picked: NDArray[np.bool_] = known[np.ix_(rows - rows[0], columns - columns[0])]
        return picked

    @property
    def _ratios(self) -> tuple[float, float]:
        height, width = self._stored_size
        return height / self.height, width / self.width

    def _sources(self, places: NDArray[np.int64], *, axis: int) -> NDArray[np.int64]:
        """Return the row or column of the file in which the middle of each of ours lies."""
        inside = self._stored_size[axis] - 1
        return np.minimum(((places + 0.5) * self._ratios[axis]).astype(np.int64), inside)


@contextlib.contextmanager
def open_dataset_of(path: Path) -> Iterator[Any]:
    """Yield a file as rasterio's own dataset, open while the block runs.

    Raises:
        DataError: if it cannot be read.
        MissingExtraError: if rasterio is not installed.
    """
    with _opened(path) as dataset:
        yield dataset


def _opened(path: Path) -> Any:
    rasterio = required_library()
    with _told(path), library_settings(), placeless_files():
        return rasterio.open(path)


@contextlib.contextmanager
def placeless_files() -> Iterator[None]:
    """Keep the library from warning of files without a georeference; one thread at a time: filters are everyone's."""
    from rasterio.errors import NotGeoreferencedWarning

    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def library() -> Any:
    """Return the module rasterio, or None where it is not installed."""
    try:
        import rasterio
    except ModuleNotFoundError:
        return None
    return rasterio


def required_library() -> Any:
    """Return the module rasterio.

    Raises:
        MissingExtraError: if it is not installed.
    """
    found = library()
    if found is None:
        raise MissingExtraError("rasterio", extra="geo")
    return found


def library_settings(**more: str) -> Any:
    """Return a context in which the library's cache of blocks stays small: it would take a twentieth of the memory.

    Args:
        more: other settings of GDAL, by name.
    """
    import rasterio

    return rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES, **more)


def raster_errors() -> tuple[type[Exception], ...]:
    """Return what rasterio raises: errors of its own, and those of GDAL that it lets through."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    return RasterioError, CPLE_BaseError


def reason_of(error: Exception) -> str:
    """Return what GDAL says about an error, in one line."""
    return " ".join(str(error.__cause__ or error).split())


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except raster_errors() as error:
        reason = reason_of(error)
        hint = (
            "export it with another compression, such as deflate" if _NO_CODEC in reason else "fetch or export it again"
        )
        raise DataError(f"cannot read `{path}`: {reason}", hint=hint) from error


def _palette(dataset: Any) -> NDArray[np.uint8]:
    count = int(np.iinfo(dataset.dtypes[0]).max) + 1
    colors = np.zeros((count, 4), np.uint8)
    colors[:, 3] = _OPAQUE
    for number, color in dataset.colormap(1).items():
        if number < count:
            colors[number] = color
    return colors


def _has_mask(dataset: Any) -> bool:
    """Return whether there is a mask in the file or beside it, which is neither alpha nor a number for nothing."""
    from rasterio.enums import MaskFlags

    others = {MaskFlags.alpha, MaskFlags.nodata}
    return any(MaskFlags.per_dataset in flags and not others & set(flags) for flags in dataset.mask_flag_enums)
