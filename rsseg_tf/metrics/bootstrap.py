"""Whether one model is better than another, or the test images just happened to suit it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS_AT_ONCE = 500


@dataclass(frozen=True)
class Interval:
    """A difference and the interval around it.

    Attributes:
        difference: of all images together.
        low: lower end of the interval.
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


def miou_of(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the mean IoU of stacks of confusion counts, (…, C, C) → float64 (…); see `ConfusionMatrix.miou`."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    unions = counts.sum(axis=-1) + counts.sum(axis=-2) - hits
    occurs = unions > 0
    iou = np.divide(hits, unions, out=np.zeros_like(hits), where=occurs)
    known = occurs.sum(axis=-1)
    mean: NDArray[np.float64] = np.divide(iou.sum(axis=-1), known, out=np.full(known.shape, np.nan), where=known > 0)
    return mean


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
    if first.shape != second.shape or first.ndim != 3 or not len(first):
        raise ValueError(f"expected two (N, C, C) of one shape, got {first.shape} and {second.shape}")
    rng = np.random.default_rng(seed)
    parts = [
        _differences(first, second, rng.multinomial(len(first), np.full(len(first), 1 / len(first)), size=size))
        for size in _portions(draws)
    ]
    differences = np.concatenate(parts)
    scored = differences[~np.isnan(differences)]
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(scored, ends) if scored.size else (np.nan, np.nan)
    whole = miou_of(second.sum(axis=0)) - miou_of(first.sum(axis=0))
    return Interval(float(whole), float(low), float(high), level, len(first))


def _portions(draws: int) -> list[int]:
    return [min(_DRAWS_AT_ONCE, draws - start) for start in range(0, draws, _DRAWS_AT_ONCE)]


def _differences(
    first: NDArray[np.integer], second: NDArray[np.integer], times: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return the mIoU differences of samples that hold each image `times` times, (draws, N)."""
    sums = [np.tensordot(times.astype(np.float64), counts.astype(np.float64), axes=1) for counts in (first, second)]
    differences: NDArray[np.float64] = miou_of(sums[1]) - miou_of(sums[0])
    return differences
