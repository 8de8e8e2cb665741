"""The classifier that a network has to beat: each pixel by its color alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.palette import IGNORE, Pixels


class ColorBaseline:
    """Color → the class that pixels of that color most often had.

    Examples:
        >>> baseline = ColorBaseline()
        >>> baseline.fit([(np.uint8([[[0, 0, 0], [255, 0, 0]]]), np.uint8([[0, 1]]))], num_classes=2)
        >>> baseline.predict(np.uint8([[[250, 3, 9]]])).tolist()
        [[1]]
    """

    def __init__(self) -> None:
        self._bins = 0
        self._classes: Pixels = np.zeros(0, np.uint8)

    def fit(self, pairs: Iterable[tuple[Pixels, Pixels]], num_classes: int, bins: int = 16) -> None:
        """Learn from images and masks.

        Args:
            pairs: images uint8 (H, W, 3) and masks uint8 (H, W), 255 for ignore.
            num_classes: C.
            bins: equal parts that each channel's range is cut into, 1 … 256.
        """
        counts: NDArray[np.int64] = np.zeros((bins**3, num_classes), np.int64)
        for image, mask in pairs:
            labeled = mask != IGNORE
            cells = _cells(image[labeled], bins) * num_classes + mask[labeled]
            counts += np.bincount(cells, minlength=counts.size).reshape(counts.shape)
        most_frequent = counts.sum(axis=0).argmax()
        self._bins = bins
        self._classes = np.where(counts.any(axis=1), counts.argmax(axis=1), most_frequent).astype(np.uint8)

    def predict(self, image: Pixels) -> Pixels:
        """Return the classes of an image uint8 (H, W, 3): uint8 (H, W); colors never seen get the commonest class.

        Raises:
            ValueError: if nothing was learned yet.
        """
        if not self._bins:
            raise ValueError("call fit first")
        return self._classes[_cells(image, self._bins)]


def _cells(pixels: Pixels, bins: int) -> NDArray[np.int64]:
    levels = pixels.astype(np.int64) * bins // 256
    cells: NDArray[np.int64] = (levels[..., 0] * bins + levels[..., 1]) * bins + levels[..., 2]
    return cells
