"""Class maps of mosaics that do not fit into memory.

A chain of three threads: one reads strips, one runs the network, the caller's blends, keeps finished bands as parts
and writes them into the GeoTIFF. A killed run loses the GeoTIFF but not the parts, and resumes after them.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.place import Place
from rsseg_tf.datasets.images.channels import visible
from rsseg_tf.datasets.images.picture import Picture
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.datasets.palette import IGNORE, Palette
from rsseg_tf.inference.areas import area_table, counts_by_row
from rsseg_tf.inference.blending import best_in, blended, scored
from rsseg_tf.inference.class_raster import ClassRaster, create_class_raster
from rsseg_tf.inference.confidence import confidence_in, restored, stored
from rsseg_tf.inference.parts import Parts
from rsseg_tf.inference.polygons.layer import PolygonLayer, create_layer
from rsseg_tf.inference.predict import CLASS_MAP, Products, TiledPredictor
from rsseg_tf.inference.prefetch import prefetched
from rsseg_tf.inference.strips import strips_from
from rsseg_tf.inference.style import write_style
from rsseg_tf.inference.tiling import Image, Infer, TileGrid
from rsseg_tf.progress import Progress

OVERLAY_SHARE = 0.5
_OVERLAY_SIDE = 2048
_STRIPS_AHEAD = 1
_BATCHES_AHEAD = 4


@dataclass(frozen=True)
class _Band:
    """Finished rows: where they begin, their pixels (rows, W, bands), which hold data, and their classes (rows, W).

    The confidence (rows, W) is stored in steps, 255 where there is no data; None where nobody asks for it.
    """

    row: int
    top: int
    pixels: Image
    valid: NDArray[np.bool_] | None
    classes: Image
    confidence: Image | None = None


@dataclass(frozen=True)
class Mosaic:
    """What is predicted: the picture, where it lies, and the square meters of a pixel in each row (H,), if known.

    Also what is made of it besides the class map.
    """

    picture: Picture
    place: Place
    row_areas_m2: NDArray[np.float64] | None
    products: Products = CLASS_MAP


def predict_raster(
    predictor: TiledPredictor,
    mosaic: Mosaic,
    target: Path,
    *,
    key: Mapping[str, Any],
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict a mosaic and write `NAME_classes.tif` with its style, a small `NAME_overlay.png`, and what is wished.

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
    parts = Parts(target.with_name(f"{target.name}_parts"), key, overwrite=overwrite)
    kept = parts.done()
    raster, summary = mosaic.picture, _Summary(mosaic, predictor)
    unfinished = parts.folder  # so that what a kill leaves of the files goes with the parts
    with _open_outputs(unfinished, mosaic, predictor.palette) as outputs:
        for band in _bands(predictor, mosaic, parts, infer=network):
            if band.row >= kept:
                parts.save(band.row, band.classes, band.confidence)
            outputs.add(band)
            summary.add(band)
            if progress:
                progress((band.top + len(band.classes)) * raster.width, raster.height * raster.width)
    files = outputs.move(target)
    write_style(target.with_name(f"{target.name}_classes.qml"), predictor.palette)
    files |= {"style": f"{target.name}_classes.qml", "overlay": f"{target.name}_overlay.png"}
    write_image(target.with_name(files["overlay"]), summary.overlay())
    parts.remove()
    seconds = time.perf_counter() - started
    return {
        "height": raster.height,
        "width": raster.width,
        **summary.record(),
        "files": files,
        "run": {"seconds": seconds, "network_seconds": network.seconds, "bands_resumed": kept},
    }


@dataclass(frozen=True)
class _Outputs:
    """The files that grow by rows."""

    mosaic: Mosaic
    folder: Path
    classes: ClassRaster
    confidence: ClassRaster | None
    polygons: PolygonLayer | None

    def add(self, band: _Band) -> None:
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
def _open_outputs(folder: Path, mosaic: Mosaic, palette: Palette) -> Iterator[_Outputs]:
    wanted, like, place = mosaic.products, mosaic.picture, mosaic.place
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


def _bands(predictor: TiledPredictor, mosaic: Mosaic, parts: Parts, *, infer: Infer) -> Iterator[_Band]:
    """Yield all bands of the class map, those that were kept first."""
    raster, wanted = mosaic.picture, mosaic.products
    if predictor.fitting != "crop":
        pixels, valid = raster.rows(0, raster.height)
        yield _Band(0, 0, pixels, valid, *predicted(predictor, pixels, valid, wanted))
        return
    grid = TileGrid(raster.height, raster.width, predictor.input_size, predictor.overlap)
    kept = parts.done()
    for row in range(kept):
        top, bottom = grid.band(row)
        pixels, valid = raster.rows(top, bottom)
        steps = parts.load(row, "confidence") if wanted.need_confidence else None
        yield _Band(row, top, pixels, valid, parts.load(row), steps)
    if kept < len(grid.tops):
        yield from _blended(mosaic, grid, infer, first=kept, unit=predictor.score_unit)


def _blended(mosaic: Mosaic, grid: TileGrid, infer: Infer, *, first: int, unit: float) -> Iterator[_Band]:
    raster, wanted = mosaic.picture, mosaic.products
    strips = prefetched(strips_from(raster, grid, first=grid.first_row_into(first)), depth=_STRIPS_AHEAD)
    tiles = prefetched(scored(strips, infer, grid), depth=_BATCHES_AHEAD)
    with contextlib.closing(tiles):
        for band in blended(tiles, grid):
            if band.row >= first:
                rows = len(band.weights)
                valid = None if band.strip.valid is None else band.strip.valid[:rows]
                sure = confidence_in(band, unit=unit) if wanted.need_confidence else None
                made = _finished(best_in(band), sure, valid, wanted)
                yield _Band(band.row, band.top, band.strip.pixels[:rows, : grid.width], valid, *made)


def predicted(
    predictor: TiledPredictor, pixels: Image, valid: NDArray[np.bool_] | None, wanted: Products
) -> tuple[Image, Image | None]:
    """Return the classes of an image in memory, 255 for none, and its confidence in steps where that is asked for."""
    if not wanted.need_confidence:
        return _finished(predictor.predict(pixels), None, valid, wanted)
    return _finished(*predictor.predict_with_confidence(pixels), valid, wanted)


def _finished(
    classes: Image, confidence: NDArray[np.float32] | None, valid: NDArray[np.bool_] | None, wanted: Products
) -> tuple[Image, Image | None]:
    steps = None if confidence is None else stored(confidence)
    if valid is not None:
        classes = np.where(valid, classes, np.uint8(IGNORE))
        steps = None if steps is None else np.where(valid, steps, np.uint8(IGNORE))
    if confidence is not None and wanted.threshold:
        classes = np.where(confidence >= wanted.threshold, classes, np.uint8(IGNORE))
    return classes, steps


class _Stopwatch:
    """A network that counts the seconds spent in it, copying tiles in and scores out included."""

    def __init__(self, infer: Infer) -> None:
        self.seconds = 0.0
        self._infer = infer

    def __call__(self, images: Image) -> NDArray[Any]:
        started = time.perf_counter()
        scores = self._infer(images)
        self.seconds += time.perf_counter() - started
        return scores


class _Summary:
    """Areas of the classes and a small picture, gathered band by band."""

    def __init__(self, mosaic: Mosaic, predictor: TiledPredictor) -> None:
        raster = mosaic.picture
        self._palette = predictor.palette
        self._all_pixels = raster.height * raster.width
        self._step = math.ceil(max(raster.height, raster.width) / _OVERLAY_SIDE)
        self._row_areas = mosaic.row_areas_m2
        self._counts = np.zeros((raster.height, predictor.palette.num_classes), np.int64)
        shape = (math.ceil(raster.height / self._step), math.ceil(raster.width / self._step))
        self._pixels = np.zeros((*shape, 3), np.uint8)
        self._classes = np.full(shape, IGNORE, np.uint8)

    def add(self, band: _Band) -> None:
        """Add a band to the totals."""
        bottom = band.top + len(band.classes)
        self._counts[band.top : bottom] = counts_by_row(band.classes, self._palette.num_classes)
        offset = -band.top % self._step
        first, last = math.ceil(band.top / self._step), math.ceil(bottom / self._step)
        self._pixels[first:last] = visible(band.pixels[offset :: self._step, :: self._step])
        self._classes[first:last] = band.classes[offset :: self._step, :: self._step]

    def record(self) -> dict[str, Any]:
        """Return `classes` (see `area_table`), `nodata_pixels`, and `overlay_step`, pixels per pixel of the overlay."""
        pixels = self._counts.sum(0)
        areas = None if self._row_areas is None else self._row_areas @ self._counts
        return {
            "classes": area_table(self._palette.names, pixels, areas),
            "nodata_pixels": int(self._all_pixels - pixels.sum()),
            "overlay_step": self._step,
        }

    def overlay(self) -> Image:
        """Return colors over the small picture, uint8 (h, w, 3)."""
        colors = self._palette.colorize(self._classes)
        blend: Image = cv2.addWeighted(self._pixels, 1 - OVERLAY_SHARE, colors, OVERLAY_SHARE, 0)
        return blend
