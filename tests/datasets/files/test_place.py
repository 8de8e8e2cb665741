"""Points in another coordinate reference system: as PROJ has them, or an error, never a wait."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform

from rsseg_tf.datasets.files.ground import row_areas_m2, sides_m, square_side_m
from rsseg_tf.datasets.files.place import Place, place_of, reprojected
from rsseg_tf.errors import DataError

MERCATOR, DEGREES, UTM = "EPSG:3857", "EPSG:4326", "EPSG:32640"


def test_points_are_moved_as_the_library_moves_them() -> None:
    points = np.array([[55.0, 25.0], [56.5, 24.0], [57.0, -10.0]])
    found = reprojected(points, source=DEGREES, target=UTM)
    assert found.T.tolist() == list(map(list, transform(DEGREES, UTM, *points.T.tolist())))


@pytest.mark.parametrize(
    ("point", "source", "target"),
    [
        ((1e20, 0.0), MERCATOR, DEGREES),  # GDAL would not come back
        ((np.nan, 0.0), MERCATOR, DEGREES),
        ((55.0, 95.0), DEGREES, UTM),
    ],
)
def test_a_point_without_a_place_is_an_error(point: tuple[float, float], source: str, target: str) -> None:
    with pytest.raises(DataError, match=f"coordinates in {source} have no place in {target}"):
        reprojected(np.array([(1.0, 1.0), point]), source=source, target=target)


def test_pixels_beyond_what_a_projection_is_made_for_have_the_size_that_the_file_says() -> None:
    place = Place(CRS.from_string(MERCATOR), Affine(2, 0, 1e20, 0, -3, 0))
    assert row_areas_m2(place, 4, 5).tolist() == [6, 6, 6, 6]


@pytest.mark.parametrize("lies", [False, True])
def test_a_ppm_lies_where_its_world_file_says_and_else_nowhere(tmp_path, lies) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6\n6 8\n255\n" + bytes(6 * 8 * 3))
    if lies:
        path.with_suffix(".wld").write_text("0.5\n0\n0\n-0.5\n500000\n2780000\n")
    place = place_of(path)
    assert (place is not None and place.transform is not None) == lies


@pytest.mark.parametrize(
    ("crs", "grid", "sides"),
    [
        (UTM, Affine(0.5, 0, 500_000, 0, -0.25, 2_780_000), (0.25, 0.5)),
        (UTM, Affine(0.5, 0, 500_000, 0, -0.25, 2_780_000) @ Affine.rotation(30), None),  # as high as wide, but slanted
        (UTM, Affine.translation(500_000, 2_780_000) @ Affine.rotation(30) @ Affine.scale(0.5, -0.25), (0.25, 0.5)),
        (MERCATOR, Affine(2, 0, 0, 0, -2, 8_399_738), (1, 1)),  # 60° north
        (MERCATOR, Affine(2, 0, 1e20, 0, -3, 0), (3, 2)),
        (DEGREES, Affine(1e-6, 0, 9, 0, -1e-6, 60), (0.1114, 0.0558)),
    ],
)
def test_pixels_are_as_high_and_wide_as_on_the_ground(tmp_path, crs, grid, sides) -> None:
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=8, width=6, dtype="uint8", crs=crs, transform=grid):
        pass
    found = sides_m(path, place_of(path))

    assert found is not None
    if sides is not None:
        assert found == pytest.approx(sides, rel=5e-3)
    is_square = 3 / 4 < found[0] / found[1] < 4 / 3
    assert square_side_m(path) == (pytest.approx((found[0] * found[1]) ** 0.5) if is_square else None)
