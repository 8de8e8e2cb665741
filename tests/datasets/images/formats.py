"""Files as people have them, with what is to be seen in each: pixels, gaps, or why it is refused."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy

from rsseg_tf.datasets.images.channels import AS_THEY_ARE, Channels

_RNG = np.random.default_rng(0)
SHAPE = (40, 56)
RGB = _RNG.integers(1, 256, (*SHAPE, 3), np.uint8)
SMOOTH = cv2.GaussianBlur(RGB, (9, 9), 3)
BAND = _RNG.integers(1, 250, (*SHAPE, 1), np.uint8)
OPAQUE = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) % 97 > 20
ALPHA = np.where(OPAQUE, 255, 0).astype(np.uint8)[..., None]
LABELS = _RNG.integers(0, 6, SHAPE, np.uint8)
PALETTE = {number: (40 * number, 255 - 40 * number, 7) for number in range(6)}


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: what the table calls it.
        suffix: of the file.
        write: makes it.
        pixels: what is to be seen, uint8 (H, W, bands); None where it is refused.
        valid: where it holds data; None for everywhere.
        words: of the refusal.
        tolerance: how far a lossy file may be from `pixels`.
        channels: what the settings say.
    """

    name: str
    suffix: str
    write: Callable[[Path], object]
    pixels: np.ndarray | None = None
    valid: np.ndarray | None = None
    words: str = ""
    tolerance: int = 0
    channels: Channels = AS_THEY_ARE


@dataclass(frozen=True)
class MaskFormat:
    """A kind of mask; `numbers` is what is stored, `valid` where it is not said to be nothing."""

    name: str
    suffix: str
    write: Callable[[Path], object]
    numbers: np.ndarray
    valid: np.ndarray | None = None


def tiff(pixels: np.ndarray, **profile: Any) -> Callable[[Path], object]:
    """Write a TIFF of (H, W, bands) as GDAL does."""
    changes = {key: profile.pop(key) for key in ("interp", "colormap", "mask", "inside") if key in profile}

    def write(path: Path) -> None:
        planes = np.moveaxis(pixels, -1, 0)
        shape = {"count": len(planes), "height": planes.shape[1], "width": planes.shape[2], "dtype": planes.dtype}
        options = {"GDAL_TIFF_INTERNAL_MASK": bool(changes.get("inside"))}
        with warnings.catch_warnings(), rasterio.Env(**options):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", driver="GTiff", **{**shape, **profile}) as dataset:
                dataset.write(planes)
                if "interp" in changes:
                    dataset.colorinterp = changes["interp"]
                if "colormap" in changes:
                    dataset.write_colormap(1, changes["colormap"])
                if "mask" in changes:
                    dataset.write_mask(changes["mask"])

    return write


def other(driver: str, pixels: np.ndarray, **options: Any) -> Callable[[Path], object]:
    """Write what a driver can only copy."""

    def write(path: Path) -> None:
        beside = path.with_name("source_of_it.tif")
        tiff(pixels, photometric="RGB")(beside)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            copy(beside, path, driver=driver, **options)
        if driver != "VRT":
            beside.unlink()

    return write


def picture(pixels: np.ndarray, mode: str | None = None, **options: Any) -> Callable[[Path], object]:
    """Write what Pillow makes of some pixels."""
    image = Image.fromarray(pixels if pixels.shape[-1] != 1 else pixels[..., 0])
    return (image.convert(mode) if mode else image).save if not options else lambda path: image.save(path, **options)


def small_png(numbers: np.ndarray, bits: int) -> Callable[[Path], object]:
    """Write a gray PNG of 1, 2 or 4 bits."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    def write(path: Path) -> None:
        rows = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes() for row in numbers]
        head = struct.pack(">IIBBBBB", numbers.shape[1], numbers.shape[0], bits, 0, 0, 0, 0)
        body = zlib.compress(b"".join(b"\0" + row for row in rows))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))

    return write


def indexed(numbers: np.ndarray) -> Callable[[Path], object]:
    """Write a palette PNG."""
    image = Image.fromarray(numbers, "P") if numbers.dtype != np.uint8 else Image.new("P", numbers.shape[::-1])
    image.putdata(numbers.ravel().tolist())
    image.putpalette([value for color in PALETTE.values() for value in color])
    return image.save


def turned(path: Path) -> None:
    """Write a JPEG that its EXIF data turns by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(SMOOTH).save(path, quality=100, subsampling=0, exif=exif)


def gray(band: np.ndarray) -> np.ndarray:
    return np.repeat(band.reshape(*SHAPE, 1), 3, axis=-1)


def leveled(values: np.ndarray, scale: tuple[float, ...]) -> np.ndarray:
    """What two numbers a band make of some values."""
    low, high = np.array(scale).reshape(-1, 2).T
    return np.clip(np.rint((values - low) / (high - low) * 255), 0, 255).astype(np.uint8)


COLORED = np.array(list(PALETTE.values()), np.uint8)[LABELS]
NIR = np.dstack([RGB, BAND])
RGBA = np.dstack([RGB, ALPHA])
_UNNAMED = "does not say which are red, green and blue"
_FOUR = Channels((1, 2, 3, 4))
_RANGES = (0, 3000, 0, 3000, 100, 3000, 0, 6000)
_WIDE = _RNG.integers(0, 6500, (*SHAPE, 4)).astype(np.uint16)
_TILES = {"tiled": True, "blockxsize": 16, "blockysize": 16}

FORMATS = [
    Format("PNG", ".png", picture(RGB), RGB),
    Format("PNG, gray", ".png", picture(BAND), gray(BAND)),
    Format("PNG, gray of 1, 2 or 4 bits", ".png", small_png(LABELS % 4, 2), gray(LABELS % 4 * 85)),
    Format(
        "PNG, gray, a value transparent (GDAL's nodata)",
        ".png",
        picture(BAND * (ALPHA > 0), transparency=0),
        gray(BAND),
        OPAQUE,
    ),
    Format("PNG with a palette", ".png", indexed(LABELS), COLORED),
    Format("PNG with alpha", ".png", picture(RGBA), RGB, OPAQUE),
    Format("PNG, 16 bits", ".png", picture(LABELS.astype(np.uint16) * 900), words="expected 8 bits a channel"),
    Format("JPEG", ".jpg", picture(SMOOTH, quality=100, subsampling=0), SMOOTH, tolerance=3),
    Format("JPEG, gray", ".jpg", picture(SMOOTH[..., :1], quality=100), gray(SMOOTH[..., 0]), tolerance=3),
    Format("JPEG that EXIF turns (read as stored)", ".jpg", turned, SMOOTH, tolerance=3),
    Format("TIFF", ".tif", tiff(RGB, photometric="RGB"), RGB),
    Format("TIFF by bands", ".tif", tiff(RGB, photometric="RGB", interleave="band"), RGB),
    Format("TIFF, tiled, LZW", ".tif", tiff(RGB, photometric="RGB", compress="lzw", predictor=2, **_TILES), RGB),
    Format("TIFF, tiled, deflate", ".tif", tiff(RGB, photometric="RGB", compress="deflate", **_TILES), RGB),
    Format("TIFF, PackBits", ".tif", tiff(RGB, photometric="RGB", compress="packbits"), RGB),
    Format("TIFF, ZSTD", ".tif", tiff(RGB, photometric="RGB", compress="zstd"), RGB),
    Format("TIFF, LZMA", ".tif", tiff(RGB, photometric="RGB", compress="lzma"), RGB),
    Format("TIFF, LERC", ".tif", tiff(RGB, photometric="RGB", compress="lerc"), RGB),
    Format("TIFF, WebP", ".tif", tiff(RGB, photometric="RGB", compress="webp", WEBP_LOSSLESS=True), RGB),
    Format(
        "TIFF, JPEG",
        ".tif",
        tiff(SMOOTH, photometric="RGB", compress="jpeg", JPEG_QUALITY=100),
        SMOOTH,
        tolerance=3,
    ),
    Format(
        "TIFF, JPEG (YCbCr)",
        ".tif",
        tiff(SMOOTH, photometric="YCBCR", compress="jpeg", JPEG_QUALITY=100, **_TILES),
        SMOOTH,
        tolerance=30,
    ),
    Format("BigTIFF", ".tif", tiff(RGB, photometric="RGB", BIGTIFF="YES"), RGB),
    Format("TIFF, big-endian", ".tif", tiff(RGB, photometric="RGB", ENDIANNESS="BIG"), RGB),
    Format("cloud-optimized TIFF", ".tif", other("COG", RGB), RGB),
    Format("TIFF, gray", ".tif", tiff(BAND), gray(BAND)),
    Format("TIFF, gray, MINISWHITE (read as stored)", ".tif", tiff(BAND, photometric="MINISWHITE"), gray(BAND)),
    Format("TIFF, gray of 1 bit", ".tif", tiff(LABELS[..., None] % 2, NBITS=1), gray(LABELS % 2 * 255)),
    Format("TIFF, gray of 2 or 4 bits", ".tif", tiff(LABELS[..., None], NBITS=4), gray(LABELS * 17)),
    Format("TIFF with a palette", ".tif", tiff(LABELS[..., None], colormap=PALETTE), COLORED),
    Format("TIFF, gray and alpha", ".tif", tiff(np.dstack([BAND, ALPHA]), alpha="yes"), gray(BAND), OPAQUE),
    Format("TIFF, RGB and alpha", ".tif", tiff(RGBA, photometric="RGB", alpha="yes"), RGB, OPAQUE),
    Format("TIFF, RGB, nodata", ".tif", tiff(RGB * (ALPHA > 0), photometric="RGB", nodata=0), RGB, OPAQUE),
    Format("TIFF, RGB, mask in it", ".tif", tiff(RGB, photometric="RGB", mask=OPAQUE, inside=True), RGB, OPAQUE),
    Format("TIFF, RGB, mask beside it (`.msk`)", ".tif", tiff(RGB, photometric="RGB", mask=OPAQUE), RGB, OPAQUE),
    Format("TIFF, 3 bands, MINISBLACK (as RGB)", ".tif", tiff(RGB, photometric="MINISBLACK"), RGB),
    Format("TIFF, RGB and near infrared, marked as alpha (as GDAL does)", ".tif", tiff(NIR), RGB),
    Format("TIFF, RGB and a fourth band", ".tif", tiff(NIR, photometric="RGB", alpha="unspecified"), RGB),
    Format(
        "TIFF, 4 bands that say which are the colors",
        ".tif",
        tiff(
            NIR[..., [2, 1, 0, 3]],
            interp=[ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined],
        ),
        RGB,
    ),
    Format("TIFF, 2 bands", ".tif", tiff(RGB[..., :2]), words=_UNNAMED),
    Format("TIFF, 4 bands, MINISBLACK", ".tif", tiff(NIR, photometric="MINISBLACK"), words=_UNNAMED),
    Format("TIFF, 5 bands", ".tif", tiff(np.dstack([NIR, BAND])), words=_UNNAMED),
    Format("TIFF, 16 bits", ".tif", tiff(RGB.astype(np.uint16) * 16), words="expected 8 bits a channel"),
    Format("TIFF, floating point", ".tif", tiff(RGB / np.float32(255)), words="expected 8 bits a channel"),
    Format(
        "TIFF, RGB and near infrared, marked as alpha, `data.bands=[1,2,3,4]`", ".tif", tiff(NIR), NIR, channels=_FOUR
    ),
    Format(
        "TIFF, 4 bands, MINISBLACK, `data.bands=[3,2,1,4]`",
        ".tif",
        tiff(NIR[..., [2, 1, 0, 3]], photometric="MINISBLACK", compress="deflate", interleave="band", **_TILES),
        NIR,
        channels=Channels((3, 2, 1, 4)),
    ),
    Format(
        "TIFF, RGB, near infrared and alpha, `data.bands=[1,2,3,4]`",
        ".tif",
        tiff(
            np.dstack([NIR, ALPHA]),
            interp=[ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined, ColorInterp.alpha],
        ),
        NIR,
        OPAQUE,
        channels=_FOUR,
    ),
    Format("TIFF, 2 bands, `data.bands=[2,1]`", ".tif", tiff(RGB[..., :2]), RGB[..., 1::-1], channels=Channels((2, 1))),
    Format("TIFF, gray, `data.bands=[1]`", ".tif", tiff(BAND), BAND, channels=Channels((1,))),
    Format(
        "TIFF, 16 bands, nodata, `data.bands=[16,…,1]`",
        ".tif",
        tiff(np.tile(NIR, 4) * (ALPHA > 0), nodata=0, photometric="MINISBLACK"),
        np.tile(NIR, 4)[..., ::-1],
        OPAQUE,
        channels=Channels(tuple(range(16, 0, -1))),
    ),
    Format(
        "TIFF, 4 bands of 16 bits, `data.bands=[1,2,3,4]`, `data.scale` of two numbers a band",
        ".tif",
        tiff(_WIDE),
        leveled(_WIDE, _RANGES),
        channels=Channels((1, 2, 3, 4), _RANGES),
    ),
    Format(
        "TIFF, 4 bands in floating point, likewise",
        ".tif",
        tiff(_WIDE.astype(np.float32)),
        leveled(_WIDE, _RANGES),
        tolerance=1,
        channels=Channels((1, 2, 3, 4), _RANGES),
    ),
    Format(
        "TIFF, RGB and alpha, `data.bands=[1,2,3,4]`",
        ".tif",
        tiff(RGBA, photometric="RGB", alpha="yes"),
        words="is marked as alpha and is 0 or full everywhere",
        channels=_FOUR,
    ),
    Format(
        "PNG with alpha, `data.bands=[1,2,3,4]`",
        ".png",
        picture(RGBA),
        words="is marked as alpha and is 0 or full everywhere",
        channels=_FOUR,
    ),
    Format(
        "TIFF with a palette, `data.bands=[1]`",
        ".tif",
        tiff(LABELS[..., None], colormap=PALETTE),
        words="has a palette",
        channels=Channels((1,)),
    ),
    Format("JPEG 2000", ".jp2", other("JP2OpenJPEG", RGB, QUALITY=100, REVERSIBLE=True), RGB),
    Format("WebP", ".webp", other("WEBP", RGB, LOSSLESS=True), RGB),
    Format("BMP", ".bmp", picture(RGB), RGB),
    Format("VRT (by its name, not found in folders)", ".vrt", other("VRT", RGB), RGB),
]

_SIGNED = np.where(OPAQUE, LABELS.astype(int), -9999)

MASKS = [
    MaskFormat("PNG", ".png", picture(LABELS), LABELS),
    MaskFormat("PNG, 1 bit", ".png", picture(LABELS > 2), LABELS > 2),
    MaskFormat("PNG, 2 bits", ".png", small_png(LABELS % 4, 2), LABELS % 4),
    MaskFormat("PNG, 4 bits", ".png", small_png(LABELS, 4), LABELS),
    MaskFormat(
        "PNG, nodata", ".png", picture(np.where(OPAQUE, LABELS, 9).astype(np.uint8), transparency=9), LABELS, OPAQUE
    ),
    MaskFormat("PNG with a palette", ".png", indexed(LABELS), LABELS),
    MaskFormat("PNG, 16 bits", ".png", picture(LABELS.astype(np.uint16)), LABELS),
    MaskFormat("TIFF", ".tif", tiff(LABELS[..., None]), LABELS),
    MaskFormat("TIFF, 1 bit (NBITS=1)", ".tif", tiff(LABELS[..., None] % 2, NBITS=1), LABELS % 2),
    MaskFormat("TIFF, 2 bits", ".tif", tiff(LABELS[..., None] % 4, NBITS=2), LABELS % 4),
    MaskFormat("TIFF, 4 bits", ".tif", tiff(LABELS[..., None], NBITS=4), LABELS),
    MaskFormat("TIFF, 1 bit, by Pillow", ".tif", picture(LABELS > 2), LABELS > 2),
    MaskFormat("TIFF, MINISWHITE", ".tif", tiff(LABELS[..., None], photometric="MINISWHITE"), LABELS),
    MaskFormat(
        "TIFF with a palette (QGIS, `NAME_classes.tif`)", ".tif", tiff(LABELS[..., None], colormap=PALETTE), LABELS
    ),
    MaskFormat("TIFF, int8", ".tif", tiff(LABELS[..., None].astype(np.int8)), LABELS),
    MaskFormat("TIFF, uint16", ".tif", tiff(LABELS[..., None].astype(np.uint16)), LABELS),
    MaskFormat(
        "TIFF, uint8, nodata",
        ".tif",
        tiff(np.where(OPAQUE, LABELS, 9).astype(np.uint8)[..., None], nodata=9),
        LABELS,
        OPAQUE,
    ),
    MaskFormat(
        "TIFF, int16, nodata −9999", ".tif", tiff(_SIGNED[..., None].astype(np.int16), nodata=-9999), LABELS, OPAQUE
    ),
    MaskFormat(
        "TIFF, int32, nodata −9999", ".tif", tiff(_SIGNED[..., None].astype(np.int32), nodata=-9999), LABELS, OPAQUE
    ),
    MaskFormat(
        "TIFF, float32, nodata −9999", ".tif", tiff(_SIGNED[..., None].astype(np.float32), nodata=-9999), LABELS, OPAQUE
    ),
    MaskFormat(
        "TIFF, float32, nodata NaN",
        ".tif",
        tiff(np.where(OPAQUE, LABELS, np.nan).astype(np.float32)[..., None], nodata=np.nan),
        LABELS,
        OPAQUE,
    ),
    MaskFormat("TIFF, mask in it", ".tif", tiff(LABELS[..., None], mask=OPAQUE, inside=True), LABELS, OPAQUE),
]
