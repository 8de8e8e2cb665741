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
