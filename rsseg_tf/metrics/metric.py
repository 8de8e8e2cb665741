"""What every metric offers to those that score images."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Metric(Protocol):
    """Counts of how well class maps fit, image by image; scores are properties made of the counts."""

    @property
    def totals(self) -> tuple[NDArray[Any], ...]:
        """The arrays that it counts in: those of several processes, added up in place, give the scores of all."""

    def update(self, truth: NDArray[np.integer], prediction: NDArray[np.integer]) -> None:
        """Add one image: class ids (H, W), in the truth 255 for ignore."""


def shares(parts: NDArray[Any], wholes: NDArray[Any]) -> NDArray[np.float64]:
    """Return `parts` over `wholes`, nan where there is no whole."""
    quotients: NDArray[np.float64] = np.divide(parts, wholes, out=np.full(len(parts), np.nan), where=wholes > 0)
    return quotients


def mean_of_known(values: NDArray[np.float64]) -> float:
    """Return the mean of the values that are numbers; nan where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
