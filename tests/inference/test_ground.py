"""Where a map lies and how large its pixels are."""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from rasterio.warp import transform

from rsseg_tf.datasets.files.ground import row_areas_m2
from rsseg_tf.datasets.files.place import Place
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.errors import ConfigError
from rsseg_tf.inference.folders import predict_files
from tests.datasets.images.formats import tiff
from tests.inference.photos import NADIR, PHANTOM, PLANE, photo
from tests.inference.rasters import geotiff, origin, predictor
from tests.tflite.networks import frame

WORLD = "0.5\n0\n0\n-0.5\n325000.25\n2779999.75\n"
PLACED = origin(325_000, 2_780_000, 0.5)


def area(record: dict[str, Any]) -> float:
    return float(sum(values["area_m2"] for values in record["classes"].values()))


def true_area(crs: str, pixels: Affine, height: int, width: int) -> float:
    """The area of an outline in a projection around its middle that keeps areas."""
    (longitude,), (latitude,) = transform(crs, "EPSG:4326", *([value] for value in pixels @ (width / 2, height / 2)))
    local = f"+proj=laea +lat_0={latitude} +lon_0={longitude} +datum=WGS84 +units=m"
    top = [(column, 0) for column in range(width)] + [(width, row) for row in range(height)]
    around = top + [(width - column, height - row) for column, row in top]
    x, y = transform(crs, local, *zip(*(pixels @ point for point in around), strict=True))
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


@pytest.mark.parametrize(
    ("crs", "longitude", "latitude", "side"),
    [
        ("EPSG:3857", 55, 25.2, 0.2),
        ("EPSG:3857", 15, 60, 0.2),
        ("EPSG:3395", 9, 50, 0.2),
        ("EPSG:32632", 9, 50, 0.2),
        ("EPSG:27700", -1, 52, 0.2),
        ("EPSG:2263", -74, 40.7, 1),
        ("EPSG:3031", 20, -66, 0.2),
        ("EPSG:4326", 9, 50, 2e-6),
        ("EPSG:3857", 179.9999, 10, 3),
    ],
)
@pytest.mark.parametrize("degrees", [0, 30])
def test_square_meters_are_those_on_the_ground(
    tmp_path: Path, crs: str, longitude: float, latitude: float, side: float, degrees: float
) -> None:
    (x,), (y,) = transform("EPSG:4326", crs, [longitude], [latitude])
    pixels = Affine.translation(x, y) @ Affine.rotation(degrees) @ Affine.scale(side, -side)
    image = geotiff(tmp_path / "in/a.tif", frame(0, 50, 70), crs=crs, transform=pixels)
    (record,) = predict_files(predictor(), [image], tmp_path / "out")
    assert area(record) == pytest.approx(true_area(crs, pixels, 50, 70), rel=1e-3)


@pytest.mark.parametrize(
    ("crs", "pixels"),
    [
        ("EPSG:3413", Affine(100, 0, -30_000, 0, -100, 25_000)),
        ("EPSG:3413", Affine(5000, 0, -1_500_000, 0, -5000, 1_250_000)),
        ("EPSG:3031", Affine(5000, 0, -2_500_000, 0, -5000, 2_500_000)),
        ("EPSG:3034", Affine(6000, 0, 2_000_000, 0, -6000, 5_000_000)),
        ("EPSG:3857", Affine(300, 0, 900_000, 0, -5000, 9_000_000)),
        ("EPSG:4326", Affine(0.001, 0.0003, 9, 0.0003, -0.001, 60)),
    ],
    ids=["north pole", "the Arctic", "Antarctica", "Europe", "high pixels", "turned degrees"],
)
def test_square_meters_of_a_row_hold_over_a_pole_and_a_continent(crs: str, pixels: Affine) -> None:
    height, width = 500, 700
    areas = row_areas_m2(Place(crs=CRS.from_string(crs), transform=pixels), height, width)
    assert areas is not None
    assert areas.sum() * width == pytest.approx(true_area(crs, pixels, height, width), rel=1e-4)
    for row in (0, 130, 480):
        strip = true_area(crs, pixels @ Affine.translation(0, row), 1, width)
        assert areas[row] * width == pytest.approx(strip, rel=2e-3)


def test_a_size_that_is_given_overrides_the_georeference(tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 20, 30))
    given = predictor(ground_sampling_distance_m=3.0, overrides_georeference=True)
    (record,) = predict_files(given, [image], tmp_path / "out")
    assert area(record) == pytest.approx(20 * 30 * 9)
    (record,) = predict_files(predictor(ground_sampling_distance_m=3.0), [image], tmp_path / "other")
    assert area(record) == pytest.approx(20 * 30 * 0.25, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "world"),
    [("a.tif", "a.tfw"), ("a.tif", "a.tifw"), ("a.png", "a.pgw"), ("a.jpg", "a.JGW"), ("a.png", "a.wld")],
)
def test_a_world_file_is_kept_in_the_map(tmp_path: Path, name: str, world: str) -> None:
    write_image(tmp_path / "in" / name, frame(0, 20, 30))
    (tmp_path / "in" / world).write_text(WORLD)
    (record,) = predict_files(predictor(), [tmp_path / "in" / name], tmp_path / "out")
    with rasterio.open(tmp_path / "out" / record["files"]["classes"]) as made:
        assert made.transform == PLACED


def test_without_rasterio_a_world_file_goes_with_the_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "in/a.png", frame(0, 20, 30))
    (tmp_path / "in/a.pgw").write_text(WORLD)
    with monkeypatch.context() as patched:
        patched.setattr("builtins.__import__", without_rasterio(builtins.__import__))
        (record,) = predict_files(predictor(), [tmp_path / "in/a.png"], tmp_path / "out")
    assert record["files"]["classes"] == "a_classes.png"
    with rasterio.open(tmp_path / "out/a_classes.png") as made:
        assert made.transform == PLACED


def without_rasterio(real: Callable[..., object]) -> Callable[..., object]:
    def importing(name: str, *rest: object) -> object:
        if name.partition(".")[0] == "rasterio":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    return importing


@pytest.mark.parametrize("system", [rasterio.CRS.from_epsg(32640), None])
def test_ground_control_points_are_kept_in_the_map(tmp_path: Path, system: rasterio.CRS | None) -> None:
    points = [GroundControlPoint(row, column, *(PLACED @ (column, row))) for row in (0, 19) for column in (0, 29)]
    image = tmp_path / "in/a.tif"
    image.parent.mkdir()
    tiff(frame(0, 20, 30))(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(image, "r+")
    with dataset:
        dataset.gcps = (points, system or rasterio.CRS())
    (record,) = predict_files(predictor(), [image], tmp_path / "out")
    with rasterio.open(tmp_path / "out" / record["files"]["classes"]) as made:
        found, crs = made.gcps
    assert crs == system
    assert [(each.row, each.col, each.x, each.y) for each in found] == [
        (each.row, each.col, each.x, each.y) for each in points
    ]


@pytest.mark.parametrize("as_elements", [False, True])
@pytest.mark.parametrize(
    ("exif", "exact"),
    [
        (PHANTOM, False),
        (PLANE, True),
        ({**PLANE, "FocalPlaneXResolution": 540 / 1.32} | {"PixelXDimension": 540, "PixelYDimension": 360}, True),
    ],
)
def test_a_drones_photo_says_how_large_its_pixels_are(
    tmp_path: Path, exif: dict[str, float], exact: bool, as_elements: bool
) -> None:
    """By similar triangles; the focal length of 35 mm film is given in whole millimeters."""
    path = photo(tmp_path / "in/a.jpg", exif, NADIR, as_elements=as_elements)
    (record,) = predict_files(predictor(), [path], tmp_path / "out")
    side = 100 * 13.2 / 8.8 / 54
    assert area(record) == pytest.approx(36 * 54 * side**2, rel=1e-4 if exact else 0.01)
    assert record["scale_note"].endswith("cm, from its altitude of 100 m above take-off")


def test_what_is_given_goes_before_the_altitude(tmp_path: Path) -> None:
    path = photo(tmp_path / "in/a.jpg", PHANTOM, NADIR)
    given = predictor(ground_sampling_distance_m=3.0, overrides_georeference=True)
    (record,) = predict_files(given, [path], tmp_path / "out")
    assert area(record) == pytest.approx(36 * 54 * 9)
    assert "scale_note" not in record
    (record,) = predict_files(predictor(ground_sampling_distance_m=3.0), [path], tmp_path / "model")
    assert area(record) == pytest.approx(36 * 54 * (150 / 54) ** 2, rel=0.01)
    (path.parent / "a.jgw").write_text(WORLD)
    (record,) = predict_files(predictor(), [path], tmp_path / "placed")
    assert "scale_note" not in record


@pytest.mark.parametrize(
    ("exif", "said", "why"),
    [
        (PHANTOM, {**NADIR, "GimbalPitchDegree": "-60.10"}, "looked 30° away from straight down"),
        (PHANTOM, {"RelativeAltitude": "+100.00"}, "does not say how the camera was tilted"),
        (PHANTOM, {**NADIR, "RelativeAltitude": "-3.20"}, "taken -3.2 m above take-off"),
        ({}, NADIR, "does not say its focal length"),
        ({**PHANTOM, "PixelXDimension": 5472, "PixelYDimension": 3078}, NADIR, "a part of the one that was taken"),
    ],
)
def test_an_altitude_that_would_mislead_is_not_used(
    tmp_path: Path, exif: dict[str, float], said: dict[str, str], why: str
) -> None:
    path = photo(tmp_path / "in/a.jpg", exif, said)
    (record,) = predict_files(predictor(), [path], tmp_path / "out")
    assert {values["area_m2"] for values in record["classes"].values()} == {None}
    assert record["scale_note"].startswith("its altitude is not used: ")
    assert record["scale_note"].endswith(why)
    (record,) = predict_files(predictor(ground_sampling_distance_m=3.0), [path], tmp_path / "model")
    assert area(record) == pytest.approx(36 * 54 * 9)


def test_a_photo_of_another_camera_says_nothing(tmp_path: Path) -> None:
    (record,) = predict_files(predictor(), [photo(tmp_path / "in/a.jpg", PHANTOM, {})], tmp_path / "out")
    assert "scale_note" not in record
    assert {values["area_m2"] for values in record["classes"].values()} == {None}


def test_a_world_file_that_was_corrected_makes_another_result(tmp_path: Path) -> None:
    write_image(tmp_path / "in/a.png", frame(0, 20, 30))
    world = tmp_path / "in/a.pgw"
    world.write_text(WORLD)
    for _ in range(2):
        (record,) = predict_files(predictor(), [tmp_path / "in/a.png"], tmp_path / "out")
    world.write_text(WORLD.replace("0.5", "2"))
    with pytest.raises(ConfigError, match="another model, image or setting"):
        predict_files(predictor(), [tmp_path / "in/a.png"], tmp_path / "out")
    (other,) = predict_files(predictor(), [tmp_path / "in/a.png"], tmp_path / "out", overwrite=True)
    assert other["made_from"] != record["made_from"]
