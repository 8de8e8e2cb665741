"""The places of a split where models disagree most, cut out as pictures for the page."""

from __future__ import annotations

import base64
import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.images.channels import visible
from rsseg_tf.datasets.palette import IGNORE, Palette, Pixels

WINDOW_PX = 320
_JPEG_QUALITY = 85


@dataclass(frozen=True)
class Place:
    """A window of one image and what the models make of it.

    Attributes:
        name: of the image.
        top: of the window in the image, in pixels.
        left: of it.
        image: uint8 (h, w, 3) RGB.
        truth: uint8 (h, w), 255 = ignore.
        predictions: uint8 (h, w) of each model.
        disagreement: share of the window's pixels on which not all models agree, 0 to 1.
    """

    name: str
    top: int
    left: int
    image: Pixels
    truth: Pixels
    predictions: tuple[Pixels, ...]
    disagreement: float


class Gallery:
    """Watches an evaluation and keeps the windows with most disagreement, at most one per image.

    Args:
        count: windows to keep.
        window_px: height and width of a window; smaller images are kept whole.
    """

    def __init__(self, count: int, *, window_px: int = WINDOW_PX) -> None:
        self._count = count
        self._window_px = window_px
        self._kept: list[tuple[float, int, Place]] = []
        self._seen = 0

    def watch(self, name: str, image: Pixels, mask: Pixels, predictions: Sequence[Pixels]) -> None:
        """Keep the window of the image where the predictions differ most, if it is among the worst."""
        self._seen += 1
        place = _worst_window(name, image, mask, predictions, size=self._window_px)
        entry = (place.disagreement, -self._seen, place)
        if len(self._kept) < self._count:
            heapq.heappush(self._kept, entry)
        elif self._kept:
            heapq.heappushpop(self._kept, entry)

    @property
    def places(self) -> list[Place]:
        """The windows that were kept, most disagreement first."""
        return [place for _, _, place in sorted(self._kept, reverse=True)]


def differing(first: Pixels, second: Pixels, truth: Pixels) -> NDArray[np.bool_]:
    """Return the labeled pixels to which two class maps give different classes."""
    pixels: NDArray[np.bool_] = (first != second) & (truth != IGNORE)
    return pixels


def place_facts(place: Place, palette: Palette, names: Sequence[str]) -> Mapping[str, Any]:
    """Return a place as the page takes it: pictures as data URLs, and the percentage of it where each two differ."""
    masks = {"ground truth": place.truth, **dict(zip(names, place.predictions, strict=True))}
    pairs = itertools.combinations(masks, 2)
    differ = {f"{a}|{b}": 100 * float(differing(masks[a], masks[b], place.truth).mean()) for a, b in pairs}
    height, width = place.truth.shape
    return {
        "name": place.name,
        "where": f"{width} × {height} px at column {place.left}, row {place.top}",
        "width": width,
        "height": height,
        "photo": _photo_url(place.image),
        "masks": [{"name": name, "url": _mask_url(mask, palette)} for name, mask in masks.items()],
        "differ": differ,
        "disagreement": 100 * place.disagreement,
    }


def _worst_window(name: str, image: Pixels, mask: Pixels, predictions: Sequence[Pixels], *, size: int) -> Place:
    """Return the window of an image with the most disagreement, or for a single model with the most errors."""
    others = predictions[1:] or [mask]
    split = np.logical_or.reduce([differing(predictions[0], other, mask) for other in others])
    height, width = min(size, mask.shape[0]), min(size, mask.shape[1])
    sums = cv2.integral(split.astype(np.uint8))
    inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = (int(place) for place in np.unravel_index(inside.argmax(), inside.shape))
    window = np.s_[top : top + height, left : left + width]
    return Place(
        name=name,
        top=top,
        left=left,
        image=visible(image[window]).copy(),
        truth=mask[window].copy(),
        predictions=tuple(prediction[window].copy() for prediction in predictions),
        disagreement=float(inside.max()) / (height * width),
    )


def _photo_url(image: Pixels) -> str:
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def _mask_url(mask: Pixels, palette: Palette) -> str:
    """Return the class colors as PNG, clear where the mask says ignore."""
    opaque = np.where(mask == IGNORE, 0, 255).astype(np.uint8)
    pixels = np.dstack([cv2.cvtColor(palette.colorize(mask), cv2.COLOR_RGB2BGR), opaque])
    _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return f"data:image/png;base64,{base64.b64encode(encoded.tobytes()).decode()}"
