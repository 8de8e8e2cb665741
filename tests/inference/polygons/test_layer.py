"""`predict` writes polygons, confidence and a style that say what the class map says."""

from __future__ import annotations

import contextlib
import json
import shlex
import sqlite3
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from pyogrio import raw
from rasterio import features
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning
from rasterio.warp import transform_geom

from rsseg_tf.datasets.images.pixels import read_indices, write_image
from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.errors import ConfigError, MissingExtraError
from rsseg_tf.inference import Products
from rsseg_tf.inference.folders import predict_files
from tests.datasets.images.formats import tiff
from tests.inference.rasters import PALETTE, geotiff, predictor, smooth, stored
from tests.tflite.networks import frame

GPKG = Products(polygons="gpkg")


def in_package(path: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The shapes of a GeoPackage with what is known of them."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    about, _, shapes, columns = raw.read(path)
    assert about["geometry_type"] == "Polygon"
    rows = [dict(zip(about["fields"], row, strict=True)) for row in zip(*columns, strict=True)]
    return list(zip([shapely.geometry.mapping(each) for each in shapely.from_wkb(shapes)], rows, strict=True))


def burned(shapes: list[tuple[dict[str, Any], dict[str, Any]]], like: Path) -> np.ndarray:
    with rasterio.open(like) as dataset:
        pairs = [(shape, values["class_id"]) for shape, values in shapes]
        classes: np.ndarray = features.rasterize(
            pairs, dataset.shape, fill=IGNORE, transform=dataset.transform, dtype=np.uint8
        )
    return classes


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = np.maximum(frame(3, 130, 90), 1)
    pixels[40:60, 30:] = 0
    return geotiff(tmp_path / "in/a.tif", pixels, nodata=0)


def test_polygons_burned_on_the_grid_are_the_class_map(image: Path, tmp_path: Path) -> None:
    (record,) = predict_files(predictor(), [image], tmp_path / "out", products=GPKG)
    assert record["files"]["polygons"] == "a_polygons.gpkg"
    shapes = in_package(tmp_path / "out/a_polygons.gpkg")
    made = tmp_path / "out/a_classes.tif"
    assert np.array_equal(burned(shapes, made), stored(made))
    for name, values in record["classes"].items():
        rows = [row for _, row in shapes if row["class"] == name]
        assert sum(row["pixels"] for row in rows) == values["pixels"]
        assert sum(row["area_m2"] for row in rows) == pytest.approx(values["area_m2"])
    with contextlib.closing(sqlite3.connect(tmp_path / "out/a_polygons.gpkg")) as database:
        assert database.execute("SELECT srs_id FROM gpkg_geometry_columns").fetchone() == (32640,)
        assert database.execute("SELECT min_x, max_y FROM gpkg_contents").fetchone() == (325_000, 2_780_000)


def test_geojson_holds_the_same_in_degrees(image: Path, tmp_path: Path) -> None:
    predict_files(predictor(), [image], tmp_path / "out", products=Products(polygons="geojson"))
    found = json.loads((tmp_path / "out/a_polygons.geojson").read_text())["features"]
    shapes = [(transform_geom("EPSG:4326", "EPSG:32640", each["geometry"]), each["properties"]) for each in found]
    west, north = found[0]["geometry"]["coordinates"][0][0]
    assert 54 < west < 57
    assert 25 < north < 26
    made = tmp_path / "out/a_classes.tif"
    assert np.array_equal(burned(shapes, made), stored(made))


def test_a_photo_has_polygons_in_pixels_below_zero(tmp_path: Path) -> None:
    write_image(tmp_path / "in/a.png", frame(3, 40, 50))
    (record,) = predict_files(predictor(), [tmp_path / "in/a.png"], tmp_path / "out", products=GPKG)
    shapes = in_package(tmp_path / "out" / record["files"]["polygons"])
    pairs = [(shape, values["class_id"]) for shape, values in shapes]
    grid = rasterio.Affine(1, 0, 0, 0, -1, 0)
    found = features.rasterize(pairs, (40, 50), fill=IGNORE, transform=grid, dtype=np.uint8)
    assert np.array_equal(found, read_indices(tmp_path / "out/a_classes.png"))
    assert np.isnan([values["area_m2"] for _, values in shapes]).all()


@pytest.mark.parametrize("fitting", ["crop", "resize"])
@pytest.mark.parametrize("overlap", [0, 4])
def test_confidence_is_the_softmax_of_the_winner(tmp_path: Path, fitting: str, overlap: int) -> None:
    """One window without overlap has the scores of the network as they are."""
    unit = 0.05
    pixels = frame(1, 16, 16)
    logits = smooth(pixels[None])[0].astype(np.float64) * unit
    expected = (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).max(-1)
    model = predictor(score_unit=unit, fitting=fitting, overlap=overlap)
    classes, found = model.predict_with_confidence(pixels)
    assert np.allclose(found, expected, atol=1e-6)
    assert np.array_equal(classes, model.predict(pixels))
    image = geotiff(tmp_path / "in/a.tif", pixels)
    predict_files(model, [image], tmp_path / "out", products=Products(confidence=True))
    with rasterio.open(tmp_path / "out/a_confidence.tif") as made:
        assert np.allclose(made.read(1) * made.scales[0], expected, atol=0.0021)
        assert made.nodata == IGNORE


def test_blended_confidence_is_of_the_mean_scores() -> None:
    """A network that says the same everywhere is as sure where tiles overlap."""
    model = predictor(lambda images: np.full((*images.shape[:3], 2), [3, 1], np.int8), score_unit=0.5)
    _, found = model.predict_with_confidence(frame(0, 50, 41))
    assert np.allclose(found, 1 / (1 + np.exp(-1)), atol=1e-6)


def test_unsure_pixels_have_no_class(image: Path, tmp_path: Path) -> None:
    model = predictor(score_unit=0.05)
    wanted = Products(threshold=0.6, confidence=True, polygons="gpkg")
    predict_files(model, [image], tmp_path / "out", products=wanted)
    predict_files(model, [image], tmp_path / "all", products=Products(confidence=True))
    steps, every = stored(tmp_path / "out/a_confidence.tif"), stored(tmp_path / "all/a_classes.tif")
    kept = stored(tmp_path / "out/a_classes.tif")
    surely, hardly = steps > 0.6 * 250 + 1, steps < 0.6 * 250 - 1
    assert np.array_equal(kept[surely], every[surely])
    assert np.all(kept[hardly] == IGNORE)
    assert 0.05 < np.mean(kept == IGNORE) < 0.95
    assert min(row["confidence"] for _, row in in_package(tmp_path / "out/a_polygons.gpkg")) >= 0.597


class Interrupted(Exception):
    """What stops a run in these tests."""


def test_an_interrupted_run_ends_with_the_same_files(image: Path, tmp_path: Path) -> None:
    done = 0

    def failing(images: np.ndarray) -> np.ndarray:
        nonlocal done
        done += 1
        if done > 9:
            raise Interrupted
        return smooth(images)

    wanted = Products(polygons="gpkg", confidence=True)
    with pytest.raises(Interrupted):
        predict_files(predictor(failing), [image], tmp_path / "out", products=wanted)
    (record,) = predict_files(predictor(), [image], tmp_path / "out", products=wanted)
    assert record["run"]["bands_resumed"] > 0
    predict_files(predictor(), [image], tmp_path / "whole", products=wanted)
    found, expected = (in_package(tmp_path / name / "a_polygons.gpkg") for name in ("out", "whole"))
    assert found == expected
    sure = [stored(tmp_path / name / "a_confidence.tif") for name in ("out", "whole")]
    assert np.array_equal(*sure)
    assert not (tmp_path / "out/a_parts").exists()


def test_specks_and_steps_go_on_request(image: Path, tmp_path: Path) -> None:
    predict_files(predictor(), [image], tmp_path / "out", products=GPKG)
    few = Products(polygons="gpkg", simplify=True, least_area_m2=5)
    predict_files(predictor(), [image], tmp_path / "few", products=few)
    every, kept = (in_package(tmp_path / name / "a_polygons.gpkg") for name in ("out", "few"))
    assert [row["pixels"] for _, row in kept] == [row["pixels"] for _, row in every if row["area_m2"] >= 5]
    assert len(kept) < len(every)


def test_what_cannot_be_made_is_said_first(image: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "in/b.png", frame(3, 40, 50))
    unknown = Products(polygons="gpkg", least_area_m2=2)
    with pytest.raises(ConfigError, match="how large its pixels are"):
        predict_files(predictor(), [tmp_path / "in/b.png"], tmp_path / "out", products=unknown)
    with pytest.raises(ConfigError, match="class numbers alone"):
        predict_files(predictor(score_unit=0.0), [image], tmp_path / "out", products=Products(confidence=True))


def test_an_image_with_control_points_alone_is_straightened_as_the_error_says(image: Path, tmp_path: Path) -> None:
    with rasterio.open(image) as dataset:
        pixels, place, (height, width) = np.moveaxis(dataset.read(), 0, -1), dataset.transform, dataset.shape
    corners = [(row, column) for row in (0, height) for column in (0, width)]
    points = [GroundControlPoint(row, column, *(place @ (column, row))) for row, column in corners]
    tiff(pixels, photometric="RGB")(tmp_path / "IN.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(tmp_path / "IN.tif", "r+")
    with dataset:
        dataset.gcps = (points, rasterio.CRS.from_epsg(32640))
    with pytest.raises(ConfigError, match="ground control points alone") as caught:
        predict_files(predictor(), [tmp_path / "IN.tif"], tmp_path / "out", products=GPKG)
    words = shlex.split(caught.value.hint.partition("python ")[2])
    subprocess.run([sys.executable, *words], cwd=tmp_path, check=True)
    predict_files(predictor(), [tmp_path / "OUT.tif"], tmp_path / "out", products=GPKG)
    predict_files(predictor(), [image], tmp_path / "placed", products=GPKG)
    made, expected = (stored(next((tmp_path / name).glob("*_classes.tif"))) for name in ("out", "placed"))
    assert np.array_equal(made[expected != IGNORE], expected[expected != IGNORE])


def test_without_its_library_the_extra_is_named_first(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "shapely", None)
    with pytest.raises(MissingExtraError, match="`shapely`") as caught:
        predict_files(predictor(), [image], tmp_path / "out", products=GPKG)
    assert "rsseg-tf[geo]" in caught.value.hint
    assert not list((tmp_path / "out").rglob("*.tif"))


_FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from rsseg_tf.errors import RssegError
from rsseg_tf.inference.polygons.file import create_polygon_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
square = np.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])
values = {"class": "roof", "class_id": 1, "pixels": 1, "area_m2": None, "confidence": 0.5}
try:
    with create_polygon_file(Path(sys.argv[1])) as file:
        for place in range(9000):
            file.add([square + place], values)
except RssegError as error:
    print(error.message, error.hint)
"""


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_a_file_that_cannot_grow_is_one_error(tmp_path: Path, name: str) -> None:
    done = subprocess.run([sys.executable, "-c", _FULL, tmp_path / name], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write `{tmp_path / name}`: ")
    assert done.stdout.endswith("is the disk full?\n")
    assert "Errno" not in done.stdout
    assert done.stderr == ""


def test_the_style_names_exactly_the_classes(image: Path, tmp_path: Path) -> None:
    predict_files(predictor(), [image], tmp_path / "out")
    entries = [each.attrib for each in ET.parse(tmp_path / "out/a_classes.qml").iter("paletteEntry")]
    assert [each["label"] for each in entries] == list(PALETTE.names)
    assert [int(each["value"]) for each in entries] == [0, 1, 2]
    assert [each["color"] for each in entries] == ["#00005A", "#FAFA00", "#00C800"]


@pytest.mark.parametrize(
    ("site", "said"),
    [
        ('LOCAL_CS["a site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]', "longitude and latitude do not follow"),
        (None, "does not say in which coordinate reference system it lies"),
    ],
)
def test_a_place_without_degrees_is_told_before_it_is_predicted(tmp_path: Path, site: str | None, said: str) -> None:
    path = geotiff(tmp_path / "a.tif", np.zeros((40, 60, 3), np.uint8), crs=site)
    with pytest.raises(ConfigError, match=said) as caught:
        predict_files(predictor(), [path], tmp_path / "out", products=Products(polygons="geojson"))
    assert "gpkg" in (caught.value.hint or "")
    predict_files(predictor(), [path], tmp_path / "out", products=Products(polygons="gpkg"))
