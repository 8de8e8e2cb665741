"""Damage is found in a file's structure, before its pixels are decoded."""

import struct
import zlib

import pytest

from rsseg_tf.datasets.images.integrity import damage
from rsseg_tf.datasets.images.pixels import read_image, read_indices
from rsseg_tf.errors import DataError


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(header: bytes, *, first: bytes = b"IHDR") -> bytes:
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(first, header) + pixels + chunk(b"IEND", b"")


HEADER = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)


def test_a_sound_png_has_no_damage():
    assert damage(png(HEADER)) == ""


@pytest.mark.parametrize(
    "content",
    [png(HEADER[:6]), png(b""), png(HEADER + b"\0"), png(HEADER, first=b"gAMA")],
    ids=["short", "empty", "long", "of another name"],
)
def test_a_header_with_a_right_checksum_and_a_wrong_form_is_damage(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)

    assert damage(content) == "its header is damaged"
    for read in (read_image, read_indices):
        with pytest.raises(DataError, match=r"a\.png"):
            read(path)
