"""Class maps of mosaics that do not fit into memory.

Finished bands are kept as parts and written into the GeoTIFF. A killed run loses the GeoTIFF but not the parts, and
makes those that are missing.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.inference.areas import area_table, counts_by_row
from rsseg_tf.inference.class_raster import ClassRaster, create_class_raster
from rsseg_tf.inference.confidence import restored
from rsseg_tf.inference.files.bands import Mosaic, grid_of, kept_band, new_bands
from rsseg_tf.inference.parts import Band, Parts
from rsseg_tf.inference.polygons.layer import PolygonLayer, create_layer
from rsseg_tf.inference.predict import TiledPredictor
from rsseg_tf.inference.style import write_style
from rsseg_tf.inference.tiling import Image, Infer, Scores
from rsseg_tf.progress import Progress

OVERLAY_SHARE = 0.5


def predict_raster(
    predictor: TiledPredictor,
    mosaic: Mosaic,
    target: Path,
    *,
    key: Mapping[str, Any],
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict a mosaic and write `NAME_classes.tif` with its style, a small `NAME_overlay.jpg`, and what is wished.

    Until all exist, finished bands lie in the folder `NAME_parts`.

    Args:
        predictor: the model.
        mosaic: the image.
        target: the folder of the results and NAME.
        key: what the result depends on; only parts with the same key are resumed.
        overwrite: forget the parts.
        progress: called after every band, with pixels.

    Returns:
        Size, area of each class and the run's figures, as JSON values.

    Raises:
        DataError: if the image is damaged.
        ConfigError: if parts of another run lie there.
        RssegError: if the results cannot be written.
    """
    started = time.perf_counter()
    network = _Stopwatch(predictor.infer)
    parts = parts_of(target, key, overwrite=overwrite)
    kept = parts.count()
    made = assembled(mosaic, parts, target, bands=_bands(predictor, mosaic, parts, infer=network), progress=progress)
    seconds = time.perf_counter() - started
    return {**made, "run": {"seconds": seconds, "network_seconds": network.seconds, "bands_resumed": kept}}


def parts_of(target: Path, key: Mapping[str, Any], *, overwrite: bool) -> Parts:
    """Return the finished bands of the results with a name; see `Parts`."""
    return Parts(target.with_name(f"{target.name}_parts"), key, overwrite=overwrite)


def assembled(
    mosaic: Mosaic, parts: Parts, target: Path, *, bands: Iterable[Band], progress: Progress | None = None
) -> dict[str, Any]:
    """Write the results of a mosaic, of bands that come in order, and delete the parts.

    Returns:
        Size, area of each class, and files, as JSON values.

    Raises:
        RssegError: if the results cannot be written.
    """
    raster, summary = mosaic.picture, _Summary(mosaic)
    unfinished = parts.folder  # so that what a kill leaves of the files goes with the parts
    with _open_outputs(unfinished, mosaic) as outputs:
        for band in bands:
            outputs.add(band)
            summary.add(band)
            if progress:
                progress((band.top + len(band.classes)) * raster.width, raster.height * raster.width)
    files = outputs.move(target)
    write_style(target.with_name(f"{target.name}_classes.qml"), mosaic.palette)
    files |= {"style": f"{target.name}_classes.qml", "overlay": f"{target.name}_overlay.jpg"}
    write_image(target.with_name(files["overlay"]), summary.overlay())
    parts.remove()
    return {"height": raster.height, "width": raster.width, **summary.record(), "files": files}


@dataclass(frozen=True)
class _Outputs:
    """The files that grow by rows."""

    mosaic: Mosaic
    folder: Path
    classes: ClassRaster
    confidence: ClassRaster | None
    polygons: PolygonLayer | None

    def add(self, band: Band) -> None:
        """Store the next band."""
        self.classes.write(band.top, band.classes)
        if self.confidence and band.confidence is not None:
            self.confidence.write(band.top, band.confidence)
        if self.polygons and band.confidence is not None:
            areas = self.mosaic.row_areas_m2
            rows = None if areas is None else areas[band.top : band.top + len(band.classes)]
            self.polygons.add(band.classes, confidence=restored(band.confidence), row_areas_m2=rows)

    def move(self, target: Path) -> dict[str, str]:
        """Give the finished files their names, and return these."""
        made = {"classes": ".tif"}
        made |= {"confidence": ".tif"} if self.confidence else {}
        made |= {"polygons": f".{self.mosaic.products.polygons}"} if self.polygons else {}
        files = {kind: f"{target.name}_{kind}{ending}" for kind, ending in made.items()}
        for kind, ending in made.items():
            (self.folder / f"{kind}{ending}").replace(target.with_name(files[kind]))
        return files


@contextlib.contextmanager
def _open_outputs(folder: Path, mosaic: Mosaic) -> Iterator[_Outputs]:
    wanted, like, place, palette = mosaic.products, mosaic.picture, mosaic.place, mosaic.palette
    layer = folder / f"polygons.{wanted.polygons}"
    layer.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        classes = enter(create_class_raster(folder / "classes.tif", like, place, palette))
        sure = enter(create_class_raster(folder / "confidence.tif", like, place, None)) if wanted.confidence else None
        has_areas = mosaic.row_areas_m2 is not None
        polygons = None
        if wanted.polygons:
            polygons = enter(create_layer(layer, wanted, palette, place, width=like.width, has_areas=has_areas))
        yield _Outputs(mosaic, folder, classes, sure, polygons)


def _bands(predictor: TiledPredictor, mosaic: Mosaic, parts: Parts, *, infer: Infer) -> Iterator[Band]:
    """Yield all bands of the class map in order; those that were not kept are made, and kept."""
    grid = grid_of(predictor, mosaic)
    rows = range(len(grid.tops) if grid else 1)
    at = 0
    for run in [*parts.missing(rows), range(rows.stop, rows.stop)]:
        for row in range(at, run.start):
            yield kept_band(mosaic, grid, parts, row)
        for band in new_bands(predictor, mosaic, grid, run, infer=infer) if run else ():
            parts.save(band)
            yield band
        at = run.stop


class _Stopwatch:
    """A network that counts the seconds spent in it, copying tiles in and scores out included."""

    def __init__(self, infer: Infer) -> None:
        self.seconds = 0.0
        self._infer = infer

    def __call__(self, images: Image) -> Scores:
        started = time.perf_counter()
        scores = self._infer(images)
        self.seconds += time.perf_counter() - started
        return scores


class _Summary:
    """Areas of the classes and a small picture, gathered band by band."""

    def __init__(self, mosaic: Mosaic) -> None:
        raster = mosaic.picture
        self._mosaic, self._palette = mosaic, mosaic.palette
        self._all_pixels = raster.height * raster.width
        self._row_areas = mosaic.row_areas_m2
        self._counts = np.zeros((raster.height, self._palette.num_classes), np.int64)
        shape = tuple(math.ceil(side / mosaic.overlay_step) for side in (raster.height, raster.width))
        self._pixels = np.zeros((*shape, 3), np.uint8)
        self._classes = np.full(shape, IGNORE, np.uint8)

    def add(self, band: Band) -> None:
        """Add a band to the totals."""
        bottom, step = band.top + len(band.classes), self._mosaic.overlay_step
        self._counts[band.top : bottom] = counts_by_row(band.classes, self._palette.num_classes)
        first, last = math.ceil(band.top / step), math.ceil(bottom / step)
        self._pixels[first:last] = band.seen
        self._classes[first:last] = self._mosaic.in_overlay(band.top, band.classes)

    def record(self) -> dict[str, Any]:
        """Return `classes` (see `area_table`), `nodata_pixels`, and `overlay_step`, pixels per pixel of the overlay."""
        pixels = self._counts.sum(0)
        areas = None if self._row_areas is None else self._row_areas @ self._counts
        return {
            "classes": area_table(self._palette.names, pixels, areas),
            "nodata_pixels": int(self._all_pixels - pixels.sum()),
            "overlay_step": self._mosaic.overlay_step,
        }

    def overlay(self) -> Image:
        """Return colors over the small picture, uint8 (h, w, 3)."""
        colors = self._palette.colorize(self._classes)
        blend: Image = cv2.addWeighted(self._pixels, 1 - OVERLAY_SHARE, colors, OVERLAY_SHARE, 0)
        return blend
