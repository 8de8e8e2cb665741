"""Large and georeferenced images, read a few rows at a time through rasterio."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.inference.areas import cell_areas_m2
from rsseg_tf.inference.blending import Strip, padded_to
from rsseg_tf.inference.tiling import Image, TileGrid

_CACHE_BYTES = 96 << 20
_ONE_GRAY = (1, 1, 1)
_RGB = (1, 2, 3)


@dataclass(frozen=True)
class Channels:
    """Which bands of a raster are its red, green and blue.

    Attributes:
        bands: three band numbers, from 1; empty where the file decides (three bands, or one of gray).
        scale: the values that become 0 and 255; None for 8-bit values as they are.
    """

    bands: tuple[int, ...] = ()
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse what no raster can be read with.

        Raises:
            ConfigError: for other than three bands, or an empty range.
        """
        if self.bands and (len(self.bands) != 3 or min(self.bands) < 1):
            raise ConfigError(f"expected three band numbers from 1, got {self.bands}", hint="for example --bands 1,2,3")
        if self.scale and not -math.inf < self.scale[0] < self.scale[1] < math.inf:
            raise ConfigError(f"the scale must be ascending, got {self.scale}", hint="for example --scale 0,4000")

    @property
    def are_chosen(self) -> bool:
        """Whether anything was given."""
        return bool(self.bands) or self.scale is not None


class Raster:
    """An open raster; see `open_raster`.

    Attributes:
        path: the file.
        height: in pixels.
        width: in pixels.
        crs: the coordinate reference system of rasterio, or None.
        transform: from pixels to coordinates; None where there is none.
    """

    def __init__(self, path: Path, dataset: Any, channels: Channels) -> None:
        self.path = path
        self.height: int = dataset.height
        self.width: int = dataset.width
        self.crs = dataset.crs
        self.transform = None if dataset.transform.is_identity else dataset.transform
        self._dataset = dataset
        self._scale = channels.scale
        self._bands = channels.bands or _usual_bands(path, dataset)
        _check_bands(path, dataset, self._bands, has_scale=channels.scale is not None)
        self._has_gaps = _has_gaps(dataset, self._bands)

    def rows(self, top: int, bottom: int) -> tuple[Image, NDArray[np.bool_] | None]:
        """Return the pixels of some rows, uint8 (rows, W, 3) RGB, and where they hold data (None for everywhere).

        Raises:
            DataError: if the file is damaged there.
        """
        from rasterio.windows import Window

        window = Window(0, top, self.width, bottom - top)
        different = list(dict.fromkeys(self._bands))
        try:
            values = self._dataset.read(different, window=window)
            valid = self._dataset.dataset_mask(window=window) > 0 if self._has_gaps else None
        except raster_errors() as error:
            raise _unreadable(self.path, error) from error
        planes = values if len(values) == 3 else values[[different.index(band) for band in self._bands]]
        return np.ascontiguousarray(np.moveaxis(self._to_bytes(planes), 0, -1)), valid

    def row_areas_m2(self, ground_sampling_distance_m: float = 0.0) -> NDArray[np.float64] | None:
        """Return the square meters of a pixel in each row (H,), None where unknown.

        Args:
            ground_sampling_distance_m: meters per pixel where the file itself does not say.
        """
        if self.crs is not None and self.transform is not None:
            if self.crs.is_projected:
                _, meters = self.crs.linear_units_factor
                return np.full(self.height, abs(self.transform.determinant) * meters**2)
            if self.crs.is_geographic and self.transform.b == self.transform.d == 0:
                _, radians = self.crs.units_factor
                borders = self.transform.f + self.transform.e * np.arange(self.height + 1)
                return cell_areas_m2(borders * radians, self.transform.a * radians)
        known = ground_sampling_distance_m**2
        return np.full(self.height, known) if known else None

    def _to_bytes(self, values: NDArray[Any]) -> Image:
        if self._scale is None:
            return values
        low, high = self._scale
        levels = (values.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
        return np.rint(np.clip(np.nan_to_num(levels, nan=0.0), 0, 255)).astype(np.uint8)


@contextlib.contextmanager
def open_raster(path: Path, channels: Channels = Channels()) -> Iterator[Raster]:
    """Yield a raster, open while the block runs; the library's cache of blocks is kept small meanwhile.

    Raises:
        DataError: if the file cannot be read, or its bands are not three of 8 bits and `channels` does not say more.
        ConfigError: if `channels` asks for bands that it does not have.
        ModuleNotFoundError: if rasterio is not installed.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    if path.stat().st_size == 0:
        raise DataError(f"cannot read `{path}`: it is empty")
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                dataset = rasterio.open(path)
        except raster_errors() as error:
            raise _unreadable(path, error) from error
        with dataset:
            yield Raster(path, dataset, channels)


def strips_from(raster: Raster, grid: TileGrid, *, first: int = 0) -> Iterator[Strip]:
    """Yield the strips of a raster from window row `first` on; every pixel row is read once, in order."""
    pixels, valid = raster.rows(grid.tops[first], _bottom(grid, first))
    yield _strip(first, pixels, valid, grid)
    for row in range(first + 1, len(grid.tops)):
        skipped = grid.tops[row] - grid.tops[row - 1]
        more, more_valid = raster.rows(_bottom(grid, row - 1), _bottom(grid, row))
        pixels = np.concatenate([pixels[skipped:], more])
        if valid is not None and more_valid is not None:
            valid = np.concatenate([valid[skipped:], more_valid])
        yield _strip(row, pixels, valid, grid)


def _bottom(grid: TileGrid, row: int) -> int:
    return min(grid.tops[row] + grid.size[0], grid.height)


def _strip(row: int, pixels: Image, valid: NDArray[np.bool_] | None, grid: TileGrid) -> Strip:
    return Strip(row, padded_to(pixels, grid.size[0], grid.padded_width), valid)


def _usual_bands(path: Path, dataset: Any) -> tuple[int, ...]:
    """Return the bands of red, green and blue in a file that leaves no doubt about them."""
    from rasterio.enums import ColorInterp

    count = dataset.count
    if dataset.colorinterp[0] == ColorInterp.palette:
        raise DataError(
            f"`{path}` has a palette", hint="convert it to RGB, for example with gdal_translate -expand rgb"
        )
    if count in (2, 4) and dataset.colorinterp[-1] == ColorInterp.alpha:
        count -= 1
    if count not in (1, 3):
        raise DataError(
            f"`{path}` has {dataset.count} bands, but the network takes three",
            hint="say which are red, green and blue, for example --bands 1,2,3",
        )
    return _RGB if count == 3 else _ONE_GRAY


def _check_bands(path: Path, dataset: Any, bands: tuple[int, ...], *, has_scale: bool) -> None:
    if max(bands) > dataset.count:
        raise ConfigError(f"`{path}` has {dataset.count} bands, `--bands` asks for {max(bands)}")
    kinds = sorted({dataset.dtypes[band - 1] for band in bands})
    if any("complex" in kind for kind in kinds):
        raise DataError(f"`{path}` has {', '.join(kinds)} pixels, which are not colors")
    if kinds != ["uint8"] and not has_scale:
        raise DataError(
            f"`{path}` has {', '.join(kinds)} pixels, but the network takes 8 bits per channel",
            hint="say which values become 0 and 255, for example --scale 0,4000",
        )


def _has_gaps(dataset: Any, bands: tuple[int, ...]) -> bool:
    from rasterio.enums import MaskFlags

    return any(dataset.mask_flag_enums[band - 1] != [MaskFlags.all_valid] for band in bands)


def raster_errors() -> tuple[type[Exception], ...]:
    """Return what rasterio raises: errors of its own, and those of GDAL that it lets through."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    return RasterioError, CPLE_BaseError


def reason_of(error: Exception) -> str:
    """Return what GDAL says about an error, in one line."""
    return " ".join(str(error.__cause__ or error).split())


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"cannot read `{path}`: {reason_of(error)}", hint="fetch or export the file again")
