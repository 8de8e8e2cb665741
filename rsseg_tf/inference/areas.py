"""How large pixels are on the ground, and how much of it each class covers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.place import Place, place_of, reprojected
from rsseg_tf.datasets.files.raster import open_dataset_of
from rsseg_tf.datasets.files.resizing import Resizing
from rsseg_tf.errors import ConfigError, DataError
from rsseg_tf.inference.predict import TiledPredictor, with_pixels_of
from rsseg_tf.inference.tiling import Image

_SEMI_MAJOR_M = 6378137.0
_ECCENTRICITY = 0.0818191908426215
_FAR_APART = 4 / 3
"""Ratio of two sizes of a pixel from which on a network sees things of a size that it did not learn."""
_SAME = 1.01
"""Ratio up to which resampling would only blur."""
_SAMPLED_ROWS, _SAMPLED_COLUMNS = 33, 3
_STEP_PX = 16
_LONGITUDE_LATITUDE = "EPSG:4326"


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


def cell_areas_m2(latitudes: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return the areas between `latitudes` over `width` of longitude, both in radians, on the WGS 84 ellipsoid.

    The closed form behind the authalic latitude (Snyder 1987, "Map Projections: A Working Manual", equation 3-12).
    """
    sine = np.sin(latitudes)
    e = _ECCENTRICITY
    zone = sine / (1 - (e * sine) ** 2) - np.log((1 - e * sine) / (1 + e * sine)) / (2 * e)
    half_square = _SEMI_MAJOR_M**2 * (1 - e**2) / 2
    return np.abs(np.diff(zone)) * half_square * abs(width)


def row_areas_m2(place: Place, height: int, width: int) -> NDArray[np.float64] | None:
    """Return the square meters on the ground of a pixel in each row (H,); None where the file does not say.

    Projections such as Web Mercator enlarge areas, so the pixels are measured on the WGS 84 ellipsoid: exactly where
    rows are parallels, else at points all over the image.
    """
    crs, transform = place.crs, place.transform
    if crs is None or transform is None or not (crs.is_geographic or crs.is_projected):
        return None
    if crs.is_geographic and transform.b == transform.d == 0:
        _, radians = crs.units_factor
        borders = transform.f + transform.e * np.arange(height + 1)
        return cell_areas_m2(borders * radians, transform.a * radians)
    rows = np.linspace(0, height, min(height, _SAMPLED_ROWS))
    try:
        areas = _pixel_areas_m2(place, *np.meshgrid(rows, np.linspace(0, width, _SAMPLED_COLUMNS), indexing="ij"))
    except DataError:  # beyond what the projection is made for
        unit = 1.0 if crs.is_geographic else crs.linear_units_factor[1]
        return None if crs.is_geographic else np.full(height, abs(transform.determinant) * unit**2)
    return np.interp(np.arange(height) + 0.5, rows, areas.mean(axis=1))


def _pixel_areas_m2(place: Place, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area of a pixel at some places: the Jacobian from pixels to meters east and north there."""
    step = np.array([[0, 0], [_STEP_PX, 0], [0, _STEP_PX]])
    column, row = columns.ravel() + step[:, 1:], rows.ravel() + step[:, :1]
    a, b, c, d, e, f = place.transform[:6]
    x, y = a * column + b * row + c, d * column + e * row + f
    degrees = reprojected(np.stack([x.ravel(), y.ravel()], axis=1), source=place.crs, target=_LONGITUDE_LATITUDE)
    longitude, latitude = np.radians(degrees.T).reshape(2, 3, -1)
    sine = _ECCENTRICITY * np.sin(latitude[0])
    east = _SEMI_MAJOR_M / np.sqrt(1 - sine**2) * np.cos(latitude[0])
    north = _SEMI_MAJOR_M * (1 - _ECCENTRICITY**2) / (1 - sine**2) ** 1.5
    turned = (longitude[1:] - longitude[0] + np.pi) % (2 * np.pi) - np.pi
    risen = latitude[1:] - latitude[0]
    areas: NDArray[np.float64] = np.abs(turned[0] * risen[1] - turned[1] * risen[0]) * east * north / _STEP_PX**2
    return areas.reshape(rows.shape)


def pixel_m(path: Path) -> float | None:
    """Return meters per pixel of an image, from where it says that it lies; None where it does not.

    Raises:
        DataError: if it cannot be read.
    """
    return _pixel_m_at(path, place_of(path))


def _pixel_m_at(path: Path, place: Place | None) -> float | None:
    if place is None:
        return None
    with open_dataset_of(path) as dataset:
        areas = row_areas_m2(place, dataset.height, dataset.width)
    return None if areas is None else side_m(areas)


def side_m(areas_m2: NDArray[np.float64]) -> float:
    """Return the side of a pixel, from the areas of one in each row."""
    return float(np.sqrt(np.median(areas_m2)))


def are_far_apart(first_m: float, second_m: float, *, by: float = _FAR_APART) -> bool:
    """Return whether one size of a pixel is more than `by` times another, by default a third above it."""
    return max(first_m, second_m) > by * min(first_m, second_m)


def shown(side: float) -> str:
    """Return the side of a pixel as people write it.

    Examples:
        >>> shown(0.05), shown(3.0)
        ('0.05 m', '3 m')
    """
    return f"{side:.3g} m"


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
    given = given_pixel_m(predictor)
    known = (given or _pixel_m_at(image, place)) if predictor.learned_pixel_m else None
    if not needs_resizing(predictor, image, known, tell=tell) or known is None:
        return predictor, place, None
    with open_dataset_of(image) as dataset:
        resizing = Resizing.to(dataset.height, dataset.width, ratio=known / predictor.learned_pixel_m, name=str(image))
    if given:
        predictor = with_pixels_of(predictor, resizing.side(given))
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


def given_pixel_m(predictor: TiledPredictor) -> float | None:
    """Return meters per pixel of the images, where they were given whatever these say."""
    return predictor.ground_sampling_distance_m if predictor.overrides_georeference else None


def needs_resizing(
    predictor: TiledPredictor, image: object, known_m: float | None, *, tell: Callable[[str, str], None]
) -> bool:
    """Return whether an image is to be brought to the model's resolution; say so where it should have been.

    Args:
        predictor: says whether images are resampled.
        image: what messages call it.
        known_m: meters per pixel of it; None where unknown.
        tell: as for `as_learned`.

    Raises:
        ConfigError: if an image is to be resampled that does not say how large its pixels are.
    """
    learned = predictor.learned_pixel_m
    if predictor.resamples and known_m is None:
        raise ConfigError(f"`{image}` does not say how large its pixels are", hint="say so: --gsd, in meters")
    if known_m is None or not learned:
        return False
    is_far = are_far_apart(known_m, learned, by=_SAME if predictor.resamples else _FAR_APART)
    if is_far and not predictor.resamples:
        learned_from = f"the model learned from pixels of {shown(learned)}: what it finds is likely wrong"
        tell(f"`{image}` has pixels of {shown(known_m)}, {learned_from}", "predict with --resample")
    return is_far and predictor.resamples
