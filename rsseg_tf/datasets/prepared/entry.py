"""One prepared pair in a file: a JSON header with a check sum, then the pixels as they are used.

The pixels lie there raw, so that a window of a large image is read without the rest of it.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsseg_tf.datasets.examine import Examination, Pair
from rsseg_tf.datasets.images.channels import COLORS
from rsseg_tf.datasets.palette import Pixels
from rsseg_tf.runs import atomic_path

_START = struct.Struct("<16sII")
_MAGIC = b"rsseg-prepared-1"

Source = Mapping[str, Any]
"""What an entry was made from: paths, sizes and times of change of the files."""


@dataclass(frozen=True)
class Entry:
    """What a file holds.

    Attributes:
        examination: what reading the files showed.
        shape: height and width of the stored pair; (0, 0) where it holds none.
        bands: of the image.
        start: where the pixels start in the file, in bytes: first the image, then the mask.
        crc32: of the pixels.
    """

    examination: Examination
    shape: tuple[int, int]
    bands: int
    start: int
    crc32: int

    def pair(self, path: Path) -> Pair | None:
        """Return image uint8 (H, W, bands) and mask uint8 (H, W), read-only pages of the file; None if damaged."""
        height, width = self.shape
        middle = self.start + self.bands * height * width
        shape = (height, width, self.bands)
        try:
            image = np.asarray(np.memmap(path, np.uint8, mode="r", offset=self.start, shape=shape))
            mask = np.asarray(np.memmap(path, np.uint8, mode="r", offset=middle, shape=(height, width)))
        except (OSError, ValueError):
            return None
        return (image, mask) if _checksum((image, mask)) == self.crc32 else None


def write_entry(path: Path, source: Source, examination: Examination, pair: Pair | None) -> None:
    """Write a file that `read_entry` reads; it appears whole or not at all.

    Args:
        path: the file.
        source: what the pair was made from.
        examination: what reading it showed.
        pair: image uint8 (H, W, bands) and mask uint8 (H, W), or None where there is none to keep.

    Raises:
        RssegError: if the folder cannot be written, or the disk is full.
    """
    parts = tuple(np.ascontiguousarray(part) for part in pair or ())
    facts = {
        "source": dict(source),
        "examination": asdict(examination),
        "shape": pair[1].shape if pair else (0, 0),
        "bands": pair[0].shape[2] if pair else COLORS,
        "crc32": _checksum(parts),
    }
    header = json.dumps(facts).encode()
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(_START.pack(_MAGIC, len(header), zlib.crc32(header)))
        stream.write(header)
        for part in parts:
            stream.write(part.data)


def read_entry(path: Path, source: Source) -> Entry | None:
    """Return the entry in a file; None where it is missing, of another length, or made from something else.

    Its header is checked here, its pixels when they are read.
    """
    try:
        with path.open("rb") as stream:
            magic, length, header_check = _START.unpack(stream.read(_START.size))
            header = stream.read(length)
            if magic != _MAGIC or zlib.crc32(header) != header_check:
                return None
            facts = json.loads(header)
            if facts["source"] != dict(source):
                return None
            entry = Entry(
                examination_of(facts["examination"]),
                shape=tuple(facts["shape"]),
                bands=facts.get("bands", COLORS),  # older files do not say so
                start=stream.tell(),
                crc32=facts["crc32"],
            )
            file_bytes = os.fstat(stream.fileno()).st_size
    except (OSError, ValueError, struct.error):
        return None
    height, width = entry.shape
    return entry if file_bytes == entry.start + (entry.bands + 1) * height * width else None


def _checksum(parts: Sequence[Pixels]) -> int:
    check = 0
    for part in parts:
        check = zlib.crc32(part.data, check)
    return check


def examination_of(facts: Mapping[str, Any]) -> Examination:
    """Return the examination that was written as JSON."""
    return Examination(
        problems=tuple((message, hint) for message, hint in facts["problems"]),
        size=tuple(facts["size"]),
        pixels={int(index): count for index, count in facts["pixels"].items()},
        image_sha256=facts["image_sha256"],
        mask_sha256=facts["mask_sha256"],
        doubts=tuple((message, hint) for message, hint in facts["doubts"]),
        unknown=facts.get("unknown", {}),
    )
