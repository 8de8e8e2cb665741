"""One prepared pair in a file: a JSON header with a check sum, then the pixels as they are used.

The pixels lie there raw, so that a window of a large image is read without the rest of it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsseg_tf.datasets.examine import Examination, Pair
from rsseg_tf.runs import atomic_path

_START = struct.Struct("<16sII")
_MAGIC = b"rsseg-prepared-1"
_BYTES_AT_ONCE = 1 << 24

Source = Mapping[str, Any]
"""What an entry was made from: paths, sizes and times of change of the files."""


@dataclass(frozen=True)
class Entry:
    """What a file holds.

    Attributes:
        examination: what reading the files showed.
        shape: height and width of the stored pair; (0, 0) where it holds none.
        start: where the pixels start in the file, in bytes: first the image, then the mask.
    """

    examination: Examination
    shape: tuple[int, int]
    start: int

    def pair(self, path: Path) -> Pair:
        """Image uint8 (H, W, 3) and mask uint8 (H, W) on the file's own pages, read-only."""
        height, width = self.shape
        middle = self.start + 3 * height * width
        image = np.memmap(path, np.uint8, mode="r", offset=self.start, shape=(height, width, 3))
        mask = np.memmap(path, np.uint8, mode="r", offset=middle, shape=(height, width))
        return np.asarray(image), np.asarray(mask)


def write_entry(path: Path, source: Source, examination: Examination, pair: Pair | None) -> None:
    """Write a file that `read_entry` reads; it appears whole or not at all.

    Args:
        path: the file.
        source: what the pair was made from.
        examination: what reading it showed.
        pair: image uint8 (H, W, 3) and mask uint8 (H, W), or None where there is none to keep.

    Raises:
        RssegError: the folder cannot be written, or the disk is full.
    """
    parts = [np.ascontiguousarray(part).data.cast("B") for part in pair or ()]
    check = 0
    for part in parts:
        check = zlib.crc32(part, check)
    shape = pair[1].shape if pair else (0, 0)
    facts = {"source": dict(source), "examination": asdict(examination), "shape": shape, "crc32": check}
    header = json.dumps(facts).encode()
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(_START.pack(_MAGIC, len(header), zlib.crc32(header)))
        stream.write(header)
        for part in parts:
            stream.write(part)


def read_entry(path: Path, source: Source) -> Entry | None:
    """The entry in a file, with its pixels checked; None where it is missing, damaged or made from something else."""
    try:
        with path.open("rb") as stream:
            magic, length, header_check = _START.unpack(stream.read(_START.size))
            header = stream.read(length)
            if magic != _MAGIC or zlib.crc32(header) != header_check:
                return None
            facts = json.loads(header)
            if facts["source"] != dict(source):
                return None
            entry = Entry(examination_of(facts["examination"]), tuple(facts["shape"]), stream.tell())
            check, count = 0, 0
            while part := stream.read(_BYTES_AT_ONCE):
                check, count = zlib.crc32(part, check), count + len(part)
    except (OSError, ValueError, struct.error):
        return None
    height, width = entry.shape
    return entry if check == facts["crc32"] and count == 4 * height * width else None


def examination_of(facts: Mapping[str, Any]) -> Examination:
    """The examination that was written as JSON."""
    return Examination(
        problems=tuple((message, hint) for message, hint in facts["problems"]),
        size=tuple(facts["size"]),
        pixels={int(index): count for index, count in facts["pixels"].items()},
        image_sha256=facts["image_sha256"],
    )
