"""Where an image lies is read as GDAL and other libraries read it, without them."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import Affine

from rsseg_tf.datasets.files.position import CAMERA, position_of
from rsseg_tf.datasets.images.header import jpeg_size
from tests.datasets.splits.surveys import with_place
from tests.inference.rasters import geotiff

PIXELS = np.zeros((20, 30, 3), np.uint8)


@pytest.mark.parametrize("profile", [{}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}], ids=str)
@pytest.mark.parametrize(
    "transform",
    [Affine(0.25, 0, 5e5, 0, -0.5, 2.8e6), Affine(0.2, 0.1, 5e5, 0.1, -0.2, 2.8e6)],
    ids=["upright", "turned"],
)
def test_a_geotiff_lies_where_gdal_says(tmp_path: Path, transform: Affine, profile: dict[str, str]) -> None:
    found = position_of(geotiff(tmp_path / "a.tif", PIXELS, transform=transform, **profile))
    corners = [transform @ (column, row) for column in (0, 30) for row in (0, 20)]
    xs, ys = zip(*corners, strict=True)
    assert found is not None
    np.testing.assert_allclose(found.box, (min(xs), min(ys), max(xs), max(ys)))


def test_a_board_without_gdal_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would deal other images to test than the workstation that trained."""
    paths = [geotiff(tmp_path / "a.tif", PIXELS), with_place(tmp_path / "b.jpg", PIXELS, 25.0, 55.0)]
    Image.fromarray(PIXELS).save(tmp_path / "c.png")
    (tmp_path / "c.pgw").write_text("0.5\n0\n0\n-0.25\n1000.25\n1999.875\n")
    found = [position_of(path) for path in (*paths, tmp_path / "c.png")]
    monkeypatch.setitem(sys.modules, "rasterio", None)
    assert None not in found
    assert [position_of(path) for path in (*paths, tmp_path / "c.png")] == found


def test_coordinates_of_two_systems_are_told_apart(tmp_path: Path) -> None:
    names = ["EPSG:32640", "EPSG:32641", "EPSG:32640"]
    found = [position_of(geotiff(tmp_path / f"{number}.tif", PIXELS, crs=name)) for number, name in enumerate(names)]
    assert found[0].space != found[1].space
    assert found[0] == found[2]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_an_image_with_a_world_file_lies_where_gdal_says(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(PIXELS).save(path)
    path.with_suffix(".wld").write_text("0.5\n0\n0\n-0.25\n1000.25\n1999.875\n")
    with rasterio.open(path) as file:
        bounds = file.bounds
    found = position_of(path)
    assert found is not None
    np.testing.assert_allclose(found.box, bounds)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
@pytest.mark.parametrize(("latitude", "longitude"), [(25.25, 55.5), (-33.9, -18.4)])
def test_a_photo_lies_where_its_camera_was(tmp_path: Path, suffix: str, latitude: float, longitude: float) -> None:
    path = with_place(tmp_path / f"a{suffix}", PIXELS, latitude, longitude)
    found = position_of(path)
    assert found is not None
    assert (found.space, found.side) == (CAMERA, 0)
    x, y = found.center
    assert math.degrees(x / 6378137) == pytest.approx(longitude, abs=1e-6)
    assert math.degrees(math.atan(math.sinh(y / 6378137))) == pytest.approx(latitude, abs=1e-6)


@pytest.mark.parametrize("place", [None, (0.0, 0.0), (95.0, 10.0), (10.0, 200.0)])
def test_a_photo_without_a_place_has_no_position(tmp_path: Path, place: tuple[float, float] | None) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(PIXELS).save(path) if place is None else with_place(path, PIXELS, *place)
    assert position_of(path) is None


def test_a_damaged_file_is_no_surprise(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for path in (
        geotiff(tmp_path / "a.tif", PIXELS),
        with_place(tmp_path / "a.jpg", PIXELS, 25.0, 55.0),
    ):
        data = path.read_bytes()
        for _ in range(300):
            damaged = bytearray(data)
            damaged[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged[: rng.integers(len(data))])
            found = position_of(path)
            assert found is None or all(map(math.isfinite, found.box))
    assert position_of(tmp_path / "none.jpg") is None


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(5000)}], ids=str)
def test_the_size_of_a_jpeg_is_in_its_header(tmp_path: Path, options: dict[str, Any]) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", **options)
    assert jpeg_size(tmp_path / "a.jpg") == (20, 30)
    assert jpeg_size(geotiff(tmp_path / "a.tif", PIXELS)) == (0, 0)


def test_a_box_without_area_is_no_place(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 8, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.pgw").write_text("1\n0\n0\n0\n0\n0\n")
    assert position_of(tmp_path / "a.png") is None
