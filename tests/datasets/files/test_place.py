"""Points in another coordinate reference system: as PROJ has them, or an error, never a wait."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform

from rsseg_tf.datasets.files.place import Place, reprojected
from rsseg_tf.errors import DataError
from rsseg_tf.inference.areas import row_areas_m2

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
