"""Pixel accuracy and intersection over union, from one table of counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.metrics.metric import mean_of_known, shares

IGNORE = 255
"""The id of true pixels that count nowhere."""

_PIXELS_AT_ONCE = 1 << 20


class ConfusionMatrix:
    """Counts of (true class, predicted class) over any number of images.

    Pixels that are 255 in the truth count nowhere, whatever is predicted there.

    Args:
        num_classes: C, 1 … 254.

    Examples:
        >>> matrix = ConfusionMatrix(2)
        >>> matrix.update(np.uint8([[0, 1, 255]]), np.uint8([[0, 0, 1]]))
        >>> matrix.counts.tolist(), matrix.accuracy, matrix.miou
        ([[1, 0], [1, 0]], 0.5, 0.25)
    """

    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes < IGNORE:
            raise ValueError(f"expected 1 to {IGNORE - 1} classes, got {num_classes}")
        self.num_classes = num_classes
        self.counts: NDArray[np.int64] = np.zeros((num_classes, num_classes), np.int64)
        """int64 (C, C): rows are true classes, columns predicted ones."""

    def update(self, truth: NDArray[np.integer], prediction: NDArray[np.integer]) -> None:
        """Count the pixels of one image.

        Args:
            truth: integers of any shape: class ids, 255 for ignore.
            prediction: integers of the same shape: class ids.

        Raises:
            ValueError: if the shapes differ, or a counted pixel holds something that is not a class id.
                Nothing is counted then.
        """
        flat_truth, flat_prediction = _flat_pair(truth, prediction)
        added = np.zeros_like(self.counts)
        for start in range(0, flat_truth.size, _PIXELS_AT_ONCE):
            part = slice(start, start + _PIXELS_AT_ONCE)
            added += self._counted(flat_truth[part], flat_prediction[part])
        self.counts += added

    def _counted(self, truth: NDArray[np.integer], prediction: NDArray[np.integer]) -> NDArray[np.int64]:
        labeled = truth != IGNORE
        rows, columns = truth[labeled].astype(np.int64), prediction[labeled].astype(np.int64)
        for name, ids in (("truth", rows), ("prediction", columns)):
            if ids.size and not 0 <= ids.min() <= ids.max() < self.num_classes:
                raise ValueError(f"the {name} holds ids {ids.min()} … {ids.max()}, expected 0 … {self.num_classes - 1}")
        cells = np.bincount(rows * self.num_classes + columns, minlength=self.num_classes**2)
        return cells.reshape(self.num_classes, self.num_classes)

    @property
    def totals(self) -> tuple[NDArray[np.int64]]:
        """`counts`; see `Metric.totals`."""
        return (self.counts,)

    @property
    def accuracy(self) -> float:
        """The share of labeled pixels that are predicted right, 0 … 1; nan before any was counted."""
        return _share(np.trace(self.counts), self.counts.sum())

    @property
    def mean_accuracy(self) -> float:
        """The mean of `recall` over the classes that the truth holds; nan before any pixel was counted."""
        return mean_of_known(self.recall)

    @property
    def iou(self) -> NDArray[np.float64]:
        """float64 (C,): intersection over union, 0 … 1; nan for a class in neither truth nor prediction."""
        return shares(self._hits, self._true + self._predicted - self._hits)

    @property
    def miou(self) -> float:
        """The mean IoU of the classes that occur in truth or prediction; nan before any pixel was counted.

        A class that occurs nowhere has no IoU and is left out, rather than counted as 0 or 1 or
        making the mean nan: `absent` lists it. A class that is only ever predicted counts as 0.
        """
        return mean_of_known(self.iou)

    @property
    def absent(self) -> tuple[int, ...]:
        """Ids of the classes in neither truth nor prediction, which no mean includes."""
        return tuple(np.flatnonzero(self._true + self._predicted == 0).tolist())

    @property
    def frequency_weighted_iou(self) -> float:
        """The mean IoU with each class weighted by its share of the true pixels; nan before any pixel was counted.

        Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", CVPR 2015, section 5.
        """
        total = self._true.sum()
        return float((self._true * np.nan_to_num(self.iou)).sum() / total) if total else float("nan")

    @property
    def precision(self) -> NDArray[np.float64]:
        """float64 (C,): the share of a class's predicted pixels that are it; nan where none is predicted."""
        return shares(self._hits, self._predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        """float64 (C,): the share of a class's true pixels that are predicted so; nan where there are none."""
        return shares(self._hits, self._true)

    @property
    def f1(self) -> NDArray[np.float64]:
        """float64 (C,): the harmonic mean of precision and recall; nan for a class in neither truth nor prediction.

        That is 2 IoU / (1 + IoU), so a class that is only predicted, or never, counts as 0.
        """
        return shares(2 * self._hits, self._true + self._predicted)

    @property
    def _hits(self) -> NDArray[np.int64]:
        return np.diagonal(self.counts)

    @property
    def _true(self) -> NDArray[np.int64]:
        sums: NDArray[np.int64] = self.counts.sum(axis=1)
        return sums

    @property
    def _predicted(self) -> NDArray[np.int64]:
        sums: NDArray[np.int64] = self.counts.sum(axis=0)
        return sums


def _share(part: np.int64, whole: np.int64) -> float:
    return float(part) / float(whole) if whole else float("nan")


def _flat_pair(
    truth: NDArray[np.integer], prediction: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    pair = np.asarray(truth), np.asarray(prediction)
    if pair[0].shape != pair[1].shape:
        raise ValueError(f"truth is {pair[0].shape} but the prediction is {pair[1].shape}")
    for ids in pair:
        if not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(f"expected integer class ids, got {ids.dtype}")
    return pair[0].reshape(-1), pair[1].reshape(-1)
