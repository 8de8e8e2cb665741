"""An image whose pixels are of another size than those that the model learned from: it is said, or resampled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint

from rsseg_tf.datasets.files.ground import are_far_apart
from rsseg_tf.datasets.files.place import Place
from rsseg_tf.datasets.files.resizing import Resizing
from rsseg_tf.datasets.images.picture import open_picture
from rsseg_tf.datasets.images.pixels import read_indices, write_image
from rsseg_tf.errors import ConfigError
from rsseg_tf.inference.folders import predict_files
from tests.inference.rasters import geotiff, origin, predictor, stored
from tests.tflite.networks import frame


def placed(path: Path, side: float, *, height: int = 40, width: int = 60, **profile: Any) -> Path:
    pixels = np.kron(frame(0, height // 4, width // 4), np.ones((4, 4, 1), np.uint8))
    return geotiff(path, pixels, transform=origin(325_000, 2_780_000, side), **profile)


def area(record: dict[str, Any]) -> float:
    return float(sum(values["area_m2"] for values in record["classes"].values()))


@pytest.mark.parametrize(("side", "is_said"), [(0.3, False), (0.25, False), (0.39, False), (0.05, True), (3.0, True)])
def test_another_size_is_said_once(tmp_path, capsys, side, is_said):
    images = [placed(tmp_path / f"in/{name}.tif", side) for name in "ab"]
    predict_files(predictor(learned_pixel_m=0.3), images, tmp_path / "out")

    said = capsys.readouterr().err
    assert said.count("warning") == is_said
    if is_said:
        assert f"`{images[0]}` has pixels of {side:g} m" in said
        assert "learned from pixels of 0.3 m" in said
        assert "--resample" in said


@pytest.mark.parametrize(
    "changes", [{}, {"learned_pixel_m": 0.3, "ground_sampling_distance_m": 0.3, "overrides_georeference": True}]
)
def test_nothing_is_said_where_nothing_is_known_or_the_size_is_given(tmp_path, capsys, changes):
    predict_files(predictor(**changes), [placed(tmp_path / "in/a.tif", 3.0)], tmp_path / "out")

    assert capsys.readouterr().err == ""


def test_nothing_is_said_of_an_image_that_does_not_say(tmp_path, capsys):
    write_image(tmp_path / "a.png", frame(0, 20, 30))
    predict_files(predictor(learned_pixel_m=0.3), [tmp_path / "a.png"], tmp_path / "out")

    assert capsys.readouterr().err == ""


def test_resampled_maps_have_the_models_grid_and_cover_the_same_ground(tmp_path, capsys):
    image = placed(tmp_path / "in/a.tif", 0.1)
    whole = predict_files(predictor(), [image], tmp_path / "own")[0]
    (record,) = predict_files(predictor(learned_pixel_m=0.4, resamples=True), [image], tmp_path / "out")

    assert (record["height"], record["width"]) == (10, 15)
    assert record["scale_note"] == "seen with pixels of 0.4 m on average"
    assert area(record) == pytest.approx(area(whole), rel=1e-4)
    with rasterio.open(image) as before, rasterio.open(tmp_path / "out/a_classes.tif") as after:
        assert after.bounds == pytest.approx(before.bounds)
        assert after.crs == before.crs
    assert capsys.readouterr().err == ""


def test_a_shrunken_image_is_predicted_as_its_averages(tmp_path):
    """Blocks of 4×4 equal pixels become one each, so its map is that of the small image."""
    image = placed(tmp_path / "in/a.tif", 0.1)
    small = geotiff(tmp_path / "in/b.tif", frame(0, 10, 15), transform=origin(325_000, 2_780_000, 0.4))
    predict_files(predictor(learned_pixel_m=0.4, resamples=True), [image, small], tmp_path / "out")

    np.testing.assert_array_equal(stored(tmp_path / "out/a_classes.tif"), stored(tmp_path / "out/b_classes.tif"))


def degrees(path: Path, side: float, *, latitude: float, **profile: Any) -> Path:
    """Pixels of equal steps of longitude and latitude, `side` meters high (a sphere's, which is near enough)."""
    step = np.degrees(side / 6_371_000)
    pixels = np.kron(frame(0, 10, 15), np.ones((4, 4, 1), np.uint8))
    return geotiff(path, pixels, crs="EPSG:4326", transform=origin(55, latitude, step), **profile)


@pytest.mark.parametrize("latitude", [0, 25, 60])
def test_on_a_grid_of_degrees_both_sides_of_a_pixel_are_brought_to_the_models(tmp_path, latitude):
    image = degrees(tmp_path / "in/a.tif", 0.4, latitude=latitude)
    (record,) = predict_files(predictor(learned_pixel_m=0.1, resamples=True), [image], tmp_path / "out")

    assert record["height"] == pytest.approx(160, abs=1)
    assert record["width"] == pytest.approx(240 * np.cos(np.radians(latitude)), abs=1.5)
    with rasterio.open(image) as before, rasterio.open(tmp_path / "out/a_classes.tif") as after:
        assert after.bounds == pytest.approx(before.bounds)


@pytest.mark.parametrize(("latitude", "is_said"), [(0, False), (25, False), (60, True)])
def test_pixels_that_are_not_square_are_said_though_their_mean_is_right(tmp_path, capsys, latitude, is_said):
    side = 0.3 / np.cos(np.radians(latitude)) ** 0.5
    predict_files(
        predictor(learned_pixel_m=0.3), [degrees(tmp_path / "in/a.tif", side, latitude=latitude)], tmp_path / "out"
    )

    said = capsys.readouterr().err
    assert said.count("warning") == is_said
    assert ("pixels of 0.425 m by 0.213 m (height by width), the model learned" in said) == is_said


def test_a_size_that_is_given_is_resampled_without_a_georeference(tmp_path):
    write_image(tmp_path / "a.png", frame(0, 20, 30))
    given_side = {"ground_sampling_distance_m": 0.2, "overrides_georeference": True}
    seen = predictor(learned_pixel_m=0.1, resamples=True, **given_side)
    (record,) = predict_files(seen, [tmp_path / "a.png"], tmp_path / "out")

    assert (record["height"], record["width"]) == (40, 60)
    assert read_indices(tmp_path / "out/a_classes.png").shape == (40, 60)
    assert area(record) == pytest.approx(20 * 30 * 0.04)


def test_control_points_move_with_the_grid():
    corners = [(row, column) for row in (0, 40) for column in (0, 60)]
    points = [GroundControlPoint(row, column, 325_000 + column, 2_780_000 - row) for row, column in corners]
    moved = Resizing((40, 60), (10, 20)).place(Place(control=(points, None)))

    assert moved is not None
    assert moved.control is not None
    assert [(point.row, point.col, point.x) for point in moved.control[0]] == [
        (row / 4, column / 3, 325_000 + column) for row, column in corners
    ]


@pytest.mark.parametrize(
    ("changes", "name", "message"),
    [
        ({"learned_pixel_m": 0.3}, "a.png", r"a\.png` does not say how large its pixels are"),
        ({}, "a.tif", "the model does not say how large the pixels were"),
        ({"fitting": "resize"}, "a.tif", "sees whole images resized, so it learned no size of a pixel"),
        ({"learned_pixel_m": 1e-9}, "a.tif", r"a\.tif` would have .* pixels"),
    ],
)
def test_what_cannot_be_resampled_is_refused(tmp_path, changes, name, message):
    write_image(tmp_path / "a.png", frame(0, 20, 30))
    placed(tmp_path / "a.tif", 0.3)

    with pytest.raises(ConfigError, match=message):
        predict_files(predictor(resamples=True, **changes), [tmp_path / name], tmp_path / "out")


def test_resampled_results_are_not_taken_for_others(tmp_path):
    image = placed(tmp_path / "in/a.tif", 0.1)
    predict_files(predictor(learned_pixel_m=0.4, resamples=True), [image], tmp_path / "out")

    with pytest.raises(ConfigError, match="another model, image or setting"):
        predict_files(predictor(learned_pixel_m=0.4), [image], tmp_path / "out")


@pytest.mark.parametrize("size", [(7, 11), (40, 60), (90, 61)])
def test_a_part_of_a_resampled_picture_is_that_of_the_whole(tmp_path, size):
    image = placed(tmp_path / "in/a.tif", 0.1, nodata=0)
    with open_picture(image, size=size) as picture:
        whole, valid = picture.read()
        assert (picture.height, picture.width) == whole.shape[:2] == size
        part, part_valid = picture.read((slice(2, 6), slice(3, 10)))
    np.testing.assert_array_equal(part, whole[2:6, 3:10])
    assert (valid is None) == (part_valid is None)


def test_what_a_mask_says_is_picked_and_a_palette_is_not_mixed(tmp_path):
    path = placed(tmp_path / "in/a.tif", 0.1)
    known = np.zeros((40, 60), bool)
    known[:20] = True
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(known)
    with open_picture(path, size=(10, 15)) as picture:
        _, valid = picture.read()
        _, part = picture.read((slice(4, 7), slice(2, 5)))
    assert valid is not None
    assert part is not None
    np.testing.assert_array_equal(valid, np.repeat([True, False], 5)[:, None] & np.ones((10, 15), bool))
    np.testing.assert_array_equal(part, valid[4:7, 2:5])

    indices = np.kron(np.arange(12).reshape(3, 4) % 2, np.ones((3, 3), np.uint8)).astype(np.uint8)[..., None]
    path = geotiff(tmp_path / "in/p.tif", indices, photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (10, 20, 30, 255), 1: (200, 100, 0, 255)})
    with open_picture(path, size=(5, 7)) as picture:
        colors, _ = picture.read()
    assert {tuple(color) for color in colors.reshape(-1, 3).tolist()} == {(10, 20, 30), (200, 100, 0)}


@given(st.floats(0.001, 1000), st.floats(0.001, 1000))
def test_far_apart_is_the_same_both_ways(first, second):
    assert are_far_apart(first, second) == are_far_apart(second, first)
    assert not are_far_apart(first, first * 1.3)
