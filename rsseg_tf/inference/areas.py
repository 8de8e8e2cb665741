"""How much ground each class covers, and whether pixels are as large on it as those that the network learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.ground import are_far_apart, shown, sides_m
from rsseg_tf.datasets.files.place import Place
from rsseg_tf.datasets.files.raster import open_dataset_of
from rsseg_tf.datasets.files.resizing import Resizing
from rsseg_tf.errors import ConfigError
from rsseg_tf.inference.predict import TiledPredictor, with_pixels_of
from rsseg_tf.inference.tiling import Image

_SAME = 1.01
"""Ratio up to which resampling would only blur."""


def class_areas(
    classes: Image, names: Sequence[str], *, ground_sampling_distance_m: float = 0.0
) -> dict[str, dict[str, Any]]:
    """Return class name → `pixels`, `share` of the image and `area_m2` (None where the pixel's size is unknown)."""
    counts = counts_by_row(classes, len(names)).sum(axis=0)
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
    found = ((classes == number).view(np.uint8) for number in range(num_classes))
    counts = [cv2.reduce(each, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S) for each in found]
    return np.hstack(counts).astype(np.int64)


def _both_shown(sides: tuple[float, float]) -> str:
    """Return the height and width of a pixel as people write them: one where they are the same."""
    if not are_far_apart(*sides, by=_SAME):
        return shown(sides[0])
    return f"{shown(sides[0])} by {shown(sides[1])} (height by width)"


def as_learned(
    predictor: TiledPredictor, image: Path, place: Place | None, *, tell: Callable[[str, str], None]
) -> tuple[TiledPredictor, Place | None, tuple[int, int] | None]:
    """Return the predictor, the place and the size of an image as the network is to see it; no size for its own.

    Args:
        predictor: says whether images are resampled.
        image: the file.
        place: where it lies.
        tell: takes a message and a hint where pixels of another size than the network learned are not resampled.

    Raises:
        ConfigError: if an image that is to be resampled does not say how large its pixels are, or would be too large.
        DataError: if it cannot be read.
    """
    given = given_sides_m(predictor)
    known = (given or sides_m(image, place)) if predictor.learned_pixel_m else None
    if not needs_resizing(predictor, image, known, tell=tell) or known is None:
        return predictor, place, None
    with open_dataset_of(image) as dataset:
        resizing = Resizing.to(
            dataset.height, dataset.width, before=known, after=predictor.learned_pixel_m, name=str(image)
        )
    if given:
        predictor = with_pixels_of(predictor, resizing.side(predictor.ground_sampling_distance_m))
    return predictor, resizing.place(place), resizing.after


def check_resamples(predictor: TiledPredictor) -> None:
    """Refuse to resample for a model that does not say how large the pixels were that it learned from."""
    if predictor.resamples and predictor.fitting == "resize":
        raise ConfigError(
            "the model sees whole images resized, so it learned no size of a pixel", hint="leave out --resample"
        )
    if predictor.resamples and not predictor.learned_pixel_m:
        raise ConfigError(
            "the model does not say how large the pixels were that it learned from",
            hint="set data.ground_sampling_distance_m, in meters, for its export",
        )


def given_sides_m(predictor: TiledPredictor) -> tuple[float, float] | None:
    """Return the height and width of a pixel in meters, where they were given whatever the images say."""
    side = predictor.ground_sampling_distance_m
    return (side, side) if predictor.overrides_georeference else None


def needs_resizing(
    predictor: TiledPredictor, image: object, known_m: tuple[float, float] | None, *, tell: Callable[[str, str], None]
) -> bool:
    """Return whether an image is to be brought to the model's resolution; say so where it should have been.

    Args:
        predictor: says whether images are resampled.
        image: what messages call it.
        known_m: height and width of its pixels in meters; None where unknown.
        tell: as for `as_learned`.

    Raises:
        ConfigError: if an image is to be resampled that does not say how large its pixels are.
    """
    learned = predictor.learned_pixel_m
    if predictor.resamples and known_m is None:
        raise ConfigError(f"`{image}` does not say how large its pixels are", hint="say so: --gsd, in meters")
    if known_m is None or not learned:
        return False
    limits = {"by": _SAME} if predictor.resamples else {}
    is_far = any(are_far_apart(side, learned, **limits) for side in known_m)
    if is_far and not predictor.resamples:
        learned_from = f"the model learned from pixels of {shown(learned)}: what it finds is likely wrong"
        tell(f"`{image}` has pixels of {_both_shown(known_m)}, {learned_from}", "predict with --resample")
    return is_far and predictor.resamples
