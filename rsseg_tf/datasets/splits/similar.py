"""Whether two images show one place, by details that are seen in both."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.images.channels import visible
from rsseg_tf.datasets.palette import Pixels

_SIDE_PX, _LEAST_PX = 512, 64  # OpenCV's ORB fails on images of one row or one column
_DETAILS = 500
_RATIO = 0.8  # Lowe 2004, figure 11
_WITHIN_PX = 4.0
_LEAST_ALIKE = 15
_MOST_STRETCHED = 4.0


@dataclass(frozen=True)
class Details:
    """Details of a small version of an image.

    Attributes:
        points: float32 (N, 2), columns and rows in pixels.
        words: uint8 (N, 32), what each looks like.
        size: width and height in pixels.
    """

    points: NDArray[np.float32]
    words: NDArray[np.uint8]
    size: tuple[int, int]


def details_of(image: Pixels) -> Details:
    """Return the details of an image, uint8 (H, W, bands), at no more than 512 pixels a side."""
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(visible(image), size, interpolation=cv2.INTER_AREA)
    gray = small.mean(axis=-1).astype(np.uint8)
    points: tuple[cv2.KeyPoint, ...] = ()
    words: NDArray[np.uint8] | None = None
    if min(size) >= _LEAST_PX:
        points, words = cv2.ORB.create(nfeatures=_DETAILS, fastThreshold=10).detectAndCompute(gray, None)
    if words is None:
        words = np.zeros((0, 32), np.uint8)
    places = np.array([point.pt for point in points], np.float32)
    return Details(places.reshape(-1, 2), words, size)


def alike(first: Details, second: Details) -> int:
    """Return how many details one homography lays over each other; 0 where it is none that two photos can have."""
    if min(len(first.words), len(second.words)) < _LEAST_ALIKE:
        return 0
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(first.words, second.words, k=2)
    good = [best for best, next_best in pairs if best.distance < _RATIO * next_best.distance]
    if len(good) < _LEAST_ALIKE:
        return 0
    here = first.points[[match.queryIdx for match in good]]
    there = second.points[[match.trainIdx for match in good]]
    matrix, inliers = cv2.findHomography(here, there, cv2.RANSAC, _WITHIN_PX)
    if matrix is None or not _is_view(matrix, first.size):
        return 0
    return int(inliers.sum())


def show_one_place(first: Details, second: Details) -> bool:
    """Return whether two images show common ground, as far as their details tell."""
    return alike(first, second) >= _LEAST_ALIKE


def _is_view(matrix: NDArray[np.float64], size: tuple[int, int]) -> bool:
    """Return whether a homography leaves the image of this width and height upright and of a like size."""
    width, height = size
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float32)
    seen = cv2.perspectiveTransform(corners, matrix)[0]
    area = cv2.contourArea(seen, oriented=True) / cv2.contourArea(corners[0], oriented=True)
    return bool(cv2.isContourConvex(seen.astype(np.float32))) and 1 / _MOST_STRETCHED < area < _MOST_STRETCHED
