"""Whether one model is better than another, or the test images just happened to suit it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS_AT_ONCE = 500


@dataclass(frozen=True)
class Interval:
    """A difference and the interval around it.

    Attributes:
        difference: of all images together; nan where one of the two has no score.
        low: lower end of the interval; nan where it could not be told.
        high: upper end of it.
        level: share of such intervals that would hold the true difference.
        images: how many were drawn from.
    """

    difference: float
    low: float
    high: float
    level: float
    images: int

    @property
    def is_clear(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


def iou_of(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the IoU by class of stacks of confusion counts, (…, C, C) → float64 (…, C); see `ConfusionMatrix.iou`."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    return _shares(hits, counts.sum(axis=-1) + counts.sum(axis=-2) - hits)


def miou_of(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the mean IoU of stacks of confusion counts, (…, C, C) → float64 (…); see `ConfusionMatrix.miou`."""
    iou = iou_of(counts)
    return _shares(np.nan_to_num(iou).sum(axis=-1), (~np.isnan(iou)).sum(axis=-1))


def recall_of(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the share of objects that are found, of stacks of [objects, found], (…, C, 2) → float64 (…, C)."""
    return _shares(counts[..., 1], counts[..., 0])


def miou_difference(
    first: NDArray[np.integer],
    second: NDArray[np.integer],
    *,
    draws: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the mean IoU of `second` less that of `first`, with a paired bootstrap interval over the images.

    As many images as there are get drawn with replacement, the same for both models, their counts added and
    the two mean IoU subtracted, `draws` times; the interval holds the middle `level` of the differences
    (Efron and Tibshirani, "An introduction to the bootstrap", 1993, section 13.3). It tells how far the choice of
    images matters, not how far another training would.

    Args:
        first: confusion counts of each image, (N, C, C).
        second: those of the other model on the same images.
        draws: bootstrap samples.
        level: 0 to 1.
        seed: of the draws.

    Raises:
        ValueError: if the shapes differ, or there is no image.
    """
    _check_pair(first, second, "(N, C, C)")
    (mean,) = _intervals(first, second, lambda counts: miou_of(counts)[..., None], draws=draws, level=level, seed=seed)
    return mean


def iou_differences(
    first: NDArray[np.integer],
    second: NDArray[np.integer],
    *,
    draws: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, ...]:
    """Return the IoU of each class in `second` less that in `first`, as `miou_difference` and from the same draws.

    A draw in which a class has no IoU, since it is in neither truth nor prediction of a model, counts for the other
    classes alone; where no draw has one, the difference and its ends are nan.

    Raises:
        ValueError: as in `miou_difference`.
    """
    _check_pair(first, second, "(N, C, C)")
    return _intervals(first, second, iou_of, draws=draws, level=level, seed=seed)


def recall_differences(
    first: NDArray[np.integer],
    second: NDArray[np.integer],
    *,
    draws: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, ...]:
    """Return the share of objects of each class found in `second` less that in `first`, from the draws of the mean IoU.

    Args:
        first: of each image and class how many objects there are and how many of them were found, (N, C, 2).
        second: those of the other model on the same images.
        draws: as in `miou_difference`.
        level: as there.
        seed: as there.

    Returns:
        An interval a class; nan as in `iou_differences` where there are no objects.

    Raises:
        ValueError: if the shapes differ, or there is no image.
    """
    _check_pair(first, second, "(N, C, 2)")
    return _intervals(first, second, recall_of, draws=draws, level=level, seed=seed)


def _check_pair(first: NDArray[np.integer], second: NDArray[np.integer], shape: str) -> None:
    if first.shape != second.shape or first.ndim != 3 or not len(first):
        raise ValueError(f"expected two {shape} of one shape, got {first.shape} and {second.shape}")


def _intervals(
    first: NDArray[np.integer],
    second: NDArray[np.integer],
    score: Callable[[NDArray[np.number]], NDArray[np.float64]],
    *,
    draws: int,
    level: float,
    seed: int,
) -> tuple[Interval, ...]:
    """Return an interval for each score, of which `score` makes S of added counts: (…, *counts) → (…, S)."""
    rng, images = np.random.default_rng(seed), len(first)

    def less(times: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the differences of samples that hold each image `times` times: (samples, N) → (samples, S)."""
        sums = [np.tensordot(times.astype(np.float64), each.astype(np.float64), axes=1) for each in (first, second)]
        return score(sums[1]) - score(sums[0])

    every = np.full(images, 1 / images)
    parts = [less(rng.multinomial(images, every, size=size)) for size in _portions(draws)]
    whole = score(second.sum(axis=0)) - score(first.sum(axis=0))
    columns = np.concatenate(parts).T
    return tuple(
        Interval(float(difference), *_middle(column, level), level, images)
        for difference, column in zip(whole, columns, strict=True)
    )


def _middle(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Return the ends of the middle `level` of the values that are numbers."""
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]) if known.size else (np.nan, np.nan)
    return float(low), float(high)


def _portions(draws: int) -> list[int]:
    return [min(_DRAWS_AT_ONCE, draws - start) for start in range(0, draws, _DRAWS_AT_ONCE)]


def _shares(parts: NDArray[np.number], wholes: NDArray[np.number]) -> NDArray[np.float64]:
    quotients: NDArray[np.float64] = np.divide(parts, wholes, out=np.full(parts.shape, np.nan), where=wholes > 0)
    return quotients
