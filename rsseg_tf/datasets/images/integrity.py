"""Damage in image files, found from their structure.

OpenCV hands back a half-decoded picture for some damaged files and only warns on stderr; a training
that reads such a picture goes wrong silently.
"""

from __future__ import annotations

import io
import itertools
import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from rsseg_tf.datasets.images.header import JPEG, PNG, TIFFS, first_directory

_OFFSET_TAGS = {273: 279, 324: 325}  # where strips (tiles) start → how many bytes they have
_PNG_HEADER = (b"IHDR", 13)  # name and size of the first chunk


def damage(data: bytes) -> str:
    """Return what is wrong with the file that holds `data`, in a few words; empty where nothing is.

    PNG: chunk check sums and the end chunk. JPEG: the end marker. TIFF: everything that the
    directory points at lies inside the file.
    """
    if not data:
        return "it is empty"
    if data.startswith(PNG):
        return _png_damage(data)
    if data.startswith(JPEG):
        start_of_scan = data.find(b"\xff\xda")
        return "" if start_of_scan > 0 and data.rfind(b"\xff\xd9") > start_of_scan else "it is truncated"
    if data.startswith(TIFFS):
        return tiff_damage(io.BytesIO(data))
    return f"it is not a PNG, JPEG or TIFF file (it starts with {data[:4]!r})"


def png_as_gray(data: bytes) -> bytes:
    """Return a PNG with a palette as the same PNG without one, so that its indices decode as gray values.

    One that has no palette is returned as it came.
    """
    chunks = list(_png_chunks(data))
    header = bytearray(chunks[0][1])
    if header[9] != 3:
        return data
    header[9] = 0
    kept = [(name, body) for name, body in chunks[1:] if name not in (b"PLTE", b"tRNS", b"bKGD", b"hIST", b"sPLT")]
    return PNG + b"".join(_png_chunk(name, body) for name, body in [(b"IHDR", bytes(header)), *kept])


def png_nodata(data: bytes) -> float | None:
    """Return the gray value of a PNG that is transparent, which GDAL makes of a number for nothing; None for none."""
    chunks = dict(_png_chunks(data))
    is_gray = chunks[b"IHDR"][9] == 0
    return float(int.from_bytes(chunks[b"tRNS"])) if is_gray and b"tRNS" in chunks else None


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png_damage(data: bytes) -> str:
    try:
        sizes = [(name, len(body)) for name, body in _png_chunks(data)]
    except ValueError as error:
        return str(error)
    return "" if sizes[0] == _PNG_HEADER and b"IDAT" in dict(sizes) else "its header is damaged"


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and body of each chunk up to the end chunk; ValueError where one is cut off or damaged."""
    view = memoryview(data)
    place = len(PNG)
    name = b""
    while name != b"IEND":
        if place + 12 > len(data):
            raise ValueError("it is truncated")
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            raise ValueError("it is truncated")
        if zlib.crc32(view[place + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError(f"the check sum of its {name.decode('latin-1')} chunk is wrong")
        yield name, bytes(view[place + 8 : end])
        place = end + 4


def tiff_damage(stream: BinaryIO) -> str:
    """Return what `damage` does of an open TIFF, without reading its pixels."""
    try:
        tags, end = first_directory(stream, [*_OFFSET_TAGS, *_OFFSET_TAGS.values()])
    except struct.error:
        return "it is truncated"
    pairs = (zip(tags.get(start, ()), tags.get(size, ()), strict=False) for start, size in _OFFSET_TAGS.items())
    needed = max(end, *(start + size for start, size in itertools.chain(*pairs)), 0)
    return "" if needed <= stream.seek(0, os.SEEK_END) else "it is truncated"
