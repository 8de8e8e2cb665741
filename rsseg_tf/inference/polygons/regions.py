"""Connected regions of one class in a class map that comes a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.inference.polygons.outlines import Corners, Ring, corners_between, rings_of
from rsseg_tf.inference.tiling import Image


@dataclass(frozen=True)
class Region:
    """Pixels of one class that are connected by their sides.

    Attributes:
        number: the class.
        pixels: how many.
        area_m2: square meters, 0 where the size of a pixel is unknown.
        confidence: the mean of what was given for each pixel, 0 … 1.
        rings: its outline, then its holes.
    """

    number: int
    pixels: int
    area_m2: float
    confidence: float
    rings: list[Ring]


@dataclass(frozen=True)
class _Sums:
    """What is known of some regions, (regions,) each."""

    number: NDArray[np.int64]
    pixels: NDArray[np.float64]
    area_m2: NDArray[np.float64]
    confidence: NDArray[np.float64]

    def merged(self, other: _Sums, group: NDArray[np.int64], count: int) -> _Sums:
        """Return these and others as `count` regions; `group` is the new number of each."""
        number = np.zeros(count, np.int64)
        number[group] = np.concatenate([self.number, other.number])

        def total(name: str) -> NDArray[np.float64]:
            values = np.concatenate([getattr(self, name), getattr(other, name)])
            return np.bincount(group, values, minlength=count).astype(np.float64)  # of nothing it makes integers

        return _Sums(number, total("pixels"), total("area_m2"), total("confidence"))

    def chosen(self, which: NDArray[np.bool_]) -> _Sums:
        return _Sums(self.number[which], self.pixels[which], self.area_m2[which], self.confidence[which])


_NOTHING = np.zeros(0, np.int64)
_NO_CORNERS = Corners(_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, np.zeros(0, np.bool_))


class RegionFinder:
    """Finds the regions of a class map; memory holds the outlines of those that reach into the last row.

    Args:
        width: of the map, in pixels.
        least_area_m2: regions of less are left out.
    """

    def __init__(self, width: int, *, least_area_m2: float = 0.0) -> None:
        self._top = 0
        self._least_area_m2 = least_area_m2
        self._last_classes = np.full((1, width), IGNORE, np.uint8)
        self._last_regions = np.zeros((1, width), np.int64)
        empty = np.zeros(0)
        self._sums = _Sums(_NOTHING, empty, empty, empty)
        self._corners = _NO_CORNERS

    def add(
        self, classes: Image, *, confidence: NDArray[np.float32], row_areas_m2: NDArray[np.float64]
    ) -> Iterator[Region]:
        """Yield the regions that end above the last of the next rows.

        Args:
            classes: uint8 (rows, W), 255 for no class.
            confidence: of every pixel, float32 (rows, W).
            row_areas_m2: square meters of a pixel in each row (rows,).
        """
        known = len(self._sums.number)
        labels, numbers = _labeled(classes, first=known)
        new = _summed(labels, numbers, known, confidence, row_areas_m2)
        every = known + len(numbers)
        above, here = self._last_classes[0], classes[0]
        joined = (above == here) & (here != IGNORE)
        group, count = _groups(every, self._last_regions[0][joined], labels[0][joined])
        sums = self._sums.merged(new, group, count)
        rows = np.concatenate([self._last_classes, classes])
        regions = np.concatenate([self._last_regions, labels])
        fresh = corners_between(rows, regions, top=self._top)
        corners = Corners.together([self._corners, fresh])
        owners = group[corners.region]
        is_open = np.zeros(count, np.bool_)
        is_open[group[labels[-1][classes[-1] != IGNORE]]] = True
        yield from self._finished(sums, corners, owners, ~is_open)
        renamed = np.cumsum(is_open) - 1
        self._sums = sums.chosen(is_open)
        self._corners = corners.chosen(is_open[owners], renamed[owners])
        self._last_classes = classes[-1:].copy()
        last = labels[-1:]
        self._last_regions = np.where(classes[-1:] == IGNORE, 0, renamed[group[last]] if every else 0)
        self._top += len(classes)

    def close(self) -> Iterator[Region]:
        """Yield the regions that reach into the last row."""
        width = self._last_classes.shape[1]
        nothing = np.full((1, width), IGNORE, np.uint8)
        yield from self.add(nothing, confidence=np.zeros((1, width), np.float32), row_areas_m2=np.zeros(1))

    def _finished(
        self, sums: _Sums, corners: Corners, owners: NDArray[np.int64], is_done: NDArray[np.bool_]
    ) -> Iterator[Region]:
        wanted = is_done & (sums.area_m2 >= self._least_area_m2)
        for region, rings in rings_of(corners.chosen(wanted[owners], owners)):
            pixels = float(sums.pixels[region])
            mean = float(sums.confidence[region]) / pixels
            yield Region(int(sums.number[region]), round(pixels), float(sums.area_m2[region]), mean, rings)


def _labeled(classes: Image, *, first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the region of each pixel, numbered from `first`, -1 for none, and the class of each region."""
    labels = np.full(classes.shape, -1, np.int32)
    numbers: list[NDArray[np.int64]] = []
    count = first
    for number in np.flatnonzero(np.bincount(classes.ravel(), minlength=IGNORE + 1)[:IGNORE]).tolist():
        mask = (classes == number).view(np.uint8)
        found, named = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_32S)
        named += count - 1
        np.copyto(labels, named, where=mask.view(np.bool_))
        numbers.append(np.full(found - 1, number, np.int64))
        count += found - 1
    return labels.astype(np.int64), np.concatenate([_NOTHING, *numbers])


def _summed(
    labels: NDArray[np.int64],
    numbers: NDArray[np.int64],
    first: int,
    confidence: NDArray[np.float32],
    row_areas_m2: NDArray[np.float64],
) -> _Sums:
    bins = labels.ravel() + 1

    def total(weights: NDArray[np.floating] | None) -> NDArray[np.float64]:
        return np.bincount(bins, weights, minlength=first + len(numbers) + 1)[first + 1 :].astype(np.float64)

    filled = np.repeat(row_areas_m2, labels.shape[1])
    return _Sums(numbers, total(None), total(filled), total(confidence.ravel()))


def _groups(count: int, above: NDArray[np.int64], here: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Return the new number of each of `count` regions, of which some are one, and how many there are."""
    parent = list(range(count))

    def root(region: int) -> int:
        while parent[region] != region:
            parent[region] = parent[parent[region]]
            region = parent[region]
        return region

    for pair in np.unique(above * count + here).tolist():
        parent[root(pair // count)] = root(pair % count)
    roots = np.array(parent, np.int64)
    while not np.array_equal(roots, again := roots[roots]):
        roots = again
    names, group = np.unique(roots, return_inverse=True)
    return group.astype(np.int64), len(names)
