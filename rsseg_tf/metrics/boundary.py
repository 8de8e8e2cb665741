"""Boundary F1: how near predicted outlines run to the true ones.

The score of MATLAB's `bfscore` and of Csurka, Larlus and Perronnin, "What is a good evaluation measure
for semantic segmentation?", BMVC 2013: a boundary pixel of a class is one with a 4-neighbor of
another class, or at the edge of the image; precision (recall) is the share of predicted (true)
boundary pixels with a true (predicted) one nearer than the tolerance.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config import EvaluateConfig
from rsseg_tf.metrics.confusion import IGNORE
from rsseg_tf.metrics.metric import mean_of_known, shares

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)

Bits = NDArray[np.uint8]


def boundary_f1(
    truth: NDArray[np.integer],
    prediction: NDArray[np.integer],
    *,
    num_classes: int,
    tolerance: float = EvaluateConfig.boundary_tolerance,
    tolerance_px: float = 0.0,
) -> NDArray[np.float64]:
    """Return the boundary F1 of each class in one image.

    Pixels that are 255 in the truth count for neither side: they are no boundary, and a neighbor
    does not become one because of them.

    Args:
        truth: (H, W) class ids, 255 for ignore.
        prediction: (H, W) class ids.
        num_classes: C.
        tolerance: the distance below which boundary pixels match, as a share of the image diagonal.
        tolerance_px: that distance in pixels instead, whatever the size of the image; 0 for `tolerance`.

    Returns:
        float64 (C,), 0 … 1: nan for a class without a boundary in the truth; 0 for a class that the truth
        holds and the prediction does not.

    Raises:
        ValueError: if the shapes differ or are not (H, W), or the tolerance is not positive.
    """
    if truth.ndim != 2 or truth.shape != prediction.shape:
        raise ValueError(f"expected two (H, W) of one size, got {truth.shape} and {prediction.shape}")
    if not (tolerance > 0 and tolerance_px >= 0):
        raise ValueError(f"the tolerance must be positive, got {tolerance} and {tolerance_px} px")
    limit_px = tolerance_px or tolerance * float(np.hypot(*truth.shape))
    known = (truth != IGNORE).astype(np.uint8)
    scores = [
        _class_score((truth == index) & (known == 1), (prediction == index) & (known == 1), known, limit_px)
        for index in range(num_classes)
    ]
    return np.array(scores, np.float64)


class BoundaryF1:
    """The boundary F1 of each class, averaged over the images whose truth holds the class.

    Args:
        num_classes: C.
        tolerance: as in `boundary_f1`.
        tolerance_px: as in `boundary_f1`.
    """

    def __init__(
        self, num_classes: int, *, tolerance: float = EvaluateConfig.boundary_tolerance, tolerance_px: float = 0.0
    ) -> None:
        self.num_classes = num_classes
        self.tolerance = tolerance
        self.tolerance_px = tolerance_px
        self.sums: NDArray[np.float64] = np.zeros(num_classes)
        """float64 (C,): of the images' scores."""
        self.images: NDArray[np.int64] = np.zeros(num_classes, np.int64)
        """int64 (C,): images whose truth holds the class."""

    def update(self, truth: NDArray[np.integer], prediction: NDArray[np.integer]) -> None:
        """Add one image; see `boundary_f1`."""
        tolerances = {"tolerance": self.tolerance, "tolerance_px": self.tolerance_px}
        scores = boundary_f1(truth, prediction, num_classes=self.num_classes, **tolerances)
        self.sums += np.nan_to_num(scores)
        self.images += ~np.isnan(scores)

    @property
    def totals(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """`sums` and `images`; see `Metric.totals`."""
        return self.sums, self.images

    @property
    def scores(self) -> NDArray[np.float64]:
        """float64 (C,), 0 … 1; nan for a class that no image held."""
        return shares(self.sums, self.images)

    @property
    def mean(self) -> float:
        """The mean over the classes that some image held; nan before any."""
        return mean_of_known(self.scores)


def _class_score(truth: NDArray[np.bool_], prediction: NDArray[np.bool_], known: Bits, limit_px: float) -> float:
    if not truth.any():
        return float("nan")
    true_edge, predicted_edge = _boundary(truth, known), _boundary(prediction, known)
    if not true_edge.any():
        return float("nan")
    if not predicted_edge.any():
        return 0.0
    left, top, width, height = cv2.boundingRect(true_edge | predicted_edge)
    window = np.s_[top : top + height, left : left + width]
    precision = _share_near(predicted_edge[window], true_edge[window], limit_px)
    recall = _share_near(true_edge[window], predicted_edge[window], limit_px)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _boundary(inside: NDArray[np.bool_], known: Bits) -> Bits:
    """Return the class's pixels beside a known pixel of another or the image's edge: uint8 (H, W) of 0 and 1."""
    bits = inside.astype(np.uint8)
    others: Bits = cv2.copyMakeBorder(known - bits, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    beside_others: Bits = cv2.dilate(others, _CROSS)[1:-1, 1:-1]
    return bits & beside_others


def _share_near(edge: Bits, target: Bits, limit_px: float) -> float:
    distances = cv2.distanceTransform(1 - target, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    squares = np.rint(np.square(distances[edge == 1], dtype=np.float64))  # whole numbers: ties do not hang on rounding
    return float(np.mean(squares < limit_px**2))
