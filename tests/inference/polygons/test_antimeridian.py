"""GeoJSON of images that lie over the 180th meridian, or on a pole: every pixel lies in a polygon of its class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from rasterio.transform import Affine, xy
from rasterio.warp import transform

from rsseg_tf.inference import Products
from rsseg_tf.inference.folders import predict_files
from tests.inference.rasters import geotiff, predictor, stored
from tests.tflite.networks import frame

GEOJSON = Products(polygons="geojson")
PLACES = {
    "UTM": ("EPSG:32701", Affine(0.5, 0, 179_686, 0, -0.5, 8_173_400), True),
    "degrees": ("EPSG:4326", Affine(1e-6, 0, 179.99997, 0, -1e-6, -16.5), True),
    "degrees from the east": ("EPSG:4326", Affine(1e-6, 0, -180.00003, 0, -1e-6, -16.5), True),
    "pole": ("EPSG:3413", Affine(50, 0, -1_410, 0, -50, 1_600), True),
    "the world": ("EPSG:4326", Affine(6, 0, -180, 0, -6, 90), False),
    "the world, Mercator": ("EPSG:3857", Affine(600_000, 0, -18_000_000, 0, -600_000, 18_000_000), False),
    "elsewhere": ("EPSG:32640", Affine(0.5, 0, 325_000, 0, -0.5, 2_780_000), False),
}


@pytest.mark.parametrize("place", PLACES)
def test_each_pixel_lies_in_a_polygon_of_its_class_and_none_leaves_the_world(tmp_path: Path, place: str) -> None:
    crs, grid, _ = PLACES[place]
    image = geotiff(tmp_path / "in/a.tif", np.maximum(frame(3, 30, 60), False), crs=crs, transform=grid)
    predict_files(predictor(), [image], tmp_path / "out", products=GEOJSON)
    assert_each_pixel_is_covered(tmp_path / "out", crs, grid)


def assert_each_pixel_is_covered(out: Path, crs: str, grid: Affine) -> None:
    """Polygons are valid, and hold the pixels of their class and no other."""
    classes = stored(out / "a_classes.tif")
    features = json.loads((out / "a_polygons.geojson").read_text())["features"]
    shapes = [shapely.geometry.shape(each["geometry"]) for each in features]

    assert all(shape.is_valid for shape in shapes)
    west, _, east, _ = shapely.bounds(np.array(shapes, object)).T
    assert west.min() >= -180
    assert east.max() <= 180
    rows, columns = np.mgrid[: classes.shape[0], : classes.shape[1]]
    longitudes, latitudes = np.array(transform(crs, "EPSG:4326", *xy(grid, rows.ravel(), columns.ravel())))
    longitudes = (longitudes + 180) % 360 - 180
    found = np.full(classes.size, 255)
    for shape, each in zip(shapes, features, strict=True):
        found[shapely.contains_xy(shape, longitudes, latitudes)] = each["properties"]["class_id"]
    assert np.array_equal(found.reshape(classes.shape), classes)


@pytest.mark.parametrize("place", PLACES)
def test_polygons_are_cut_where_they_cross_alone(tmp_path: Path, place: str) -> None:
    crs, grid, crosses = PLACES[place]
    image = geotiff(tmp_path / "in/a.tif", np.full((30, 60, 3), 9, np.uint8), crs=crs, transform=grid)
    predict_files(predictor(), [image], tmp_path / "out", products=GEOJSON)
    features = json.loads((tmp_path / "out/a_polygons.geojson").read_text())["features"]

    assert any(each["geometry"]["type"] == "MultiPolygon" for each in features) == crosses


def rings_around(pole: tuple[float, float], height: int, width: int) -> np.ndarray:
    """Colors in rings around a pixel, uneven so that they cross the 180th meridian more than once."""
    rows, columns = np.mgrid[:height, :width]
    away = np.hypot(rows - pole[1], columns - pole[0]) + 2 * np.sin(rows / 2)
    bright, green = np.array((250, 20, 20)), np.array((20, 250, 20))
    colors = np.where((away // 6 % 2 > 0)[..., None], bright, green)
    return colors.astype(np.uint8)


@pytest.mark.parametrize("crs", ["EPSG:3413", "EPSG:3031"])
@pytest.mark.parametrize("shift", [(0, 0), (7, -3)])
def test_rings_around_a_pole_are_polygons_with_a_hole_there(tmp_path: Path, crs: str, shift: tuple[int, int]) -> None:
    grid = Affine(50, 0, -50 * (30.2 + shift[0]), 0, -50, 50 * (30.1 + shift[1]))  # no pixel lies on the 180th meridian
    pixels = rings_around((30 + shift[0], 30 + shift[1]), 60, 64)
    image = geotiff(tmp_path / "in/a.tif", pixels, crs=crs, transform=grid)
    predict_files(predictor(), [image], tmp_path / "out", products=GEOJSON)
    assert_each_pixel_is_covered(tmp_path / "out", crs, grid)
