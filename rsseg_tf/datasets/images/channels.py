"""Which bands of a file the network sees, how their values become 8 bits, and which of them people can look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rsseg_tf.config.data import MOST_BANDS
from rsseg_tf.datasets.palette import Pixels
from rsseg_tf.errors import ConfigError

COLORS = 3
"""How many bands a network sees where nobody says which."""

_AT_ONCE = 4  # OpenCV resizes no more, and warps two of them by another rounding


@dataclass(frozen=True)
class Channels:
    """Which bands of an image are seen, the first three of them as red, green and blue.

    Attributes:
        bands: 1 to 16 band numbers, from 1; empty where the file decides: those that it calls red, green and blue, its
            three bands, or its one of gray.
        scale: the values that become 0 and 255: two for all bands, or two for each in turn; None for 8-bit values as
            they are.
    """

    bands: tuple[int, ...] = ()
    scale: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what no image can be read with.

        Raises:
            ConfigError: for too many bands, none before the first, an empty range, or ranges of other bands.
        """
        if self.bands and not (len(self.bands) <= MOST_BANDS and min(self.bands) >= 1):
            raise ConfigError(
                f"expected 1 to {MOST_BANDS} band numbers from 1, got {self.bands}", hint="for example 1,2,3"
            )
        if self.scale is None:
            return
        if len(self.scale) % 2 or not all(-math.inf < low < high < math.inf for low, high in self._pairs()):
            raise ConfigError(
                f"the scale must be ascending, got {self.scale}",
                hint="for example 0,4000, or the lowest and the highest number of each band in turn",
            )
        if self.bands:
            self.ranges(self.count)

    @classmethod
    def of(cls, bands: Sequence[int], scale: Sequence[float]) -> Channels:
        """Return what settings or a model file say; each may be empty."""
        return cls(tuple(bands), tuple(scale) if scale else None)

    @property
    def count(self) -> int:
        """How many bands are seen."""
        return len(self.bands) or COLORS

    def ranges(self, count: int) -> tuple[tuple[float, float], ...]:
        """Return the values of each of `count` bands that become 0 and 255; none for 8-bit values as they are.

        Raises:
            ConfigError: if they are those of another number of bands.
        """
        pairs = self._pairs()
        if len(pairs) == 1:
            return pairs * count
        if pairs and len(pairs) != count:
            raise ConfigError(
                f"the scale has {2 * len(pairs)} numbers for {count} bands",
                hint=f"give two for all bands, or {2 * count}: the lowest and the highest of each band in turn",
            )
        return pairs

    def _pairs(self) -> tuple[tuple[float, float], ...]:
        scale = self.scale or ()
        return tuple(zip(scale[::2], scale[1::2], strict=True))

    def over(self, others: Channels) -> Channels:
        """Return these, and the others where these say nothing.

        Raises:
            ConfigError: if the ranges of the one are not of the bands of the other.
        """
        return Channels(self.bands or others.bands, self.scale or others.scale)


AS_THEY_ARE = Channels()
"""What the file says."""


def num_visible(count: int) -> int:
    """Return how many of a network's bands, from the first, are colors: three, or a gray one where there are fewer."""
    return COLORS if count >= COLORS else 1


def visible(pixels: Pixels) -> Pixels:
    """Return what people see of uint8 (h, w, bands): uint8 (h, w, 3) RGB, the first three bands or one of gray."""
    if pixels.shape[2] == COLORS:
        return pixels
    return np.ascontiguousarray(pixels[..., :COLORS] if pixels.shape[2] > COLORS else pixels[..., [0, 0, 0]])


def by_bands(change: Callable[[Pixels], Pixels], pixels: Pixels) -> Pixels:
    """Return what OpenCV makes of a picture of any number of bands, each as it would be by itself.

    Args:
        change: uint8 (h, w, n) to (H, W, n), or to (H, W) where n is 1; for n of 1, 3 and 4.
        pixels: uint8 (h, w, bands).

    Returns:
        uint8 (H, W, bands).
    """
    count = pixels.shape[2]
    if count == COLORS:
        return change(pixels)
    rest = count % _AT_ONCE
    sizes = [_AT_ONCE] * (count // _AT_ONCE) + ([1] * rest if rest < COLORS else [COLORS])
    ends = np.cumsum(sizes).tolist()
    parts = [change(np.ascontiguousarray(pixels[..., end - size : end])) for size, end in zip(sizes, ends, strict=True)]
    return np.concatenate([part.reshape(*part.shape[:2], -1) for part in parts], axis=2)
