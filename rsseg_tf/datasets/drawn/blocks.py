"""Square parts of a mosaic, dealt to the splits so that parts of two splits do not touch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.datasets.files.stored import Box
from rsseg_tf.datasets.splits.dealing import LEAST_TO_DEAL, SPLITS

_SHARE = 1 / 7
_DRAWS = 500
_LEAST_SIDE = 64


@dataclass(frozen=True)
class Block:
    """A part of a mosaic.

    Attributes:
        row: of the block.
        column: of the block.
        box: rows and columns of pixels.
    """

    row: int
    column: int
    box: Box

    @property
    def name(self) -> str:
        """A name that sorts by place."""
        return f"r{self.row:03d}_c{self.column:03d}"

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.box[0].stop - self.box[0].start, self.box[1].stop - self.box[1].start

    def within(self, margin: int, *, height: int, width: int) -> Block:
        """Return the block without `margin` pixels on the sides where it has a neighbor."""
        rows, columns = (
            slice(
                side.start + margin if side.start else 0,
                side.stop - margin if side.stop < length else length,
            )
            for side, length in zip(self.box, (height, width), strict=True)
        )
        return Block(self.row, self.column, (rows, columns))


def blocks_of(height: int, width: int, *, side: int) -> list[Block]:
    """Return blocks of nearly equal sizes, about `side` pixels high and wide, that cover a mosaic row by row."""
    edges = [
        [round(number * length / count) for number in range(count + 1)]
        for length, count in ((height, max(1, round(height / side))), (width, max(1, round(width / side))))
    ]
    return [
        Block(row, column, (slice(top, bottom), slice(left, right)))
        for row, (top, bottom) in enumerate(zip(edges[0], edges[0][1:], strict=False))
        for column, (left, right) in enumerate(zip(edges[1], edges[1][1:], strict=False))
    ]


def dealt_blocks(counts: NDArray[np.int64]) -> list[str]:
    """Return the split of every block: about a seventh each for val and test.

    Of many drawn at random the one is taken in which val and test have the most equal shares of every class, always
    the same. Fewer than seven blocks all go to train.

    Args:
        counts: labeled pixels of each class in each block (blocks, classes).
    """
    number = len(counts)
    if number < LEAST_TO_DEAL:
        return ["train"] * number
    held = max(1, round(number * _SHARE))
    totals = np.maximum(counts.sum(axis=0), 1)
    rng = np.random.default_rng(0)
    best, least = np.arange(number), math.inf
    for _ in range(_DRAWS):
        order = rng.permutation(number)
        shares = [counts[order[start : start + held]].sum(axis=0) / totals for start in (0, held)]
        error = float(np.abs(np.array(shares) - _SHARE)[:, counts.sum(axis=0) > 0].sum())
        if error < least:
            best, least = order, error
    splits = np.full(number, 0)
    splits[best[:held]], splits[best[held : 2 * held]] = 1, 2
    return [SPLITS[split] for split in splits]


def least_side(gap: int) -> int:
    """Return the smallest side of a block that leaves something within its gap, in pixels."""
    return 2 * gap + _LEAST_SIDE
