"""Scores as data: one number for every output channel of every layer that is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scores:
    """How much each channel matters.

    Attributes:
        criterion: what it is by; see `rsseg_tf.pruning.scoring.criteria`.
        layers: layer → score of each of its output channels, float64 (C,), never negative. With each
            convolution or dense layer, the batch norm that directly follows is counted in.
        power: which power of a change of the loss they stand for: 2 for the squared criteria.
    """

    criterion: str
    layers: Mapping[str, NDArray[np.float64]]
    power: int = 1
