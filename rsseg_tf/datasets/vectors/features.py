"""Polygons that people drew: GeoPackage, GeoJSON and Shapefile, read without another library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.datasets.files.raster import required_library
from rsseg_tf.datasets.vectors.stored import Drawn, package_rows, shapefile_rows
from rsseg_tf.errors import DataError, unreadable

_FORMATS = "GeoPackage (.gpkg), GeoJSON (.geojson, .json) or Shapefile (.shp)"
_CONVERT = "save it as a GeoPackage, in QGIS by Export > Save Features As"


@dataclass(frozen=True)
class Layer:
    """Polygons and what is known of each.

    Attributes:
        path: the file.
        crs: the coordinate reference system of rasterio; None where the file does not say.
        drawn: every polygon, in the order of the file.
    """

    path: Path
    crs: Any
    drawn: tuple[Drawn, ...]


def read_layer(path: Path, *, layer: str = "") -> Layer:
    """Return the polygons in a file.

    Args:
        path: GeoPackage, GeoJSON or Shapefile.
        layer: (GeoPackage) its name; may be empty where there is one alone.

    Raises:
        DataError: if it cannot be read, or holds points or lines, or no polygon.
        MissingExtraError: if rasterio is not installed.
    """
    required_library()
    readers = {".gpkg": _from_package, ".geojson": _from_json, ".json": _from_json, ".shp": _from_shapefile}
    if path.suffix.lower() not in readers:
        raise DataError(f"`{path}` is no {_FORMATS}", hint=_CONVERT)
    try:
        with path.open("rb"):
            pass
        crs, drawn = readers[path.suffix.lower()](path, layer)
    except OSError as error:
        raise unreadable(path, error) from error
    if not drawn:
        raise DataError(f"`{path}` holds no polygon", hint="draw some, or give another file or layer")
    return Layer(path, crs, tuple(drawn))


def _from_package(path: Path, layer: str) -> tuple[Any, list[Drawn]]:
    system, drawn = package_rows(path, layer)
    if system is None:
        return None, drawn
    organization, code, definition = system
    return _crs(path, f"EPSG:{code}" if organization.upper() == "EPSG" else definition), drawn


def _from_shapefile(path: Path, _layer: str) -> tuple[Any, list[Drawn]]:
    beside = path.with_suffix(".prj")
    text = beside.read_text(encoding="utf-8", errors="replace").strip() if beside.exists() else ""
    return (_crs(beside, text) if text else None), shapefile_rows(path)


def _from_json(path: Path, _layer: str) -> tuple[Any, list[Drawn]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        features = [content] if content["type"] == "Feature" else content["features"]
        named = (content.get("crs") or {}).get("properties", {}).get("name", "OGC:CRS84")
        drawn = [drawn for feature in features for drawn in _drawn_in(path, feature)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"`{path}` is no GeoJSON file of features", hint=_CONVERT) from error
    return _crs(path, named), drawn


def _drawn_in(path: Path, feature: dict[str, Any]) -> Iterator[Drawn]:
    geometry = feature["geometry"]
    if geometry is None:
        return
    if geometry["type"] not in ("Polygon", "MultiPolygon"):
        raise DataError(f"`{path}` holds a {geometry['type']}, expected polygons", hint="give a layer of polygons")
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    rings = [[(float(point[0]), float(point[1])) for point in ring] for polygon in polygons for ring in polygon]
    yield Drawn(rings, feature.get("properties") or {})


def _crs(path: Path, text: str) -> Any:
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        return CRS.from_user_input(text, morph_from_esri_dialect=True)
    except CRSError as error:
        said = "its coordinate reference system is not known to PROJ"
        raise DataError(f"cannot read `{path}`: {said}", hint=_CONVERT) from error
