"""The size of an image file and whether it is a GeoTIFF, from its first bytes, without a library that decodes it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rsseg_tf.datasets.images.integrity import PNG, TIFFS

_WIDTH, _HEIGHT = 256, 257
_GEO_TAGS = {33550, 33922, 34264, 34735}  # pixel scale, tie points, transformation, keys (OGC GeoTIFF 1.1, annex B)
_SHORT = 3


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
    """The header of a PNG or TIFF file; an empty one for a damaged file or another kind.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(32)
        try:
            if start.startswith(PNG):
                width, height = struct.unpack(">II", start[16:24])
                return ImageHeader(height, width)
            if start.startswith(TIFFS):
                tags = _first_directory(stream, start)
                return ImageHeader(tags.get(_HEIGHT, 0), tags.get(_WIDTH, 0), bool(_GEO_TAGS & tags.keys()))
        except struct.error:
            pass
    return ImageHeader()


def _first_directory(stream: BinaryIO, start: bytes) -> Mapping[int, int]:
    """Tag → its value as if it were one number."""
    order = "<" if start[:2] == b"II" else ">"
    is_big = 43 in (start[2], start[3])
    count_format, entry_format, where = ("Q", "HHQ8s", start[8:16]) if is_big else ("H", "HHI4s", start[4:8])
    stream.seek(struct.unpack(order + ("Q" if is_big else "I"), where)[0])
    (count,) = struct.unpack(order + count_format, stream.read(struct.calcsize(order + count_format)))
    size = struct.calcsize(order + entry_format)
    entries = stream.read(size * min(count, 1 << 16))
    tags = {}
    for tag, kind, _, value in struct.iter_unpack(order + entry_format, entries[: len(entries) // size * size]):
        tags[tag] = struct.unpack(order + ("H" if kind == _SHORT else "I"), value[: 2 if kind == _SHORT else 4])[0]
    return tags
