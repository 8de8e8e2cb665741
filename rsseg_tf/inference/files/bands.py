"""The rows of a mosaic's class map that no later window reaches into, one band after the other.

A chain of three threads: one reads strips, one runs the network, the caller's blends. Any of the bands can be made
without the others, by whatever process, and is the same.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.place import Place
from rsseg_tf.datasets.images.channels import visible
from rsseg_tf.datasets.images.picture import Picture
from rsseg_tf.datasets.palette import IGNORE, Palette
from rsseg_tf.inference.blending import best_in, blended, scored
from rsseg_tf.inference.confidence import confidence_in, stored
from rsseg_tf.inference.parts import Band, Parts
from rsseg_tf.inference.predict import CLASS_MAP, Products, TiledPredictor
from rsseg_tf.inference.prefetch import prefetched
from rsseg_tf.inference.strips import strips_from
from rsseg_tf.inference.tiling import Image, Infer, TileGrid

_OVERLAY_SIDE = 2048
_STRIPS_AHEAD = 1
_BATCHES_AHEAD = 4


@dataclass(frozen=True)
class Mosaic:
    """What is predicted: the picture, where it lies, and the square meters of a pixel in each row (H,), if known.

    Also the classes, and what is made of it besides the class map.
    """

    picture: Picture
    place: Place
    row_areas_m2: NDArray[np.float64] | None
    palette: Palette
    products: Products = CLASS_MAP

    @property
    def overlay_step(self) -> int:
        """Pixels of the image per pixel of its overlay."""
        return math.ceil(max(self.picture.height, self.picture.width) / _OVERLAY_SIDE)

    def in_overlay(self, top: int, rows: Image) -> Image:
        """Return what of some pixel rows, (rows, W, …), of which the first is `top`, is in the overlay."""
        step = self.overlay_step
        return rows[-top % step :: step, ::step]


def grid_of(predictor: TiledPredictor, mosaic: Mosaic) -> TileGrid | None:
    """Return how windows lie over a mosaic; None where the network sees it as a whole, in one band."""
    if predictor.fitting != "crop":
        return None
    return TileGrid(mosaic.picture.height, mosaic.picture.width, predictor.input_size, predictor.overlap)


def kept_band(mosaic: Mosaic, grid: TileGrid | None, parts: Parts, row: int) -> Band:
    """Return a band that was kept.

    Raises:
        DataError: if its file, or the image's, is damaged.
    """
    top, bottom = grid.band(row) if grid else (0, mosaic.picture.height)
    steps = parts.load(row, "confidence") if mosaic.products.need_confidence else None
    return Band(row, top, parts.load(row), steps, _seen(mosaic, parts, row, (top, bottom)))


def _seen(mosaic: Mosaic, parts: Parts, row: int, rows: tuple[int, int]) -> Image:
    if (kept := parts.load_seen(row)) is not None:
        return kept
    pixels, _ = mosaic.picture.rows(*rows)
    return visible(mosaic.in_overlay(rows[0], pixels))


def new_bands(
    predictor: TiledPredictor, mosaic: Mosaic, grid: TileGrid | None, rows: range, *, infer: Infer | None = None
) -> Generator[Band]:
    """Yield bands that the network makes: those of some rows of windows, one after the other.

    Args:
        predictor: the model.
        mosaic: the image.
        grid: see `grid_of`.
        rows: which.
        infer: in place of the predictor's network.

    Raises:
        DataError: if the image is damaged.
    """
    raster, wanted = mosaic.picture, mosaic.products
    if grid is None:
        pixels, valid = raster.rows(0, raster.height)
        yield Band(0, 0, *predicted(predictor, pixels, valid, wanted), visible(mosaic.in_overlay(0, pixels)))
        return
    read = strips_from(raster, grid, first=grid.first_row_into(rows.start), end=rows.stop)
    strips = prefetched(read, depth=_STRIPS_AHEAD)
    tiles = prefetched(scored(strips, infer or predictor.infer, grid), depth=_BATCHES_AHEAD, source=strips)
    with contextlib.closing(tiles):
        for band in blended(tiles, grid):
            if band.row in rows:
                count = len(band.weights)
                valid = None if band.strip.valid is None else band.strip.valid[:count]
                sure = confidence_in(band, unit=predictor.score_unit) if wanted.need_confidence else None
                pixels = band.strip.pixels[:count, : grid.width]
                made = _finished(best_in(band), sure, valid, wanted)
                yield Band(band.row, band.top, *made, visible(mosaic.in_overlay(band.top, pixels)))


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
