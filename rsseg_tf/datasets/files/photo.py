"""How large the pixels of a drone's photo are on the ground, by what the camera wrote into it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rsseg_tf.datasets.files.raster import library, open_dataset_of
from rsseg_tf.datasets.images.header import jpeg_notes
from rsseg_tf.errors import unreadable

_JPEGS = (".jpg", ".jpeg")
_FILM_DIAGONAL_MM = math.hypot(36, 24)  # focal lengths "in 35 mm film" are those of the same diagonal (CIPA DCG-001)
_UNITS_MM = {"2": 25.4, "3": 10.0, "4": 1.0}  # of FocalPlaneResolutionUnit (EXIF 2.3): inch by default
_DOWN_DEG, _TILT_DEG = -90.0, 5.0  # by which an area is 1 % larger
_CROPPED = 0.01
_ALTITUDE = "RelativeAltitude"


@dataclass(frozen=True)
class PhotoScale:
    """The side of a photo's pixels on the ground.

    Attributes:
        pixel_m: meters, 0 where it cannot be told.
        note: where it comes from, or why it is not told.
    """

    pixel_m: float
    note: str


def photo_scale(path: Path) -> PhotoScale | None:
    """Return how large the pixels of a photo are on level ground at the height of take-off.

    The altitude above take-off and the tilt are those that DJI's drones write into the XMP data of a JPEG, the focal
    length is that of the EXIF data, in pixels by the resolution of the focal plane, else by the diagonal.

    Returns:
        None for a file without an altitude above take-off, and where rasterio is not installed.

    Raises:
        DataError: if it cannot be read.
    """
    if path.suffix.lower() not in _JPEGS or library() is None or not _may_tell(path):
        return None
    with open_dataset_of(path) as dataset:
        exif, said = dataset.tags(), " ".join(dataset.tags(ns="xml:XMP").values())
        size = dataset.width, dataset.height
    altitude_m, pitch = _from_dji(said, _ALTITUDE), _from_dji(said, "GimbalPitchDegree")
    if altitude_m is None:
        return None
    focal_px = _focal_px(exif, *size)
    doubt = _doubt(exif, size, altitude_m=altitude_m, pitch=pitch, focal_px=focal_px)
    if doubt:
        return PhotoScale(0.0, f"its altitude is not used: {doubt}")
    pixel_m = altitude_m / focal_px
    return PhotoScale(
        pixel_m, f"pixels of {100 * pixel_m:.2f} cm, from its altitude of {altitude_m:g} m above take-off"
    )


def _may_tell(path: Path) -> bool:
    """Return whether a photo names an altitude at all: GDAL takes a millisecond to tell, of every photo of a survey."""
    try:
        return _ALTITUDE.encode() in jpeg_notes(path)
    except OSError as error:
        raise unreadable(path, error) from error


def _doubt(
    exif: Mapping[str, str], size: tuple[int, int], *, altitude_m: float, pitch: float | None, focal_px: float
) -> str:
    taken = _number(exif, "PixelXDimension") * size[1], _number(exif, "PixelYDimension") * size[0]
    if altitude_m <= 0:
        return f"it was taken {altitude_m:g} m above take-off"
    if pitch is None:
        return "it does not say how the camera was tilted"
    if abs(pitch - _DOWN_DEG) > _TILT_DEG:
        return f"the camera looked {abs(pitch - _DOWN_DEG):.0f}° away from straight down"
    if all(taken) and abs(taken[0] / taken[1] - 1) > _CROPPED:
        return "the photo is a part of the one that was taken"
    return "" if focal_px else "it does not say its focal length"


def _focal_px(exif: Mapping[str, str], width: int, height: int) -> float:
    """Return the focal length in pixels of the photo as it is, 0 where unknown."""
    unit_mm = _UNITS_MM.get(exif.get("EXIF_FocalPlaneResolutionUnit", "2"), 0.0)
    a_mm = _number(exif, "FocalPlaneXResolution") / unit_mm if unit_mm else 0.0
    resized = width / (_number(exif, "PixelXDimension") or width)
    by_plane = _number(exif, "FocalLength") * a_mm * resized
    return by_plane or _number(exif, "FocalLengthIn35mmFilm") * math.hypot(width, height) / _FILM_DIAGONAL_MM


def _number(exif: Mapping[str, str], name: str) -> float:
    try:
        return float(exif.get(f"EXIF_{name}", "0").strip("() "))
    except ValueError:
        return 0.0


def _from_dji(said: str, name: str) -> float | None:
    """Return a number of DJI's XMP data, which is an attribute or an element."""
    found = re.search(rf"drone-dji:{name}(?:\s*=\s*[\"']|>)\s*([-+]?\d+\.?\d*)", said)
    return float(found[1]) if found else None
