"""Where a tensor's most significant bits lie, and the 8-bit window that the paper's rule puts over them (section 2.3).

The most significant bit (MSB) of x is at position ⌊log2 |x|⌋: 0 for 1 ≤ |x| < 2, −1 for ½ ≤ |x| < 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGNITUDE_BITS = 7
"""Bits of the window besides the sign."""

EXPONENTS = 256
"""Values that the exponent field of a float32 can take."""

_EXPONENT_BIAS = 127
_NOT_FINITE = EXPONENTS - 1
_LOWEST_HIGH = 1 - _EXPONENT_BIAS + MAGNITUDE_BITS - 1


@dataclass(frozen=True)
class Histogram:
    """How many values of a tensor have their MSB at each position.

    Attributes:
        lowest: position of the first of `counts`.
        counts: values by position, upward; its ends are above 0, and it is empty where every value is 0.
        zeros: values without an MSB: 0, and what float32 can only hold denormalized (below 2⁻¹²⁶).
    """

    lowest: int
    counts: tuple[int, ...]
    zeros: int

    @property
    def nonzero(self) -> int:
        """How many values have an MSB."""
        return sum(self.counts)

    @property
    def highest(self) -> int:
        """Position of the last of `counts`."""
        return self.lowest + len(self.counts) - 1

    def share(self, *, below: int | None = None, above: int | None = None) -> float:
        """Return the share of the values other than 0 whose MSB lies below or above a position; 0 where all are 0."""
        positions = np.arange(self.lowest, self.lowest + len(self.counts))
        chosen = np.zeros(len(positions), bool)
        chosen |= positions < below if below is not None else False
        chosen |= positions > above if above is not None else False
        return float(np.asarray(self.counts)[chosen].sum() / max(1, self.nonzero)) if self.counts else 0.0


@dataclass(frozen=True)
class Window:
    """Eight neighboring bits: a sign and the seven magnitude bits up to position `high`.

    Numbers in it are whole multiples of `step` from −127 to 127 steps: a sign and a magnitude, with no −128.
    """

    high: int

    @property
    def low(self) -> int:
        """Position of the last bit."""
        return self.high - MAGNITUDE_BITS + 1

    @property
    def step(self) -> float:
        """What the last bit is worth: the scale of the integers, a power of two."""
        return 2.0**self.low

    @property
    def limit(self) -> float:
        """The largest number: all seven bits set."""
        return (2**MAGNITUDE_BITS - 1) * self.step

    def underflow(self, histogram: Histogram) -> float:
        """Return the share of the values other than 0 that become 0: those below half a step."""
        return histogram.share(below=self.low - 1)

    def overflow(self, histogram: Histogram) -> float:
        """Return the share of the values other than 0 that saturate because their MSB lies above the window."""
        return histogram.share(above=self.high)

    def record(self) -> dict[str, Any]:
        """Return the window as JSON values."""
        return {"low": self.low, "high": self.high, "step": self.step}


def exponent_counts(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many `values` have each float32 exponent: int64 (256,), the last for NaN and infinity."""
    bits = np.ascontiguousarray(values, np.float32).ravel().view(np.uint32)
    return np.bincount((bits >> 23) & 0xFF, minlength=EXPONENTS).astype(np.int64)


def histogram_of(counts: NDArray[np.int64]) -> Histogram:
    """Return the histogram in counts of exponent fields, int64 (256,).

    Raises:
        ValueError: if NaN or infinity is among the values counted.
    """
    if counts[_NOT_FINITE]:
        raise ValueError(f"{counts[_NOT_FINITE]} values are NaN or infinite")
    taken = np.flatnonzero(counts[1:]) + 1
    if len(taken) == 0:
        return Histogram(lowest=0, counts=(), zeros=int(counts[0]))
    first, last = int(taken[0]), int(taken[-1])
    inner = tuple(int(count) for count in counts[first : last + 1])
    return Histogram(lowest=first - _EXPONENT_BIAS, counts=inner, zeros=int(counts[0]))


def choose_window(histogram: Histogram) -> Window:
    """Return the window that covers the most MSBs, as the paper's Figure 1 places it.

    Of windows that cover equally many the one that saturates the fewest values is taken, and of those the
    lowest, whose step is the finest. A tensor of zeros gets the window that ends at position 0.

    Examples:
        >>> choose_window(Histogram(lowest=-3, counts=(1, 1, 1, 1, 1, 1, 1, 1), zeros=0))
        Window(high=4)
    """
    if not histogram.counts:
        return Window(high=0)
    windows = [Window(high) for high in range(histogram.lowest, histogram.highest + 1)]
    best = max(windows, key=lambda window: (_covered(window, histogram), -window.overflow(histogram), -window.high))
    return Window(max(best.high, _LOWEST_HIGH))


def _covered(window: Window, histogram: Histogram) -> int:
    first = max(0, window.low - histogram.lowest)
    return sum(histogram.counts[first : window.high - histogram.lowest + 1])
