from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rsseg_tf.datasets.images.header import ImageHeader, first_directory, jpeg_notes, read_header, size_of
from rsseg_tf.datasets.images.integrity import damage
from rsseg_tf.datasets.images.picture import open_picture
from rsseg_tf.errors import DataError
from tests.inference.rasters import geotiff

WHOLE = (256, 257, 258, 259, 262, 273, 277, 278, 279, 322, 323, 324, 325)


@pytest.fixture(params=[{}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}, {"TILED": "YES"}], ids=str)
def path(tmp_path: Path, request: Any) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 300, 3), np.uint8)
    return geotiff(tmp_path / "a.tif", pixels, **request.param)


def test_another_library_finds_the_same_tags_and_numbers(path: Path) -> None:
    content = path.read_bytes()
    tags, end = first_directory(io.BytesIO(content), WHOLE)
    with Image.open(path) as picture:
        theirs = {tag: value if isinstance(value, tuple) else (value,) for tag, value in picture.tag_v2.items()}
    assert tags == {tag: value if tag in WHOLE else () for tag, value in theirs.items()}
    assert 0 < end < len(content)


@pytest.mark.parametrize("tag", [257, 273])
def test_text_in_the_place_of_numbers_is_damage(tmp_path: Path, tag: int) -> None:
    path = geotiff(tmp_path / "a.tif", np.zeros((600, 300, 3), np.uint8))
    content = bytearray(path.read_bytes())
    place = next(at for at in range(8, 400, 2) if content[at : at + 2] == struct.pack("<H", tag))
    content[place + 2 : place + 4] = struct.pack("<H", 2)
    path.write_bytes(content)
    assert (read_header(path) == ImageHeader()) == (tag == 257)
    assert bool(damage(bytes(content))) == (tag == 273)


def test_a_georeference_without_its_texts_is_told(tmp_path: Path) -> None:
    path = geotiff(tmp_path / "a.tif", np.zeros((40, 40, 3), np.uint8), crs="EPSG:4326")
    content = path.read_bytes()
    for tag, kind, other, others_kind in ((34737, 2, 49051, 2), (33550, 12, 33550, 32768)):
        content = content.replace(struct.pack("<HH", tag, kind), struct.pack("<HH", other, others_kind))
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot read"), open_picture(path) as picture:
        picture.read()


def test_a_damaged_file_is_told_or_read_but_never_a_surprise(path: Path) -> None:
    data = path.read_bytes()
    assert damage(data) == ""
    rng = np.random.default_rng(0)
    found = set()
    for _ in range(500):
        damaged = bytearray(data)
        damaged[rng.integers(4, 400)] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        assert isinstance(read_header(path), ImageHeader)
        found.add(damage(bytes(damaged)))
    assert found == {"", "it is truncated"}


def test_the_notes_of_a_jpeg_are_its_exif_and_xmp_data_and_nothing_of_its_pixels(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(pixels).save(path, exif=b"Exif\0\0" + b"e" * 5000, xmp=b"x" * 60_000, comment=b"c" * 100)
    notes = jpeg_notes(path)
    assert (notes.count(b"e" * 5000), notes.count(b"x" * 60_000), notes.count(b"c" * 100)) == (1, 1, 0)
    assert len(notes) < 65_200
    with path.open("ab") as stream:  # behind the pixels, as some cameras keep a preview there
        stream.write(path.read_bytes().replace(b"x", b"y"))
    assert jpeg_notes(path) == notes
    assert jpeg_notes(geotiff(tmp_path / "a.tif", pixels)) == b""


def test_bytes_that_fill_up_before_a_marker_hide_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(np.zeros((30, 20, 3), np.uint8)).save(path, xmp=b"x" * 100)
    filled = path.read_bytes().replace(b"\xff\xe1", b"\xff\xff\xff\xe1").replace(b"\xff\xc0", b"\xff\xff\xc0")
    path.write_bytes(filled)
    with Image.open(path) as picture:
        assert picture.size == (20, 30)
    assert (jpeg_notes(path).count(b"x" * 100), size_of(path)) == (1, (30, 20))


@pytest.mark.parametrize("length", [0, 1, 2, 70])
def test_a_segment_that_says_a_wrong_length_ends_the_notes(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe1" + struct.pack(">H", length) + b"n" * 20)
    assert jpeg_notes(path) == (b"n" * 20 if length == 70 else b"")
