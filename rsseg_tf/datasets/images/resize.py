"""Images and masks at another size, the same way wherever they are resized."""

from __future__ import annotations

import cv2

from rsseg_tf.datasets.images.channels import by_bands
from rsseg_tf.datasets.palette import Pixels


def resized_image(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Return an image uint8 (H, W, bands) at another height and width: areas averaged to shrink, bilinear to grow."""
    height, width = size
    if image.shape[:2] == size:
        return image
    shrinks = image.shape[0] * image.shape[1] > height * width
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return by_bands(lambda part: cv2.resize(part, (width, height), interpolation=interpolation), image)


def resized_mask(mask: Pixels, size: tuple[int, int]) -> Pixels:
    """Return a class map at another height and width, each pixel the class at the same place."""
    height, width = size
    if mask.shape == size:
        return mask
    resized: Pixels = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized
