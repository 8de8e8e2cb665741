"""The polygons of a class map, in a file that a GIS opens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.place import Place
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.inference.polygons.file import PolygonFile, check_libraries, create_polygon_file, in_degrees
from rsseg_tf.inference.polygons.outlines import Ring, simplified
from rsseg_tf.inference.polygons.regions import Region, RegionFinder
from rsseg_tf.inference.predict import Products
from rsseg_tf.inference.tiling import Image

_ROWS_AT_ONCE = 512
_PIXELS_AT_ONCE = 1 << 22
"""Of no more pixels can more regions come at once than outlines can be told apart by."""

_STRAIGHTEN = (  # `rio warp` makes one row of it
    'python -c "import rasterio, rasterio.shutil as files; from rasterio.vrt import WarpedVRT; '
    "files.copy(WarpedVRT(rasterio.open('IN.tif'), add_alpha=True), 'OUT.tif', driver='GTiff')\""
)


@dataclass(frozen=True)
class PolygonLayer:
    """A layer that is being written; see `create_layer`."""

    file: PolygonFile
    finder: RegionFinder
    palette: Palette
    has_areas: bool
    simplify: bool
    transform: Any

    def add(self, classes: Image, *, confidence: NDArray[np.float32], row_areas_m2: NDArray[np.float64] | None) -> None:
        """Take the next rows of the class map.

        Args:
            classes: uint8 (rows, W), 255 for no class.
            confidence: of each pixel, float32 (rows, W), 0 … 1.
            row_areas_m2: square meters of a pixel in each row (rows,); None where unknown.
        """
        areas = np.zeros(len(classes)) if row_areas_m2 is None else row_areas_m2
        count = max(1, min(_ROWS_AT_ONCE, _PIXELS_AT_ONCE // classes.shape[1]))
        for top in range(0, len(classes), count):
            rows = slice(top, top + count)
            self.take(self.finder.add(classes[rows], confidence=confidence[rows], row_areas_m2=areas[rows]))

    def take(self, regions: Iterable[Region]) -> None:
        """Store some regions."""
        for region in regions:
            values = {
                "class": self.palette.names[region.number],
                "class_id": region.number,
                "pixels": region.pixels,
                "area_m2": region.area_m2 if self.has_areas else None,
                "confidence": round(region.confidence, 4),
            }
            self.file.add([self._on_the_ground(ring) for ring in region.rings], values)

    def _on_the_ground(self, ring: Ring) -> Ring:
        a, b, c, d, e, f = self.transform[:6]
        column, row = (simplified(ring) if self.simplify else ring).T
        points = np.stack([a * column + b * row + c, d * column + e * row + f], axis=1)
        return points[::-1] if a * e < b * d else points


def check_place(path: Path, place: Place, products: Products, *, has_areas: bool) -> None:
    """Check that polygons of an image can be made as wished, before it is predicted.

    Raises:
        MissingExtraError: if what writes them is not installed.
        ConfigError: if it lies where ground control points alone say, or its areas are not known and asked for, or
            GeoJSON is and its place has no longitude and latitude, or no coordinate reference system.
    """
    if products.polygons:
        check_libraries()
    if products.polygons and place.control and place.transform is None:
        raise ConfigError(
            f"`{path}` says by ground control points alone where it lies, which polygons cannot follow",
            hint=f"straighten it first: {_STRAIGHTEN}",
        )
    if products.polygons == "geojson" and place.transform is not None:
        if place.crs is None:
            raise ConfigError(
                f"`{path}` does not say in which coordinate reference system it lies, and GeoJSON is in degrees",
                hint="say so, as by `rio edit-info --crs EPSG:CODE`, or ask for polygons as gpkg",
            )
        try:
            in_degrees(np.array([[place.transform[2], place.transform[5]]]), crs=place.crs)
        except DataError as error:
            raise ConfigError(
                f"`{path}` lies where longitude and latitude do not follow: {error.message}",
                hint="ask for polygons as gpkg",
            ) from error
    if products.polygons and products.least_area_m2 and not has_areas:
        raise ConfigError(f"`{path}` does not say how large its pixels are", hint="say so: --gsd, in meters")


@contextlib.contextmanager
def create_layer(
    path: Path, products: Products, palette: Palette, place: Place, *, width: int, has_areas: bool
) -> Iterator[PolygonLayer]:
    """Yield a new file of polygons, whole when the block ends.

    Args:
        path: where to write it; its ending says how.
        products: how they are made.
        palette: the classes.
        place: where the map lies; else points are in pixels, the second below 0.
        width: of the map, in pixels.
        has_areas: whether the size of a pixel is known.

    Raises:
        RssegError: if it cannot be written.
    """
    transform = place.transform or (1, 0, 0, 0, -1, 0)
    finder = RegionFinder(width, least_area_m2=products.least_area_m2)
    with create_polygon_file(path, crs=place.crs) as file:
        layer = PolygonLayer(file, finder, palette, has_areas, products.simplify, transform)
        yield layer
        layer.take(finder.close())
