"""The size of an image file and whether it is a GeoTIFF, from its first bytes, without a library that decodes it."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How files of these kinds begin."""

_LAYOUTS = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 12: "d", 13: "I", 16: "Q"}
_RATIONAL = 5
_NO_LAYOUT = "!"  # an error of struct
_TEXTS = {*range(32), 42113}  # of GPS, and the number for nothing; other tags that are read hold numbers
_MOST_TAGS = 4096
_MOST_DIRECTORIES = 64
_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF markers, ITU-T T.81, table B.1
_NOTES, _SCAN = 0xE1, 0xDA  # APP1, where EXIF and XMP are, and the start of the pixels (table B.1)
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
    with exif_of(path) as tags:
        try:
            found = first_directory(tags, (_ORIENTATION,))[0].get(_ORIENTATION) if tags else None
        except struct.error:
            found = None
    return found[0] if found and found[0] in range(1, 9) else 1


@contextmanager
def exif_of(path: Path) -> Iterator[BinaryIO | None]:
    """Yield the EXIF data of an image, or the tags of a TIFF, for `directories`; None where there are none.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(_EXIF_WITHIN)
        place = start.find(b"Exif\0\0") + 6 if start.startswith(JPEG) else start.find(b"eXIf") + 4
        if start.startswith(TIFFS):
            yield stream
        else:
            yield io.BytesIO(start[place:]) if place >= 6 else None


def jpeg_size(path: Path) -> tuple[int, int]:
    """Return height and width of a JPEG, by its frame header; zeros for another file, or one without.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        for kind, _ in _segments(stream):
            if kind in _FRAMES:
                height, width = struct.unpack_from(">HH", stream.read(5).ljust(5, b"\0"), 1)
                return height, width
    return 0, 0


def jpeg_notes(path: Path) -> bytes:
    """Return what a JPEG holds of EXIF and XMP data, as it is; nothing for another file.

    Raises:
        OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        return b"".join(stream.read(length) for kind, length in _segments(stream) if kind == _NOTES)


def _segments(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield the marker and the bytes of each segment of a JPEG before its pixels; the stream is where they begin."""
    if stream.read(2) != JPEG[:2]:
        return
    while len(head := stream.read(4)) == 4 and head[0] == 0xFF and head[1] != _SCAN:
        if head[1] == 0xFF:  # any number of them may stand before a marker (B.1.1.2)
            stream.seek(-3, os.SEEK_CUR)
            continue
        start = stream.tell()
        _, kind, length = struct.unpack(">BBH", head)
        yield kind, max(0, length - 2)
        stream.seek(start + length - 2)


def size_of(path: Path) -> tuple[int, int]:
    """Return height and width of an image by its header; zeros where that does not say.

    Raises:
        OSError: if the file cannot be read.
    """
    header = read_header(path)
    return (header.height, header.width) if header.pixels else jpeg_size(path)


def first_directory(stream: BinaryIO, wanted: Collection[int]) -> tuple[dict[int, tuple[Any, ...]], int]:
    """Return what `directories` yields first.

    Raises:
        struct.error: if it is cut off, or the numbers of a wanted tag lie outside the file.
    """
    return next(directories(stream, wanted))


def directory_at(stream: BinaryIO, place: int, wanted: Collection[int]) -> dict[int, tuple[Any, ...]]:
    """Return the tags of the directory at a place that a tag points at, such as GPS; see `directories`.

    Raises:
        struct.error: as `directories`.
    """
    return _Tiff(stream).directory(place, wanted)[0]


def directories(stream: BinaryIO, wanted: Collection[int]) -> Iterator[tuple[dict[int, tuple[Any, ...]], int]]:
    """Yield the numbers of the `wanted` tags of each image in a TIFF, by tag, and where its directory ends.

    A text is one value, in bytes; a fraction without a denominator is 0. Tags that are not wanted are there, without
    values.

    Raises:
        struct.error: if one is cut off, or the numbers of a wanted tag lie outside the file, or are text.
    """
    tiff = _Tiff(stream)
    (first,) = tiff.read(tiff.pointer, 8 if tiff.is_big else 4)
    for _ in range(_MOST_DIRECTORIES):
        tags, end = tiff.directory(first, wanted)
        yield tags, end
        (first,) = tiff.read(tiff.pointer, end) if end + struct.calcsize(tiff.pointer) <= tiff.length else (0,)
        if not first:
            return


class _Tiff:
    """A TIFF, or EXIF data, which is laid out like one."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.length = stream.seek(0, os.SEEK_END)
        (start,) = self.read("4s", 0)
        self._order, self.is_big = "<" if start.startswith(b"II") else ">", 43 in start
        kinds = ("Q", "Q", "HHQ8s") if self.is_big else ("I", "H", "HHI4s")
        self.pointer, self._number, self._entry = (self._order + kind for kind in kinds)

    def read(self, layout: str, place: int) -> tuple[Any, ...]:
        if place + struct.calcsize(layout) > self.length:
            raise struct.error("it points outside the file")
        self._stream.seek(place)
        return struct.unpack(layout, self._stream.read(struct.calcsize(layout)))

    def directory(self, first: int, wanted: Collection[int]) -> tuple[dict[int, tuple[Any, ...]], int]:
        (count,) = self.read(self._number, first)
        first, step = first + struct.calcsize(self._number), struct.calcsize(self._entry)
        tags: dict[int, tuple[Any, ...]] = {}
        for place in range(first, first + min(count, _MOST_TAGS) * step, step):
            tag, kind, values, inline = self.read(self._entry, place)
            tags[tag] = self._values(kind, values, inline) if tag in wanted else ()
            if tag not in _TEXTS and any(isinstance(value, bytes) for value in tags[tag]):
                raise struct.error(f"text in place of the numbers of tag {tag}")
        return tags, first + count * step

    def _values(self, kind: int, count: int, inline: bytes) -> tuple[Any, ...]:
        each = _LAYOUTS.get(kind, _NO_LAYOUT)
        layout = f"{self._order}{count * len(each)}{each[0]}"
        fits = struct.calcsize(layout) <= len(inline)
        found = struct.unpack_from(layout, inline) if fits else self.read(layout, *struct.unpack(self.pointer, inline))
        if kind != _RATIONAL:
            return found
        return tuple(over / under if under else 0.0 for over, under in zip(found[::2], found[1::2], strict=True))
