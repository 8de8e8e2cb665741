"""GeoTIFFs for tests, and a predictor whose classes depend on how its tiles are blended."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from rsseg_tf.datasets.palette import Palette
from rsseg_tf.inference.predict import TiledPredictor

PALETTE = Palette(("dark", "bright", "green"), ((0, 0, 90), (250, 250, 0), (0, 200, 0)))


def origin(west: float, north: float, side: float) -> Affine:
    """North-up pixels of one size."""
    return Affine(side, 0, west, 0, -side, north)


UTM = {"crs": "EPSG:32640", "transform": origin(325_000, 2_780_000, 0.5)}


def smooth(images: np.ndarray) -> np.ndarray:
    """Scores of three classes that depend on a pixel and where it lies in its window, so that blending matters."""
    ramp = np.arange(images.shape[1] * images.shape[2]).reshape(1, *images.shape[1:3]) % 5
    red, green = images[..., 0].astype(np.int16), images[..., 1].astype(np.int16)
    return np.stack([64 - red // 4, red // 4 - 64 + ramp, green // 4 - 40], axis=-1).astype(np.int8)


def predictor(infer: Any = smooth, **changes: Any) -> TiledPredictor:
    return TiledPredictor(infer, PALETTE, **{"input_size": (16, 16), "overlap": 4, "model_sha256": "m", **changes})


def geotiff(path: Path, pixels: np.ndarray, **profile: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = np.moveaxis(pixels, -1, 0)
    shape = {"count": len(planes), "height": planes.shape[1], "width": planes.shape[2], "dtype": planes.dtype}
    with rasterio.open(path, "w", driver="GTiff", **{**UTM, **shape, **profile}) as dataset:
        dataset.write(planes)
    return path


def stored(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(path)
    with dataset:
        classes: np.ndarray = dataset.read(1)
    return classes
