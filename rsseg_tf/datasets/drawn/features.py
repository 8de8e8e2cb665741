"""Polygons that people drew, in any file that GDAL knows: read by pyogrio, held by shapely."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.raster import required_library
from rsseg_tf.errors import DataError, extras_named, first_line, unreadable

_CONVERT = "save it as a GeoPackage, in QGIS by Export > Save Features As"
_TOGETHER = (".shx", ".dbf")
_POLYGONS = ("Polygon", "MultiPolygon")
_UNDEFINED = '"Undefined '  # so GeoPackage calls the system of coordinates that have none


@dataclass(frozen=True)
class Layer:
    """Polygons and what is known of each.

    Attributes:
        path: the file.
        crs: the coordinate reference system of rasterio; None where the file does not say.
        shapes: polygons and multipolygons of shapely (n,), in the order of the file.
        attributes: name → value of each (n,), as pyogrio reads them.
    """

    path: Path
    crs: Any
    shapes: NDArray[np.object_]
    attributes: Mapping[str, NDArray[Any]]


@extras_named()
def read_layer(path: Path, *, layer: str = "") -> Layer:
    """Return the polygons in a file.

    Args:
        path: a GeoPackage, a GeoJSON file, a Shapefile, or another file of polygons that GDAL reads.
        layer: its name; may be empty where there is one alone.

    Raises:
        DataError: if it cannot be read, has no such layer, or several and none is named, or holds points or lines,
            features without an outline, or no polygon.
        MissingExtraError: if pyogrio, shapely or rasterio is not installed.
    """
    required_library()
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError

    try:
        with path.open("rb"):
            pass
        _check_together(path)
        name, (about, _, stored, columns) = _stored(path, layer)
    except OSError as error:
        raise unreadable(path, error) from error
    except (DataSourceError, DataLayerError) as error:
        raise DataError(f"cannot read `{path}`: {first_line(error).partition(';')[0]}", hint=_CONVERT) from error
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read `{path}`: it holds text that is not UTF-8", hint=_CONVERT) from error
    with np.errstate(invalid="ignore"):  # coordinates that are no numbers, which the next line tells of
        shapes = shapely.from_wkb(stored, on_invalid="fix")
    _check_shapes(path, name, shapes)
    return Layer(path, _crs(path, about["crs"]), shapes, dict(zip(about["fields"], columns, strict=True)))


def _check_together(path: Path) -> None:
    """GDAL reads a Shapefile without its attributes, and says nothing."""
    if path.suffix.lower() != ".shp":
        return
    found = {each.suffix.lower() for each in path.parent.iterdir() if each.stem == path.stem}
    missing = [path.stem + suffix for suffix in _TOGETHER if suffix not in found]
    if missing:
        raise DataError(
            f"there is no `{missing[0]}` beside `{path}`", hint="copy all files of that name: .shp, .shx, .dbf, .prj"
        )


def _stored(path: Path, wanted: str) -> tuple[str, Any]:
    import pyogrio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # GDAL's remarks, such as that it closed a ring
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind]
        if wanted not in layers and (wanted or len(layers) != 1):
            said = f"has no layer `{wanted}`" if wanted else "holds several layers" if layers else "holds no polygon"
            hint = f"name one of {', '.join(layers)}: --layer" if layers else "give a file of polygons"
            raise DataError(f"`{path}` {said}", hint=hint)
        name = wanted or layers[0]
        return name, pyogrio.raw.read(path, layer=name, force_2d=True)


def _check_shapes(path: Path, name: str, shapes: NDArray[np.object_]) -> None:
    """Refuse what would be lost without a word."""
    import shapely

    if not len(shapes):
        raise DataError(f"`{path}` holds no polygon", hint="draw some, or give another file or layer")
    lost = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    points, owners = shapely.get_coordinates(shapes, return_index=True)
    lost[owners[~np.isfinite(points).all(axis=1)]] = True
    if lost.any():
        count = np.count_nonzero(lost)
        raise DataError(
            f"`{path}`: {count} of the {len(shapes)} features of `{name}` have no outline, or a damaged one",
            hint="in QGIS select them by the expression is_empty_or_null($geometry), and delete or redraw them",
        )
    others = {shape.geom_type for shape in shapes} - set(_POLYGONS)
    if others:
        raise DataError(f"`{path}` holds a {min(others)}, expected polygons", hint="give a layer of polygons")


def _crs(path: Path, text: str | None) -> Any:
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    if not text or _UNDEFINED in text:
        return None
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        said = "its coordinate reference system is not known to PROJ"
        raise DataError(f"cannot read `{path}`: {said}", hint=_CONVERT) from error
