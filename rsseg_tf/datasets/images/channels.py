"""Which bands of a file the network sees, and how their values become 8 bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rsseg_tf.errors import ConfigError


@dataclass(frozen=True)
class Channels:
    """Which bands of an image are its red, green and blue.

    Attributes:
        bands: three band numbers, from 1; empty where the file decides: those that it calls red, green and blue, its
            three bands, or its one of gray.
        scale: the values that become 0 and 255; None for 8-bit values as they are.
    """

    bands: tuple[int, ...] = ()
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse what no image can be read with.

        Raises:
            ConfigError: for other than three bands, or an empty range.
        """
        if self.bands and (len(self.bands) != 3 or min(self.bands) < 1):
            raise ConfigError(f"expected three band numbers from 1, got {self.bands}", hint="for example 1,2,3")
        if self.scale and not -math.inf < self.scale[0] < self.scale[1] < math.inf:
            raise ConfigError(f"the scale must be ascending, got {self.scale}", hint="for example 0,4000")

    @classmethod
    def of(cls, bands: Sequence[int], scale: Sequence[float]) -> Channels:
        """Return what settings or a model file say; each may be empty."""
        return cls(tuple(bands), (scale[0], scale[1]) if scale else None)

    def over(self, others: Channels) -> Channels:
        """Return these, and the others where these say nothing."""
        return Channels(self.bands or others.bands, self.scale or others.scale)


AS_THEY_ARE = Channels()
"""What the file says."""
