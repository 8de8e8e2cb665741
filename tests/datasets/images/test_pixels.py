import shlex
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from rsseg_tf.datasets.files import opening
from rsseg_tf.datasets.files.decoded import decode
from rsseg_tf.datasets.files.opening import OPENCV_SUFFIXES as SUFFIXES
from rsseg_tf.datasets.files.raster import Raster
from rsseg_tf.datasets.images.channels import Channels
from rsseg_tf.datasets.images.header import read_header
from rsseg_tf.datasets.images.picture import open_picture
from rsseg_tf.datasets.images.pixels import ending_to_look_at, read_image, read_indices, write_image
from rsseg_tf.errors import ConfigError, DataError
from tests.datasets.images.formats import tiff

LOSSLESS = (".png", ".tif", ".tiff")
PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8), (7, 7), 2)


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_a_lossless_file_gives_back_what_was_written(tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", PICTURE)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), PICTURE)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_another_library_reads_the_same_colors(tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", PICTURE)
    with Image.open(tmp_path / f"a{suffix}") as picture:
        theirs = np.asarray(picture.convert("RGB"), np.int16)
    assert np.abs(theirs - read_image(tmp_path / f"a{suffix}")).max() <= 2


@pytest.mark.parametrize(("length", "ending"), [(65500, ".jpg"), (65501, ".png")])
def test_a_picture_to_look_at_can_be_written_however_long(tmp_path, length, ending):
    path = tmp_path / f"a{ending_to_look_at(length, 1)}"
    assert path.suffix == ending
    write_image(path, np.zeros((length, 1, 3), np.uint8))
    assert read_image(path).shape == (length, 1, 3)


def test_borders_keep_their_colors_in_a_jpeg(tmp_path):
    halves = np.zeros((16, 16, 3), np.uint8)
    halves[:, :5], halves[:, 5:] = (200, 0, 0), (0, 0, 200)
    write_image(tmp_path / "a.jpg", halves)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - halves).max() < 16


def test_a_name_with_letters_of_any_script_works(tmp_path):
    path = tmp_path / "Größe – 航空 写真" / "ảnh №1.png"
    write_image(path, PICTURE)
    np.testing.assert_array_equal(read_image(path), PICTURE)


def test_upper_case_endings_work(tmp_path):
    write_image(tmp_path / "A.PNG", PICTURE)
    np.testing.assert_array_equal(read_image(tmp_path / "A.PNG"), PICTURE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_mode_becomes_three_channels_as_another_library_has_it(tmp_path, mode, suffix):
    picture = Image.fromarray(PICTURE).convert(mode)
    picture.save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palette_indices_are_read_as_they_are_stored(tmp_path, bits):
    indices = np.random.default_rng(0).integers(0, 2**bits, (9, 13), np.uint8)
    picture = Image.new("P", (13, 9))
    picture.putdata(indices.ravel().tolist())
    picture.putpalette([value for index in range(2**bits) for value in (index, 7, 7)])
    picture.save(tmp_path / "a.png", bits=bits)
    np.testing.assert_array_equal(read_indices(tmp_path / "a.png"), indices)


def test_palette_indices_with_one_color_twice_stay_apart(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putdata([0, 1])
    picture.putpalette([5, 5, 5, 5, 5, 5])
    picture.save(tmp_path / "a.png", transparency=0)
    assert read_indices(tmp_path / "a.png").tolist() == [[0, 1]]


def test_gray_values_are_read_as_they_are_stored(tmp_path):
    write_image(tmp_path / "a.png", np.uint8([[0, 3, 255]]))
    assert read_indices(tmp_path / "a.png").tolist() == [[0, 3, 255]]


def test_colors_are_no_indices(tmp_path):
    write_image(tmp_path / "a.png", PICTURE)
    with pytest.raises(DataError, match=r"a\.png` is a color image") as caught:
        read_indices(tmp_path / "a.png")
    assert "RRGGBB" in caught.value.hint


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_a_file_cut_off_anywhere_is_an_error_that_names_it(tmp_path, capfd, suffix, share):
    path = tmp_path / f"a{suffix}"
    write_image(path, PICTURE)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match=f"`{path}`"):
        read_image(path)
    assert capfd.readouterr().err == ""


def directory_first(pixels):
    """A TIFF with its directory before the pixels, as many programs write it."""
    height, width, channels = pixels.shape
    fields = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 130),
        (277, 3, channels),
    ]
    fields += [(278, 3, height), (279, 4, pixels.size)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in fields)
    head = b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + struct.pack("<I", 0)
    return head.ljust(130, b"\0") + pixels.tobytes()


def test_a_tiff_whose_pixels_are_cut_off_is_an_error(tmp_path):
    data = directory_first(np.arange(200, dtype=np.uint8).reshape(10, 20, 1))
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_image(path)[..., 0].ravel(), np.arange(200))
    for length in range(4, len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match="truncated"):
            read_image(path)


def test_a_flipped_bit_in_a_png_is_an_error(tmp_path, capfd):
    path = tmp_path / "a.png"
    write_image(path, PICTURE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(DataError, match="check sum of its IDAT chunk"):
        read_image(path)
    assert capfd.readouterr().err == ""


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(tmp_path):
    path = tmp_path / "a.jpg"
    write_image(path, PICTURE)
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    assert read_image(path).shape == PICTURE.shape


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_refused_with_a_way_out(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    cv2.imencode(suffix, np.full((4, 4), 40_000, np.uint16))[1].tofile(path)
    with pytest.raises(DataError, match="uint16 pixels, expected 8 bits") as caught:
        read_image(path)
    assert "data.scale=[40000,40001,40000,40001,40000,40001]" in caught.value.hint
    levels = read_image(path, channels=Channels(scale=(0, 51_000)))
    assert (levels == 200).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "it is empty"), (b"<html>not found</html>", "not a PNG, JPEG or TIFF"), (b"BM" + b"\0" * 60, "not a PNG")],
)
def test_what_is_no_image_is_an_error_that_says_so(tmp_path, content, words):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_image(path)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DataError, match=r"none\.png`: No such file"):
        read_image(tmp_path / "none.png")


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(DataError, match="it is a folder"):
        read_image(tmp_path)


def test_five_channels_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(directory_first(np.zeros((4, 4, 5), np.uint8)))
    with pytest.raises(DataError, match=f"`{path}`"):
        read_image(path)


def test_an_unknown_ending_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="unknown ending") as caught:
        write_image(tmp_path / "a.gif", PICTURE)
    assert ".png" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pixels", [np.zeros((2, 2, 3)), np.zeros((2, 2, 4), np.uint8), np.zeros(4, np.uint8)])
def test_pixels_of_another_kind_are_refused(tmp_path, pixels):
    with pytest.raises(ValueError, match="expected uint8"):
        write_image(tmp_path / "a.png", pixels)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(_self, _target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(Exception, match="cannot write"):
        write_image(tmp_path / "a.png", PICTURE)
    assert list(tmp_path.iterdir()) == []


def with_pixel_stream(data: bytes, stream: bytes) -> bytes:
    """The PNG with other compressed pixels, under check sums that are right for them."""
    place = data.index(b"IDAT") - 4
    end = data.index(b"IEND") - 4
    chunk = b"IDAT" + stream
    return data[:place] + struct.pack(">I", len(stream)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[end:]


@pytest.mark.parametrize("defect", ["cut off", "too few rows", "a flipped bit"])
def test_a_png_whose_stream_is_wrong_under_right_check_sums_is_an_error(tmp_path, capfd, defect):
    encoded = cv2.imencode(".png", PICTURE)[1].tobytes()
    raw = b"\0" + (PICTURE.tobytes() * 2)[: PICTURE[0].size]
    stream = zlib.compress(raw * 40)
    wrong = {
        "cut off": stream[: len(stream) // 2],
        "too few rows": zlib.compress(raw * 20),
        "a flipped bit": stream[:-1] + bytes([stream[-1] ^ 1]),
    }[defect]
    path = tmp_path / "a.png"
    path.write_bytes(with_pixel_stream(encoded, stream))
    assert read_image(path).shape == PICTURE.shape
    path.write_bytes(with_pixel_stream(encoded, wrong))
    with pytest.raises(DataError, match=r"a\.png"):
        read_image(path)
    capfd.readouterr()


def enormous_png(path: Path) -> None:
    encoded = bytearray(cv2.imencode(".png", PICTURE)[1].tobytes())
    encoded[16:24] = struct.pack(">II", 40_000, 40_000)
    encoded[29:33] = struct.pack(">I", zlib.crc32(encoded[12:29]))
    path.write_bytes(encoded)


def enormous_jpeg(path: Path) -> None:
    encoded = bytearray(cv2.imencode(".jpg", PICTURE)[1].tobytes())
    frame = encoded.index(b"\xff\xc0")
    encoded[frame + 5 : frame + 9] = struct.pack(">HH", 40_000, 40_000)
    path.write_bytes(encoded)


@pytest.mark.parametrize("write", [enormous_png, enormous_jpeg])
def test_more_pixels_than_opencv_takes_are_refused_with_a_way_out(tmp_path, write):
    write(tmp_path / "a.img")
    with pytest.raises(DataError, match=r"a\.img` has more pixels than OpenCV decodes") as caught:
        decode(tmp_path / "a.img", numbers=False)
    write_image(tmp_path / "small.png", PICTURE)
    command = shlex.split(caught.value.hint.partition("parts: ")[2].replace("IMAGE", "small.png"))
    subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_array_equal(read_image(tmp_path / "NEW.tif"), PICTURE)
    assert read_header(tmp_path / "NEW.tif").pixels == PICTURE[..., 0].size


def test_an_enormous_png_is_read_in_parts_where_rasterio_is(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "LARGE_PIXELS", 100)
    write_image(tmp_path / "a.png", PICTURE)
    with open_picture(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(picture.read((slice(3, 9), slice(5, 50)))[0], PICTURE[3:9, 5:50])
    assert isinstance(opening.open_stored(tmp_path / "a.png"), Raster)


def test_a_compression_that_nobody_here_knows_is_told_with_a_way_out(tmp_path):
    path = tmp_path / "a.tif"
    tiff(PICTURE, photometric="RGB", compress="deflate")(path)
    place = struct.pack("<HHIH", 259, 3, 1, 8)
    data = path.read_bytes()
    assert data.count(place) == 1
    path.write_bytes(data.replace(place, struct.pack("<HHIH", 259, 3, 1, 65_000)))
    with pytest.raises(DataError, match=r"a\.tif.*missing codec") as caught:
        read_image(path)
    assert "deflate" in caught.value.hint
