"""GeoJSON (RFC 7946): polygons as text, in longitude and latitude."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.vectors.geopackage import Rings
from rsseg_tf.errors import RssegError

_DEGREES_DIGITS = 9  # a tenth of a millimeter
_POINTS_AT_ONCE = 1 << 15
LONGITUDE_LATITUDE = "EPSG:4326"


class GeoJson:
    """A file that is being written; see `create_geojson`."""

    def __init__(self, stream: TextIO, crs: Any) -> None:
        self._stream = stream
        self._crs = crs
        self._before = "\n"
        self._waiting: list[tuple[list[NDArray[np.float64]], dict[str, Any]]] = []
        self._points = 0

    def add(self, rings: Rings, values: Mapping[str, Any]) -> None:
        """Store a polygon and what is known of it."""
        closed = [np.concatenate([ring, ring[:1]]) for ring in rings]
        self._waiting.append((closed, dict(values)))
        self._points += sum(map(len, closed))
        if self._points >= _POINTS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        points = iter(self._in_degrees(np.concatenate([ring for rings, _ in self._waiting for ring in rings])))
        for rings, values in self._waiting:
            coordinates = [list(itertools.islice(points, len(ring))) for ring in rings]
            geometry = {"type": "Polygon", "coordinates": coordinates}
            feature = {"type": "Feature", "properties": values, "geometry": geometry}
            self._stream.write(f"{self._before}{json.dumps(feature, ensure_ascii=False, allow_nan=False)}")
            self._before = ",\n"
        self._waiting, self._points = [], 0

    def _in_degrees(self, points: NDArray[np.float64]) -> list[list[float]]:
        if self._crs is None:
            return points.tolist()
        from rasterio.warp import transform

        columns = np.array(transform(self._crs, LONGITUDE_LATITUDE, points[:, 0].tolist(), points[:, 1].tolist()))
        return columns.T.round(_DEGREES_DIGITS).tolist()


@contextlib.contextmanager
def create_geojson(path: Path, *, crs: Any = None) -> Iterator[GeoJson]:
    """Yield a new file, whole when the block ends.

    Args:
        path: the file.
        crs: the coordinate reference system of rasterio that polygons come in; None for coordinates that lie nowhere,
            which are stored as they are.

    Raises:
        RssegError: if it cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8") as stream:
            stream.write('{"type": "FeatureCollection", "features": [')
            features = GeoJson(stream, crs)
            yield features
            features.flush()
            stream.write("\n]}\n")
    except OSError as error:
        raise RssegError(f"cannot write `{path}`: {error.strerror or error}", hint="is the disk full?") from error
