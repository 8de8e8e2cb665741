"""Images and masks at another size, the same way wherever they are resized."""

from __future__ import annotations

import cv2

from rsseg_tf.datasets.palette import Pixels


def resized_image(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Return an image at another height and width: areas averaged when it shrinks, bilinear when it grows."""
    height, width = size
    if image.shape[:2] == size:
        return image
    shrinks = image.shape[0] * image.shape[1] > height * width
    resized: Pixels = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized


def resized_mask(mask: Pixels, size: tuple[int, int]) -> Pixels:
    """Return a class map at another height and width, each pixel the class at the same place."""
    height, width = size
    if mask.shape == size:
        return mask
    resized: Pixels = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return resized
