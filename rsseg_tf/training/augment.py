"""Random changes to a training sample, as one affine warp and one change of colour (NumPy and OpenCV)."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.palette import IGNORE
from rsseg_tf.settings import AugmentConfig


def random_window(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    settings: AugmentConfig,
    *,
    size: tuple[int, int],
    crop: bool,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A randomly changed window of a sample.

    Args:
        image: uint8 (H, W, 3).
        mask: uint8 (H, W) of class ids, 255 = ignore.
        settings: which changes, and how strong.
        size: height and width of the window in pixels.
        crop: put the window anywhere in the image; otherwise at its centre.
        rng: where all randomness comes from.

    Returns:
        uint8 (h, w, 3) and (h, w). Beyond the image's border the picture is mirrored and the mask is 255.
    """
    matrix = _random_affine(settings, image_size=image.shape[:2], size=size, crop=crop, rng=rng)
    flags = cv2.WARP_INVERSE_MAP
    shape = size[::-1]
    window = cv2.warpAffine(image, matrix, shape, flags=flags | cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    labels = cv2.warpAffine(
        mask, matrix, shape, flags=flags | cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=IGNORE
    )
    if settings.color > 0:
        window = _random_color(window, settings.color, rng)
    return window, labels


def _random_affine(
    settings: AugmentConfig,
    *,
    image_size: tuple[int, int],
    size: tuple[int, int],
    crop: bool,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """The 2×3 matrix from window to image coordinates (x, y)."""
    zoom = math.exp(rng.uniform(*np.log(settings.scale)))
    angle = math.radians(rng.uniform(-settings.rotate_deg, settings.rotate_deg))
    mirror_x = -1.0 if settings.flip_horizontal and rng.random() < 0.5 else 1.0
    mirror_y = -1.0 if settings.flip_vertical and rng.random() < 0.5 else 1.0
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([mirror_x, mirror_y])
    shift = rng.integers(-settings.translate_px, settings.translate_px, endpoint=True, size=2)
    center = np.array(
        [_center(image_size[1], size[1], zoom, crop, rng), _center(image_size[0], size[0], zoom, crop, rng)]
    )
    window_center = (np.array(size[::-1]) - 1) / 2
    offset = center + shift - linear @ window_center
    return np.column_stack([linear, offset])


def _center(length: int, window: int, zoom: float, crop: bool, rng: np.random.Generator) -> float:
    """Where along one axis of the image the window's centre comes to lie, in whole pixels from an edge."""
    spare = math.floor(length - window / zoom)
    if not crop or spare <= 0:
        return (length - 1) / 2
    start = int(rng.integers(0, spare, endpoint=True))
    return start + (window / zoom - 1) / 2


def _random_color(image: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    brightness, contrast, saturation = 1 + strength * rng.uniform(-1, 1, size=3)
    pixels = image.astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + (pixels - grey) * saturation
    level = grey.mean()
    pixels = level + (pixels - level) * contrast
    changed: NDArray[np.uint8] = np.clip(np.rint(pixels * brightness), 0, 255).astype(np.uint8)
    return changed
