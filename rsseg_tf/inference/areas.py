"""How much of an image each class covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.inference.tiling import Image

_SEMI_MAJOR_M = 6378137.0
_ECCENTRICITY = 0.0818191908426215


def class_areas(
    classes: Image, names: Sequence[str], *, ground_sampling_distance_m: float = 0.0
) -> dict[str, dict[str, Any]]:
    """Return class name → `pixels`, `share` of the image and `area_m2` (None where the pixel's size is unknown)."""
    counts = np.bincount(classes.ravel(), minlength=len(names))[: len(names)]
    areas = counts.astype(np.float64) * ground_sampling_distance_m**2 if ground_sampling_distance_m else None
    return area_table(names, counts, areas)


def area_table(
    names: Sequence[str], pixels: NDArray[np.int64], areas_m2: NDArray[np.float64] | None
) -> dict[str, dict[str, Any]]:
    """Return class name → `pixels`, `share` of all that have a class, and `area_m2`."""
    total = max(int(pixels.sum()), 1)
    return {
        name: {
            "pixels": int(pixels[number]),
            "share": float(pixels[number] / total),
            "area_m2": None if areas_m2 is None else float(areas_m2[number]),
        }
        for number, name in enumerate(names)
    }


def counts_by_row(classes: Image, num_classes: int) -> NDArray[np.int64]:
    """Return the pixels of each class in each row: uint8 (H, W) → int64 (H, C); other numbers are not counted."""
    return np.stack([np.count_nonzero(classes == number, axis=1) for number in range(num_classes)], axis=1)


def cell_areas_m2(latitudes: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return the areas between `latitudes` over `width` of longitude, both in radians, on the WGS 84 ellipsoid.

    The closed form behind the authalic latitude (Snyder 1987, "Map Projections: A Working Manual", equation 3-12).
    """
    sine = np.sin(latitudes)
    e = _ECCENTRICITY
    zone = sine / (1 - (e * sine) ** 2) - np.log((1 - e * sine) / (1 + e * sine)) / (2 * e)
    half_square = _SEMI_MAJOR_M**2 * (1 - e**2) / 2
    return np.abs(np.diff(zone)) * half_square * abs(width)
