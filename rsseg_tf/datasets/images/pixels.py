"""Reading and writing 8-bit PNG, JPEG and TIFF files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from rsseg_tf.datasets.images.header import PNG
from rsseg_tf.datasets.images.integrity import damage, png_as_gray
from rsseg_tf.datasets.images.opencv_log import opencv_log
from rsseg_tf.datasets.palette import Pixels
from rsseg_tf.errors import ConfigError, DataError, unreadable
from rsseg_tf.runs import atomic_path

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""The file endings that are read and written, in lower case."""


_SCALED = "scale it to 8 bits, for example with gdal_translate -ot Byte -scale"
_UNSCALED = "export it with 8 bits and the same values: gdal_translate -ot Byte keeps those up to 255"


def read_image(path: Path | str, *, labels: bool = False) -> Pixels:
    """Return the picture in a PNG, JPEG or TIFF file, as its pixels are stored (an EXIF rotation is not applied).

    Args:
        path: the file. Gray becomes three equal channels, palettes become colors, alpha is dropped.
        labels: whether its colors stand for classes, so that an error does not say to scale them.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        DataError: if the file is missing, damaged or of another kind, or has more than 8 bits a channel.
    """
    file = Path(path)
    pixels = _decode(file, _read_bytes(file), labels=labels)
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    if pixels.shape[2] not in (3, 4):
        raise DataError(
            f"`{path}` has {pixels.shape[2]} channels", hint="keep the three that the network should see, as RGB"
        )
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGB)


def read_indices(path: Path) -> Pixels:
    """Return the stored numbers of a one-channel image: gray values, or the indices of a palette PNG.

    Returns:
        uint8 (H, W).

    Raises:
        DataError: as `read_image`, or the image has colors.
    """
    data = _read_bytes(path)
    depth = 8
    if data.startswith(PNG):
        data, depth = png_as_gray(data)
    pixels = _decode(path, data, labels=True)
    if pixels.ndim != 2:
        raise DataError(
            f"`{path}` is a color image, expected one channel of class numbers",
            hint="give the classes as colors `RRGGBB`, or save the mask as gray PNG",
        )
    return pixels // np.uint8(255 // (2**depth - 1))  # decoders stretch 1, 2 and 4 bits to 0 … 255


def write_image(path: Path, rgb: Pixels) -> None:
    """Write a picture in the format that the ending of `path` names; the file appears whole or not at all.

    Args:
        path: ends in .png, .jpg, .jpeg, .tif or .tiff.
        rgb: uint8 (H, W, 3) RGB, or (H, W) gray.

    Raises:
        ConfigError: for another ending.
        ValueError: for pixels of another type or shape.
        RssegError: if the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"cannot write `{path}`: unknown ending", hint=f"use one of {', '.join(SUFFIXES)}")
    if rgb.dtype != np.uint8 or not (rgb.ndim == 2 or (rgb.ndim == 3 and rgb.shape[2] == 3)):
        raise ValueError(f"expected uint8 (H, W, 3) or (H, W), got {rgb.dtype} {rgb.shape}")
    stored = rgb if rgb.ndim == 2 else cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(path.suffix.lower(), stored)
    with atomic_path(path) as temporary:
        encoded.tofile(temporary)


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    wrong = damage(data)
    if wrong:
        raise DataError(f"cannot read `{path}`: {wrong}", hint="fetch or export the file again")
    return data


def _decode(path: Path, data: bytes, *, labels: bool) -> Pixels:
    try:
        with opencv_log():
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DataError(f"cannot read `{path}`: {' '.join(str(error).split())}") from error
    if pixels is None:
        raise DataError(f"cannot read `{path}`: its pixels do not decode", hint="fetch or export the file again")
    if pixels.dtype != np.uint8:
        raise DataError(
            f"`{path}` has {pixels.dtype} pixels, expected 8 bits a channel",
            hint=_UNSCALED if labels else _SCALED,
        )
    return pixels
