"""A GeoPackage or GeoJSON file of polygons that is written some thousands at a time."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.place import reprojected
from rsseg_tf.errors import RssegError, extras_named, first_line
from rsseg_tf.inference.polygons.antimeridian import cut_where_longitudes_begin
from rsseg_tf.inference.polygons.outlines import Ring

_POINTS_AT_ONCE = 1 << 18
_LAYER = "polygons"
_COLUMNS = {"class": np.object_, "class_id": np.int64, "pixels": np.int64, "area_m2": float, "confidence": float}
_DEGREES_DIGITS = 9  # a tenth of a millimeter
_LONGITUDE_LATITUDE = "EPSG:4326"
_HEAD = '{"type": "FeatureCollection", "features": ['

_Values = Mapping[str, Any]
_Write = Callable[[NDArray[np.object_], list[_Values]], None]


@extras_named()
def check_libraries() -> None:
    """Check that what writes polygons is there.

    Raises:
        MissingExtraError: if pyogrio or shapely is not installed.
    """
    import shapely  # noqa: F401


class PolygonFile:
    """A file that is being written; see `create_polygon_file`."""

    def __init__(self, write: _Write) -> None:
        self._write = write
        self._rings: list[list[Ring]] = []
        self._values: list[_Values] = []
        self._points = 0

    def add(self, rings: list[Ring], values: _Values) -> None:
        """Store a polygon, its outline and then its holes, and what is known of it: a value for each column."""
        self._rings.append(rings)
        self._values.append(values)
        self._points += sum(map(len, rings))
        if self._points >= _POINTS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._write(_polygons(self._rings), self._values)
        self._rings, self._values, self._points = [], [], 0


@contextlib.contextmanager
def create_polygon_file(path: Path, *, crs: Any = None) -> Iterator[PolygonFile]:
    """Yield a new file with one layer of polygons, whole when the block ends.

    Args:
        path: ends in .gpkg or .geojson, which says how it is written; GeoJSON is in longitude and latitude, as its
            standard (RFC 7946) asks.
        crs: the coordinate reference system of rasterio that polygons come in; None for coordinates that lie nowhere,
            which are stored as they are.

    Raises:
        RssegError: if it cannot be written.
    """
    from pyogrio.errors import DataLayerError, DataSourceError

    path.unlink(missing_ok=True)
    try:
        with contextlib.ExitStack() as stack:
            if path.suffix == ".gpkg":
                write: _Write = functools.partial(_add_to_package, path, crs)
            else:
                write = functools.partial(_add_to_json, stack.enter_context(_collection(path)), crs)
            made = PolygonFile(write)
            yield made
            made.flush()
    except (DataSourceError, DataLayerError, OSError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise RssegError(f"cannot write `{path}`: {reason}", hint="is the disk full?") from error


def _polygons(outlines: list[list[Ring]]) -> NDArray[np.object_]:
    import shapely

    rings = list(itertools.chain.from_iterable(outlines))
    if not rings:
        return np.zeros(0, np.object_)
    of_points = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    of_rings = np.repeat(np.arange(len(outlines)), [len(each) for each in outlines])
    made: NDArray[np.object_] = shapely.polygons(
        shapely.linearrings(np.concatenate(rings), indices=of_points), indices=of_rings
    )
    return made


def _add_to_package(path: Path, crs: Any, shapes: NDArray[np.object_], values: list[_Values]) -> None:
    import shapely
    from pyogrio import raw

    fields: list[NDArray[Any]] = [np.array([each[name] for each in values], kind) for name, kind in _COLUMNS.items()]
    about = {"layer": _LAYER, "driver": "GPKG", "geometry_type": "Polygon", "crs": crs and crs.to_string()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there is no coordinate reference system
        raw.write(path, shapely.to_wkb(shapes), fields, list(_COLUMNS), append=path.exists(), **about)


@contextlib.contextmanager
def _collection(path: Path) -> Iterator[TextIO]:
    """GDAL reads a whole GeoJSON file to add a few features, so that this one is written here."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write(_HEAD)
        yield stream
        stream.write("\n]}\n")


def _add_to_json(stream: TextIO, crs: Any, shapes: NDArray[np.object_], values: list[_Values]) -> None:
    import shapely

    if crs is not None:
        moved = functools.partial(in_degrees, crs=crs)
        shapes = cut_where_longitudes_begin(shapes, shapely.transform(shapes, moved), moved=moved)
    known = (json.dumps(each, ensure_ascii=False, allow_nan=False) for each in values)
    features = (
        f'{{"type": "Feature", "properties": {properties}, "geometry": {outline}}}'
        for properties, outline in zip(known, shapely.to_geojson(shapes), strict=True)
    )
    if values:
        stream.write("\n" if stream.tell() == len(_HEAD) else ",\n")
        stream.write(",\n".join(features))


def in_degrees(points: NDArray[np.float64], *, crs: Any) -> NDArray[np.float64]:
    """Return points (n, 2) of a coordinate reference system as longitude and latitude, rounded to about a centimeter.

    Raises:
        DataError: where they have none.
    """
    return reprojected(points, source=crs, target=_LONGITUDE_LATITUDE).round(_DEGREES_DIGITS)
