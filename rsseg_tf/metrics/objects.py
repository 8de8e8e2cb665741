"""How many single things are found: recall by object instead of by pixel, for what is small on the ground.

A car of 40 pixels among 500,000 does not show in any accuracy, and a few large vehicles can carry the
IoU of their class. Here each object counts once.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config import EvaluateConfig
from rsseg_tf.metrics.metric import shares

SMALL_PX = EvaluateConfig.small_object_px
"""Objects below this many pixels are small, as in COCO (Lin et al., ECCV 2014)."""


class SmallObjectRecall:
    """The share of small objects of each class that are found.

    An object is a connected component (8 neighbors) of a class in the truth. It is small if it has fewer than
    `below_px` pixels, and found if at least half of them are predicted as its class. Things that touch are one
    object, since masks do not tell them apart.

    Args:
        num_classes: C.
        below_px: objects of this many pixels or more do not count.

    Examples:
        >>> recall = SmallObjectRecall(2)
        >>> recall.update(np.uint8([[1, 0, 0, 1, 1]]), np.uint8([[0, 0, 0, 1, 0]]))
        >>> recall.found.tolist(), recall.objects.tolist(), float(recall.scores[1])
        ([1, 1], [1, 2], 0.5)
    """

    def __init__(self, num_classes: int, *, below_px: int = SMALL_PX) -> None:
        self.num_classes = num_classes
        self.below_px = below_px
        self.objects: NDArray[np.int64] = np.zeros(num_classes, np.int64)
        """int64 (C,): small objects in the truth."""
        self.found: NDArray[np.int64] = np.zeros(num_classes, np.int64)
        """int64 (C,): those of them that were found."""

    def update(self, truth: NDArray[np.integer], prediction: NDArray[np.integer]) -> None:
        """Count the objects of one image.

        Args:
            truth: (H, W) class ids, 255 for ignore.
            prediction: (H, W) class ids.

        Raises:
            ValueError: if the shapes differ or are not (H, W).
        """
        if truth.ndim != 2 or truth.shape != prediction.shape:
            raise ValueError(f"expected two (H, W) of one size, got {truth.shape} and {prediction.shape}")
        for index in range(self.num_classes):
            inside = truth == index
            if inside.any():
                sizes, hits = _objects(inside, prediction == index)
                small = sizes < self.below_px
                self.objects[index] += small.sum()
                self.found[index] += (small & (2 * hits >= sizes)).sum()

    @property
    def totals(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`objects` and `found`; see `Metric.totals`."""
        return self.objects, self.found

    @property
    def scores(self) -> NDArray[np.float64]:
        """float64 (C,), 0 … 1; nan for a class without a small object."""
        return shares(self.found, self.objects)


def _objects(inside: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixel count and hits of each connected component of `inside`."""
    count, labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)
    sizes = np.bincount(labels[inside], minlength=count)
    hits = np.bincount(labels[inside & predicted], minlength=count)
    return sizes[1:], hits[1:]
