"""How GeoPackages and Shapefiles store polygons."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsseg_tf.errors import DataError

Points = list[tuple[float, float]]

_ENVELOPE_BYTES = (0, 32, 48, 48, 64)
_POLYGON, _MULTIPOLYGON = 3, 6
_SHAPES_OF_POLYGONS = (5, 15, 25)
_HAS_Z, _HAS_M = 0x80000000, 0x40000000
_DAMAGED = "save it again from the program that made it"
_NO_POLYGONS = "give a layer of polygons without curves"


@dataclass(frozen=True)
class Drawn:
    """A polygon, or several that are one object.

    Attributes:
        rings: closed rings of points; what lies in an odd number of them is inside.
        values: attribute → value.
    """

    rings: list[Points]
    values: dict[str, Any]


def package_rows(path: Path, layer: str) -> tuple[tuple[str, int, str] | None, list[Drawn]]:
    """Return the coordinate reference system (organization, code, definition) of a layer, and its polygons.

    Raises:
        DataError: if the file is damaged, has no such layer, or several and none is named.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            table, column, number = _layer_of(database, path, layer)
            system = database.execute(
                "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?",
                (number,),
            ).fetchone()
            database.row_factory = sqlite3.Row
            rows = [dict(row) for row in database.execute(f"SELECT * FROM {_quoted(table)}")]
    except sqlite3.Error as error:
        raise DataError(f"cannot read `{path}`: {error}", hint=_DAMAGED) from error
    drawn = [Drawn(_rings_in(path, blob), row) for row in rows if (blob := row.pop(column)) is not None]
    return (system if number > 0 else None), [each for each in drawn if each.rings]


def _layer_of(database: sqlite3.Connection, path: Path, wanted: str) -> tuple[str, str, int]:
    query = "SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns ORDER BY table_name"
    layers = {row[0]: row for row in database.execute(query)}
    if wanted in layers:
        return layers[wanted]
    if not wanted and len(layers) == 1:
        return next(iter(layers.values()))
    said = f"has no layer `{wanted}`" if wanted else "holds several layers" if layers else "holds no layer"
    raise DataError(f"`{path}` {said}", hint=f"name one of {', '.join(layers)}: --layer" if layers else _DAMAGED)


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _rings_in(path: Path, blob: bytes) -> list[Points]:
    try:
        if blob[:2] != b"GP":
            raise ValueError(blob[:2])
        header = 8 + _ENVELOPE_BYTES[blob[3] >> 1 & 7]
        return [] if blob[3] & 0x10 else _WellKnown(blob, header).rings()
    except _NotPolygonsError as error:
        raise DataError(f"`{path}` holds shapes of type {error}, expected polygons", hint=_NO_POLYGONS) from error
    except (struct.error, ValueError, IndexError) as error:
        raise DataError(f"`{path}` holds a shape that is damaged", hint=_DAMAGED) from error


class _NotPolygonsError(Exception):
    pass


class _WellKnown:
    """Well-known binary, in the variants of ISO and of PostGIS."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self._at = at

    def rings(self) -> list[Points]:
        order = "<" if self._take("B") else ">"
        kind = self._take(f"{order}I")
        sides = 2 + bool(kind & _HAS_Z) + bool(kind & _HAS_M)
        plain = kind & ~(_HAS_Z | _HAS_M)
        sides += (0, 1, 1, 2)[plain // 1000] if plain < 4000 else 0
        if plain % 1000 == _MULTIPOLYGON:
            return [ring for _ in range(self._take(f"{order}I")) for ring in self.rings()]
        if plain % 1000 != _POLYGON:
            raise _NotPolygonsError(plain)
        return [self._ring(order, sides) for _ in range(self._take(f"{order}I"))]

    def _ring(self, order: str, sides: int) -> list[tuple[float, float]]:
        count = self._take(f"{order}I")
        values = np.frombuffer(self._content, f"{order}f8", count * sides, self._at).reshape(count, sides)
        self._at += 8 * sides * count
        return [(float(x), float(y)) for x, y in values[:, :2]]

    def _take(self, kind: str) -> int:
        (value,) = struct.unpack_from(kind, self._content, self._at)
        self._at += struct.calcsize(kind)
        return int(value)


def shapefile_rows(path: Path) -> list[Drawn]:
    """Return the polygons of a Shapefile, with the attributes of the `.dbf` beside it.

    Raises:
        DataError: if one of them is damaged or missing, or it holds other shapes.
        OSError: if one cannot be read.
    """
    try:
        shapes, rows = list(_shapes_in(path)), list(_table_in(path.with_suffix(".dbf")))
        pairs = [Drawn(rings, values) for rings, values in zip(shapes, rows, strict=True)]
    except FileNotFoundError as error:
        raise DataError(
            f"there is no `{error.filename}`", hint="copy all files of that name: .shp, .dbf, .prj"
        ) from error
    except (struct.error, ValueError, IndexError) as error:
        raise DataError(f"`{path}` or its .dbf is damaged", hint=_DAMAGED) from error
    return [each for each in pairs if each.rings]


def _shapes_in(path: Path) -> Iterator[list[Points]]:
    content = path.read_bytes()
    if struct.unpack_from(">i", content)[0] != 9994:
        raise ValueError(path)
    at = 100
    while at < len(content):
        length = 2 * struct.unpack_from(">i", content, at + 4)[0]
        (kind,) = struct.unpack_from("<i", content, at + 8)
        if kind not in (0, *_SHAPES_OF_POLYGONS):
            raise DataError(f"`{path}` holds shapes of type {kind}, expected polygons", hint=_NO_POLYGONS)
        if not kind:
            yield []
        else:
            parts, count = struct.unpack_from("<2i", content, at + 44)
            starts = [*np.frombuffer(content, "<i4", parts, at + 52).tolist(), count]
            points = np.frombuffer(content, "<f8", 2 * count, at + 52 + 4 * parts).reshape(-1, 2).tolist()
            yield [[(x, y) for x, y in points[start:end]] for start, end in itertools.pairwise(starts)]
        at += 8 + length


def _table_in(path: Path) -> Iterator[dict[str, Any]]:
    content = path.read_bytes()
    beside = path.with_suffix(".cpg")
    encoding = beside.read_text(encoding="ascii", errors="replace").strip() if beside.exists() else "latin-1"
    count, start, length = struct.unpack_from("<IHH", content, 4)
    fields: list[tuple[str, str, int]] = []
    at = 32
    while content[at] != 0x0D:
        name = content[at : at + 11].split(b"\0")[0].decode(_known(encoding), "replace")
        fields.append((name, chr(content[at + 11]), content[at + 16]))
        at += 32
    for row in range(count):
        place = start + row * length + 1
        values: dict[str, Any] = {}
        for name, kind, width in fields:
            text = content[place : place + width].decode(_known(encoding), "replace").strip(" \0")
            values[name] = _number(text) if kind in "NF" else text or None
            place += width
        yield values


def _known(encoding: str) -> str:
    try:
        "".encode(encoding)
    except LookupError:
        return "latin-1"
    return encoding


def _number(text: str) -> int | float | None:
    if not text or "*" in text:
        return None
    return int(text) if text.lstrip("+-").isdecimal() else float(text)
