"""The size of an image file and whether it is a GeoTIFF, from its first bytes, without a library that decodes it."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How files of these kinds begin."""

_LAYOUTS = {1: "B", 2: "s", 3: "H", 4: "I", 13: "I", 16: "Q"}
_NO_LAYOUT = "!"  # an error of struct
_MOST_TAGS = 4096
_MOST_DIRECTORIES = 64
_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274
_EXIF_WITHIN = 1 << 17  # a segment of a JPEG has up to 64 KiB, and others may come first
_GEO_TAGS = {33550, 33922, 34264, 34735}  # pixel scale, tie points, transformation, keys (OGC GeoTIFF 1.1, annex B)


@dataclass(frozen=True)
class ImageHeader:
    """Height and width in pixels (0 where unknown), and whether there is a georeference."""

    height: int = 0
    width: int = 0
    is_geotiff: bool = False

    @property
    def pixels(self) -> int:
        """Height times width."""
        return self.height * self.width


def read_header(path: Path) -> ImageHeader:
    """Return the header of a PNG or TIFF file; an empty one for a damaged file or another kind.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(32)
        try:
            if start.startswith(PNG):
                width, height = struct.unpack(">II", start[16:24])
                return ImageHeader(height, width)
            if start.startswith(TIFFS):
                tags, _ = first_directory(stream, (_HEIGHT, _WIDTH))
                height, width = (next(iter(tags.get(tag, ())), 0) for tag in (_HEIGHT, _WIDTH))
                return ImageHeader(height, width, bool(_GEO_TAGS & tags.keys()))
        except struct.error:
            pass
    return ImageHeader()


def orientation(path: Path) -> int:
    """Return how a viewer turns an image: the number in its EXIF data or TIFF tags, 1 for not at all.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(_EXIF_WITHIN)
        tags: BinaryIO | None = stream if start.startswith(TIFFS) else None
        place = start.find(b"Exif\0\0") + 6 if start.startswith(JPEG) else start.find(b"eXIf") + 4
        if tags is None and place >= 6:
            tags = io.BytesIO(start[place:])
        try:
            found = first_directory(tags, (_ORIENTATION,))[0].get(_ORIENTATION) if tags else None
        except struct.error:
            found = None
    return found[0] if found and found[0] in range(1, 9) else 1


def first_directory(stream: BinaryIO, wanted: Collection[int]) -> tuple[dict[int, tuple[Any, ...]], int]:
    """Return what `directories` yields first.

    Raises:
        struct.error: if it is cut off, or the numbers of a wanted tag lie outside the file.
    """
    return next(directories(stream, wanted))


def directories(stream: BinaryIO, wanted: Collection[int]) -> Iterator[tuple[dict[int, tuple[Any, ...]], int]]:
    """Yield the whole numbers of the `wanted` tags of each image in a TIFF, by tag, and where its directory ends.

    A text is one value, in bytes. Tags that are not wanted are there, without values.

    Raises:
        struct.error: if one is cut off, or the numbers of a wanted tag lie outside the file.
    """
    length = stream.seek(0, os.SEEK_END)

    def read(layout: str, place: int) -> tuple[Any, ...]:
        if place + struct.calcsize(layout) > length:
            raise struct.error("it points outside the file")
        stream.seek(place)
        return struct.unpack(layout, stream.read(struct.calcsize(layout)))

    (start,) = read("4s", 0)
    order, is_big = "<" if start.startswith(b"II") else ">", 43 in start
    pointer, number, entry = (order + kind for kind in (("Q", "Q", "HHQ8s") if is_big else ("I", "H", "HHI4s")))
    (first,) = read(pointer, 8 if is_big else 4)
    for _ in range(_MOST_DIRECTORIES):
        (count,) = read(number, first)
        first, step = first + struct.calcsize(number), struct.calcsize(entry)
        tags: dict[int, tuple[Any, ...]] = {}
        for place in range(first, first + min(count, _MOST_TAGS) * step, step):
            tag, kind, values, inline = read(entry, place)
            tags[tag] = ()
            if tag in wanted:
                layout = f"{order}{values}{_LAYOUTS.get(kind, _NO_LAYOUT)}"
                fits = struct.calcsize(layout) <= len(inline)
                tags[tag] = (
                    struct.unpack_from(layout, inline) if fits else read(layout, *struct.unpack(pointer, inline))
                )
        end = first + count * step
        yield tags, end
        (first,) = read(pointer, end) if end + struct.calcsize(pointer) <= length else (0,)
        if not first:
            return
