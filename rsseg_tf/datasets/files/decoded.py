"""Files that OpenCV decodes as a whole: PNG, JPEG, and without rasterio those TIFFs that it reads right."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.stored import Box, Values
from rsseg_tf.datasets.images.header import PNG, TIFFS, directories
from rsseg_tf.datasets.images.integrity import damage, png_as_gray, png_nodata
from rsseg_tf.datasets.images.opencv_log import opencv_log
from rsseg_tf.errors import DataError, unreadable

REMEDY = "pip install 'rsseg-tf[geo]', which reads it through rasterio"

_NAMES = {1: ("gray",), 3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}
_TO_RGB = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}
_KIND, _BITS, _COMPRESSION, _COLORS, _TURNED, _BANDS, _MAP, _EXTRA, _NODATA = (
    *(254, 258, 259, 262, 274, 277, 320, 338),
    42113,
)
_GRAY, _RGB, _PALETTE = 1, 2, 3
_DECODERS = (1, 5, 7, 8, 32773, 32946)  # none, LZW, JPEG, deflate, PackBits, the older deflate
_STRAIGHT_ALPHA = 2
_IS_MASK = 4
_WANTED = (_KIND, _BITS, _COMPRESSION, _COLORS, _TURNED, _BANDS, _EXTRA, _NODATA)
_TOO_MANY = "CV_IO_MAX_IMAGE"
_TILED = (
    'python -c "import rasterio.shutil as files; '
    "files.copy('IMAGE', 'NEW.tif', driver='GTiff', tiled=True, compress='deflate', bigtiff='if_safer')\""
)


class Decoded:
    """An image in memory; implements `Stored`.

    Args:
        path: the file.
        values: (H, W) or (H, W, bands), colors as RGB.
        bits: of a number in the file, where it has fewer than 8.
        nodata: the number that stands for nothing.
    """

    def __init__(self, path: Path, values: Values, *, bits: int = 8, nodata: float | None = None) -> None:
        self._values = values if values.ndim == 3 else values[..., None]
        self.path = path
        self.height, self.width, count = self._values.shape
        self.kinds = (str(values.dtype),) * count
        self.names = _NAMES[count]
        self.bits = bits
        self.nodata = (nodata,) * count
        self.palette: NDArray[np.uint8] | None = None
        self.is_alpha_sure = True

    def read(self, bands: tuple[int, ...], box: Box) -> Values:
        """See `Stored.read`."""
        part = self._values[box]
        if bands == tuple(range(1, part.shape[2] + 1)):
            return part
        return np.ascontiguousarray(part[..., [band - 1 for band in bands]])

    def mask(self, box: Box) -> NDArray[np.bool_] | None:  # noqa: ARG002 - there never is one
        """See `Stored.mask`."""
        return None

    def close(self) -> None:
        """See `Stored.close`."""


def decode(path: Path, *, numbers: bool) -> Decoded:
    """Return what a PNG, JPEG or TIFF file holds.

    Args:
        path: the file.
        numbers: whether a palette's numbers are wanted, not its colors.

    Raises:
        DataError: if the file is missing, damaged or of another kind, or a TIFF that needs rasterio.
    """
    data = _whole(path)
    bits, tiff, nodata = 8, None, None
    if data.startswith(PNG):
        data = png_as_gray(data) if numbers else data
        nodata = png_nodata(data)
        bits = min(data[24], 8) if data[25] == 0 else 8
    elif data.startswith(TIFFS):
        tiff = _described(path, data, numbers=numbers)
        bits, nodata = tiff.bits, tiff.nodata
    values = _values(path, data)
    if tiff and (wrong := _misdecoded(tiff, values)):
        raise _refused(path, wrong)
    if bits < 8:
        values = values // np.uint8(255 // (2**bits - 1))  # decoders stretch 1, 2 and 4 bits to 0 … 255
    return Decoded(path, values, bits=bits, nodata=nodata)


def _whole(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    wrong = damage(data)
    if wrong:
        raise DataError(f"cannot read `{path}`: {wrong}", hint="fetch or export the file again")
    return data


def _values(path: Path, data: bytes) -> Values:
    try:
        with opencv_log():
            values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if _TOO_MANY in str(error):
            raise DataError(
                f"`{path}` has more pixels than OpenCV decodes",
                hint=f"write it as a tiled TIFF, which rasterio (pip install 'rsseg-tf[geo]') reads in parts: {_TILED}",
            ) from error
        raise DataError(f"cannot read `{path}`: {' '.join(str(error).split())}") from error
    if values is None:
        is_tiff = data.startswith(TIFFS)
        raise DataError(
            f"cannot read `{path}`: its pixels do not decode",
            hint=f"fetch or export the file again, or {REMEDY}" if is_tiff else "fetch or export the file again",
        )
    if values.ndim == 2:
        return values
    if values.shape[2] not in _TO_RGB:
        raise DataError(f"`{path}` has {values.shape[2]} channels", hint=REMEDY)
    return cv2.cvtColor(values, _TO_RGB[values.shape[2]])


@dataclass(frozen=True)
class _Tiff:
    """What a TIFF says of itself: the bits of a number, the number for nothing, whether there is a palette."""

    bits: int
    nodata: float | None
    has_palette: bool


def _described(path: Path, data: bytes, *, numbers: bool) -> _Tiff:
    """Return what a TIFF says that OpenCV may read right.

    Raises:
        DataError: if OpenCV would read something else than the file holds.
    """
    try:
        tags, *others = (found for found, _ in directories(io.BytesIO(data), _WANTED))
    except struct.error as error:
        raise DataError(f"cannot read `{path}`: its tags are damaged: {error}", hint="fetch it again") from error
    depths = tags.get(_BITS) or (1,)
    wrong = _misread(tags, depths, numbers=numbers)
    if not wrong and any((tag.get(_KIND) or (0,))[0] & _IS_MASK for tag in others):
        wrong = "a mask in it"
    if not wrong and path.with_name(f"{path.name}.msk").exists():
        wrong = "a mask beside it"
    if wrong:
        raise _refused(path, wrong)
    text = (tags.get(_NODATA) or (b"",))[0].rstrip(b"\0 ").decode("latin-1")
    return _Tiff(min(depths[0], 8), float(text) if text else None, (tags.get(_COLORS) or (_GRAY,))[0] == _PALETTE)


def _misread(tags: dict[int, tuple[int, ...]], depths: tuple[int, ...], *, numbers: bool) -> str:
    """Return what it is about a TIFF that OpenCV reads otherwise than GDAL, in a few words; empty for nothing."""

    def first(tag: int, usual: int) -> int:
        return (tags.get(tag) or (usual,))[0]

    count, colors, extra = first(_BANDS, 1), first(_COLORS, _GRAY), tags.get(_EXTRA) or ()
    usual = {_GRAY: (1,), _RGB: (3, 4), _PALETTE: (1,)}.get(colors, ())
    doubts = {
        f"the compression {first(_COMPRESSION, 1)}": first(_COMPRESSION, 1) not in _DECODERS,
        "an orientation of its own": first(_TURNED, 1) != 1,
        f"the photometric interpretation {colors}": not usual,
        f"{count} bands": count not in usual or (count == 4 and extra != (_STRAIGHT_ALPHA,)),
        f"numbers of {min(depths)} bits": min(depths) not in (1, 8, 16, 32, 64),
        "a palette": _MAP in tags and (numbers or depths != (8,) if colors == _PALETTE else not numbers),
    }
    return next((words for words, holds in doubts.items() if holds), "")


def _misdecoded(tiff: _Tiff, values: Values) -> str:
    """Return what it is about decoded pixels that cannot be right, in a few words; empty for nothing."""
    if tiff.has_palette:
        return "" if values.ndim == 3 else "a palette"
    if values.ndim < 3 or values.shape[2] != 4:
        return ""
    top = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
    return "" if np.isin(values[..., 3], (0, top)).all() else "a fourth band by which OpenCV multiplies the others"


def _refused(path: Path, what: str) -> DataError:
    return DataError(f"`{path}` has {what}, which OpenCV does not read as it is meant", hint=REMEDY)
