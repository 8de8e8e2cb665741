"""Reading whole image files, and writing 8-bit PNG, JPEG and TIFF files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from rsseg_tf.datasets.files.opening import OPENCV_SUFFIXES
from rsseg_tf.datasets.images.channels import AS_THEY_ARE, Channels
from rsseg_tf.datasets.images.windows import read_numbers, read_picture
from rsseg_tf.datasets.palette import Pixels
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.runs import atomic_path

_JPEG = (".jpg", ".jpeg")
_FULL_COLORS = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
"""Colors at the resolution of the picture: those of classes end at borders."""

_LONGEST_JPEG = 65500


def ending_to_look_at(height: int, width: int) -> str:
    """Return how a picture to look at ends: `.jpg`, which takes little time and space, `.png` where it is too long."""
    return ".jpg" if max(height, width) <= _LONGEST_JPEG else ".png"


def read_image(path: Path | str, *, channels: Channels = AS_THEY_ARE) -> Pixels:
    """Return the picture in an image file, as its pixels are stored (an EXIF rotation is not applied).

    Every command reads images so. Gray becomes three equal channels, a palette its colors; alpha is dropped.

    Args:
        path: a PNG, JPEG or TIFF file, or with rasterio whatever GDAL opens.
        channels: which bands, and which values become 0 and 255, where the file is not 8-bit RGB.

    Returns:
        uint8 (H, W, 3) RGB, or as many bands as `channels` names.

    Raises:
        DataError: if the file is missing, damaged or of another kind, or does not say which bands are its colors, or
            has more than 8 bits a channel.
        ConfigError: if `channels` asks for bands that it does not have.
        MissingExtraError: if rasterio, which alone reads such a file, is not installed.
    """
    return read_picture(Path(path), channels=channels)[0]


def read_indices(path: Path) -> Pixels:
    """Return the stored numbers of a one-channel image: gray values, or the indices of a palette.

    Returns:
        uint8 (H, W).

    Raises:
        DataError: as `read_image`, or the image has colors, or numbers that are not whole ones from 0 to 255.
    """
    values = read_numbers(path).values
    numbers: Pixels = values.astype(np.uint8)
    if not np.array_equal(numbers, values):
        raise DataError(f"`{path}` holds numbers that are not whole ones from 0 to 255")
    return numbers


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
    if path.suffix.lower() not in OPENCV_SUFFIXES:
        raise ConfigError(f"cannot write `{path}`: unknown ending", hint=f"use one of {', '.join(OPENCV_SUFFIXES)}")
    if rgb.dtype != np.uint8 or not (rgb.ndim == 2 or (rgb.ndim == 3 and rgb.shape[2] == 3)):
        raise ValueError(f"expected uint8 (H, W, 3) or (H, W), got {rgb.dtype} {rgb.shape}")
    stored = rgb if rgb.ndim == 2 else cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(path.suffix.lower(), stored, _FULL_COLORS if path.suffix.lower() in _JPEG else ())
    with atomic_path(path) as temporary:
        encoded.tofile(temporary)
