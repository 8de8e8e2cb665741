"""The colors that the network sees in a file, and where the file says that there are none."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.opening import open_stored
from rsseg_tf.datasets.files.stored import WHOLE, Box, Stored, Values
from rsseg_tf.datasets.images.channels import AS_THEY_ARE, COLORS, Channels
from rsseg_tf.datasets.palette import Pixels
from rsseg_tf.errors import ConfigError, DataError

_RGB = ("red", "green", "blue")
_PROBED_PIXELS = 1 << 22
_PROBES, _PROBE_PX = 5, 256
_NEAR = 8 / 255  # JPEG leaves an alpha of 0 or 255 that near
_SURELY, _HARDLY = 0.95, 0.5

Valid = NDArray[np.bool_] | None
"""Where a picture holds data, bool (h, w); None for everywhere."""


class Picture:
    """A file as colors; see `open_picture`, which takes the same and raises the same.

    Attributes:
        path: the file.
        height: in pixels.
        width: in pixels.
        is_alpha_doubted: whether a band is marked as alpha and not taken for it, though nobody said so.
    """

    def __init__(self, stored: Stored, channels: Channels = AS_THEY_ARE, *, labels: bool = False) -> None:
        self.path = stored.path
        self.height, self.width = stored.height, stored.width
        self._stored = stored
        self._alpha = _alpha_band(stored, channels, labels=labels)
        self.is_alpha_doubted = "alpha" in stored.names and not self._alpha and not channels.bands
        self._bands = channels.bands or _usual_bands(stored, alpha=self._alpha)
        self._ranges = channels.ranges(len(self._bands))
        _check_bands(stored, self._bands, channels, labels=labels)
        self._blank = tuple(
            number
            for number, name in enumerate(stored.names, start=1)
            if name != "alpha" and (any(value is not None for value in stored.nodata) or "float" in stored.kinds[0])
        )
        wanted = (*self._bands, *self._blank, *([self._alpha] if self._alpha else []))
        self._read = tuple(sorted(set(wanted)))

    def read(self, box: Box = WHOLE) -> tuple[Pixels, Valid]:
        """Return the pixels of a part, uint8 (h, w, bands), of three RGB, and where they hold data.

        Raises:
            DataError: if the file is damaged there.
        """
        values = self._stored.read(self._read, box)
        return self._colors(values), self._valid(values, box)

    def rows(self, top: int, bottom: int) -> tuple[Pixels, Valid]:
        """Return `read` of some rows."""
        return self.read((slice(top, bottom), slice(None)))

    def _colors(self, values: Values) -> Pixels:
        chosen = _of(values, self._read, self._bands)
        palette = self._stored.palette
        if palette is not None and self._bands == (1, 1, 1):
            return np.ascontiguousarray(palette[chosen[..., 0], :3])
        if self._ranges:
            return _scaled(chosen, self._ranges)
        if self._stored.bits < 8 and palette is None:
            return chosen * np.uint8(255 // (2**self._stored.bits - 1))
        return np.ascontiguousarray(chosen)

    def _valid(self, values: Values, box: Box) -> Valid:
        valid = self._stored.mask(box)
        if self._alpha:
            opaque = _of(values, self._read, (self._alpha,))[..., 0]
            valid = _both(valid, opaque > _top(opaque) / 2)
        if self._stored.palette is not None and (self._stored.palette[:, 3] < 128).any():
            valid = _both(valid, self._stored.palette[values[..., 0], 3] >= 128)
        if self._blank:
            places = ((self._read.index(band), self._stored.nodata[band - 1]) for band in self._blank)
            filled = (_is_filled(values[..., place], nodata) for place, nodata in places)
            valid = _both(valid, functools.reduce(np.logical_or, filled))
        return None if valid is None or valid.all() else valid


@contextlib.contextmanager
def open_picture(
    path: Path, channels: Channels = AS_THEY_ARE, *, labels: bool = False, size: tuple[int, int] | None = None
) -> Iterator[Picture]:
    """Yield a file as colors, open while the block runs.

    Gray becomes three equal channels, stretched to 8 bits where it has fewer, and a palette its colors. Nothing is
    turned. There is no data where alpha is below a half, all bands hold the number for it, or a mask says so.

    Args:
        path: a PNG, JPEG or TIFF file, or with rasterio whatever GDAL opens.
        channels: which bands, and how they become 8 bits.
        labels: whether the colors stand for classes, so that an error does not say to scale them.
        size: height and width in which it is seen, by rasterio; None for its own.

    Raises:
        DataError: if the file is missing, damaged or of another kind, or its bands are not three of 8 bits and
            `channels` does not say more; or one that it asks for is no measurement: transparency, or a palette.
        ConfigError: if `channels` asks for bands that it does not have.
        MissingExtraError: if rasterio, which alone reads such a file, is not installed.
    """
    with contextlib.closing(open_stored(path, size=size)) as stored:
        yield Picture(stored, channels, labels=labels)


def of_colors(pixels: Pixels, channels: Channels) -> Pixels:
    """Return what is seen of 8-bit colors that are in memory, uint8 (h, w, 3), as `Picture.read` does of a file's."""
    chosen = np.ascontiguousarray(pixels[..., [band - 1 for band in channels.bands]]) if channels.bands else pixels
    ranges = channels.ranges(chosen.shape[2])
    return _scaled(chosen, ranges) if ranges else chosen


def _usual_bands(stored: Stored, *, alpha: int) -> tuple[int, ...]:
    """Return the bands of red, green and blue in a file that leaves no doubt about them; `alpha` is none of them.

    Raises:
        DataError: if it does.
    """
    places = [stored.names.index(name) + 1 for name in _RGB if stored.names.count(name) == 1]
    if len(places) == 3:
        return tuple(places)
    colors = len(stored.names) - bool(alpha)
    if colors in (1, 3) and alpha in (0, colors + 1):
        return (1, 2, 3) if colors == 3 else (1, 1, 1)
    example = "1,2,3" if len(stored.names) > 2 else "1,1,1"
    raise DataError(
        f"`{stored.path}` has {len(stored.names)} bands and does not say which are red, green and blue",
        hint=f"say so: data.bands=[{example}] for a data set, --bands {example} for `predict`",
    )


def _check_bands(stored: Stored, bands: tuple[int, ...], channels: Channels, *, labels: bool) -> None:
    if max(bands) > len(stored.names):
        wrong = f"`{stored.path}` has {len(stored.names)} bands, the settings ask for {max(bands)}"
        raise ConfigError(wrong, hint="set data.bands, or --bands, to bands that it has")
    kinds = sorted({stored.kinds[band - 1] for band in bands})
    if any("complex" in kind for kind in kinds):
        raise DataError(f"`{stored.path}` has {', '.join(kinds)} pixels, which are not colors")
    if stored.palette is not None and bands != (1, 1, 1):
        raise DataError(
            f"`{stored.path}` has a palette, of which only the colors can be seen", hint="leave data.bands empty"
        )
    if kinds != ["uint8"] and channels.scale is None and stored.palette is None:
        likely = _likely_scale(stored, bands)
        raise DataError(
            f"`{stored.path}` has {', '.join(kinds)} pixels, expected 8 bits a channel",
            hint=f"store its values in 8 bits, up to 255 they stay: rio convert {stored.path} NEW.tif --dtype uint8"
            if labels
            else f"say which values become 0 and 255: data.scale=[{likely}] for a data set, --scale {likely} for "
            "`predict`; these are each band's 1st and 99th percentile in this file",
        )


def _alpha_band(stored: Stored, channels: Channels, *, labels: bool) -> int:
    """Return the number of the band that says where there is data; 0 for none.

    GDAL marks a fourth band of 8 bits as alpha whatever it holds, so that one of near infrared is told by its values.

    Raises:
        DataError: if they leave a doubt, and `channels` does not say which bands are the colors.
    """
    number = stored.names.index("alpha") + 1 if "alpha" in stored.names else 0
    if number in channels.bands and len(channels.bands) > COLORS:
        _check_measured(stored, number)
    if not number or number in channels.bands:
        return 0
    if stored.is_alpha_sure or labels:
        return number
    values = _probed(stored, number)
    top = _top(values)
    full = values >= (1 - _NEAR) * top
    share = float(np.mean(full | (values <= _NEAR * top)))
    if share >= _SURELY and (full.any() or not values.any()):
        return number
    if share < _HARDLY or channels.bands or not full.any():
        return 0
    raise DataError(
        f"band {number} of `{stored.path}` is marked as alpha, but {1 - share:.0%} of it is neither 0 nor full",
        hint="if it is near infrared, say which bands are the colors: data.bands=[1,2,3], or --bands 1,2,3 for "
        "`predict`; if it is transparency, make it 0 or 255",
    )


def _check_measured(stored: Stored, number: int) -> None:
    """Refuse transparency in the place of a band beyond the colors, such as an orthomosaic in that of near infrared."""
    values = _probed(stored, number)
    top = _top(values)
    full = values >= (1 - _NEAR) * top
    if full.any() and (full | (values <= _NEAR * top)).all():
        raise DataError(
            f"band {number} of `{stored.path}` is marked as alpha and is 0 or full everywhere: it is no measurement",
            hint="give an image that has the band, or one whose band is not marked as alpha",
        )


def _likely_scale(stored: Stored, bands: tuple[int, ...]) -> str:
    """Return the range of most numbers of each band, as the settings take it."""
    ranges = []
    for band in bands:
        values = _probed(stored, band)
        filled = values[_is_filled(values, stored.nodata[band - 1])]
        low, high = np.percentile(filled, (1, 99)).tolist() if filled.size else (0, 1)
        if np.issubdtype(values.dtype, np.integer):
            low, high = math.floor(low), math.ceil(high)
        high = high if high > low else low + 1
        ranges.append(f"{low:.6g},{high:.6g}")
    return ",".join(ranges)


def _probed(stored: Stored, band: int) -> Values:
    """Return numbers of a band from all over the file."""
    if stored.height * stored.width <= _PROBED_PIXELS:
        return stored.read((band,), WHOLE).ravel()
    starts = [np.linspace(0, side - _PROBE_PX, _PROBES).astype(int).tolist() for side in (stored.height, stored.width)]
    sides = [[slice(max(0, start), max(0, start) + _PROBE_PX) for start in each] for each in starts]
    return np.concatenate([stored.read((band,), (rows, columns)).ravel() for rows in sides[0] for columns in sides[1]])


def _scaled(values: Values, ranges: Sequence[tuple[float, float]]) -> Pixels:
    """Return numbers (h, w, bands) as uint8: the low end of a band's range and NaN become 0, the high end 255."""
    levels = np.empty(values.shape, np.uint8)
    for band, (low, high) in enumerate(ranges):
        levels[..., band] = _levels(values[..., band], low, high)
    return levels


def _levels(values: Values, low: float, high: float) -> Pixels:
    if values.dtype.itemsize > 2 or not np.issubdtype(values.dtype, np.integer):
        levels = (values.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
        return np.rint(np.clip(np.nan_to_num(levels, nan=0.0), 0, 255)).astype(np.uint8)
    table = _table(values.dtype, low, high)
    return table[np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")]


@functools.lru_cache(maxsize=32)
def _table(kind: np.dtype[Any], low: float, high: float) -> Pixels:
    """Return the level of every number of a type, by its bits taken for an unsigned one."""
    every = np.arange(2 ** (8 * kind.itemsize), dtype=f"u{kind.itemsize}")
    table = _levels(every.view(kind).astype(np.float32), low, high)
    table.setflags(write=False)  # it is handed out more than once
    return table


def _is_filled(values: Values, nodata: float | None) -> NDArray[np.bool_]:
    """Return where a band holds something: a number, and not the one for nothing."""
    if np.issubdtype(values.dtype, np.floating):
        filled: NDArray[np.bool_] = ~np.isnan(values)
        return filled if nodata is None else filled & (values != values.dtype.type(nodata))
    limits = np.iinfo(values.dtype)
    if nodata is None or nodata != round(nodata) or not limits.min <= nodata <= limits.max:
        return np.ones(values.shape, bool)
    return values != values.dtype.type(nodata)


def _of(values: Values, read: tuple[int, ...], bands: tuple[int, ...]) -> Values:
    """Return some bands of those that were read."""
    return values if bands == read else values[..., [read.index(band) for band in bands]]


def _top(values: Values) -> float:
    return float(np.iinfo(values.dtype).max) if np.issubdtype(values.dtype, np.integer) else 1.0


def _both(one: Valid, other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return other if one is None else one & other
