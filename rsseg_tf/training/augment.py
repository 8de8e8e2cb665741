"""Random changes to a training sample, as one affine warp and one change of color (NumPy and OpenCV)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.config import AugmentConfig
from rsseg_tf.datasets.files.stored import Box
from rsseg_tf.datasets.images.channels import by_bands, num_visible
from rsseg_tf.datasets.palette import IGNORE

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]

_BESIDE_PX = 2  # what an interpolation between pixels takes of their neighbors


@dataclass(frozen=True)
class Framing:
    """Where a window is laid before it is shifted, turned and zoomed.

    Attributes:
        size: height and width of the window in pixels.
        crop: anywhere in the image; otherwise at its center.
        around: (crop) row and column of a pixel that the window, not turned, is to hold; None for none.
    """

    size: tuple[int, int]
    crop: bool
    around: tuple[int, int] | None = None


def random_window(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    settings: AugmentConfig,
    *,
    framing: Framing,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a randomly changed window of a sample.

    Args:
        image: uint8 (H, W, bands).
        mask: uint8 (H, W) of class ids, 255 = ignore.
        settings: which changes, and how strong.
        framing: the window's size and where it may lie.
        rng: where all randomness comes from.

    Returns:
        uint8 (h, w, bands) and (h, w). Beyond the image's border the picture is mirrored and the mask is 255.
    """
    return random_window_of(
        (image.shape[0], image.shape[1]), lambda box: (image[box], mask[box]), settings, framing, rng
    )


def random_window_of(
    image_size: tuple[int, int],
    read: Callable[[Box], Pair],
    settings: AugmentConfig,
    framing: Framing,
    rng: np.random.Generator,
) -> Pair:
    """Return a randomly changed window of a sample of which only the part under the window is read.

    Args:
        image_size: height and width of the sample.
        read: rows and columns → image uint8 (h, w, bands) and mask uint8 (h, w) there.
        settings: see `random_window`, as for the rest and what is returned.
        framing: likewise.
        rng: likewise.
    """
    matrix = _random_affine(settings, image_size=image_size, framing=framing, rng=rng)
    window, labels = warped(image_size, read, matrix, framing.size)
    if settings.color > 0:
        seen = num_visible(window.shape[2])
        window = _joined(_random_color(window[..., :seen], settings.color, rng), window[..., seen:])
    if settings.blur_px > 0:
        window = _random_blur(window, settings.blur_px, rng)
    if settings.noise > 0:
        window = _random_noise(window, settings.noise, rng)
    if settings.erase > 0:
        window, labels = _random_erasure(window, labels, settings.erase, rng)
    return window, labels


def warped(
    image_size: tuple[int, int], read: Callable[[Box], Pair], matrix: NDArray[np.float64], size: tuple[int, int]
) -> Pair:
    """Return what a window shows of a sample of which only the part under it is read.

    Args:
        image_size: height and width of the sample.
        read: rows and columns → image uint8 (h, w, bands) and mask uint8 (h, w) there.
        matrix: 2×3, from (x, y) in the window to (x, y) in the image.
        size: height and width of the window.

    Returns:
        uint8 (h, w, bands) and (h, w). Beyond the image's border the picture is mirrored and the mask is 255.
    """
    box = _box_under(matrix, size, image_size)
    image, mask = read(box)
    within = matrix - np.array([[0, 0, box[1].start], [0, 0, box[0].start]])
    flags, shape = cv2.WARP_INVERSE_MAP, size[::-1]
    smooth = {"flags": flags | cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REFLECT_101}
    window = by_bands(lambda part: cv2.warpAffine(part, within, shape, **smooth), image)
    labels = cv2.warpAffine(
        mask, within, shape, flags=flags | cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=IGNORE
    )
    return window, labels


def _box_under(matrix: NDArray[np.float64], size: tuple[int, int], image_size: tuple[int, int]) -> Box:
    """Return the rows and columns of the image that a window shows, mirrored at its borders too."""
    height, width = size
    corners = matrix @ np.array([[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1], [1, 1, 1, 1]])
    (left, top), (right, bottom) = corners.min(axis=1).tolist(), corners.max(axis=1).tolist()
    return _span(top, bottom, image_size[0]), _span(left, right, image_size[1])


def _span(lowest: float, highest: float, length: int) -> slice:
    """Return the pixels of one axis that lie between two places, or are mirrored there."""
    first, end = math.floor(lowest) - _BESIDE_PX, math.ceil(highest) + 1 + _BESIDE_PX
    if first < 0:
        end = max(end, 1 - first)
    if end > length:
        first = min(first, 2 * length - 1 - end)
    return slice(max(0, first), min(length, end))


def _random_affine(
    settings: AugmentConfig,
    *,
    image_size: tuple[int, int],
    framing: Framing,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the 2×3 matrix from window to image coordinates (x, y)."""
    zoom = math.exp(rng.uniform(*np.log(settings.scale)))
    angle = math.radians(rng.uniform(-settings.rotate_deg, settings.rotate_deg))
    mirror_x = -1.0 if settings.flip_horizontal and rng.random() < 0.5 else 1.0
    mirror_y = -1.0 if settings.flip_vertical and rng.random() < 0.5 else 1.0
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([mirror_x, mirror_y])
    shift = rng.integers(-settings.translate_px, settings.translate_px, endpoint=True, size=2)
    center = np.array([_center(image_size, framing, axis=axis, zoom=zoom, rng=rng) for axis in (1, 0)])
    window_center = (np.array(framing.size[::-1]) - 1) / 2
    offset = center + shift - linear @ window_center
    return np.column_stack([linear, offset])


def _center(
    image_size: tuple[int, int], framing: Framing, *, axis: int, zoom: float, rng: np.random.Generator
) -> float:
    """Return where the window's center lies along one axis of the image, in whole pixels from an edge."""
    extent = framing.size[axis] / zoom
    last = math.floor(image_size[axis] - extent)
    if not framing.crop:
        return (image_size[axis] - 1) / 2
    if last <= 0:  # half a pixel off its middle where one side is odd: between pixels nothing is sharp
        return math.floor((image_size[axis] - extent) / 2) + (extent - 1) / 2
    first = 0
    if framing.around is not None:
        first = min(last, max(0, math.ceil(framing.around[axis] - extent + 1)))
        last = max(first, min(last, framing.around[axis]))
    start = int(rng.integers(first, last, endpoint=True))
    return start + (extent - 1) / 2


def _random_color(image: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    brightness, contrast, saturation = 1 + strength * rng.uniform(-1, 1, size=3)
    pixels = image.astype(np.float32)
    gray = pixels.mean(axis=2, keepdims=True)
    pixels = gray + (pixels - gray) * saturation
    level = gray.mean()
    pixels = level + (pixels - level) * contrast
    changed: NDArray[np.uint8] = np.clip(np.rint(pixels * brightness), 0, 255).astype(np.uint8)
    return changed


def _joined(colors: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([colors, others], axis=2) if others.size else colors


def _random_blur(image: NDArray[np.uint8], greatest_px: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    sigma, blurred = rng.uniform(0, greatest_px), rng.random() < 0.5
    if not blurred or sigma == 0:
        return image
    return by_bands(lambda part: cv2.GaussianBlur(part, (0, 0), sigma), image)


def _random_noise(image: NDArray[np.uint8], greatest: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0, greatest))
    noisy: NDArray[np.uint8] = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
    return noisy


def _random_erasure(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], greatest: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a rectangle in the window's mean color, without labels (Zhong et al. 2020), in half of the windows."""
    sides = [round(length * float(rng.uniform(0, greatest))) for length in labels.shape]
    top, left = (int(rng.integers(0, length - side + 1)) for length, side in zip(labels.shape, sides, strict=True))
    if rng.random() < 0.5:
        return image, labels
    place = (slice(top, top + sides[0]), slice(left, left + sides[1]))
    painted, bared = image.copy(), labels.copy()
    painted[place], bared[place] = np.rint(image.mean(axis=(0, 1))), IGNORE
    return painted, bared
