"""Where in a split each class is found, so that windows can be drawn by class instead of by area."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK_PX = 32

Place = tuple[int, tuple[int, int]]
"""The number of a pair, and row and column of a pixel in it."""


@dataclass(frozen=True)
class ClassPlaces:
    """Blocks of 32×32 pixels in which a class occurs.

    Attributes:
        blocks: for each class that occurs, int32 (n, 3): number of the pair, row and column of the block's middle.
    """

    blocks: tuple[NDArray[np.int32], ...]

    @classmethod
    def of(
        cls, masks: Callable[[int], Iterable[tuple[int, NDArray[np.uint8]]]], *, count: int, num_classes: int
    ) -> ClassPlaces:
        """Return the places in `count` masks.

        Args:
            masks: index → strips of the mask uint8 (h, W), each with its first row, a multiple of 32.
            count: number of masks.
            num_classes: number of classes.
        """
        found: list[list[NDArray[np.int32]]] = [[] for _ in range(num_classes)]
        for index in range(count):
            for top, labels in masks(index):
                for number, places in enumerate(found):
                    places.append(_blocks(labels == number, index, top))
        joined = (np.concatenate(places) for places in found if places)
        return cls(tuple(places for places in joined if len(places)))

    def draw(self, rng: np.random.Generator) -> Place:
        """Return a place of a class: each class that occurs is equally likely, and so is each block of it."""
        places = self.blocks[int(rng.integers(len(self.blocks)))]
        index, row, column = places[int(rng.integers(len(places)))].tolist()
        return index, (row, column)


def _blocks(present: NDArray[np.bool_], index: int, top: int) -> NDArray[np.int32]:
    """Return the blocks that hold a true pixel, in an image where the strip begins at row `top`: int32 (n, 3)."""
    height, width = present.shape
    high = np.logical_or.reduceat(present, np.arange(0, height, _BLOCK_PX), axis=0)
    held = np.logical_or.reduceat(high, np.arange(0, width, _BLOCK_PX), axis=1)
    middles = np.argwhere(held) * _BLOCK_PX + _BLOCK_PX // 2
    rows, columns = np.minimum(middles, (height - 1, width - 1)).T
    return np.column_stack([np.full(len(middles), index), rows + top, columns]).astype(np.int32)
