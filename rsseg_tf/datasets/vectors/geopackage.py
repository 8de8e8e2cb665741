"""GeoPackage: polygons in a SQLite file (OGC 12-128r19), which every GIS opens."""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import RssegError

Rings: TypeAlias = Sequence[NDArray[np.float64]]
"""The rings of a polygon, (n, 2) points each, first one last not repeated: the outline, then the holes."""

_APPLICATION_ID, _VERSION = 0x47504B47, 10300
_UNKNOWN_PLACE, _OWN_SYSTEM = -1, 100000
_ENVELOPE, _LITTLE_ENDIAN, _POLYGON = 0b11, 1, 3
_TYPES = {int: "INTEGER", float: "REAL", str: "TEXT"}
_ROWS_AT_ONCE = 1000

_TABLES = """
CREATE TABLE gpkg_spatial_ref_sys (
  srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (
  table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '',
  last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
  CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (
  table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL,
  z TINYINT NOT NULL, m TINYINT NOT NULL, CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name));
INSERT INTO gpkg_spatial_ref_sys VALUES
  ('Undefined Cartesian SRS', -1, 'NONE', -1, 'undefined', NULL),
  ('Undefined geographic SRS', 0, 'NONE', 0, 'undefined', NULL);
"""


class GeoPackage:
    """A file that is being written; see `create_geopackage`."""

    def __init__(self, database: sqlite3.Connection, table: str, columns: int, system: int) -> None:
        self._database = database
        self._insert = f'INSERT INTO "{table}" VALUES (NULL, ?{", ?" * columns})'
        self._system = system
        self._waiting: list[tuple[Any, ...]] = []
        self.bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])

    def add(self, rings: Rings, values: Sequence[Any]) -> None:
        """Store a polygon and what is known of it, in the order of the columns."""
        low, high = rings[0].min(axis=0), rings[0].max(axis=0)
        self.bounds[:2], self.bounds[2:] = np.minimum(self.bounds[:2], low), np.maximum(self.bounds[2:], high)
        self._waiting.append((_blob(rings, low, high, self._system), *values))
        if len(self._waiting) == _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Hand over what waits."""
        self._database.executemany(self._insert, self._waiting)
        self._waiting.clear()


@contextlib.contextmanager
def create_geopackage(path: Path, *, table: str, columns: Mapping[str, type], crs: Any = None) -> Iterator[GeoPackage]:
    """Yield a new file with one layer of polygons, whole when the block ends.

    Args:
        path: an empty file, or none.
        table: the name of the layer.
        columns: name → `int`, `float` or `str`, beside the number and the outline.
        crs: the coordinate reference system of rasterio; None for coordinates that lie nowhere.

    Raises:
        RssegError: if it cannot be written.
    """
    try:
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.executescript(
                f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA application_id = {_APPLICATION_ID};"
                f"PRAGMA user_version = {_VERSION}; BEGIN; {_TABLES}"
            )
            system = _add_system(database, crs)
            named = "".join(f', "{name}" {_TYPES[kind]}' for name, kind in columns.items())
            database.execute(f'CREATE TABLE "{table}" (fid INTEGER PRIMARY KEY, geom POLYGON{named})')
            package = GeoPackage(database, table, len(columns), system)
            yield package
            package.flush()
            bounds = package.bounds.tolist() if np.isfinite(package.bounds).all() else [None] * 4
            contents = (
                "INSERT INTO gpkg_contents (table_name, data_type, identifier, min_x, min_y, max_x, max_y, srs_id)"
            )
            database.execute(f"{contents} VALUES (?, 'features', ?, ?, ?, ?, ?, ?)", (table, table, *bounds, system))
            database.execute(
                "INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', 'POLYGON', ?, 0, 0)", (table, system)
            )
    except sqlite3.Error as error:
        raise RssegError(f"cannot write `{path}`: {error}", hint="is the disk full?") from error


def _add_system(database: sqlite3.Connection, crs: Any) -> int:
    """Store the coordinate reference system, and WGS 84, which every file has; return its number in the file."""
    from rasterio.crs import CRS

    systems = {4326: CRS.from_epsg(4326)}
    number = _UNKNOWN_PLACE
    if crs is not None:
        number = crs.to_epsg() or _OWN_SYSTEM
        systems[number] = crs
    for code, each in systems.items():
        name = each.to_wkt().split('"')[1]
        organization = "NONE" if code == _OWN_SYSTEM else "EPSG"
        row = (name, code, organization, code, each.to_wkt(), None)
        database.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)", row)
    return number


def _blob(rings: Rings, low: NDArray[np.float64], high: NDArray[np.float64], system: int) -> bytes:
    header = struct.pack("<2sBBi4d", b"GP", 0, _ENVELOPE, system, low[0], high[0], low[1], high[1])
    return header + polygon_wkb(rings)


def polygon_wkb(rings: Rings) -> bytes:
    """Return a polygon as well-known binary, its rings closed."""
    parts = [struct.pack("<BII", _LITTLE_ENDIAN, _POLYGON, len(rings))]
    for ring in rings:
        parts += [struct.pack("<I", len(ring) + 1), ring.astype("<f8").tobytes(), ring[:1].astype("<f8").tobytes()]
    return b"".join(parts)
