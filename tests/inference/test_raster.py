from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import ColorInterp

from rsseg_tf.datasets.files.ground import cell_areas_m2
from rsseg_tf.datasets.images.channels import Channels
from rsseg_tf.datasets.images.header import ImageHeader, read_header
from rsseg_tf.datasets.images.picture import open_picture
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.inference.folders import predict_files
from rsseg_tf.inference.strips import strips_from
from rsseg_tf.inference.tiling import TileGrid
from tests.inference.rasters import geotiff, origin, predictor, stored
from tests.tflite.networks import frame


def test_an_alpha_channel_marks_gaps(tmp_path: Path) -> None:
    pixels = np.dstack([frame(0, 20, 20), np.full((20, 20), 255, np.uint8)])
    pixels[:5, :, 3] = 0
    path = geotiff(tmp_path / "in/a.tif", pixels, photometric="RGB", alpha="yes")
    (record,) = predict_files(predictor(), [path], tmp_path / "out")
    assert record["nodata_pixels"] == 100


@pytest.mark.parametrize("count", [2, 4, 5])
def test_more_bands_need_a_choice(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 20, count), dtype=np.uint8)
    path = geotiff(tmp_path / "in/a.tif", pixels)
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.undefined] * count
    with pytest.raises(DataError, match=f"{count} bands") as raised:
        predict_files(predictor(), [path], tmp_path / "out")
    assert "--bands" in raised.value.hint
    predict_files(predictor(), [path], tmp_path / "out", channels=Channels(bands=(2, 1, 1)))
    chosen = np.ascontiguousarray(pixels[..., [1, 0, 0]])
    assert np.array_equal(stored(tmp_path / "out/a_classes.tif"), predictor().predict(chosen))


def test_sixteen_bits_need_a_scale(tmp_path: Path) -> None:
    image = frame(0, 20, 20)
    path = geotiff(tmp_path / "in/a.tif", image.astype(np.uint16) * 16 + 100)
    with pytest.raises(DataError, match="uint16") as raised:
        predict_files(predictor(), [path], tmp_path / "out")
    assert "--scale" in raised.value.hint
    predict_files(predictor(), [path], tmp_path / "out", channels=Channels(scale=(100, 100 + 255 * 16)))
    assert np.array_equal(stored(tmp_path / "out/a_classes.tif"), predictor().predict(image))


@pytest.mark.parametrize(
    ("bands", "scale"), [((1,) * 17, None), ((0, 1, 2), None), ((), (5.0, 5.0)), ((), (0.0, math.inf))]
)
def test_senseless_channels_are_refused(bands: tuple[int, ...], scale: tuple[float, float] | None) -> None:
    with pytest.raises(ConfigError):
        Channels(bands, scale)


def test_a_band_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = geotiff(tmp_path / "in/a.tif", frame(0, 20, 20))
    with pytest.raises(ConfigError, match="ask for 7"):
        predict_files(predictor(), [path], tmp_path / "out", channels=Channels(bands=(1, 2, 7)))


def test_areas_come_from_the_georeference(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 20, 30))
    (record,) = predict_files(predictor(ground_sampling_distance_m=9), [image], tmp_path / "out")
    assert sum(area["area_m2"] for area in record["classes"].values()) == pytest.approx(20 * 30 * 0.25, rel=1e-3)


def test_areas_in_feet_become_meters(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 20, 30), crs="EPSG:2263", transform=origin(0, 0, 2))
    (record,) = predict_files(predictor(), [image], tmp_path / "out")
    foot = 1200 / 3937
    assert sum(area["area_m2"] for area in record["classes"].values()) == pytest.approx(600 * (2 * foot) ** 2, rel=1e-3)


def test_areas_in_degrees_shrink_towards_the_pole(tmp_path: Path) -> None:
    totals = []
    for latitude in (0.0, 60.0):
        image = geotiff(
            tmp_path / f"in/{latitude:.0f}.tif",
            frame(0, 20, 20),
            crs="EPSG:4326",
            transform=origin(55, latitude + 1e-4, 1e-5),
        )
        (record,) = predict_files(predictor(), [image], tmp_path / "out")
        totals.append(sum(area["area_m2"] for area in record["classes"].values()))
    assert totals[0] == pytest.approx((20 * 1.11319) * (20 * 1.10574), rel=1e-4)  # a degree is 111.319 × 110.574 km
    assert totals[1] == pytest.approx((20 * 0.55800) * (20 * 1.11412), rel=1e-3)  # and 55.800 × 111.412 km at 60°


def test_the_ellipsoid_s_surface_is_the_earth_s() -> None:
    whole = cell_areas_m2(np.array([-math.pi / 2, 0, math.pi / 2]), 2 * math.pi).sum()
    assert whole == pytest.approx(510_065_621.724e6, rel=1e-9)  # WGS 84 in NIMA TR8350.2


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 7), st.data())
@settings(max_examples=20)
def test_strips_are_the_rows_under_their_windows(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, overlap: int, data: st.DataObject
) -> None:
    image = frame(0, height, width)
    path = geotiff(tmp_path_factory.mktemp("strips") / "a.tif", image)
    grid = TileGrid(height, width, (8, 8), overlap)
    first = data.draw(st.integers(0, len(grid.tops) - 1))
    with open_picture(path) as raster:
        for strip in strips_from(raster, grid, first=first):
            top = grid.tops[strip.row]
            assert strip.pixels.shape == (8, grid.padded_width, 3)
            expected = image[top : top + 8]
            assert np.array_equal(strip.pixels[: len(expected), :width], expected)


@pytest.mark.parametrize("options", [{}, {"BIGTIFF": "YES"}, {"ENDIANNESS": "BIG"}])
def test_a_header_says_what_rasterio_says(tmp_path: Path, options: dict[str, str]) -> None:
    geotiff(tmp_path / "a.tif", frame(0, 300, 20), **options)
    assert read_header(tmp_path / "a.tif") == ImageHeader(300, 20, is_geotiff=True)
    write_image(tmp_path / "b.tif", frame(0, 30, 20))
    assert read_header(tmp_path / "b.tif") == ImageHeader(30, 20, is_geotiff=False)
    write_image(tmp_path / "c.png", frame(0, 30, 20))
    assert read_header(tmp_path / "c.png") == ImageHeader(30, 20)
